r"""Strengths of models from votes on pairs, by maximum likelihood on counts of pairs.

A vote on models i (standing first) and j (second) has the log-odds

    e = s_i - s_j + b,    first : tie : second  =  exp(e / 2) : v : exp(-e / 2),

where s are the strengths, b is what standing first is worth and v how readily people call a tie.
That is Davidson's model; v = 0 with ties as half a win each is Bradley and Terry's. Both are
exponential families in s, b and log v, so the likelihood is concave and everything it needs of a
million votes is a count for each pair of models.

Source:
    Bradley and Terry (1952), Biometrika 39; Davidson (1970), "On extending the Bradley-Terry model
    to accommodate ties in paired comparison experiments", JASA 65; Davidson and Beaver (1977), "On
    extending the Bradley-Terry model to incorporate within-pair order effects", Biometrics 33.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from storage.errors import NoConvergence, TooLittleData

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEPS = 100
"""Newton needs about six. Where there is no maximum it walks on, one logit at a time."""
UNKNOWN = 1e6
"""A variance in squared logits; an unknown with a larger one is not determined by the votes."""
DENSE = 16
"""Numbers per vote up to which sums over clusters are kept in a plain array, which is faster."""


class Votes:
    """Votes on pairs of models, and their counts by pair: all that the likelihood needs."""

    def __init__(
        self, first: Integers, second: Integers, score: Floats, *, models: int, side: bool
    ) -> None:
        """Count them.

        Args:
            first: Number of the model that stood first, shape (n,), from 0 to `models` - 1.
            second: Likewise the other.
            score: 1 where the first won, 0 where the second did, 1/2 for a tie; shape (n,).
            models: How many there are.
            side: Whether standing first may be worth something.
        """
        self.first, self.second, self.score, self.models = first, second, score, models
        code = first * models + second
        counts = np.bincount(code, minlength=models**2)
        used = np.flatnonzero(counts)
        place = np.empty(models**2, dtype=np.int64)
        place[used] = np.arange(used.size)
        self.cell: Integers = place[code]
        """Which of the c ordered pairs each vote is about, shape (n,)."""
        self.pairs = np.divmod(used, models)
        self.count = counts[used].astype(np.float64)
        self.total = self._sum(score)
        self.squares = self._sum(score**2)
        self.tied = self._sum((score == 0.5).astype(np.float64))
        columns, signs = list(self.pairs), [1.0, -1.0]
        if side:
            columns, signs = [*columns, np.full(used.size, models)], [*signs, 1.0]
        rows = np.tile(np.arange(used.size), len(columns))
        self.design = sparse.csr_array(
            (np.repeat(signs, used.size), (rows, np.concatenate(columns))),
            shape=(used.size, models + side),
        )
        """The log-odds e of each pair are this times (s, b); shape (c, unknowns without log v)."""

    def _sum(self, weights: Floats) -> Floats:
        return _sums(self.cell, weights, self.pairs[0].size)

    def shares(self) -> Floats:
        """Points that each model (row) took from each other (column), nan where they never met."""
        taken, met = np.zeros((2, self.models, self.models))
        first, second = self.pairs
        np.add.at(taken, (first, second), self.total)
        np.add.at(taken, (second, first), self.count - self.total)
        np.add.at(met, (first, second), self.count)
        np.add.at(met, (second, first), self.count)
        return np.divide(taken, met, out=np.full_like(met, np.nan), where=met > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What the model expects of a vote on each pair at given unknowns; each of shape (c,)."""

    score: Floats
    tie: Floats
    score_variance: Floats
    covariance: Floats
    tie_variance: Floats
    log_norm: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """The maximum of the likelihood, and how sharp it is."""

    unknowns: Floats
    """s (mean 0), then b where asked for, then log v where asked for; logits."""
    inverse: Floats
    """Inverse of the information on the unknowns, with the sum of s held at 0."""
    moments: Moments


def maximum(votes: Votes, *, davidson: bool) -> Strengths:
    """Newton's method from equal strengths, each step halved until the likelihood grows.

    Args:
        votes: Their graph is strongly connected, ties being a win each way: without that there is
            no maximum (Ford 1957, "Solution of a ranking problem from binary comparisons").
        davidson: Whether ties have a probability of their own.

    Raises:
        TooLittleData: An unknown is not determined; says which.
        NoConvergence: It did not settle.
    """
    unknowns = np.zeros(votes.design.shape[1] + davidson)
    if davidson:
        tied = votes.tied.sum() / votes.count.sum()
        if not 0 < tied < 1:
            raise TooLittleData(
                f"{'No vote is' if tied == 0 else 'All votes are'} a tie, so how readily people"
                " call one cannot be estimated; count ties as half wins instead."
            )
        unknowns[-1] = np.log(2 * tied / (1 - tied))
    here = _moments(votes, unknowns, davidson)
    value = _log_likelihood(votes, unknowns, here, davidson)
    for _ in range(STEPS):
        inverse = _inverse(votes, here, davidson)
        step = inverse @ _gradient(votes, here, davidson)
        while True:
            tried = unknowns + step
            there = _moments(votes, tried, davidson)
            gained = _log_likelihood(votes, tried, there, davidson) - value
            small = float(np.abs(step).max())
            # Near the top the gain is lost in rounding, and the whole step is right.
            if gained >= 0 or small < 1e-4:
                break
            step = step / 2
        unknowns, here, value = tried, there, value + gained
        if small < 1e-10:
            return Strengths(
                unknowns=unknowns, inverse=_inverse(votes, here, davidson), moments=here
            )
    raise NoConvergence(
        f"The strengths of {votes.models} models did not settle within {STEPS} steps; the last"
        f" changed one by {small:.2g} logits."
    )


def independent(votes: Votes, found: Strengths, *, davidson: bool) -> Floats:
    """Covariance of the unknowns if every vote were independent of every other.

    The sandwich of White (1982), which holds although half a win is no outcome of Bradley and
    Terry's model; shape (unknowns, unknowns).
    """
    at = found.moments
    spread = votes.squares - 2 * at.score * votes.total + votes.count * at.score**2
    # A tie scores 1/2, so (y - m)(t - q) sums to T / 2 - m T - q Y + n m q.
    both = votes.tied * (0.5 - at.score) - at.tie * (votes.total - votes.count * at.score)
    ties = votes.tied * (1 - 2 * at.tie) + votes.count * at.tie**2
    meat = _assembled(votes, spread, both, ties, davidson)
    return found.inverse @ meat @ found.inverse


def clustered(votes: Votes, found: Strengths, clusters: Integers, *, davidson: bool) -> Floats:
    """Covariance of the unknowns where votes of one cluster resemble each other.

    The sandwich with the scores of the votes added up by cluster, times G / (G - 1) for G clusters.

    Args:
        votes: That were fitted.
        found: The fit.
        clusters: Number of the cluster of each vote, shape (n,), from 0 without a gap.
        davidson: Whether ties have a probability of their own.

    Source:
        Liang and Zeger (1986), "Longitudinal data analysis using generalized linear models",
        Biometrika 73.
    """
    residual = votes.score - found.moments.score[votes.cell]
    tied = (votes.score == 0.5) - found.moments.tie[votes.cell]
    sizes = np.bincount(clusters)
    alone = (sizes == 1)[clusters]
    meat = np.zeros_like(found.inverse)
    if alone.any():
        # Clusters of one vote, of which there may be many, are summed by pair of models.
        cell, cells = votes.cell[alone], votes.count.size
        spread, both, ties = (
            _sums(cell, part[alone], cells) for part in (residual**2, residual * tied, tied**2)
        )
        meat += _assembled(votes, spread, both, ties, davidson)
    if not alone.all():
        several = ~alone
        place = (np.cumsum(sizes > 1) - 1)[clusters[several]]
        meat += _outer_sums(votes, several, place, residual, tied if davidson else None)
    return found.inverse @ meat @ found.inverse * (sizes.size / (sizes.size - 1))


def _outer_sums(
    votes: Votes,
    used: NDArray[np.bool_],
    clusters: Integers,
    residual: Floats,
    tied: Floats | None,
) -> Floats:
    """Sum over clusters of s s', where s is the sum of the scores of a cluster's votes."""
    first, second, residual = votes.first[used], votes.second[used], residual[used]
    number, models = int(clusters.max()) + 1, votes.models
    extra = []
    if votes.design.shape[1] > models:
        extra.append(_sums(clusters, residual, number))
    if tied is not None:
        extra.append(_sums(clusters, tied[used], number))
    edge = np.column_stack(extra) if extra else np.empty((number, 0))
    if number * models <= DENSE * residual.size:
        place, size = clusters * models, number * models
        sums = _sums(place + first, residual, size) - _sums(place + second, residual, size)
        score = np.hstack([sums.reshape(number, models), edge])
        dense: Floats = score.T @ score
        return dense
    rows, columns = np.tile(clusters, 2), np.concatenate([first, second])
    few = sparse.csr_array(
        (np.concatenate([residual, -residual]), (rows, columns)), shape=(number, models)
    )
    corner = few.T @ edge
    return np.block([[(few.T @ few).toarray(), corner], [corner.T, edge.T @ edge]])


def _moments(votes: Votes, unknowns: Floats, davidson: bool) -> Moments:
    odds = votes.design @ unknowns[: votes.design.shape[1]]
    log_tie = unknowns[-1] if davidson else -np.inf
    log_norm = np.logaddexp(np.logaddexp(odds / 2, -odds / 2), log_tie)
    won, lost, tie = (np.exp(part - log_norm) for part in (odds / 2, -odds / 2, log_tie))
    score = won + tie / 2
    return Moments(
        score=score,
        tie=tie,
        # As sums of products, which keep their precision where a win is all but certain.
        score_variance=won * lost + tie * (won + lost) / 4,
        covariance=tie * (lost - won) / 2,
        tie_variance=tie * (won + lost),
        log_norm=log_norm,
    )


def _log_likelihood(votes: Votes, unknowns: Floats, at: Moments, davidson: bool) -> float:
    odds = votes.design @ unknowns[: votes.design.shape[1]]
    ties = float(votes.tied.sum() * unknowns[-1]) if davidson else 0.0
    return float(((votes.total - votes.count / 2) * odds - votes.count * at.log_norm).sum()) + ties


def _gradient(votes: Votes, at: Moments, davidson: bool) -> Floats:
    main = votes.design.T @ (votes.total - votes.count * at.score)
    return np.append(main, (votes.tied - votes.count * at.tie).sum()) if davidson else main


def _inverse(votes: Votes, at: Moments, davidson: bool) -> Floats:
    """Inverse of the information, where every unknown is determined."""
    n, models = votes.count, votes.models
    spreads = (n * at.score_variance, n * at.covariance, n * at.tie_variance)
    information = _assembled(votes, *spreads, davidson)
    # Only differences of strengths matter; this holds their sum at 0 and touches nothing else.
    information[:models, :models] += 1 / models
    try:
        factor = linalg.cho_factor(information, check_finite=False)
        inverse: Floats = linalg.cho_solve(factor, np.eye(len(information)), check_finite=False)
    except linalg.LinAlgError:
        inverse = np.full_like(information, np.inf)
    unknown = ~(np.diag(inverse) <= UNKNOWN)
    if not unknown.any():
        return inverse
    if votes.design.shape[1] > models and unknown[models]:
        raise TooLittleData(
            "What standing first is worth cannot be told from the strengths: show each pair of"
            " models in both orders, or leave the effect of the side out."
        )
    if davidson and unknown[-1]:
        raise TooLittleData(
            "How readily people call a tie cannot be told from the strengths; count ties as half"
            " wins instead."
        )
    raise TooLittleData(
        f"The strengths of {int(unknown[:models].sum())} of {models} models cannot be told from"
        " these votes; more are needed."
    )


def _assembled(votes: Votes, spread: Floats, both: Floats, ties: Floats, davidson: bool) -> Floats:
    """A quadratic form in each pair's score and tie, carried to the unknowns."""
    weighted = sparse.diags_array(spread) @ votes.design
    main: Floats = (votes.design.T @ weighted).toarray()
    if not davidson:
        return main
    edge = votes.design.T @ both
    return np.block([[main, edge[:, None]], [edge[None, :], np.array([[ties.sum()]])]])


def _sums(groups: Integers, values: Floats, count: int) -> Floats:
    """Sum of the values in each of `count` groups."""
    return np.asarray(np.bincount(groups, weights=values, minlength=count), dtype=np.float64)
