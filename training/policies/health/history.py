"""What a run has measured so far, as the rules of `training.policies.health` look at it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import StatisticsError, correlation, fmean, stdev
from typing import Self

FIRST, RECENT, LONG = 5, 10, 20
"""Steps that say how a run began, how it goes now, and whether that has lasted."""
PATIENCE = 50
"""Steps in which a run should have learned something. A value head begins at 0 and warms up: runs
whose reward rises well can have one that is worse than a constant in their first forty steps."""
WATCHED, WATCHED_ERROR, HELD_OUT_REWARD = "watched/", "watched_error/", "held_out_reward"
"""Metrics of the looks at held-out prompts: what each watched reward model says of the answers, the
standard error of that, and what the rewards that are learned from say of the same answers."""
GRAM = 4
"""Tokens that make a repetition; see `repeated_text`."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a metric moved from the first steps of a run to its last ones."""

    start: float
    now: float
    error: float
    """Standard error of the difference, from how the steps of each end differ among themselves."""

    @property
    def by(self) -> float:
        """How much it rose; below 0 if it fell."""
        return self.now - self.start

    @property
    def is_clear(self) -> bool:
        """Three standard errors, as many metrics are looked at again and again."""
        return abs(self.by) > 3 * self.error


@dataclass(frozen=True, slots=True)
class History:
    """Points (step, value) of each metric, in the order of steps.

    Rules look at the first steps, at the last ones and at all looks at held-out prompts; `after`
    forgets what lies between, so that a checkpoint does not grow with the run.
    """

    points: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, metrics: Iterable[tuple[int, str, float]]) -> Self:
        """All metrics of a run: (step, name, value), in the order of steps."""
        points: dict[str, list[tuple[int, float]]] = {}
        for step, name, value in metrics:
            points.setdefault(name, []).append((step, value))
        return cls(points)

    def after(self, step: int, metrics: Mapping[str, float]) -> Self:
        """The history with one more step."""
        added = {name: [*self.points.get(name, ()), (step, metrics[name])] for name in metrics}
        return type(self)({**self.points, **{n: _without_middle(n, p) for n, p in added.items()}})

    def last(self, name: str, count: int) -> list[float]:
        """The last values of a metric; empty where there are fewer than `count`."""
        values = [value for _, value in self.points.get(name, ())[-count:]]
        return values if len(values) == count else []

    def steps(self) -> int:
        """How many the run has taken."""
        return max((points[-1][0] for points in self.points.values() if points), default=0)

    def change(self, name: str) -> Change | None:
        """From the first steps to the last; None while they are the same steps."""
        values = [value for _, value in self.points.get(name, ())]
        if len(values) < FIRST + RECENT:
            return None
        (start, error), (now, other) = map(mean_and_error, (values[:FIRST], values[-RECENT:]))
        return Change(start, now, math.hypot(error, other))

    def looks(self) -> list[tuple[int, float]]:
        """Each look at held-out prompts: its step, and the mean over the watched reward models."""
        said: dict[int, list[float]] = {}
        for name in self.after_prefix(WATCHED):
            for step, value in self.points[WATCHED + name]:
                said.setdefault(step, []).append(value)
        return [(step, fmean(values)) for step, values in said.items()]

    def error_of_looks(self, name: str) -> float:
        """Mean standard error of what a watched reward model says at a look; 0 if none is known."""
        return fmean([value for _, value in self.points.get(WATCHED_ERROR + name, ((0, 0.0),))])

    def after_prefix(self, prefix: str) -> list[str]:
        """What follows `prefix` in the names of metrics that begin with it."""
        return sorted(name.removeprefix(prefix) for name in self.points if name.startswith(prefix))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean of at least two values, and its standard error."""
    return fmean(values), stdev(values) / math.sqrt(len(values))


def correlated(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation; None where one of the two is always the same."""
    try:
        return correlation(first, second)
    except StatisticsError:
        return None


def repeated_text(answers: Iterable[Sequence[int]]) -> float | None:
    """Share of the 4-grams of an answer that occurred in it before, averaged over answers.

    Args:
        answers: Token ids. Answers without a 4-gram do not count.

    Returns:
        Between 0 and 1; None where no answer has a 4-gram.

    Source:
        seq-rep-4 of Welleck et al. (2020), "Neural Text Generation with Unlikelihood Training",
        arXiv:1908.04319, eq. 9: 1 - unique 4-grams / 4-grams.
    """
    shares = []
    for answer in answers:
        grams = [tuple(answer[place : place + GRAM]) for place in range(len(answer) - GRAM + 1)]
        if grams:
            shares.append(1 - len(set(grams)) / len(grams))
    return fmean(shares) if shares else None


def _without_middle(name: str, points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    if name.startswith((WATCHED, WATCHED_ERROR, HELD_OUT_REWARD)) or len(points) <= FIRST + LONG:
        return points
    return list(chain(points[:FIRST], points[-LONG:]))
