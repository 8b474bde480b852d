"""What judgements say, as numbers with intervals: pure functions of arrays.

The one place to import them from; `intervals` and `agreement` hold those that need more room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.agreement import Agreement, agreement, spearman
from evaluation.intervals import (
    Estimate,
    check_confidence,
    check_lengths,
    clustered_mean,
    hidden_share,
    label_column,
    vector,
)
from storage.errors import InvalidData, TooLittleData

__all__ = [
    "Agreement",
    "Estimate",
    "agreement",
    "calibration_error",
    "clustered_mean",
    "correctness",
    "hidden_share",
    "pair_accuracy",
    "position_bias",
    "spearman",
    "win_rate",
]


def win_rate(scores: ArrayLike, prompts: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Share of comparisons that a policy won, with ties counted as half a win.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability; shape (n,).
        prompts: Which prompt each score belongs to; shape (n,).
        confidence: Coverage of the interval, strictly between 0 and 1.

    Returns:
        Fractions within [0, 1], not percentages; the interval is `clustered_mean`'s.

    Raises:
        TooLittleData: Fewer than two prompts were answered.
        InvalidData: A score lies outside [0, 1].
    """
    score = vector(scores)
    if score.size and not (score.min() >= 0 and score.max() <= 1):
        raise InvalidData(
            "The scores of a win rate lie between 0 (lost) and 1 (won);"
            f" these reach from {score.min():g} to {score.max():g}."
        )
    return clustered_mean(score, prompts, what="A win rate", confidence=confidence)


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


def calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, *, bins: int = 10) -> float:
    """Expected calibration error: how far stated confidence lies from the share that was right.

    Every comparison is read from its likelier side, because "left wins with 0.2" and "right wins
    with 0.8" are one statement; so the answer does not depend on sides. Bins hold equally many
    comparisons, at least 20 each: with fewer, chance alone looks like miscalibration.

    Args:
        probabilities: Predicted probability of a win, shape (n,).
        outcomes: 1 where it was won, 0 where lost, shape (n,).
        bins: At most so many.

    Returns:
        A fraction: 0.05 means that on average confidence is five points off. Biased upwards when
        there are few comparisons.

    Raises:
        TooLittleData: Fewer than 20 comparisons.

    Source:
        Guo et al. (2017), arXiv:1706.04599, with bins of equal mass (Nixon et al. 2019).
    """
    chance, outcome = vector(probabilities), vector(outcomes)
    check_lengths(chance, outcome)
    if chance.size < 20:
        raise TooLittleData(
            f"Calibration needs at least 20 decided comparisons; there are {chance.size}."
        )
    turned = chance < 0.5
    confidence = np.where(turned, 1 - chance, chance)
    right = np.where(turned, 1 - outcome, outcome)
    # At exactly 1/2 there is no likelier side; both readings count half.
    right = np.where(chance == 0.5, 0.5, right)
    # Equal confidences share their outcomes, so that it does not matter which bin each falls into.
    _, level = np.unique(confidence, return_inverse=True)
    right = (np.bincount(level, weights=right) / np.bincount(level))[level]
    order = np.argsort(confidence)
    parts = np.array_split(order, min(bins, chance.size // 20))
    gaps = [abs(float((right[part] - confidence[part]).sum())) for part in parts]
    return sum(gaps) / chance.size
