"""How near the estimate of training's memory is to the measured peak, on three configurations.

    python benchmarks/memory_estimate.py [--quick] [--json] [--base NAME]

Each configuration is foretold and then trained for three steps and a look at the validation part,
in a process of its own on the processor, on pairs made up of words; the peak is the resident set's.
There is no peer, so `ratios` is null; a row's `ratio` is the estimate over the measured peak, and
the bound is 0.75 to 1.25.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "adapter on the top 8 layers": {},
    "adapter on all layers": {"layers": None, "rank": 16, "batch_tokens": 2048},
    "every weight": {"rank": 0, "layers": None, "batch_tokens": 512},
}
SHORT = {"epochs": 1, "prompts": 30, "validate_every": 2}
STEPS = 3


class Enough(Exception):
    """The peak was reached."""


class Few:
    """Progress that ends the run after a few steps."""

    def report(self, step: int, *_: object, **__: object) -> None:
        """Stop where everything has happened once."""
        if step >= STEPS:
            raise Enough

    def log(self, line: str) -> None:
        """Nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first configuration only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default=None, help="by default the small model")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(json.loads(asked.one))))
        return
    rows = []
    for name, options in list(CONFIGURATIONS.items())[: 1 if asked.quick else None]:
        chosen = options | SHORT | ({"base": asked.base} if asked.base else {})
        command = [sys.executable, __file__, "--one", json.dumps(chosen)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            sys.exit(said.stderr)
        row = {"configuration": name, **json.loads(said.stdout.splitlines()[-1])}
        rows.append(row)
        print(
            f"{name:30} foretold {row['foretold'] / 2**20:6.0f} MiB  measured"
            f" {row['measured'] / 2**20:6.0f} MiB  ratio {row['ratio']:.2f}",
            file=sys.stderr if asked.json else sys.stdout,
        )
    if asked.json:
        report = {
            "benchmark": "memory_estimate",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "rows": rows,
            "ratios": {"throughput": None, "memory": None},
        }
        print(json.dumps(report))


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """One configuration: the estimate, then the peak of a short run."""
    # All libraries that training loads, so that the estimate sees what they take.
    import accelerate  # noqa: F401, PLC0415
    import peft  # noqa: F401, PLC0415

    from training.rewards import REWARDS  # noqa: PLC0415
    from training.rewards.loop import foretell  # noqa: PLC0415

    recipe = REWARDS["preference"]
    config = recipe.config.read(options)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        judged(folder / "snapshot")
        needed = foretell(config, snapshot=folder / "snapshot", device="cpu")
        with contextlib.suppress(Enough):
            recipe.run(
                config,
                snapshot=folder / "snapshot",
                output=folder / "model",
                checkpoints=folder / "checkpoints",
                progress=Few(),
                device="cpu",
            )
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "foretold": needed.total,
        "measured": peak,
        "ratio": needed.total / peak,
        "largest_batch": list(needed.largest_batch),
    }


def judged(snapshot: Path) -> None:
    """Comparisons of answers of usual lengths: 20 to 350 words."""
    from storage.records import Message, PromptId, ResponseId  # noqa: PLC0415
    from storage.snapshots import ComparisonRow, write_snapshot  # noqa: PLC0415

    rng = random.Random(0)
    rows = []
    for number in range(60):
        texts = [
            " ".join(rng.choices(("water", "plants", "early", "morning", "root"), k=length))
            for length in (rng.randint(20, 350), rng.randint(20, 350))
        ]
        rows.append(
            ComparisonRow(
                prompt_id=PromptId(f"p{number}"),
                prompt=(Message(role="user", content=f"How do I care for plant {number}?"),),
                left_id=ResponseId(f"p{number}-l"),
                left=texts[0],
                right_id=ResponseId(f"p{number}-r"),
                right=texts[1],
                choice=rng.choice((-2, -1, 1, 2)),
                graded=True,
                both_bad=False,
                annotator="nobody",
                kind="simulated",
            )
        )
    write_snapshot(snapshot, rows, [])


if __name__ == "__main__":
    main()
