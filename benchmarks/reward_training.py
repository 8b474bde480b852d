"""Tandem's reward-model training beside TRL's RewardTrainer: speed, memory and what is learned.

    python benchmarks/reward_training.py [--quick] [--json] [--trl-python TRL_VENV/bin/python]
        [--data FILE ...] [--model FOLDER] [--pairs 64] [--test-pairs 96]

Both sides get one model (the default one, SmolLM2-135M-Instruct), a LoRA adapter of rank 8 on all
linear maps of all layers, the same real pairs for one epoch, eight pairs to a step, bf16, first
without and then with gradient checkpointing (four steps of it: the arithmetic is the same). Each is
a process of its own; they take steps in turns, and the first step of each warms it up and is not
counted, nor is the last, which is looked at operator by operator. TRL runs with its defaults: fp32
weights under bf16 autocast, random batches padded to their longest answer. A third side is TRL
with its weights in bf16, for some steps. Tandem runs its recipe `preference` (Bradley-Terry), whose
batches are tokens; several make one step, so that an epoch takes as many steps as TRL's.

TRL needs an environment of its own, named by --trl-python or TANDEM_TRL_PYTHON: python3.11 -m venv
TRL_VENV, then TRL_VENV/bin/pip install torch==2.13.0 trl==1.16.0 peft==0.21.2 transformers==5.23.0
datasets==5.2.0 accelerate==1.15.0. Without it its rows are left out and `peer_missing` says why.

A row says: pairs per second and per processor second, tokens read with and without padding, memory
before the first step and the most ever held (of the process, or on the accelerator if there is
one; libraries and weights included), the mean loss in the first and last quarter of the steps,
the accuracy on held-out pairs, and where the time of a step goes. `share_of_ceiling` is the
arithmetic that the model needs for the tokens that are no padding, over what the machine does in
large bf16 products (fp32 where it has no fast bf16). Ratios are ours over the peer's, the worst of
all settings; `difference` is our accuracy less the peer's, on the same pairs.

Where a CUDA device is at hand both sides run on it. --model also takes random-smollm2-135m,
random-llama-1b and random-llama-8b: those shapes with random weights and the tokenizer of
--tokenizer; they have no accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from learning import models, work
from learning.pairs import Pair, held_out, learnt
from learning.side import Side

from evaluation.statistics import clustered_mean, correctness
from training import backbone

SHARED = Path(__file__).parents[2] / "shared/data"
DATA = [SHARED / "both_alpaca_eval.jsonl.gz", SHARED / "pairs_hh_harmless_test.jsonl.gz"]
RANK, LONGEST, LEARNING_RATE = 8, 1023, 3e-4
FEW = 6
"""Steps where only speed and memory are asked for: the first and the last do not count."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute: one file, few short steps")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--trl-python",
        type=Path,
        default=os.environ.get("TANDEM_TRL_PYTHON"),
        help="interpreter of the environment that holds trl",
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", default=DATA, help="files of pairs, or of both signals"
    )
    parser.add_argument("--model", default=backbone.DEFAULT_BASE, help="a folder, or random-...")
    parser.add_argument("--tokenizer", default=backbone.DEFAULT_BASE, help="of a random model")
    parser.add_argument("--pairs", type=int, default=72, help="to learn from, of each file")
    parser.add_argument("--test-pairs", type=int, default=96, help="held out, of each file")
    parser.add_argument("--batch", type=int, default=8, help="pairs to a step")
    parser.add_argument("--batch-tokens", type=int, default=1024, help="Tandem's tokens at a time")
    options = parser.parse_args()
    if options.quick:
        options.data, options.pairs, options.batch = options.data[-1:], 24, 4
    why_not = missing(options.trl_python)

    settings: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="learning-") as folder:
        model = models.find(options.model, options.tokenizer, Path(folder) / "model")
        tokenizer = backbone.load_tokenizer(model)
        for data in options.data:
            job = {
                "data": data.name.partition(".")[0],
                "model": model,
                "train": learnt(data, options.pairs, tokenizer, longest=LONGEST),
                "rank": RANK,
                "longest": LONGEST,
                "learning_rate": LEARNING_RATE,
                "batch": options.batch,
                "batch_tokens": options.batch_tokens,
                "weights": "float32",
            }
            few = {"few": FEW, "test": []}
            whole = {
                "few": None,
                "test": held_out(data, options.test_pairs, tokenizer, longest=LONGEST),
            }
            known = not (options.quick or options.model in models.SHAPES)
            plain = job | {"checkpointing": False} | (whole if known else few)
            trl = None if why_not else options.trl_python
            settings.append(measure(plain, trl, Path(folder)))
            settings.append(measure(job | {"checkpointing": True} | few, trl, Path(folder)))
    result = summary(settings) | {"peer_missing": why_not}
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


def missing(python: Path | None) -> str | None:
    """Why TRL cannot run here, or None."""
    if python is None:
        return "no environment with trl was named (--trl-python or TANDEM_TRL_PYTHON)"
    return None if Path(python).exists() else f"there is no {python}"


def measure(job: dict[str, Any], trl: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Rows of all sides in one setting, ours first."""
    with ExitStack() as stack:
        sides = [Side("tandem", job, folder)]
        if trl:
            bf16 = job | {"weights": "bfloat16", "few": FEW, "test": []}
            sides += [Side("trl", job, folder, trl), Side("trl, bf16 weights", bf16, folder, trl)]
        for side in sides:
            stack.callback(side.kill)
            side.begin()
        going = list(sides)
        while going:
            going = [side for side in going if side.turn()]
        learned = [side.end() for side in sides]
    rate = learned[0]["ceiling"][learned[0]["dtype"]]
    return [
        {
            "side": side.name,
            "data": job["data"],
            "gradient_checkpointing": job["checkpointing"],
            **cost(side, work.flops_per_token(job["model"], job["rank"]) / rate),
            "loss": {
                "first": float(np.mean(said["losses"][:2])),
                "last": float(np.mean(said["losses"][-3:])),
            },
            **held_against(said["rewards"], learned[0]["rewards"], job["test"]),
            **said.get("about", {}),
        }
        for side, said in zip(sides, learned, strict=True)
    ]


def cost(side: Side, seconds_per_token: float) -> dict[str, Any]:
    """What the steps between the first and the last took.

    `seconds_per_token` is what a token's arithmetic would take at the machine's best rate.
    """
    costs = [said["cost"] for said in side.said[2:-1]]
    total = {
        key: sum(one[key] for one in costs)
        for key in ("pairs", "seconds", "processor_seconds", "tokens", "places")
    }
    return {
        "steps": len(costs),
        **total,
        "pairs_per_second": total["pairs"] / total["seconds"],
        "pairs_per_processor_second": total["pairs"] / total["processor_seconds"],
        "memory_before_gib": side.said[0]["memory_gib"],
        "peak_gib": side.said[-2]["peak_gib"],
        "share_of_ceiling": seconds_per_token * total["tokens"] / total["seconds"],
        "profile": side.said[-1]["cost"]["profile"],
    }


def held_against(
    rewards: list[list[float]] | None, ours: list[list[float]] | None, test: Sequence[Pair]
) -> dict[str, Any]:
    """Accuracy on the held-out pairs, and how far ours lies above it."""
    if rewards is None or ours is None:
        return {"accuracy": None, "difference": None}
    (right, _), (ours_right, _) = (
        correctness(*np.transpose(found), [-1] * len(test)) for found in (rewards, ours)
    )
    asked = [json.dumps(pair.prompt) for pair in test]
    return {
        "accuracy": clustered_mean(right, asked).as_json(),
        "difference": clustered_mean(ours_right - right, asked, bounds=(-1, 1)).as_json(),
    }


def summary(settings: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """What Tandem is beside the peer: in each setting, and the worst of all."""
    beside = [
        {
            "data": peer["data"],
            "gradient_checkpointing": peer["gradient_checkpointing"],
            "peer": peer["side"],
            "throughput": ours["pairs_per_second"] / peer["pairs_per_second"],
            "processor_throughput": ours["pairs_per_processor_second"]
            / peer["pairs_per_processor_second"],
            "memory": ours["peak_gib"] / peer["peak_gib"],
            "difference": peer["difference"],
        }
        for ours, *peers in settings
        for peer in peers
    ]
    default = [one for one in beside if one["peer"] == "trl"]
    return {
        "benchmark": "reward_training",
        "machine": settings[0][0]["machine"],
        "rows": [row for rows in settings for row in rows],
        "beside": beside,
        "ratios": {
            "throughput": min((one["throughput"] for one in default), default=None),
            "memory": max((one["memory"] for one in default), default=None),
        },
    }


if __name__ == "__main__":
    main()
