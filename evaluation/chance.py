"""Could it be chance? Tests of a win rate, and its interval by resampling, with whole prompts kept.

They assume less than Student's t in `clustered_mean`, and so stand beside it as a second opinion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.sparse import coo_array

from evaluation.intervals import (
    Estimate,
    check_confidence,
    check_lengths,
    label_column,
    mean_variance,
    numbered,
    percentiles,
    unseen_variation,
    win_scores,
)
from storage.errors import InvalidData, TooLittleData

AT_ONCE = 2_000_000
"""Numbers drawn at a time, so that memory does not grow with the resamples."""

SAME = 1e-9
"""Sums this close to each other, relative to the largest possible, are equal but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignTest:
    """On how many prompts a policy won, and the probability of a count this uneven by chance."""

    p_value: float
    won: int
    """Prompts on which it won more than it lost."""
    lost: int
    tied: int
    """Prompts on which wins and losses were even; they say nothing and are left out."""

    def mirrored(self) -> SignTest:
        """The same from the side of the other policy."""
        return replace(self, won=self.lost, lost=self.won)


def sign_test(scores: ArrayLike, prompts: ArrayLike) -> SignTest:
    """Whether a policy wins on more prompts than it loses on: the exact two-sided sign test.

    Every prompt counts once, for the policy with the higher mean score on it. What is tested is
    that a prompt with a winner is as likely to be won as to be lost. That is not a win rate of
    1/2: a policy that wins narrowly on most prompts and loses clearly on a few passes this test at
    a win rate of 1/2. Nothing is assumed of how votes on one prompt depend on each other.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability; shape (n,).
        prompts: Which prompt each score belongs to; shape (n,).

    Returns:
        Without any prompt that has a winner the p-value is 1.

    Raises:
        TooLittleData: Fewer than two prompts were answered.
        InvalidData: A score lies outside [0, 1].

    Source:
        Conover (1999), "Practical Nonparametric Statistics", section 3.4.
    """
    margins, votes = _margins(scores, prompts)
    side = np.where(np.abs(margins) > SAME * votes, np.sign(margins), 0)
    won, lost = int((side > 0).sum()), int((side < 0).sum())
    decided = won + lost
    return SignTest(
        p_value=float(stats.binomtest(won, decided).pvalue) if decided else 1.0,
        won=won,
        lost=lost,
        tied=len(side) - decided,
    )


def permutation_test(
    scores: ArrayLike, prompts: ArrayLike, *, rng: np.random.Generator, draws: int = 10_000
) -> float:
    r"""Probability of a win rate this far from 1/2 if the names of the policies meant nothing.

    If they mean nothing, exchanging the two policies on any prompt, with all the votes on it,
    gives data as likely as those seen. Of 2^G ways to exchange them on G prompts, all are looked at
    where they are no more than `draws`, else `draws` at random:

        p = share of |T*| >= |T|,    T = sum of (score - 1/2),

    the data themselves counting as one of the random ones, so that p is never 0.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability; shape (n,).
        prompts: Which prompt each score belongs to; shape (n,).
        rng: Source of the exchanges.
        draws: How many of them.

    Returns:
        A two-sided p-value, exact for few prompts.

    Raises:
        TooLittleData: Fewer than two prompts were answered.
        InvalidData: A score lies outside [0, 1].

    Source:
        Fisher (1935), "The Design of Experiments", chapter 3; the data counted as one of the
        random ones: Phipson and Smyth (2010), "Permutation P-values Should Never Be Zero".
    """
    margins, votes = _margins(scores, prompts)
    # A prompt that is even stays even when it is exchanged.
    margins = margins[np.abs(margins) > SAME * votes]
    most = float(np.abs(margins).sum())
    reached = abs(float(margins.sum())) - SAME * most
    size = len(margins)
    if 2**size <= draws:
        turned = np.arange(2**size)[:, None] >> np.arange(size) & 1
        return float((np.abs(margins.sum() - 2 * turned @ margins) >= reached).mean())
    as_far = 0
    for count in _portions(draws, size):
        turned = rng.integers(2, size=(count, size), dtype=np.int8)
        as_far += int((np.abs(margins.sum() - 2 * turned @ margins) >= reached).sum())
    return (1 + as_far) / (1 + draws)


def resampled_win_rate(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    raters: ArrayLike | None = None,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """Win rate with a percentile interval from prompts drawn anew, or prompts and raters at once.

    With raters, prompts and raters are drawn independently of each other, and a vote counts as
    often as its prompt times as often as its rater was drawn (pigeonhole bootstrap). What is left
    of a vote without the effects of its prompt and rater counts up to three times in that, as Owen
    shows; so the resamples are drawn in around the win rate until they vary as `clustered_mean`
    says, and keep their shape.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability; shape (n,).
        prompts: Which prompt each score belongs to; shape (n,).
        raters: Who gave each score, shape (n,); None speaks of these raters.
        rng: Source of the resamples.
        confidence: Coverage of the interval, strictly between 0 and 1.
        resamples: How many times prompts, and raters, are drawn anew, with replacement.

    Returns:
        Where prompts do not vary, the interval is that of `clustered_mean` for such data.

    Raises:
        TooLittleData: Fewer than two prompts, fewer than two raters, or so few of both that hardly
            a resample has votes.
        InvalidData: A score lies outside [0, 1].

    Source:
        Field and Welsh (2007), "Bootstrapping clustered data", JRSS B 69; Owen (2007), "The
        pigeonhole bootstrap", Annals of Applied Statistics 1.
    """
    check_confidence(confidence)
    score, (prompt, count) = win_scores(scores), numbered(label_column(prompts))
    variance, units = mean_variance(score, prompt, raters, what="A win rate")
    value = float(score.mean())
    won = np.bincount(prompt, weights=score)
    asked = np.bincount(prompt).astype(np.float64)
    if raters is None:
        found = np.concatenate(
            [
                (drawn @ won) / (drawn @ asked)
                for portion in _portions(resamples, count)
                for drawn in [_drawn(rng, count, portion)]
            ]
        )
    else:
        rater, people = numbered(label_column(raters))
        cells = [
            coo_array((column, (prompt, rater)), shape=(count, people)).tocsr()
            for column in (score, np.ones_like(score))
        ]
        found = np.concatenate(
            [
                _shares(*(((drawn @ cell) * weight).sum(axis=1) for cell in cells))
                for portion in _portions(resamples, count + people)
                for drawn, weight in [(_drawn(rng, count, portion), _drawn(rng, people, portion))]
            ]
        )
        if len(found) < 0.95 * resamples:
            raise TooLittleData(
                f"{count} prompts and {people} raters share too few votes to be drawn anew"
                " together; leave the raters out."
            )
        wide = float(found.std())
        found = value + (found - value) * (math.sqrt(variance) / wide if wide else 1.0)
        found = np.clip(found, 0.0, 1.0)
    low, high = percentiles(found, value, confidence, units=units)
    hidden = unseen_variation(won / asked, units=units, confidence=confidence)
    if hidden is not None:
        low, high = min(low, hidden[0]), max(high, hidden[1])
    return Estimate(value, low, high, confidence, score.size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Probabilities corrected for how many there are, in the given order.

    The chance that any of them falls below alpha, although nothing is behind any of them, is then
    at most alpha, however they depend on each other.

    Raises:
        InvalidData: One is no probability.

    Source:
        Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal
        of Statistics 6.
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise InvalidData(f"A probability lies between 0 and 1; got {wrong[0]}.")
    # Not by statsmodels, which collects garbage for a tenth of a second each time.
    order = np.argsort(p_values)
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected.tolist()


def _margins(scores: ArrayLike, prompts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Wins less losses of each prompt, in halves, and its number of votes."""
    score, labels = win_scores(scores), label_column(prompts)
    check_lengths(score, labels)
    prompt, count = numbered(labels)
    if count < 2:
        raise TooLittleData(f"A test of a win rate needs at least 2 prompts; there are {count}.")
    margins = np.asarray(np.bincount(prompt, weights=score - 0.5), dtype=np.float64)
    return margins, np.bincount(prompt)


def _portions(draws: int, size: int) -> list[int]:
    """How many draws of `size` numbers to make at a time."""
    most = max(1, AT_ONCE // size)
    whole, rest = divmod(draws, most)
    return [most] * whole + [rest] * (rest > 0)


def _drawn(rng: np.random.Generator, count: int, times: int) -> NDArray[np.float64]:
    """How often each of `count` comes up when as many are drawn anew; shape (times, count)."""
    return rng.multinomial(count, np.full(count, 1 / count), size=times).astype(np.float64)


def _shares(won: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Win rates of the resamples that have votes."""
    return np.asarray(won[asked > 0] / asked[asked > 0])
