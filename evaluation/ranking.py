"""A leaderboard of many models from votes on pairs of them, each place with its range.

Strengths are those of Bradley and Terry or of Davidson (see `strengths`), in logits around a mean
of 0: a model that is 1 above another wins against it 73 % of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special, stats
from scipy.sparse import csgraph

from evaluation import strengths
from evaluation.intervals import (
    Estimate,
    check_confidence,
    check_lengths,
    label_column,
    vector,
)
from evaluation.strengths import Floats, Integers, Strengths, Votes
from storage.errors import InvalidData, TooLittleData

Ties = Literal["half", "davidson"]

ELO_POINTS = 400 / math.log(10)
"""Elo points per logit: 400 points are odds of 10 to 1."""
ELO_MEAN = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one model stands."""

    model: str
    strength: Estimate
    """In logits; the mean over models is 0. `n` counts this model's votes."""
    place: int
    """1 is the strongest; models of equal strength share a place."""
    best_place: int
    """1 + how many models are stronger beyond doubt: their intervals lie above this one's."""
    worst_place: int
    """Models in all - how many are weaker beyond doubt."""
    average_win_rate: float
    """Plain mean over the opponents it met of the share of points it took; ties are half."""

    @property
    def elo(self) -> Estimate:
        """Strength on the scale of chess: 400 points are odds of 10 to 1, the mean is 1000."""
        value, low, high = (
            ELO_MEAN + ELO_POINTS * logits
            for logits in (self.strength.value, self.strength.low, self.strength.high)
        )
        return Estimate(value, low, high, self.strength.confidence, self.strength.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Models from the strongest to the weakest, and what else was estimated with them."""

    standings: tuple[Standing, ...]
    votes: int
    prompts: int
    ties: Ties
    side: Estimate | None
    """What standing first is worth, in logits; None where it was not asked for."""
    ties_between_equals: Estimate | None
    """Davidson: the share of ties between two equally strong models; None for half wins."""


def ranking(
    first: ArrayLike,
    second: ArrayLike,
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    raters: ArrayLike | None = None,
    ties: Ties = "half",
    side_effect: bool = False,
    confidence: float = 0.95,
) -> Ranking:
    """Rank models from votes on pairs, with intervals that respect prompts (and raters).

    An interval is strength +- t(G - 1) standard errors, G being the prompts (or the raters, if they
    are fewer). The variance is the largest of those clustered by prompt, by rater and by both, and
    of the one for independent votes, so that few clusters never make an interval narrower than
    votes that have nothing to do with each other would.

    Args:
        first: The model that stood first (left), by name or number; shape (n,).
        second: The model beside it, shape (n,).
        scores: 1 where `first` won, 0 where `second` did, 1/2 for a tie; with `ties="half"` a
            judge's probability is welcome too. Shape (n,).
        prompts: Which prompt each vote belongs to, shape (n,).
        raters: Who cast it, shape (n,); None where that is not known.
        ties: "half" counts a tie as half a win each (Bradley and Terry); "davidson" gives ties a
            probability of their own.
        side_effect: Estimate what standing first is worth, and take it out of the strengths.
        confidence: Coverage of the intervals, strictly between 0 and 1.

    Raises:
        TooLittleData: Fewer than two models, prompts or raters; a model met on one prompt only;
            models whose strength no votes can tell, because they were never compared with the rest
            or won or lost everything against it. Names them.
        InvalidData: A model was compared with itself, or a score is no score.

    Source:
        Ford (1957), American Mathematical Monthly 64 (when strengths exist); Cameron, Gelbach and
        Miller (2011), "Robust inference with multiway clustering", JBES 29; places as in Chiang et
        al. (2024), "Chatbot Arena", arXiv:2403.04132.
    """
    check_confidence(confidence)
    score, names, pair = _columns(first, second, scores, ties)
    prompt, prompt_count = _clusters(prompts, score.size, "prompts")
    davidson = ties == "davidson"
    votes = Votes(pair[0], pair[1], score, models=names.size, side=side_effect)
    _refuse_single_prompts(pair, prompt, names)
    _refuse_unconnected(votes, names)

    found = strengths.maximum(votes, davidson=davidson)
    covariances = [
        strengths.independent(votes, found, davidson=davidson),
        strengths.clustered(votes, found, prompt, davidson=davidson),
    ]
    groups = prompt_count
    if raters is not None:
        rater, rater_count = _clusters(raters, score.size, "raters")
        both = pd.factorize(prompt * rater_count + rater)[0]
        by_rater, by_both = (
            strengths.clustered(votes, found, each, davidson=davidson) for each in (rater, both)
        )
        covariances += [by_rater, covariances[1] + by_rater - by_both]
        groups = min(groups, rater_count)
    variance = np.max([np.diag(covariance) for covariance in covariances], axis=0)
    # Nothing but ties leaves no residuals: certainty out of nothing. Then the variance is what wins
    # and losses at random would have, those of one prompt all alike.
    random = np.diag(found.inverse) - np.repeat(
        [1 / names.size, 0], [names.size, variance.size - names.size]
    )
    variance = np.where(variance > 1e-9 * random, variance, random * score.size / groups)
    reach = stats.t.ppf((1 + confidence) / 2, df=groups - 1) * np.sqrt(variance)
    low, high = found.unknowns - reach, found.unknowns + reach

    def estimate(unknown: int, n: int = score.size) -> Estimate:
        value, least, most = (float(column[unknown]) for column in (found.unknowns, low, high))
        return Estimate(value, least, most, confidence, n)

    return Ranking(
        standings=_standings(votes, found, estimate, low=low, high=high, names=names),
        votes=score.size,
        prompts=prompt_count,
        ties=ties,
        side=estimate(names.size) if side_effect else None,
        ties_between_equals=_share_of_ties(estimate(-1)) if davidson else None,
    )


def _standings(
    votes: Votes,
    found: Strengths,
    estimate: Callable[..., Estimate],
    *,
    low: Floats,
    high: Floats,
    names: NDArray[Any],
) -> tuple[Standing, ...]:
    models = votes.models
    strength, low, high = found.unknowns[:models], low[:models], high[:models]
    cast = np.bincount(votes.first, minlength=models) + np.bincount(votes.second, minlength=models)
    average = np.nanmean(votes.shares(), axis=1)
    stronger = models - np.searchsorted(np.sort(strength), strength, side="right")
    surely_stronger = models - np.searchsorted(np.sort(low), high, side="right")
    surely_weaker = np.searchsorted(np.sort(high), low, side="left")
    return tuple(
        Standing(
            model=str(names[each]),
            strength=estimate(each, int(cast[each])),
            place=int(stronger[each]) + 1,
            best_place=int(surely_stronger[each]) + 1,
            worst_place=models - int(surely_weaker[each]),
            average_win_rate=float(average[each]),
        )
        for each in sorted(range(models), key=lambda each: (-strength[each], str(names[each])))
    )


def _share_of_ties(log_tie: Estimate) -> Estimate:
    """V / (2 + v), between equals, from log v."""
    value, low, high = (
        float(special.expit(end - math.log(2)))
        for end in (log_tie.value, log_tie.low, log_tie.high)
    )
    return Estimate(value, low, high, log_tie.confidence, log_tie.n)


def _columns(
    first: ArrayLike, second: ArrayLike, scores: ArrayLike, ties: Ties
) -> tuple[Floats, NDArray[Any], Integers]:
    """Scores, the models' names, and the number of each vote's two models, shape (2, n)."""
    score, (left, known), (right, others) = vector(scores), _codes(first), _codes(second)
    check_lengths(score, left, right)
    if score.size and not (score.min() >= 0 and score.max() <= 1):
        raise InvalidData(
            "The score of a vote lies between 0 (second won) and 1 (first won);"
            f" these reach from {score.min():g} to {score.max():g}."
        )
    if ties == "davidson" and not np.isin(score, (0, 0.5, 1)).all():
        raise InvalidData(
            "Davidson's model takes wins, losses and ties (1, 0, 1/2); for a judge's"
            " probabilities count ties as half wins."
        )
    names, number = np.unique(np.concatenate([known, others]), return_inverse=True)
    if names.size < 2:
        raise TooLittleData(f"A ranking needs at least 2 models; there are {names.size}.")
    pair = np.stack([number[: known.size][left], number[known.size :][right]])
    alone = np.flatnonzero(pair[0] == pair[1])
    if alone.size:
        raise InvalidData(
            f"{alone.size} votes compare a model with itself, the first {names[pair[0][alone[0]]]};"
            " leave them out."
        )
    return score, names, pair


def _clusters(labels: ArrayLike, votes: int, what: str) -> tuple[Integers, int]:
    codes, names = _codes(labels)
    if codes.size != votes:
        raise ValueError(f"Columns of different lengths: {votes} votes, {codes.size} {what}.")
    if names.size < 2:
        raise TooLittleData(
            f"The intervals of a ranking need votes of at least 2 {what}; there are {names.size}."
        )
    return codes, names.size


def _codes(labels: ArrayLike) -> tuple[Integers, NDArray[Any]]:
    """A number for each label, and the labels they stand for."""
    # pandas counts its own columns without turning every word into an object first.
    codes, names = pd.factorize(labels if isinstance(labels, pd.Series) else label_column(labels))
    if (codes < 0).any():
        raise InvalidData(f"{int((codes < 0).sum())} of {codes.size} names are missing.")
    return codes.astype(np.int64), np.asarray(names)


def _refuse_single_prompts(pair: Integers, prompt: Integers, names: NDArray[Any]) -> None:
    """A model met on one prompt has residuals that add up to 0 there: certainty out of nothing."""
    some, several = np.empty(names.size, dtype=np.int64), np.zeros(names.size, dtype=bool)
    for side in pair:
        some[side] = prompt
    for side in pair:
        several[side[prompt != some[side]]] = True
    single = names[~several]
    if single.size:
        raise TooLittleData(
            f"A model needs votes on at least 2 prompts for its interval; {_named(single)} met"
            " others on one only. Ask about more prompts, or leave it out."
        )


def _refuse_unconnected(votes: Votes, names: NDArray[Any]) -> None:
    """Strengths exist if, however the models are split, each part won against the other (Ford)."""
    models, (first, second) = names.size, votes.pairs
    won, lost = votes.total > 0, votes.total < votes.count
    beat = sparse.csr_array(
        (
            np.ones(int(won.sum() + lost.sum())),
            (np.r_[first[won], second[lost]], np.r_[second[won], first[lost]]),
        ),
        shape=(models, models),
    )
    islands, island = csgraph.connected_components(beat, directed=False)
    if islands > 1:
        parts = sorted((names[island == each] for each in range(islands)), key=len)
        raise TooLittleData(
            f"The models fall into {islands} groups that were never compared with each other, so"
            f" nothing ranks one group against another; {_named(parts[0])} is one of them."
        )
    parts_count, part = csgraph.connected_components(beat, directed=True, connection="strong")
    if parts_count == 1:
        return
    winner, loser = (part[side] for side in beat.nonzero())
    across = winner != loser
    unbeaten = np.setdiff1d(np.arange(parts_count), loser[across])
    winless = np.setdiff1d(np.arange(parts_count), winner[across])
    whom = "the others" if parts_count == 2 else "any other"
    said = [
        f"{_named(names[part == each])} {word} against {whom}"
        for word, ends in (("never lost a point", unbeaten), ("never won one", winless))
        for each in ends
    ]
    raise TooLittleData(
        f"Not every strength can be told from these votes: {'; '.join(said)}. Ask for more votes,"
        " or leave such models out."
    )


def _named(names: NDArray[Any]) -> str:
    """Up to five names in order, and how many more."""
    known = sorted(map(str, names))
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return ", ".join(known[:5]) + more
