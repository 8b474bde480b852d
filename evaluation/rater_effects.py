r"""Each rater beside the common ranking: how sharply it is followed, and which side helps.

With strengths s from `evaluation.ranking`, rater r prefers the first of two answers with

    logit P = a_r (s_first - s_second) + b_r,    a_r ~ N(m_a, v_a),    b_r ~ N(m_b, v_b).

What is told is a_r / m_a (1 follows the ranking as sharply as raters do on the whole, 0 is a coin,
below 0 goes against it) and b_r - m_b, what the first place is worth to this rater beyond what it
is worth to all. How raters are and differ (m, v) is estimated from all of them, and who cast few
votes is drawn towards the rest: nobody is called odd for three votes. (m_a is not 1: where raters
differ, a ranking that takes them for alike is flatter than most of them are.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from evaluation.intervals import (
    FEWEST_RATERS,
    Estimate,
    check_confidence,
    check_lengths,
    label_column,
    numbered,
    vector,
    win_scores,
)
from evaluation.ranking import Ranking
from storage.errors import NoConvergence, TooLittleData

Floats = NDArray[np.float64]

SETTLED = 1e-3
"""Change of means and variances, beside the largest variance, at which they are taken as found."""
ROUNDS = 1000
MOST_NAMED = 5
"""Raters that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterEffect:
    """One rater beside the common ranking."""

    rater: str
    follows: Estimate
    """1 as sharply as all on the whole, 0 like a coin, below 0 against it. `n` counts
    votes."""
    first_place: Estimate | None
    """In logits: what standing first is worth to this rater beyond what it is worth to all;
    None where nobody knows who stood first."""

    @property
    def like_chance(self) -> bool:
        """Whether this rater surely follows less than the rest, and perhaps not at all."""
        return self.follows.high < 1 and self.follows.low <= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterEffects:
    """Every rater, who follows least first, and how much they differ."""

    raters: tuple[RaterEffect, ...]
    spread: float
    """Standard deviation of `follows` over raters. Never 0: raters who are all alike cannot be told
    from raters who differ a little."""
    first_place_spread: float | None
    """Of `first_place`, in logits; None where nobody knows who stood first."""


def rater_effects(
    first: ArrayLike,
    second: ArrayLike,
    scores: ArrayLike,
    raters: ArrayLike,
    *,
    ranked: Ranking,
    confidence: float = 0.95,
) -> RaterEffects:
    """Hold each rater's votes against the ranking that all of them gave.

    Args:
        first: The model that stood first, by the name it has in `ranked`; shape (n,).
        second: The model beside it, shape (n,).
        scores: 1 where `first` won, 0 where `second` did, 1/2 for a tie; shape (n,).
        raters: Who cast each vote, shape (n,).
        ranked: From the same votes. Where it has no `side`, first places mean nothing.
        confidence: Coverage of the intervals, given the spread; strictly between 0 and 1.

    Raises:
        TooLittleData: Fewer than `FEWEST_RATERS` raters, so that nobody can say how much raters
            differ.
        NoConvergence: The spread of the raters did not settle.
        InvalidData: A score lies outside [0, 1], or a model is not in `ranked`.

    Source:
        Penalised quasi-likelihood: Breslow and Clayton (1993), "Approximate Inference in
        Generalized Linear Mixed Models", JASA 88; variances by the EM algorithm of Dempster, Laird
        and Rubin (1977), kept from 0 as in Chung, Rabe-Hesketh, Dorie, Gelman and Liu (2013), "A
        Nondegenerate Penalized Likelihood Estimator for Variance Parameters in Multilevel Models",
        Psychometrika 78.
    """
    check_confidence(confidence)
    score, names = win_scores(scores), label_column(raters)
    check_lengths(score, names)
    rater, count = numbered(names)
    if count < FEWEST_RATERS:
        raise TooLittleData(
            f"How raters differ needs at least {FEWEST_RATERS} of them; there are {count}."
        )
    strength = {one.model: one.strength.value for one in ranked.standings}
    left, right = (
        pd.Series(label_column(models)).astype(str).map(strength).to_numpy(dtype=np.float64)
        for models in (first, second)
    )
    check_lengths(score, left, right)
    apart = vector(left - right)  # refuses models that are not ranked
    sided = ranked.side is not None
    design = np.stack([apart, np.ones_like(apart)])[: 1 + sided]
    found, variance, middle, spread = _settled(score, design, rater, count)
    if middle[0] <= 0:
        raise TooLittleData(
            "Raters do not follow their own ranking on the whole, so nothing tells who does; ask"
            " for more votes."
        )
    # Told beside what raters are like on the whole.
    unit, zero = np.array([[middle[0]], [1.0]]), np.array([[0.0], [middle[-1]]])
    found = (found - zero[: 1 + sided]) / unit[: 1 + sided]
    deviation = np.sqrt(spread) / unit[: 1 + sided, 0]
    reach = stats.norm.isf((1 - confidence) / 2) * np.sqrt(variance) / unit[: 1 + sided]
    votes = np.bincount(rater)
    labels = np.empty(count, dtype=object)
    labels[rater] = names

    def estimate(at: int, effect: int) -> Estimate:
        value, off = float(found[effect, at]), float(reach[effect, at])
        return Estimate(value, value - off, value + off, confidence, int(votes[at]))

    effects = [
        RaterEffect(
            rater=str(labels[at]),
            follows=estimate(at, 0),
            first_place=estimate(at, 1) if sided else None,
        )
        for at in range(count)
    ]
    return RaterEffects(
        raters=tuple(sorted(effects, key=lambda one: (one.follows.value, one.rater))),
        spread=float(deviation[0]),
        first_place_spread=float(deviation[1]) if sided else None,
    )


def odd_raters(found: RaterEffects) -> str:
    """Who cannot be told from a coin, or votes against the others; empty where nobody does."""
    odd = [one for one in found.raters if one.like_chance]
    if not odd:
        return ""
    shown = ", ".join(f"{one.rater} ({one.follows.n} votes)" for one in odd[:MOST_NAMED])
    more = f" and {len(odd) - MOST_NAMED} more" if len(odd) > MOST_NAMED else ""
    return (
        f"{len(odd)} of {len(found.raters)} raters follow the ranking less than the rest, and"
        f" cannot be told from chance or vote against it: {shown}{more}. See what they were shown"
        " before leaving anybody out."
    )


def _settled(
    score: Floats, design: Floats, rater: NDArray[np.int64], count: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Effects of each rater and their variances, shape (effects, raters), and m and v of each."""
    middle, spread = np.array([1.0, 0.0])[: len(design)], np.full(len(design), 0.25)
    found = np.repeat(middle[:, None], count, axis=1)
    for _ in range(ROUNDS):
        found, variance = _effects(score, design, rater, start=found, middle=middle, spread=spread)
        before = np.concatenate([middle, spread])
        middle = found.mean(axis=1)
        # One less than there are raters: a prior that grows with the deviation keeps it from 0,
        # where everybody would be called surely alike because votes are few.
        spread = ((found - middle[:, None]) ** 2 + variance).sum(axis=1) / (count - 1)
        if np.abs(np.concatenate([middle, spread]) - before).max() < SETTLED * spread.max():
            return found, variance, middle, spread
    raise NoConvergence(
        f"How much raters differ did not settle within {ROUNDS} rounds; leave the raters out."
    )


def _effects(
    score: Floats,
    design: Floats,
    rater: NDArray[np.int64],
    *,
    start: Floats,
    middle: Floats,
    spread: Floats,
) -> tuple[Floats, Floats]:
    """The most likely effects at given spreads, and their variances, by Newton's method."""
    effects, count = len(design), start.shape[1]
    found = start.copy()
    for _ in range(50):
        chance = special.expit((design * found[:, rater]).sum(axis=0))
        off = [np.bincount(rater, row * (score - chance), count) for row in design]
        slope = np.stack(off) - (found - middle[:, None]) / spread[:, None]
        weight = chance * (1 - chance)
        curve = np.empty((count, effects, effects))
        for one in range(effects):
            for other in range(effects):
                curve[:, one, other] = np.bincount(
                    rater, design[one] * design[other] * weight, count
                )
        curve += np.diag(1 / spread)
        inverse = np.linalg.inv(curve)
        # At most 1 at a time: far out the likelihood is flat, and a whole step would leap away.
        step = np.clip(np.einsum("kij,jk->ik", inverse, slope), -1, 1)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return found, np.diagonal(inverse, axis1=1, axis2=2).T.copy()
