"""What sharing a prompt among its answers saves in training a reward model.

    python benchmarks/prompt_sharing.py [--quick] [--json]

Ours: all answers to a prompt in one row, the prompt encoded once. Beside it, in the same process
and interleaved, the layout of TRL's RewardTrainer: each judged pair as two padded sequences, the
prompt encoded anew each time (the layout only; the trainer itself is not run). Both get the real
answers of the starter project, all six pairs of the four answers to a prompt, and the forward and
backward pass of a Bradley-Terry loss, on the default model with a LoRA adapter on all layers.
Throughput is pairs per processor second, ours over the peer's.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from storage.records import as_messages
from training import backbone
from training.adapters import adapt
from training.batching import Row
from training.rewards.model import RewardModel

ANSWERS = Path(__file__).parents[1] / "app/starter/answers.jsonl.gz"
PAIRS = list(itertools.combinations(range(4), 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two prompts, one round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    prompts, rounds = (2, 1) if options.quick else (8, 3)

    device = backbone.pick_device()
    scalar = backbone.load_scalar(backbone.DEFAULT_BASE, device=device)
    adapted = adapt(scalar, rank=8, layers=None, task="SEQ_CLS", base=backbone.DEFAULT_BASE)
    model = RewardModel(adapted, backbone.load_tokenizer(backbone.DEFAULT_BASE))
    torch.nn.init.normal_(model.model.get_base_model().score.weight, std=0.02)
    rows = read_rows(model.tokenizer, prompts)

    spent = {"ours": 0.0, "separate": 0.0}
    losses = {"ours": 0.0, "separate": 0.0}
    for number in range(rounds + 1):
        for name, run in (("ours", shared), ("separate", separate)):
            began = time.process_time()
            loss = sum(run(model, row) for row in rows)
            model.zero_grad()
            if number:  # the first round warms up
                spent[name] += time.process_time() - began
                losses[name] = loss / len(rows)
    pairs = len(PAIRS) * len(rows) * rounds
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, {scalar.dtype}"
    result = {
        "benchmark": "prompt_sharing",
        "machine": machine,
        "rows": [
            {
                "layout": name,
                "pairs_per_processor_second": pairs / seconds,
                "loss": losses[name],
            }
            for name, seconds in spent.items()
        ],
        "ratios": {"throughput": spent["separate"] / spent["ours"], "memory": None},
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


def read_rows(tokenizer: Any, prompts: int) -> list[Row]:
    """The first prompts of the starter project with their four answers."""
    rows = []
    with gzip.open(ANSWERS, "rt", encoding="utf-8") as file:
        for line in itertools.islice(file, prompts):
            asked = json.loads(line)
            rows.append(
                Row(
                    np.array(backbone.chat_ids(tokenizer, as_messages(asked["prompt"])), np.int32),
                    tuple(
                        np.array(backbone.answer_ids(tokenizer, answer["text"]), np.int32)
                        for answer in asked["responses"]
                    ),
                )
            )
    return rows


def shared(model: RewardModel, row: Row) -> float:
    rewards = model([row])
    loss = torch.stack([-F.logsigmoid(rewards[a] - rewards[b]) for a, b in PAIRS]).mean()
    loss.backward()
    return loss.item()


def separate(model: RewardModel, row: Row) -> float:
    alone = [Row(row.prompt, (row.answers[place],)) for pair in PAIRS for place in pair]
    total = 0.0
    for start in range(0, len(alone), 4):  # two pairs at a time, as memory allows elsewhere too
        rewards = model(alone[start : start + 4])
        loss = -F.logsigmoid(rewards[0::2] - rewards[1::2]).sum() / len(PAIRS)
        loss.backward()
        total += loss.item()
    return total


if __name__ == "__main__":
    main()
