"""Take the length of an answer out of its rewards.

Longer answers are rated higher for nearly every aspect, so a sum over aspects would count length
many times over. Wang et al. (2024), arXiv:2406.12845, section 2.2, therefore subtract a multiple of
a verbosity reward from every aspect, such that what is left has no rank correlation with it:

    r'_k = r_k - slope_k v        with Spearman(r'_k, v) = 0 over the reference answers

Their v is a regression on rated verbosity. Ours is the logarithm of the answer's number of tokens:
it is known exactly and needs no ratings. Their code, unlike their paper, leaves aspects alone that
prefer short answers; we follow the paper.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

HALVINGS = 60
"""After so many, what is left of the first bracket is beyond the digits of a float."""


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Spearman's, equal values sharing their mean rank; None where one of them does not vary."""
    table = pd.DataFrame({"first": np.asarray(first), "second": np.asarray(second)})
    if (table.nunique() < 2).any():
        return None
    return float(table["first"].rank().corr(table["second"].rank()))


def verbosity_slope(rewards: Floats, verbosity: Floats) -> float:
    """The multiple of verbosity to subtract from rewards, in units of the rewards.

    Each pair of answers changes its order at most once as the multiple grows, always to the
    disadvantage of the longer one, so the correlation falls step by step from 1 to -1 and there is
    one place where it changes its sign. The last step is at most 12 / N^2 high.

    Args:
        rewards: Of one aspect on the reference answers, shape (N,).
        verbosity: Of the same answers, shape (N,).

    Returns:
        0 if the rewards or the lengths are all the same: then there is nothing to take out.
    """
    if rank_correlation(rewards, verbosity) is None:
        return 0.0

    def correlation(slope: float) -> float:
        # None: a multiple of verbosity is all that the rewards were, and nothing is left.
        return rank_correlation(rewards - slope * verbosity, verbosity) or 0.0

    step = float(rewards.std() / verbosity.std())
    low, high = -step, step
    while correlation(low) < 0:
        low *= 2
    while correlation(high) > 0:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if correlation(middle) > 0:
            low = middle
        else:
            high = middle
    return min(low, high, key=lambda slope: abs(correlation(slope)))
