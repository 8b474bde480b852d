"""What each side takes for the same votes: seconds, processor seconds and peak memory.

Every row is measured in a fresh process that does nothing else; its peak memory is that process's,
libraries and the table of votes included.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from votes.planted import Planted
from votes.sides import (
    RANKINGS,
    WIN_RATES,
    Answer,
    evalica_once,
    extrapolated,
    fastchat_once,
)

TASKS = {"ranking": RANKINGS, "win rate": WIN_RATES}
REPEATS = 3
"""Of what takes less than `SOON` seconds the fastest of so many is told."""
SOON = 5.0
ALONE = {"evalica, bootstrap": evalica_once, "FastChat's regression": fastchat_once}
"""One fit without an interval, which those whose rounds are extrapolated do besides."""


def alone(task: str, side: str, votes: int) -> dict[str, Any]:
    """One row, measured in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(measured, task, side, votes).result()


def genuine_arena_rank(votes: int, python: str) -> dict[str, Any]:
    """A row of arena-rank itself, run by the interpreter of an environment that has it."""
    said = Planted.draw(votes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.parquet"
        said.table[["model_a", "model_b", "winner"]].to_parquet(path)
        script = Path(__file__).with_name("arena.py")
        ran = subprocess.run([python, script, path], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    ends = [np.array(found.pop(name)) for name in ("values", "low", "high")]
    row = {"task": "ranking", "side": "arena-rank", "votes": votes, **found, "rounds_done": None}
    return row | _quality("ranking", Answer(*ends), said)


def measured(task: str, side: str, votes: int) -> dict[str, Any]:
    """Run one side, and hold what it found against what was planted."""
    said = Planted.draw(votes)
    run = TASKS[task][side]
    assert len(said.winners) == votes
    found, (seconds, spent) = _taken(lambda: run(said))
    if found.rounds is not None:
        _, once = _taken(lambda: ALONE[side](said))
        seconds = extrapolated(seconds, once[0], found.rounds)
        spent = extrapolated(spent, once[1], found.rounds)
    row = {
        "task": task,
        "side": side,
        "votes": votes,
        "seconds": seconds,
        "processor_seconds": spent,
        "rounds_done": found.rounds,
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row["peak_gib"] = peak / 2**20
    return row | _quality(task, found, said)


def _quality(task: str, found: Answer, said: Planted) -> dict[str, Any]:
    """Whether the sides speak of the same numbers."""
    if task != "ranking":
        value, low, high = (float(each[0]) for each in (found.values, found.low, found.high))
        return {"value": value, "low": low, "high": high}
    return {
        "correlation_with_planted": float(np.corrcoef(found.values, said.strength)[0, 1]),
        # Two rounds make no interval.
        "mean_width": None if found.rounds else float((found.high - found.low).mean()),
        "strongest": float(found.values.max()),
    }


def _taken(run: Callable[[], Answer]) -> tuple[Answer, tuple[float, float]]:
    """What came out, and the seconds and processor seconds of the quickest of a few repeats."""
    taken = []
    while True:
        began, used = time.perf_counter(), _processor_seconds()
        found = run()
        taken.append((time.perf_counter() - began, _processor_seconds() - used))
        if len(taken) == REPEATS or taken[0][0] > SOON:
            return found, min(taken, key=lambda each: each[1])


def _processor_seconds() -> float:
    """Of this process and of those it started and that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def ratios(rows: list[dict[str, Any]], votes: int) -> dict[str, Any]:
    """Ours beside the fastest peer that gives intervals, for each task; the worse of the two.

    Of processor seconds, which other work on the machine disturbs less than the clock.
    """
    throughput, memory, beside = [], [], {}
    for task in TASKS:
        said = [row for row in rows if row["task"] == task and row["votes"] == votes]
        ours = next(row for row in said if row["side"] == "Tandem")
        peers = [
            row
            for row in said
            if not row["side"].startswith("Tandem") and "no interval" not in row["side"]
        ]
        fastest = min(peers, key=lambda row: float(row["processor_seconds"]))
        throughput.append(fastest["processor_seconds"] / ours["processor_seconds"])
        memory.append(ours["peak_gib"] / fastest["peak_gib"])
        beside[task] = {
            row["side"]: {
                "throughput": row["processor_seconds"] / ours["processor_seconds"],
                "memory": ours["peak_gib"] / row["peak_gib"],
            }
            for row in said
            if row is not ours
        }
    return {"throughput": min(throughput), "memory": max(memory), "beside": beside}


def growth(rows: list[dict[str, Any]], task: str) -> list[float]:
    """How many times the processor seconds ours took for ten times the votes, step by step."""
    ours = sorted(
        (row["votes"], row["processor_seconds"])
        for row in rows
        if row["task"] == task and row["side"] == "Tandem"
    )
    return [
        (later / earlier) ** (np.log(10) / np.log(more / fewer))
        for (fewer, earlier), (more, later) in pairwise(ours)
    ]
