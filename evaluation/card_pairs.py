"""What comparisons say of a reward model: accuracy beside its baseline, loss and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evaluation.baselines import lengths, longer_is_better
from evaluation.card_comparison import outcomes
from evaluation.card_groups import of_each_annotator, of_each_kind, quantiles
from evaluation.statistics import (
    calibration_curve,
    calibration_error,
    clustered_mean,
    correctness,
    pair_accuracy,
)
from storage.errors import TooLittleData
from storage.snapshots import ComparisonRow

T = TypeVar("T")


def on_pairs(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    rows: Sequence[ComparisonRow],
    training: Sequence[ComparisonRow],
    doubts: list[str],
) -> dict[str, Any]:
    """The part of a report card that comparisons give; see `reward_report_card`.

    Args:
        left: Reward of the answer on the left of each comparison, in logits.
        right: Reward of the answer on the right.
        rows: The comparisons.
        training: Comparisons that choose the direction of the length-only baseline.
        doubts: Given the reason for every figure that cannot be had.
    """
    choices = np.array([row.choice for row in rows], dtype=float)
    prompts = [row.prompt_id for row in rows]
    longer = longer_is_better(training)
    by_length = [characters if longer else -characters for characters in lengths(rows)]
    accuracy = None
    if rows:
        accuracy = known(doubts, lambda: pair_accuracy(left, right, choices, prompts=prompts))
    card: dict[str, Any] = {
        "pair_accuracy": accuracy,
        "length_only_accuracy": None,
        "length_only_direction": "longer" if longer else "shorter",
        "above_length_only": None,
        "loss": None,
        "calibration_error": None,
        "calibration_curve": [],
        "pairs": int((choices != 0).sum()),
        "ties": int((choices == 0).sum()),
        "rewards": {},
        "annotators": [],
        "kinds": [],
        "outcomes": "",
    }
    if accuracy is None:
        return card
    correct, decided = correctness(left, right, choices)
    correct_by_length, _ = correctness(by_length[0], by_length[1], choices)
    preferred = np.where(choices < 0, left, right)[decided]
    other = np.where(choices < 0, right, left)[decided]
    gap = preferred - other
    judged = [row for row in rows if row.choice]
    asked = np.array(prompts)[decided]
    chance, won = expit(gap), np.ones(len(gap))
    error = known(doubts, lambda: calibration_error(chance, won))
    curve = [] if error is None else calibration_curve(chance, won, prompts=asked)
    return card | {
        "length_only_accuracy": pair_accuracy(by_length[0], by_length[1], choices, prompts=prompts),
        "above_length_only": clustered_mean(correct - correct_by_length, asked, bounds=(-1.0, 1.0)),
        "loss": float(np.logaddexp(0, -gap).mean()),
        "calibration_error": error,
        "calibration_curve": curve,
        "rewards": {"other": quantiles(other), "preferred": quantiles(preferred)},
        "annotators": of_each_annotator(judged, correct),
        "kinds": of_each_kind(judged, correct, correct_by_length),
        "outcomes": outcomes(judged, correct),
    }


def known(doubts: list[str], figure: Callable[[], T]) -> T | None:
    """The figure, or None, with the reason among the doubts."""
    try:
        return figure()
    except TooLittleData as error:
        doubts.append(str(error))
        return None
