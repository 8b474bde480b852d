"""A judge that counts characters: the baseline that every other judge has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.judges.voting import Ballot, Judge
from feedback.assignment import ShownTask
from storage.recipes import RecipeConfig
from storage.records import Kind


class LongestConfig(RecipeConfig):
    """Prefer the longer answer. There is nothing to choose."""


def longest_judge(_config: LongestConfig) -> Judge:
    """A program that prefers the answer with more characters."""

    def ballots(tasks: Sequence[ShownTask]) -> list[Ballot]:
        lengths = [[len(text) for text in task.responses] for task in tasks]
        return [Ballot(choice=int(np.sign(right - left))) for left, right in lengths]

    return Judge(name="judge: longest answer", kind=Kind.PROGRAM, ballots=ballots)
