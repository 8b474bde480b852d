"""Reward models beside each other: only where the same judgements judged them, and pair by pair.

Two accuracies on the same pairs are not independent: the easy pairs are easy for both. Their
difference is taken on each pair, and its interval is narrower than the two intervals suggest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics import Estimate, clustered_mean
from storage.errors import InvalidData
from storage.records import digest
from storage.snapshots import ComparisonRow

_WRITTEN = {1.0: "1", 0.5: "h", 0.0: "0"}
_READ = {mark: worth for worth, mark in _WRITTEN.items()}


def judged_by(rows: Sequence[ComparisonRow]) -> str:
    """A name for a set of comparisons, whatever their order.

    Ratings are left out of it: a model that reads two answers at once cannot be held against them,
    and is compared all the same.
    """
    return digest(sorted(map(_place, rows)))


def outcomes(rows: Sequence[ComparisonRow], correct: NDArray[np.float64]) -> str:
    """Which decided comparisons a model gets right, in an order that depends on them alone.

    One word for each prompt, one sign for each comparison: 1, 0, or h where it is half right.
    """
    said = sorted(zip(map(_place, rows), correct.tolist(), strict=True))
    by_prompt = groupby(said, key=lambda one: one[0][0])
    return " ".join("".join(_WRITTEN[right] for _, right in group) for _, group in by_prompt)


def _place(row: ComparisonRow) -> tuple[str, str, str, str, int]:
    return row.prompt_id, row.left_id, row.right_id, row.annotator, row.choice


def accuracy_difference(card: Mapping[str, Any], other: Mapping[str, Any]) -> Estimate:
    """How much more often one model is right than another, on the same comparisons.

    Args:
        card: A report card.
        other: One with the same `judged_by`.

    Returns:
        A fraction from -1 to 1, with prompts as the independent unit.

    Raises:
        InvalidData: The cards are about different judgements, or have no comparisons.
        TooLittleData: The comparisons are of fewer than two prompts.
    """
    if not card.get("outcomes") or card.get("judged_by") != other.get("judged_by"):
        raise InvalidData(
            "Two reward models can be compared on the same pairs only; judge both on one snapshot."
        )
    words, others = card["outcomes"].split(), other["outcomes"].split()
    gained = [
        _READ[ours] - _READ[theirs]
        for word, another in zip(words, others, strict=True)
        for ours, theirs in zip(word, another, strict=True)
    ]
    prompts = [place for place, word in enumerate(words) for _ in word]
    return clustered_mean(gained, prompts, what="A difference of accuracies", bounds=(-1.0, 1.0))
