"""Two models on the same comparisons: how much more often one is right, and whether by chance.

The easy comparisons are easy for both, so the difference is taken on each of them, and its interval
is narrower than the two models' own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics import Estimate, clustered_mean

SMALLEST_P = 1e-9
"""Below this a probability says nothing more."""


def paired_difference(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    prompts: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """How much more often one kind of model is right than another.

    Args:
        ours: Correctness (1, 1/2, 0) of one kind on each comparison, shape (seeds, n).
        theirs: That of the other, likewise.
        prompts: Which prompt each comparison belongs to, shape (n,).
        confidence: Coverage of the interval, strictly between 0 and 1.

    Returns:
        A fraction from -1 to 1. Correctness is averaged over the seeds first; the interval is about
        other prompts, for these seeds. Two kinds that never differ get the interval that
        `clustered_mean` has for data without variation: what so many prompts may have hidden.

    Raises:
        TooLittleData: Comparisons of fewer than two prompts.
    """
    return clustered_mean(
        ours.mean(axis=0) - theirs.mean(axis=0),
        prompts,
        what="A difference of accuracies",
        confidence=confidence,
        bounds=(-1.0, 1.0),
    )


def turned(difference: Estimate) -> Estimate:
    """The same difference, taken the other way around."""
    return replace(difference, value=-difference.value, low=-difference.high, high=-difference.low)


def p_value(interval: Callable[[float], Estimate]) -> float:
    """Two-sided probability of a value this far from 0 by chance.

    It is the alpha at which 0 leaves the interval of confidence 1 - alpha, so that it never
    contradicts the interval that stands beside it.

    Args:
        interval: The estimate with an interval of the given confidence, wider for a higher one.
    """

    def holds_zero(alpha: float) -> bool:
        found = interval(1 - alpha)
        return found.low <= 0 <= found.high

    low, high = SMALLEST_P, 1 - SMALLEST_P
    if holds_zero(high):
        return 1.0
    if not holds_zero(low):
        return low
    while high - low > SMALLEST_P:
        middle = (low + high) / 2
        low, high = (middle, high) if holds_zero(middle) else (low, middle)
    return high
