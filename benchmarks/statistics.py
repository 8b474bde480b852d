"""How long a ranking with intervals and a two-way clustered win rate take, beside four peers.

    python benchmarks/statistics.py [--quick] [--json]

A million made-up votes among 100 models by 5,000 raters on 20,000 prompts, as people keep them:
names as words. Rankings: ours (errors clustered by prompt, and by prompt and rater), evalica (its
strengths alone, and its bootstrap), FastChat's two ways (logistic regression on resampled votes, as
in its notebook; and its later bootstrap of counts), arena-rank's way (sandwich errors of
independent votes, the only one that needs no rounds), and arena-rank itself where the variable
TANDEM_ARENA_PYTHON names the interpreter of an environment that has it. A bootstrap has 100 rounds,
as FastChat's leaderboard had; where two rounds were done and the rest is extrapolated,
`rounds_done` says so. Win rate: ours and a regression on a constant in statsmodels, both clustered
by prompt and rater. Ours also for 10,000 and 100,000 votes: `growth` is how many times the
processor seconds ten times the votes take.

`ratios` are of processor seconds, beside the fastest peer that gives an interval, the worse of the
two tasks; `beside` has each peer. Every side has one thread, but FastChat's bootstrap has as many
processes as there are cores, as it comes.
"""

from __future__ import annotations

if __name__ == "statistics":
    # Scripts in this folder and the libraries they load mean the standard library's module of this
    # name, and find this file first: it gives way, before it imports anything of its own.
    import importlib.util
    import sys
    import sysconfig
    from pathlib import Path

    _spec = importlib.util.spec_from_file_location(
        "statistics", Path(sysconfig.get_path("stdlib"), "statistics.py")
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["statistics"] = _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
else:
    import argparse
    import json
    import os
    import platform

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from votes import speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20,000 votes instead of 1,000,000")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    largest = 20_000 if options.quick else 1_000_000
    smaller = (2_000,) if options.quick else (10_000, 100_000)
    rows = [speed.alone(task, "Tandem", votes) for votes in smaller for task in speed.TASKS]
    for task, sides in speed.TASKS.items():
        rows += [speed.alone(task, side, largest) for side in sides]
    if python := os.environ.get("TANDEM_ARENA_PYTHON"):
        rows.append(speed.genuine_arena_rank(largest, python))
    result = {
        "benchmark": "statistics",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "rows": rows,
        "growth": {task: speed.growth(rows, task) for task in speed.TASKS},
        "ratios": speed.ratios(rows, largest),
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
