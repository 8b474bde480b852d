"""How many people can annotate at once: Tandem beside a genuine Argilla server, in one run.

    python benchmarks/annotation_load.py [--quick] [--json] [--argilla-python "$(.ci/argilla)"]

Both servers run on this machine on fresh SQLite databases, with the same prompts and answers and
three judgements per task; 50, 100 and 200 annotators judge through the HTTP interface as the
servers' own screens do, without a pause and with one of 2 seconds (evenly 1 to 3), first at one
server, then at the other. A last pair of rounds lets 50 annotators race for the last tasks.
Afterwards every acknowledged judgement is looked for in the database.

Argilla needs an environment of its own, which .ci/argilla makes, and the program redis-server.
Where the environment, named by --argilla-python or TANDEM_TEST_ARGILLA, is not there, its side is
null and says why. Its search engine is a stand-in for OpenSearch: quote ratios on this machine,
never absolutes of Argilla in production.

A row says: judgements_per_second (acknowledged, until the last reply), p50, p95 and p99 of
submit-and-next, processor milliseconds of the server per judgement with its helpers apart, errors,
lost (acknowledged, not stored), doubled (stored twice for one annotator and task), over_collected
(tasks with more judgements than asked for), and the load average when it began: other work on the
machine lowers throughput. At the top stand Tandem's figures: throughput and processor time with 50
annotators who never pause, p95 with the most who do, the sums of what must be 0.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "argilla")]

import numpy as np  # noqa: E402, after the line above
from annotating.argilla import argilla  # noqa: E402
from annotating.crowd import Tally, work  # noqa: E402
from annotating.side import OVERLAP, Kept, Works, read_asked  # noqa: E402
from annotating.tandem import tandem  # noqa: E402

THINKING = 2.0


class Round(NamedTuple):
    """How many annotators, how patient, for how long, with how many prompts of six tasks."""

    annotators: int
    thinking: float
    seconds: float
    prompts: dict[str, int]


PLENTY = {"tandem": 600, "argilla": 120}
FEW = {"tandem": 10, "argilla": 10}
FULL = [
    *(Round(people, thinking, 20, PLENTY) for people in (50, 100, 200) for thinking in (0, 2)),
    Round(50, 0, 60, FEW),
]
QUICK = [Round(50, thinking, 4, {"tandem": 160, "argilla": 30}) for thinking in (0, 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 annotators, 4 seconds a round")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--argilla-python",
        type=Path,
        default=os.environ.get("TANDEM_TEST_ARGILLA"),
        help="interpreter of the environment that holds argilla-server",
    )
    options = parser.parse_args()
    rounds = QUICK if options.quick else FULL
    people = max(one.annotators for one in rounds)
    why_not = missing(options.argilla_python)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="load-")))
        sides: list[Works] = [stack.enter_context(tandem(folder, people))]
        if why_not is None:
            theirs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="argilla-")))
            sides.append(stack.enter_context(argilla(options.argilla_python, theirs, people)))
        warm = Round(10, 0, 1, FEW)
        for side in sides:
            measure(side, warm, "warm")
        rows = [
            measure(side, one, f"round-{number}")
            for number, one in enumerate(rounds)
            for side in sides
        ]
        memory = [side.side.memory for side in sides]
    result = summary(rows, memory) | {"peer_missing": why_not}
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


def missing(python: Path | None) -> str | None:
    """Why Argilla cannot run here, or None."""
    if python is None:
        return "no environment with argilla-server was named (TANDEM_TEST_ARGILLA)"
    if not Path(python).exists():
        return f"there is no {python}"
    return None if shutil.which("redis-server") else "redis-server is not installed"


def measure(works: Works, one: Round, name: str) -> dict[str, Any]:
    """Let a crowd judge in a project made for this round, and count what was kept."""
    rng = random.Random(f"{name} {one.annotators} {one.thinking}")
    asked = read_asked(one.prompts[works.side.name])
    project = works.begin(name, asked)
    desks = [works.desk(number, project, rng) for number in range(one.annotators)]
    before: list[tuple[float, float]] = []
    load = os.getloadavg()[0]
    gc.collect()
    gc.freeze()
    tally = asyncio.run(
        work(
            desks,
            thinking=one.thinking,
            seconds=one.seconds,
            rng=rng,
            settled=lambda: before.append(works.side.spent()),
        )
    )
    spent = np.subtract(works.side.spent(), before[0]) * 1000
    number = max(1, len(tally.acknowledged))
    p50, p95, p99 = (np.percentile(tally.cycles, [50, 95, 99]) * 1000).round(1).tolist()
    return {
        "server": works.side.name,
        "annotators": one.annotators,
        "thinking_seconds": one.thinking,
        "tasks": 6 * len(asked),
        "judgements": len(tally.acknowledged),
        "seconds": tally.wall,
        "judgements_per_second": len(tally.acknowledged) / tally.wall,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "cpu_ms_per_judgement": spent[0] / number,
        "helpers_cpu_ms_per_judgement": spent[1] / number,
        **audit(tally, works.stored(project)),
        "load_average": load,
    }


def audit(tally: Tally, stored: Sequence[Kept]) -> dict[str, Any]:
    """Hold what was acknowledged against what lies in the database."""
    names = Counter(one.name for one in stored)
    by_person = Counter((one.task, one.annotator) for one in stored)
    by_task = Counter(one.task for one in stored)
    return {
        "stored": len(stored),
        "errors": tally.errors.total(),
        "first_errors": dict(tally.errors.most_common(3)),
        "lost": len(set(tally.acknowledged) - set(names)),
        "doubled": sum(count - 1 for count in (names + by_person).values() if count > 1),
        "over_collected": sum(count > OVERLAP for count in by_task.values()),
    }


def summary(rows: list[dict[str, Any]], memory: list[int]) -> dict[str, Any]:
    """Tandem's figures at the top, and what they are beside the peer's."""
    ours = [row for row in rows if row["server"] == "tandem"]
    theirs = [row for row in rows if row["server"] == "argilla"]
    steady = next(row for row in ours if not row["thinking_seconds"])
    crowded = [row for row in ours if row["thinking_seconds"]][-1]
    rate = steady["judgements_per_second"]
    return {
        "benchmark": "annotation_load",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}; Argilla's search engine: opensearch stand-in",
        "judgements_per_second": rate,
        "p95_ms": crowded["p95_ms"],
        "cpu_ms_per_judgement": steady["cpu_ms_per_judgement"],
        **{
            name: sum(row[name] for row in ours)
            for name in ("errors", "lost", "doubled", "over_collected")
        },
        "rows": rows,
        "ratios": {
            "throughput": rate / theirs[0]["judgements_per_second"] if theirs else None,
            "memory": memory[0] / memory[1] if theirs else None,
        },
    }


if __name__ == "__main__":
    main()
