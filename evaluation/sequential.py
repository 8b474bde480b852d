r"""Intervals that stay valid however often one looks: stop a study as soon as it is decided.

Two gamblers bet on prompt after prompt that the mean m of the scores is larger, or smaller, than
some value. At a fair value nobody can expect to win, so a value at which one of them has grown rich
is not the mean. What no gambler was ever made rich by is the interval:

    K_t(m) = prod_i (1 +- l_i (x_i - m)),     m is out as soon as K_t(m) >= 2 / alpha,

with the bet l_i fixed before x_i is seen. The chance that the true mean is ever thrown out, at any
of infinitely many looks, is at most alpha (Ville 1939).

Prompts, not votes, are what one may bet on. Votes on one prompt resemble each other: after the
first of them the next is no fair bet any more, and a gambler would grow rich at the true mean, too.
So each prompt makes one bet, on the mean of its votes, once it has all of them; weighting prompts
alike is what keeps that bet fair. The estimate is therefore the mean over prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.intervals import (
    Estimate,
    check_confidence,
    check_lengths,
    label_column,
    vector,
)
from storage.errors import InvalidData, InvalidOption, TooLittleData

Floats = NDArray[np.float64]

MEANS = np.linspace(0, 1, 1001)[1:-1]
"""The values tried for the mean. A bound is the last of them that is out, so never too tight."""
HALF = len(MEANS) // 2
BOLDEST = 0.5
"""Share of the capital that a bet may lose at most."""
BLOCK = 1 << 21
"""Numbers held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was known once so many prompts had all their votes."""

    prompts: int
    estimate: Estimate
    """Mean over prompts, with the interval from all looks so far; `n` counts votes."""
    decided: bool
    """Whether 1/2 was ruled out, now or earlier."""


def confidence_sequence(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    overlap: int | None = None,
    confidence: float = 0.95,
) -> tuple[Look, ...]:
    """The interval after each prompt; all of them cover the mean at once, `confidence` of the time.

    An interval never grows: a value once ruled out stays out. Should later prompts contradict
    earlier ones so much that nothing is left (a mean that drifts, or the chance of less than alpha
    that is always there), it stays as it was before.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability, in the order in
            which the votes came; shape (n,).
        prompts: Which prompt each score belongs to; shape (n,).
        overlap: How many votes the plan asks for on each prompt. A prompt counts with its first
            `overlap` votes, from the last of these on; prompts that lack some wait. None: nothing
            more will come, so every prompt is complete and counts from its last vote on.
        confidence: Strictly between 0 and 1.

    Returns:
        One look for each complete prompt, in the order in which they became complete.

    Raises:
        TooLittleData: No prompt is complete.
        InvalidData: A score lies outside [0, 1].

    Source:
        Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting",
        JRSS B 86, the hedged capital process with predictable plug-in bets (their eq. 26).
    """
    unit, votes = _complete(scores, prompts, overlap)
    check_confidence(confidence)
    rich = math.log(2 / (1 - confidence))
    low, high = np.zeros(unit.size), np.ones(unit.size)
    bet = plug_in_bets(unit, confidence=confidence)
    up = down = np.zeros((1, MEANS.size))
    rows = max(1, BLOCK // MEANS.size)
    for start in range(0, unit.size, rows):
        part = slice(start, start + rows)
        won, lost = log_growth(unit[part, None], bet[part, None], MEANS)
        up, down = (
            kept[-1] + np.cumsum(gained, axis=0) for kept, gained in ((up, won), (down, lost))
        )
        # The larger the value tried, the less there is to be won by betting on more than it.
        above, below = (up >= rich).sum(axis=1), (down >= rich).sum(axis=1)
        low[part] = np.where(above > 0, MEANS[above - 1], 0.0)
        high[part] = np.where(below > 0, MEANS[MEANS.size - np.maximum(below, 1)], 1.0)
    low, high = np.maximum.accumulate(low), np.minimum.accumulate(high)
    kept = int((low < high).sum()) - 1
    last = np.minimum(np.arange(unit.size), kept)
    low, high = low[last], high[last]
    mean, seen = np.cumsum(unit) / np.arange(1, unit.size + 1), np.cumsum(votes)
    return tuple(
        Look(
            prompts=at + 1,
            estimate=Estimate(
                float(mean[at]), float(low[at]), float(high[at]), confidence, int(seen[at])
            ),
            decided=bool(low[at] >= MEANS[HALF] or high[at] <= MEANS[HALF]),
        )
        for at in range(unit.size)
    )


def chance_to_decide(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    budget: int,
    rng: np.random.Generator,
    overlap: int | None = None,
    confidence: float = 0.95,
    runs: int = 2000,
) -> float:
    """Chance that 1/2 is ruled out within the budget if prompts go on as they did so far.

    The remaining prompts are drawn, with replacement, from those that are complete. A study whose
    chance is small cannot be decided within its budget and may as well stop; that decision needs no
    correction, since it never says that one side is better.

    Args:
        scores: As for `confidence_sequence`, in the order in which the votes came.
        prompts: Likewise.
        budget: How many complete prompts there will be in the end.
        rng: Source of the draws.
        overlap: As for `confidence_sequence`.
        confidence: Likewise.
        runs: How often the rest of the study is drawn; the chance is known to within about
            1 / sqrt(runs).

    Returns:
        A fraction; 1 where the study is decided already.

    Raises:
        TooLittleData: Fewer than two prompts are complete.
        InvalidOption: More prompts are complete than the budget has.
    """
    unit = _so_far(scores, prompts, budget, overlap, confidence)
    return _share_decided(
        unit, budget, runs, rng, lambda whole: ever_rich(whole, mean=0.5, confidence=confidence)
    )


def chance_at_end(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    budget: int,
    rng: np.random.Generator,
    overlap: int | None = None,
    confidence: float = 0.95,
    runs: int = 2000,
) -> float:
    """Chance that the interval read once, at the end, excludes 1/2 if prompts go on as they did.

    That interval, Student's t on prompts, is narrower than one that stands any look, so a study
    that no look is likely to decide may still be decided at its end.

    Args:
        scores: As for `chance_to_decide`.
        prompts: Likewise.
        budget: How many complete prompts there will be in the end.
        rng: Source of the draws.
        overlap: As for `confidence_sequence`.
        confidence: Likewise.
        runs: How often the rest of the study is drawn.

    Raises:
        TooLittleData: Fewer than two prompts are complete.
        InvalidOption: More prompts are complete than the budget has.
    """
    unit = _so_far(scores, prompts, budget, overlap, confidence)
    critical = stats.t.ppf((1 + confidence) / 2, df=budget - 1) / math.sqrt(budget)
    return _share_decided(
        unit,
        budget,
        runs,
        rng,
        lambda whole: np.abs(whole.mean(axis=1) - 0.5) > critical * whole.std(axis=1, ddof=1),
    )


def _so_far(
    scores: ArrayLike, prompts: ArrayLike, budget: int, overlap: int | None, confidence: float
) -> Floats:
    """The mean score of each complete prompt, which there are enough of, and not too many."""
    unit, _ = _complete(scores, prompts, overlap)
    check_confidence(confidence)
    if unit.size < 2:
        raise TooLittleData(
            "What the coming prompts may say needs at least 2 complete prompts; there is 1."
        )
    if unit.size > budget:
        raise InvalidOption("budget", f"{unit.size} prompts are complete already", budget)
    return unit


def _share_decided(
    unit: Floats,
    budget: int,
    runs: int,
    rng: np.random.Generator,
    decides: Callable[[Floats], NDArray[np.bool_]],
) -> float:
    """Share of studies decided that begin alike and go on with prompts drawn anew.

    `decides` is given several whole studies at a time, shape (studies, budget).
    """
    rows, decided = max(1, BLOCK // budget), 0
    for start in range(0, runs, rows):
        studies = min(rows, runs - start)
        coming = rng.choice(unit, size=(studies, budget - unit.size))
        whole = np.hstack([np.broadcast_to(unit, (studies, unit.size)), coming])
        decided += int(decides(whole).sum())
    return decided / runs


def ever_rich(units: Floats, *, mean: float, confidence: float) -> NDArray[np.bool_]:
    """Whether `mean` is ruled out at any look, for each of several studies.

    Args:
        units: Mean score of each prompt in order, shape (studies, prompts), within [0, 1].
        mean: The value tried, strictly between 0 and 1.
        confidence: Strictly between 0 and 1.
    """
    bet = plug_in_bets(units, confidence=confidence)
    rich = math.log(2 / (1 - confidence))
    growth = log_growth(units, bet, np.float64(mean))
    more, less = ((np.cumsum(gained, axis=-1) >= rich).any(axis=-1) for gained in growth)
    return np.asarray(more | less)


def plug_in_bets(units: Floats, *, confidence: float) -> Floats:
    r"""How much to bet on each prompt, from the prompts before it; shape as `units`.

    l_t = sqrt( 2 log(2 / alpha) / (v_(t-1) t log(1 + t)) ), where v_t is the variance so far with
    one made-up prompt of variance 1/4 around a mean that starts with one made-up tie.
    """
    count = np.arange(1, units.shape[-1] + 1)
    mean = (0.5 + np.cumsum(units, axis=-1)) / (count + 1)
    variance = (0.25 + np.cumsum((units - mean) ** 2, axis=-1)) / (count + 1)
    before = np.concatenate([np.full((*units.shape[:-1], 1), 0.25), variance[..., :-1]], axis=-1)
    bet: Floats = np.sqrt(2 * math.log(2 / (1 - confidence)) / (before * count * np.log1p(count)))
    return bet


def log_growth(units: Floats, bets: Floats, means: Floats | np.float64) -> tuple[Floats, Floats]:
    """What a prompt multiplies the capital of the two gamblers by, in logs.

    Args:
        units: Mean scores of prompts.
        bets: What was bet on each, same shape.
        means: Values tried for the mean, strictly between 0 and 1; shapes broadcast.

    Returns:
        For the gambler on more than the value, and for the one on less. No bet risks more than
        half the capital.
    """
    gap = units - means
    return (
        np.log1p(np.minimum(bets, BOLDEST / means) * gap),
        np.log1p(-np.minimum(bets, BOLDEST / (1 - means)) * gap),
    )


def _complete(
    scores: ArrayLike, prompts: ArrayLike, overlap: int | None
) -> tuple[Floats, NDArray[np.int64]]:
    """Mean score and votes of each complete prompt, in the order of completion."""
    score, label = vector(scores), label_column(prompts)
    check_lengths(score, label)
    if score.size and not (score.min() >= 0 and score.max() <= 1):
        raise InvalidData(
            "Scores lie between 0 (lost) and 1 (won);"
            f" these reach from {score.min():g} to {score.max():g}."
        )
    if overlap is not None and overlap < 1:
        raise InvalidOption("overlap", "must be at least 1", overlap)
    codes, names = pd.factorize(label)
    votes = np.bincount(codes, minlength=len(names))
    if overlap is not None:
        # The place of each vote among those of its prompt.
        order = np.argsort(codes, kind="stable")
        starts = np.cumsum(votes) - votes
        turn = np.empty_like(order)
        turn[order] = np.arange(score.size) - np.repeat(starts, votes)
        counts = (turn < overlap) & (votes[codes] >= overlap)
        score, codes = score[counts], codes[counts]
        votes = np.bincount(codes, minlength=len(names))
    if not score.size:
        raise TooLittleData(
            "No prompt has all its votes yet"
            + (f" ({overlap} each)." if overlap is not None else ": there are none.")
        )
    last = np.full(len(names), -1)
    last[codes] = np.arange(score.size)  # the last assignment of several to one place stays
    means = np.bincount(codes, weights=score, minlength=len(names)) / np.maximum(votes, 1)
    done = np.flatnonzero(votes)
    done = done[np.argsort(last[done])]
    return means[done], votes[done]
