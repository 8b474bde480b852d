"""Tandem's PPO beside the last TRL that had one: episodes per processor second, and memory.

    python benchmarks/ppo.py [--quick] [--json] [--trl-python TRL_VENV/bin/python]
        [--prompts FILE] [--model FOLDER] [--episodes 16] [--tokens 32] [--epochs 1 4]

Both sides get one model (by default SmolLM2-135M-Instruct) with weights in bf16, a LoRA adapter of
rank 16 on all linear maps of all layers, the same real prompts, a reward model of the same shape
with a random head (so this is about cost; what is learned is measured elsewhere), and the same
number of answers per step, of tokens per answer (none ends early) and of passes over them. Each is
a process of its own, and they take their steps in turns. The first step of each warms it up and the
last is looked at operator by operator (with the fewest passes only); neither counts. TRL's value
model is a second whole model, as its documentation has it; Tandem's is a head on the policy.

TRL needs an environment of its own, named by --trl-python or TANDEM_TRL_PPO_PYTHON: python3.11 -m
venv TRL_VENV, then TRL_VENV/bin/pip install torch==2.13.0 trl==1.12.0 peft==0.21.2
transformers==5.23.0 datasets==5.2.0 accelerate==1.15.0. Without it its rows are left out and
`peer_missing` says why.

A row says: episodes per second and per processor second, processor seconds of a step by phase, GiB
before the first step and the most ever held (by the process, libraries and weights included, or on
the accelerator), where the time of a step goes, and `share_of_streaming`: the time in which the
weights could be read from memory once per token, over the time that writing took. Ratios are ours
over the peer's, the worst of all settings; `beside` has each of them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from learning import models
from learning.side import Side, in_turns, missing

from training import backbone

PROMPTS = Path(__file__).parents[2] / "shared/data/prompts_alpaca_eval.jsonl.gz"
RANK, LONGEST_PROMPT = 16, 96
STEPS = 5
"""Of which the first and the last do not count."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute: short answers, one pass")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--trl-python",
        type=Path,
        default=os.environ.get("TANDEM_TRL_PPO_PYTHON"),
        help="interpreter of the environment that holds trl 1.12",
    )
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="lines with a `prompt`")
    parser.add_argument("--model", default=backbone.DEFAULT_BASE, help="a folder, or random-...")
    parser.add_argument("--tokenizer", default=backbone.DEFAULT_BASE, help="of a random model")
    parser.add_argument("--episodes", type=int, default=16, help="answers to a step")
    parser.add_argument("--tokens", type=int, default=32, help="of each answer")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 4], help="one setting each")
    options = parser.parse_args()
    if options.quick:
        options.episodes, options.tokens, options.epochs = 4, 8, [1]
    if not options.prompts.is_file():
        parser.error(f"there is no {options.prompts}; name a file of prompts with --prompts")
    why_not = missing(options.trl_python, "--trl-python or TANDEM_TRL_PPO_PYTHON")

    settings: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="ppo-") as folder:
        model = models.find(options.model, options.tokenizer, Path(folder) / "model")
        job = {
            "model": model,
            "rank": RANK,
            "prompts": some_prompts(options.prompts, STEPS * options.episodes, model),
            "episodes": options.episodes,
            "tokens": options.tokens,
            "steps": STEPS,
        }
        for epochs in options.epochs:
            # What a profiler writes down of one step with many passes fills the memory.
            one = job | {"epochs": epochs, "profiled": epochs == min(options.epochs)}
            with ExitStack() as stack:
                sides = [Side("tandem", "learning.ppo_tandem", one, Path(folder))]
                if why_not is None:
                    sides.append(
                        Side("trl", "learning.ppo_trl", one, Path(folder), options.trl_python)
                    )
                said = in_turns(sides, stack)
            settings.append([row(side, end, one) for side, end in zip(sides, said, strict=True)])
            for found in settings[-1]:
                print(told(found), file=sys.stderr, flush=True)
    result = summary(settings, settings[0][0]["machine"]) | {"peer_missing": why_not}
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


def some_prompts(file: Path, number: int, model: str) -> list[list[dict[str, str]]]:
    """The first prompts that are not too long, as conversations; the same ones again if need be."""
    tokenizer = backbone.load_tokenizer(model)
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["prompt"] for line in lines]
    found = []
    for text in texts:
        messages = [{"role": "user", "content": text}]
        ids = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        if len(ids) <= LONGEST_PROMPT:
            found.append(messages)
    return (found * (number // len(found) + 1))[:number]


def row(side: Side, end: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """What the steps between the first and the last took."""
    costs = [said["cost"] for said in side.said[1:]]
    counted = costs[1:-1]
    seconds, spent = (sum(one[key] for one in counted) for key in ("seconds", "processor_seconds"))
    phases = {
        name: sum(one[name] for one in end["phases"][1:-1]) / len(counted)
        for name in end["phases"][0]
    }
    episodes = len(counted) * job["episodes"]
    return {
        "side": side.name,
        "epochs": job["epochs"],
        "episodes_per_second": episodes / seconds,
        "episodes_per_processor_second": episodes / spent,
        "processor_seconds_per_step": spent / len(counted),
        "phases": phases,
        "memory_before_gib": side.said[0]["memory_gib"],
        "peak_gib": side.said[-2]["peak_gib"],  # the last step also holds what is looked at
        "profile": costs[-1]["profile"],
        "loss": end["loss"],
        **end.get("about", {}),
    }


def told(row: dict[str, Any]) -> str:
    """A row in a line, for whoever waits."""
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["phases"].items())
    return (
        f"{row['epochs']} epochs, {row['side']}: {row['episodes_per_processor_second']:.2f}"
        f" episodes per processor second, {row['episodes_per_second']:.2f} per second, peak"
        f" {row['peak_gib']:.2f} GiB; processor seconds of a step: {phases}"
    )


def summary(settings: Sequence[list[dict[str, Any]]], machine: str) -> dict[str, Any]:
    """What Tandem is beside the peer: in each setting, and the worst of all."""
    beside = [
        {
            "epochs": peer["epochs"],
            "throughput": ours["episodes_per_second"] / peer["episodes_per_second"],
            "processor_throughput": ours["episodes_per_processor_second"]
            / peer["episodes_per_processor_second"],
            "memory": ours["peak_gib"] / peer["peak_gib"],
        }
        for ours, *peers in settings
        for peer in peers
    ]
    return {
        "benchmark": "ppo",
        "machine": machine,
        "rows": [row for rows in settings for row in rows],
        "beside": beside,
        "ratios": {
            "throughput": min((one["processor_throughput"] for one in beside), default=None),
            "memory": max((one["memory"] for one in beside), default=None),
        },
    }


if __name__ == "__main__":
    main()
