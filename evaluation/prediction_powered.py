"""A win rate from few votes of people and many of a judge, valid however bad the judge is.

The judge is asked about everything. Where people were asked, too, one sees how far the judge is
off; that correction is applied to what it says of the rest. A judge that agrees with people makes
the interval narrower, and one that does not is given no weight.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.intervals import (
    Codes,
    Estimate,
    check_lengths,
    label_column,
    numbered,
    unseen_variation,
    win_scores,
)
from evaluation.statistics import win_rate
from storage.errors import TooLittleData

FEWEST_PROMPTS = 10
"""Of people's votes, and of the judge's alone: below this the judge's weight is a guess."""

Column = NDArray[np.float64]


def prediction_powered_win_rate(
    scores: ArrayLike,
    judged: ArrayLike,
    prompts: ArrayLike,
    *,
    judged_alone: ArrayLike,
    prompts_alone: ArrayLike,
    confidence: float = 0.95,
) -> Estimate:
    r"""People's win rate, with a judge's votes on further prompts to narrow it.

    With Y people's scores and f the judge's on the n votes of people, and F the judge's on N
    comparisons that no person was asked about,

        value = mean(Y) + w (mean(F) - mean(f)).

    Every prompt's contribution to the error of this is the sum a - w (b - c) over its votes, with

        a = (Y - mean Y) / n,    b = (f - mean f) / n,    c = (F - mean F) / N,

    each times sqrt(G / (G - 1)) for the G prompts of its part; the variance is the sum of their
    squares, and the weight w is the one that makes it smallest:

        w = sum a (b - c) / sum (b - c)^2.

    It is not kept within [0, 1]: a judge whose probabilities are too timid may count for more than
    one. Finding it costs a degree of freedom. The interval is Student's t, with the degrees of
    freedom of Welch and Satterthwaite from the prompts of both parts.

    Where people and judge differ by the same on all prompts but at most one, the differences seen
    say next to nothing of those to come; then the interval also covers what a `hidden_share` of
    prompts could add. Where people's own votes do not vary, it is theirs alone.

    Args:
        scores: People's votes: 1 for a win, 1/2 for a tie, 0 for a loss; shape (n,).
        judged: What the judge says of the comparison behind each of these votes, likewise or as a
            probability; shape (n,).
        prompts: Which prompt each vote belongs to; shape (n,).
        judged_alone: What the judge says where no person voted, shape (N,).
        prompts_alone: Their prompts, shape (N,). Which prompts people were asked about must have
            been left to chance: both parts are taken for samples of the same prompts.
        confidence: Coverage of the interval, strictly between 0 and 1.

    Returns:
        The win rate with people as a fraction; `n` counts people's votes.

    Raises:
        TooLittleData: Fewer than 10 prompts in either part.
        InvalidData: A score lies outside [0, 1].

    Source:
        Angelopoulos et al. (2023), "Prediction-Powered Inference", Science 382; the weight:
        Angelopoulos, Duchi and Zrnic (2023), "PPI++", arXiv:2311.01453, section 6. Clusters and
        small numbers are ours.
    """
    people = win_rate(scores, prompts, confidence=confidence)
    score, theirs, alone = win_scores(scores), win_scores(judged), win_scores(judged_alone)
    asked, further = label_column(prompts), label_column(prompts_alone)
    check_lengths(score, theirs)
    check_lengths(alone, further)
    # A prompt may be in both parts, with another pair of answers; then it is one unit.
    names = np.concatenate([asked.astype(object), further.astype(object)])
    unit, units = numbered(names)
    here, there = unit[: score.size], unit[score.size :]
    count, rest = (len(np.unique(part)) for part in (here, there))
    for number, what in ((count, "people's votes on"), (rest, "the judge alone on")):
        if number < FEWEST_PROMPTS:
            raise TooLittleData(
                f"A win rate of people and judge together needs {what} at least {FEWEST_PROMPTS}"
                f" prompts; there are {number}. Take people's votes alone."
            )
    per_prompt = np.bincount(here, minlength=units)
    voted = per_prompt > 0

    def means(values: Column) -> Column:
        return np.bincount(here, weights=values, minlength=units)[voted] / per_prompt[voted]

    if unseen_variation(means(score), units=count, confidence=confidence) is not None:
        return people

    a, b = (_contribution(values, here, units, count) for values in (score, theirs))
    c = _contribution(alone, there, units, rest)
    gap = b - c
    squares = float(gap @ gap)
    # A judge that says the same of everything has nothing to add.
    weight = float(a @ gap) / squares if squares > 1e-12 else 0.0
    value = people.value + weight * float(alone.mean() - theirs.mean())

    # The weight was chosen to make this small, so that one more is lost than for the mean.
    variance = float(((a - weight * gap) ** 2).sum()) * (count - 1) / (count - 2)
    voted_on = float(((a - weight * b) ** 2).sum())
    judged_on = weight**2 * float((c**2).sum())
    freedom = (voted_on + judged_on) ** 2 / (voted_on**2 / (count - 2) + judged_on**2 / (rest - 1))
    reach = float(stats.t.ppf((1 + confidence) / 2, df=freedom)) * math.sqrt(variance)
    low, high = value - reach, value + reach

    off = means(score - theirs)
    hidden = unseen_variation(off, units=count, confidence=confidence, bounds=(-1.0, 1.0))
    if hidden is not None:
        typical = float(np.median(off))
        low, high = min(low, value + hidden[0] - typical), max(high, value + hidden[1] - typical)
    # The correction knows no bounds; a win rate has them.
    value, low, high = (min(1.0, max(0.0, each)) for each in (value, low, high))
    return Estimate(value, low, high, confidence, score.size)


def _contribution(values: Column, unit: Codes, units: int, count: int) -> Column:
    """What each prompt adds to the error of the mean of its part, shape (units,)."""
    sums = np.bincount(unit, weights=values - values.mean(), minlength=units)
    return np.asarray(sums / values.size * math.sqrt(count / (count - 1)))
