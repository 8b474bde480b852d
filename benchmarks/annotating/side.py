"""What the two servers have in common, as the benchmark sees them."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil  # type: ignore[import-untyped]

from annotating.crowd import Desk

ANSWERS = Path(__file__).parents[2] / "app/starter/answers.jsonl.gz"
OVERLAP = 3
"""Judgements that each task wants."""


class Asked(NamedTuple):
    """A prompt with four answers: six tasks."""

    prompt: str
    answers: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What is compared."""
        return list(itertools.combinations(self.answers, 2))


class Kept(NamedTuple):
    """One judgement as it lies in a server's database."""

    name: str
    task: str
    annotator: str


@dataclass(frozen=True)
class Side:
    """A running server with its helpers, and people who may judge there."""

    name: str
    server: psutil.Process
    helpers: Sequence[psutil.Process]
    """Search engine and the like; the tandem worker, which has nothing to do here, is not one."""

    @property
    def memory(self) -> int:
        """Resident bytes of the server, without helpers."""
        return int(self.server.memory_info().rss)

    def spent(self) -> tuple[float, float]:
        """Processor seconds so far, of the server and of its helpers."""
        return _seconds([self.server]), _seconds(self.helpers)


class Works(Protocol):
    """A side with tasks in it."""

    side: Side

    def begin(self, name: str, asked: Sequence[Asked]) -> str:
        """Make a project with these tasks; gives what `desk` and `stored` call it."""

    def desk(self, number: int, project: str, rng: random.Random) -> Desk:
        """The place of one annotator in a project."""

    def stored(self, project: str) -> list[Kept]:
        """Every judgement of the project in the database."""


def read_asked(number: int) -> list[Asked]:
    """Prompts with the small model's real answers, each made different from all others."""
    with gzip.open(ANSWERS, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [
        Asked(
            f"{line['prompt']} (Question {place}.)",
            tuple(f"{one['text']}\n\n*Answer {place}.*" for one in line["responses"]),
        )
        for place, line in enumerate(itertools.islice(itertools.cycle(lines), number))
    ]


def _seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
