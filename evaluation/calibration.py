"""Whether stated probabilities can be taken at their word: the error in one number, and the curve.

Every comparison is read from its likelier side, because "left wins with 0.2" and "right wins with
0.8" are one statement; so nothing depends on sides, and all probabilities lie from 1/2 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.intervals import Estimate, check_lengths, clustered_mean, label_column, vector
from storage.errors import TooLittleData

FEWEST = 20
"""Comparisons in a bin; with fewer, chance alone looks like miscalibration."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Comparisons of about the same stated probability, and how often it came true."""

    predicted: float
    """Mean probability of the likelier side."""
    observed: Estimate
    """Share in which that side won, with prompts as the independent unit; from 0 to 1 where all
    comparisons are of one prompt, so that nothing is known."""


def calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, *, bins: int = 10) -> float:
    """Expected calibration error: how far stated confidence lies from the share that was right.

    Bins hold equally many comparisons, at least 20 each.

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
    confidence, right = _likelier_side(probabilities, outcomes)
    # Equal confidences share their outcomes, so that it does not matter which bin each falls into.
    _, level = np.unique(confidence, return_inverse=True)
    right = (np.bincount(level, weights=right) / np.bincount(level))[level]
    order = np.argsort(confidence)
    parts = np.array_split(order, min(bins, len(order) // FEWEST))
    gaps = [abs(float((right[part] - confidence[part]).sum())) for part in parts]
    return sum(gaps) / len(order)


def calibration_curve(
    probabilities: ArrayLike, outcomes: ArrayLike, *, prompts: ArrayLike, bins: int = 10
) -> list[CalibrationBin]:
    """Stated probabilities beside how often they came true, from the least certain to the surest.

    The bins are those of `calibration_error`, but equal probabilities stay together, so that there
    may be fewer bins, and smaller ones.

    Args:
        probabilities: Predicted probability of a win, shape (n,).
        outcomes: 1 where it was won, 0 where lost, shape (n,).
        prompts: Which prompt each comparison belongs to; shape (n,).
        bins: At most so many.

    Raises:
        TooLittleData: Fewer than 20 comparisons.
    """
    confidence, right = _likelier_side(probabilities, outcomes)
    labels = label_column(prompts)
    check_lengths(confidence, labels)
    order = np.argsort(confidence, kind="stable")
    stated = confidence[order]
    parts = np.array_split(order, min(bins, len(order) // FEWEST))
    wanted = np.cumsum([0, *map(len, parts)]).tolist()
    cuts = sorted({_between_runs(stated, cut) for cut in wanted})
    return [
        CalibrationBin(
            float(stated[start:end].mean()),
            _observed(right[order[start:end]], labels[order[start:end]]),
        )
        for start, end in pairwise(cuts)
    ]


def _likelier_side(
    probabilities: ArrayLike, outcomes: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability of each comparison's likelier side, and whether that side won."""
    chance, outcome = vector(probabilities), vector(outcomes)
    check_lengths(chance, outcome)
    if chance.size < FEWEST:
        raise TooLittleData(
            f"Calibration needs at least {FEWEST} decided comparisons; there are {chance.size}."
        )
    turned = chance < 0.5
    # Rounded, because 1 - 0.3 and 0.7 are the same probability and not the same number.
    confidence = np.where(turned, 1 - chance, chance).round(12)
    right = np.where(turned, 1 - outcome, outcome)
    # At exactly 1/2 there is no likelier side; both readings count half.
    return confidence, np.where(confidence == 0.5, 0.5, right)


def _between_runs(stated: NDArray[np.float64], cut: int) -> int:
    """The place nearest to a cut that parts no two equal numbers of an ordered column."""
    if cut in (0, len(stated)):
        return cut
    start, end = (int(np.searchsorted(stated, stated[cut], side)) for side in ("left", "right"))
    return start if cut - start <= end - cut else end


def _observed(right: NDArray[np.float64], prompts: NDArray[np.str_]) -> Estimate:
    try:
        return clustered_mean(right, prompts)
    except TooLittleData:
        return Estimate(float(right.mean()), 0.0, 1.0, 0.95, right.size)
