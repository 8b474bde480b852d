"""What judgements say, as numbers with intervals: pure functions of arrays.

The one place to import them from; `intervals`, `agreement` and `calibration` hold those that need
more room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.agreement import Agreement, agreement, kendall, spearman
from evaluation.calibration import CalibrationBin, calibration_curve, calibration_error
from evaluation.intervals import (
    FEWEST_RATERS,
    Estimate,
    check_confidence,
    check_lengths,
    clustered_mean,
    enough_raters,
    hidden_share,
    label_column,
    plain,
    vector,
    weighted_sum,
    win_scores,
)
from storage.errors import TooLittleData

__all__ = [
    "FEWEST_RATERS",
    "Agreement",
    "CalibrationBin",
    "Estimate",
    "agreement",
    "calibration_curve",
    "calibration_error",
    "clustered_mean",
    "correctness",
    "enough_raters",
    "hidden_share",
    "kendall",
    "pair_accuracy",
    "plain",
    "position_bias",
    "spearman",
    "weighted_sum",
    "win_rate",
]


def win_rate(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    raters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Share of comparisons that a policy won, with ties counted as half a win.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability; shape (n,).
        prompts: Which prompt each score belongs to; shape (n,).
        raters: Who gave each score, shape (n,), for an interval about other prompts and other
            raters at once (`enough_raters`); None for one about other prompts alone.
        confidence: Coverage of the interval, strictly between 0 and 1.

    Returns:
        Fractions within [0, 1], not percentages; the interval is `clustered_mean`'s.

    Raises:
        TooLittleData: Fewer than two prompts were answered, or by fewer than two raters.
        InvalidData: A score lies outside [0, 1].
    """
    return clustered_mean(
        win_scores(scores), prompts, raters=raters, what="A win rate", confidence=confidence
    )


def pair_accuracy(
    left: ArrayLike,
    right: ArrayLike,
    choices: ArrayLike,
    *,
    prompts: ArrayLike,
    confidence: float = 0.95,
) -> Estimate:
    """Share of decided comparisons in which the preferred response has the higher score.

    Equal scores count half: whoever cannot tell two responses apart is right every other time.
    Ties of the annotator have no right answer and are left out, so `n` counts decided comparisons.

    Args:
        left: Score of the response on the left, shape (n,), any unit.
        right: Score of the response on the right, shape (n,), the same unit.
        choices: Below 0 where left was preferred, above 0 where right was, 0 for a tie; shape (n,).
        prompts: Which prompt each comparison belongs to; shape (n,).
        confidence: Coverage of the interval, strictly between 0 and 1.

    Raises:
        TooLittleData: Fewer than two prompts have a decided comparison.
    """
    correct, decided = correctness(left, right, choices)
    return clustered_mean(
        correct, label_column(prompts)[decided], what="Pair accuracy", confidence=confidence
    )


def correctness(
    left: ArrayLike, right: ArrayLike, choices: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Whether scores agree with each decided choice (1, 1/2 or 0), and which choices are decided.

    Returns:
        Correctness of the decided comparisons, shape (d,), and a mask of them, shape (n,).
    """
    choice = vector(choices)
    decided = choice != 0
    margin = vector(right) - vector(left)
    check_lengths(margin, choice)
    return (np.sign(margin[decided]) * np.sign(choice[decided]) + 1) / 2, decided


def position_bias(choices: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Share of decided comparisons in which the response on the left was preferred.

    Sides are drawn at random, so without bias it is 1/2 however good the responses are, and the
    votes are independent as far as sides go: a Wilson interval on votes, for these annotators.

    Args:
        choices: Below 0 for left, above 0 for right, 0 for a tie (left out); shape (n,).
        confidence: Coverage of the interval, strictly between 0 and 1.

    Raises:
        TooLittleData: Nothing was decided.

    Source:
        Wilson (1927), JASA 22.
    """
    choice = vector(choices)
    check_confidence(confidence)
    left, decided = int((choice < 0).sum()), int((choice != 0).sum())
    if not decided:
        raise TooLittleData("Position bias needs at least 1 decided comparison; there is none.")
    interval = stats.binomtest(left, decided).proportion_ci(confidence, method="wilson")
    return Estimate(left / decided, float(interval.low), float(interval.high), confidence, decided)
