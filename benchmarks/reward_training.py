"""Tandem's reward-model training beside TRL's RewardTrainer: speed, memory and what is learned.

    python benchmarks/reward_training.py [--quick] [--json] [--trl-python TRL_VENV/bin/python]
        [--data FILE ...] [--model FOLDER] [--pairs 64] [--test-pairs 64] [--batch 8]

Both sides get one model (by default SmolLM2-135M-Instruct), a LoRA adapter of rank 8 on all linear
maps of all layers, the same real pairs for one epoch, eight pairs to a step, and bf16; first
without gradient checkpointing, then with it on half of the pairs. Each is a process of its own, and
they take their steps in turns. The first step of each warms it up and the last is looked at
operator by operator; neither counts. TRL runs with its defaults: fp32 weights under bf16 autocast
(--trl-weights bfloat16 for the other choice), batches drawn at random and padded to their longest
answer. Tandem runs its recipe `preference` with Bradley and Terry's loss. Its batches are tokens;
so many of them make one step that the epoch takes about as many steps as TRL's.

TRL needs an environment of its own, named by --trl-python or TANDEM_TRL_PYTHON: python3.11 -m venv
TRL_VENV, then TRL_VENV/bin/pip install torch==2.13.0 trl==1.16.0 peft==0.21.2 transformers==5.23.0
datasets==5.2.0 accelerate==1.15.0. Without it its rows are left out and `peer_missing` says why.

A row says: pairs per second and per processor second, tokens that a pair takes and the share of
padding, GiB before the first step and the most ever held (by the process, libraries and weights
included, or on the accelerator if there is one), the mean loss of the first two and of the last
three steps, the accuracy on held-out pairs and how far ours lies above it, and where the time of a
step goes. `share_of_ceiling` is the arithmetic that the model needs for the tokens that are no
padding, over the rate of large products in the same precision, measured in the same process.
Ratios are ours over the peer's, the worst of all settings; `beside` has each of them.

Where a CUDA device is at hand both sides run on it; give it larger steps then (--pairs, --batch,
--batch-tokens). --model also takes random-smollm2-135m, random-llama-1b and random-llama-8b: those
shapes with random weights and the tokenizer of --tokenizer; they have no accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from learning import models, work
from learning.pairs import Pair, held_out, learnt
from learning.side import Side, in_turns, missing

from evaluation.statistics import clustered_mean, correctness
from training import backbone

SHARED = Path(__file__).parents[2] / "shared/data"
DATA = [SHARED / "both_alpaca_eval.jsonl.gz", SHARED / "pairs_hh_harmless_test.jsonl.gz"]
RANK, LONGEST, LEARNING_RATE = 8, 1023, 3e-4
FEWEST = 3
"""Steps that an epoch must have, so that one is left between the first and the last."""


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
    parser.add_argument(
        "--trl-weights", choices=("float32", "bfloat16"), default="float32", help="TRL's default"
    )
    parser.add_argument("--pairs", type=int, default=64, help="to learn from, of each file")
    parser.add_argument("--test-pairs", type=int, default=64, help="held out, of each file")
    parser.add_argument("--batch", type=int, default=8, help="pairs to a step")
    parser.add_argument("--batch-tokens", type=int, default=1024, help="Tandem's tokens at a time")
    options = parser.parse_args()
    if options.quick:
        options.data, options.pairs, options.batch, options.test_pairs = options.data[-1:], 12, 3, 0
    if options.model in models.SHAPES:
        options.test_pairs = 0
    if absent := [str(data) for data in options.data if not data.is_file()]:
        parser.error(f"there is no {', '.join(absent)}; name files of pairs with --data")
    if options.pairs < FEWEST * options.batch:
        parser.error(f"--pairs must be at least {FEWEST} times --batch ({options.batch})")
    why_not = missing(options.trl_python, "--trl-python or TANDEM_TRL_PYTHON")

    settings: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="learning-") as folder:
        model = models.find(options.model, options.tokenizer, Path(folder) / "model")
        tokenizer = backbone.load_tokenizer(model)
        for data in options.data:
            train = learnt(data, options.pairs, tokenizer, longest=LONGEST)
            job = {
                "data": data.name.partition(".")[0],
                "model": model,
                "rank": RANK,
                "longest": LONGEST,
                "learning_rate": LEARNING_RATE,
                "batch": options.batch,
                "batch_tokens": options.batch_tokens,
                "trl_weights": options.trl_weights,
                "checkpointing": False,
                "train": train,
                "test": held_out(data, options.test_pairs, tokenizer, longest=LONGEST),
            }
            half = train[: max(len(train) // 2, FEWEST * options.batch)]
            again = job | {"checkpointing": True, "train": half, "test": []}
            trl = None if why_not else options.trl_python
            for one in (job, again):
                settings.append(measure(one, trl, Path(folder)))
                for row in settings[-1]:
                    print(told(row), file=sys.stderr, flush=True)
    result = summary(settings) | {"peer_missing": why_not}
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


def measure(job: dict[str, Any], trl: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Rows of all sides in one setting, ours first."""
    with ExitStack() as stack:
        sides = [Side("tandem", "learning.tandem", job, folder)]
        if trl:
            sides.append(Side("trl", "learning.trl", job, folder, trl))
        learned = in_turns(sides, stack)
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


def told(row: dict[str, Any]) -> str:
    """A row in a line, for whoever waits."""
    return (
        f"{row['data']}, checkpointing {row['gradient_checkpointing']}, {row['side']}:"
        f" {row['pairs_per_second']:.2f} pairs/s, {row['pairs_per_processor_second']:.2f} per"
        f" processor second, peak {row['peak_gib']:.2f} GiB,"
        f" {row['share_of_ceiling']:.0%} of the ceiling"
    )


def cost(side: Side, seconds_per_token: float) -> dict[str, Any]:
    """What the steps between the first and the last took.

    Batches differ in length, and the two sides leave out different pairs. So what is measured is
    tokens per second, and pairs per second follow from the tokens that a pair takes in the epoch.

    Args:
        side: Which has taken its steps.
        seconds_per_token: What the arithmetic of a token would take at the machine's best rate.
    """
    costs = [said["cost"] for said in side.said[1:]]
    tokens, places, pairs = (
        sum(one[key] for one in costs) for key in ("tokens", "places", "pairs")
    )
    counted = costs[1:-1]
    seen, seconds, spent = (
        sum(one[key] for one in counted) for key in ("tokens", "seconds", "processor_seconds")
    )
    return {
        "pairs": pairs,
        "steps": len(costs),
        "counted_steps": len(counted),
        "counted_seconds": seconds,
        "pairs_per_second": seen / seconds * pairs / tokens,
        "pairs_per_processor_second": seen / spent * pairs / tokens,
        "tokens_per_pair": tokens / pairs,
        "padding": 1 - tokens / places,
        "memory_before_gib": side.said[0]["memory_gib"],
        "peak_gib": side.said[-2]["peak_gib"],  # the last step also holds what is looked at
        "share_of_ceiling": seconds_per_token * seen / seconds,
        "profile": costs[-1]["profile"],
    }


def held_against(
    rewards: list[list[float]] | None, ours: list[list[float]] | None, test: Sequence[Pair]
) -> dict[str, Any]:
    """Accuracy on the held-out pairs, and how far ours lies above it."""
    if rewards is None or ours is None:
        return {"accuracy": None, "difference": None}
    right, ours_right = (
        correctness(chosen, rejected, [-1] * len(test))[0]
        for chosen, rejected in (np.transpose(found) for found in (rewards, ours))
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
