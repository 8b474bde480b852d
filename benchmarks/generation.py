"""Answers of a policy in training, written here and by vLLM: the same, and how fast.

    python benchmarks/generation.py [--quick] [--json] [--prompts FILE] [--model NAME]
        [--answers 16 64] [--tokens 64] [--dtype bfloat16] [--device auto]

TANDEM_VLLM_PYTHON names the interpreter of an environment that has vLLM (docs/vllm.md). Both sides
write for one policy: the model with an adapter of rank 16 whose weights are not zero. A row per
number of answers: tokens per second and per processor second (of all processes; on an accelerator
only the first tells anything), the median of several turns, taken one after the other. Then two
checks. `same`: the share of answers that are token for token the same where the likeliest token is
taken; 1 in float32, less in bfloat16, in which two likely tokens often round to the same. `first`:
the first token of an answer, drawn many times by vLLM, against the probabilities that Tandem learns
from (chi-square; p is then any number from 0 to 1, and below 0.001 one time in a thousand).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil
import torch
from learning.tandem import machine
from scipy.stats import chisquare
from transformers import PreTrainedModel

from storage.records import Message
from training import backbone
from training.generation import end_tokens
from training.policies.actor import Actor
from training.policies.rollouts import Generator, InThisProcess
from training.policies.vllm_generator import VLLMGenerator
from training.sampling import encode_prompts, open_policy

PROMPTS = Path(__file__).parents[2] / "shared/data/prompts_alpaca_eval.jsonl.gz"
RANK, TURNS, DRAWN = 16, 3, 400
"""Of the adapter; each side's turns; first tokens."""
EXPECTED = 5
"""Times that a token must be expected to count alone."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short answers, one turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="lines with a `prompt`")
    parser.add_argument("--model", default=backbone.DEFAULT_BASE)
    parser.add_argument("--answers", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--tokens", type=int, default=64, help="of each answer at most")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    turns, drawn = TURNS, DRAWN
    if options.quick:
        options.answers, options.tokens, turns, drawn = [4], 8, 1, 200
    if not options.prompts.is_file():
        parser.error(f"there is no {options.prompts}; name a file of prompts with --prompts")
    with gzip.open(options.prompts, "rt", encoding="utf-8") as lines:
        texts = [json.loads(next(lines))["prompt"] for _ in range(max(options.answers))]

    opened = open_policy(
        options.model,
        device=str(backbone.pick_device(options.device)),
        dtype=getattr(torch, options.dtype),
    )
    actor = Actor(opened.model, rank=RANK, seed=0)
    torch.manual_seed(0)
    for name, weight in actor.learned().items():
        if "lora_B" in name:
            weight.data.normal_(0, 0.01)
    messages = [[Message(role="user", content=text)] for text in texts]
    prompts = encode_prompts(opened.model, opened.tokenizer, messages, options.tokens)
    with tempfile.TemporaryDirectory() as folder, actor.merged() as model:
        there = VLLMGenerator(
            options.model,
            opened,
            rank=RANK,
            longest=max(map(len, prompts)) + options.tokens,
            folder=Path(folder) / "vllm",
            environment=os.environ,
        )
        sides = {
            "tandem": InThisProcess(batch_tokens=1 << 16, pad=opened.tokenizer.pad_token_id),
            "vllm": there,
        }
        both = Both(model, prompts, sides, options.tokens, end_tokens(model, opened.tokenizer))
        try:
            rows = [both.in_turns(count, turns) for count in options.answers]
            result = {
                "model": options.model,
                "dtype": options.dtype,
                "tokens": options.tokens,
                "rows": rows,
                "same": both.same(),
                "first": both.first_tokens(drawn),
                "machine": machine(model.device),
            }
        finally:
            there.close()
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


@dataclass(frozen=True)
class Both:
    """One policy, written for by two sides."""

    model: PreTrainedModel
    prompts: list[list[int]]
    sides: Mapping[str, Generator]
    tokens: int
    ends: Sequence[int]

    def answers(
        self, side: str, prompts: list[list[int]], *, tokens: int, temperature: float = 1.0
    ) -> list[list[int]]:
        """What a side writes; a row's place in the list settles its random numbers."""
        return self.sides[side].generate(
            self.model,
            prompts,
            keys=[(0, row) for row in range(len(prompts))],
            max_new_tokens=tokens,
            temperature=temperature,
            ends=self.ends,
        )

    def in_turns(self, count: int, turns: int) -> dict[str, Any]:
        """Medians of each side's speed."""
        found: dict[str, list[dict[str, float]]] = {side: [] for side in self.sides}
        for turn in range(turns + 1):
            for side in self.sides:
                wall, busy = time.perf_counter(), processor_seconds()
                written = self.answers(side, self.prompts[:count], tokens=self.tokens)
                tokens = sum(map(len, written))
                if turn:  # the first one warms up
                    found[side].append(
                        {
                            "tokens_per_second": tokens / (time.perf_counter() - wall),
                            "tokens_per_processor_second": tokens / (processor_seconds() - busy),
                        }
                    )
        row: dict[str, Any] = {"answers": count}
        for side, said in found.items():
            row[side] = {name: median(one[name] for one in said) for name in said[0]}
        print(row, file=sys.stderr, flush=True)
        return row

    def same(self) -> float:
        """Share of answers that are the same where the likeliest token is taken."""
        ours, theirs = (
            self.answers(side, self.prompts, tokens=self.tokens, temperature=0.0)
            for side in ("tandem", "vllm")
        )
        return fmean(one == other for one, other in zip(ours, theirs, strict=True))

    def first_tokens(self, drawn: int) -> dict[str, float]:
        """Pearson's chi-square of vLLM's first tokens; the rare ones count together."""
        [prompt] = self.prompts[:1]
        firsts = self.answers("vllm", [prompt] * drawn, tokens=1)
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([prompt], device=self.model.device)).logits
        expected = logits[0, -1].double().softmax(-1).cpu() * drawn
        often = (expected >= EXPECTED).nonzero()[:, 0].tolist()
        counts = Counter(token for [token] in firsts)
        seen, wanted = [counts[token] for token in often], expected[often].tolist()
        if sum(wanted) < drawn:
            seen, wanted = [*seen, drawn - sum(seen)], [*wanted, drawn - sum(wanted)]
        found = chisquare(seen, wanted)
        return {
            "drawn": drawn,
            "kinds": len(seen),
            "statistic": float(found.statistic),
            "p": float(found.pvalue),
        }


def processor_seconds() -> float:
    """Of this process and its children."""
    process = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])


if __name__ == "__main__":
    main()
