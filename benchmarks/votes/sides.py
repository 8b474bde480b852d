"""Who computes a ranking or a win rate from the same table, each in its own way.

Every side takes the table as it is, names as words, and its time holds all it does with it, but not
the list of winners that evalica wants in a type of its own. Rankings come back in logits around 0,
by name in alphabetical order, with the ends of 95 % intervals.

FastChat and arena-rank are not installed (arena-rank needs JAX, see `arena`), so their ways are
written down here in NumPy and SciPy: what is counted, what is minimised and where the intervals
come from.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import evalica
import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

from evaluation.intervals import clustered_mean
from evaluation.ranking import ranking
from votes.planted import Planted

ROUNDS = 100
"""Bootstrap rounds, as FastChat's leaderboard used."""
FEW = 2
"""Rounds that a slow side really does; the rest is extrapolated."""
Z = 1.959964


@dataclass(frozen=True)
class Answer:
    """What a side found."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rounds: int | None = None
    """Rounds of a bootstrap that were done; None where there is none to extrapolate."""


# Rankings


def tandem(said: Planted) -> Answer:
    """Newton on counts; sandwich errors clustered by prompt."""
    table = said.table
    found = ranking(table.model_a, table.model_b, table.score, table.prompt)
    standings = sorted(found.standings, key=lambda each: each.model)
    return Answer(
        *(
            np.array([getattr(each.strength, end) for each in standings])
            for end in ("value", "low", "high")
        )
    )


def tandem_both(said: Planted) -> Answer:
    """The same, clustered by prompt and by rater."""
    table = said.table
    found = ranking(table.model_a, table.model_b, table.score, table.prompt, raters=table.rater)
    standings = sorted(found.standings, key=lambda each: each.model)
    return Answer(
        *(
            np.array([getattr(each.strength, end) for each in standings])
            for end in ("value", "low", "high")
        )
    )


def evalica_once(said: Planted) -> Answer:
    """Evalica's strengths, without any interval."""
    table = said.table
    found = evalica.bradley_terry(table.model_a.tolist(), table.model_b.tolist(), said.winners)
    values = _centred(np.log(found.scores.sort_index().to_numpy()))
    return Answer(values, values, values)


def evalica_bootstrap(said: Planted) -> Answer:
    """Evalica's bootstrap over votes: it fits every resample anew."""
    table = said.table
    found = evalica.bootstrap(
        evalica.bradley_terry,
        table.model_a.tolist(),
        table.model_b.tolist(),
        said.winners,
        n_resamples=FEW,
        bootstrap_method="percentile",
        random_state=0,
    )
    values, low, high = (
        np.log(column.sort_index().to_numpy())
        for column in (found.result.scores, found.low, found.high)
    )
    return Answer(_centred(values), low - values.mean(), high - values.mean(), FEW)


def fastchat_regression(said: Planted) -> Answer:
    """FastChat's notebook: resample the votes, count pairs, logistic regression on the counts."""
    table = said.table
    rng = np.random.default_rng(0)
    values = _regression(table)
    rounds = np.array(
        [_regression(table.iloc[rng.integers(len(table), size=len(table))]) for _ in range(FEW)]
    )
    return Answer(values, rounds.min(axis=0), rounds.max(axis=0), FEW)


def fastchat_once(said: Planted) -> Answer:
    """The regression once, without any interval."""
    values = _regression(said.table)
    return Answer(values, values, values)


def _regression(table: pd.DataFrame) -> np.ndarray:
    counted = pd.crosstab([table.model_a, table.model_b], table.winner)
    names = sorted(set(counted.index.get_level_values(0)) | set(counted.index.get_level_values(1)))
    left = np.searchsorted(names, counted.index.get_level_values(0).to_numpy(dtype=object))
    right = np.searchsorted(names, counted.index.get_level_values(1).to_numpy(dtype=object))
    rows = np.arange(len(counted))
    design = np.zeros((len(counted), len(names)))
    design[rows, left], design[rows, right] = 1, -1
    ties = counted["tie"].to_numpy() / 2
    weights = np.r_[counted["model_a"].to_numpy() + ties, counted["model_b"].to_numpy() + ties]
    won = np.r_[np.ones(len(counted)), np.zeros(len(counted))]
    kept = weights > 0
    model = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-6, max_iter=1000)
    model.fit(np.vstack([design, design])[kept], won[kept], sample_weight=weights[kept])
    return _centred(model.coef_[0])


def fastchat_bootstrap(said: Planted) -> Answer:
    """FastChat's rating_systems.py: unique outcomes, multinomial resamples, L-BFGS in processes."""
    table = said.table
    pair, outcome, count = _outcomes(table)
    values = _lbfgs(count / count.sum(), pair, outcome)
    rng = np.random.default_rng(0)
    resamples = rng.multinomial(len(table), count / count.sum(), size=ROUNDS) / len(table)
    with multiprocessing.Pool(os.cpu_count()) as pool:
        rounds = np.array(pool.map(partial(_lbfgs, pair=pair, outcome=outcome), resamples))
    low, high = np.quantile(rounds, [0.025, 0.975], axis=0)
    return Answer(values, low, high)


def arena_rank(said: Planted) -> Answer:
    """arena-rank: unique outcomes, L-BFGS, sandwich errors of independent votes."""
    table = said.table
    pair, outcome, count = _outcomes(table)
    values = _lbfgs(count / count.sum(), pair, outcome)
    odds = values[pair[:, 0]] - values[pair[:, 1]]
    chance = special.expit(odds)
    models = len(values)
    information = _laplacian(pair, count * chance * (1 - chance), models)
    spread = _laplacian(pair, count * (outcome - chance) ** 2, models)
    inverse = np.linalg.inv(information + np.eye(models) * 1e-5 * count.sum())
    error = np.sqrt(np.diag(inverse @ spread @ inverse))
    return Answer(values, values - Z * error, values + Z * error)


def _laplacian(pair: np.ndarray, weights: np.ndarray, models: int) -> np.ndarray:
    matrix = np.zeros((models, models))
    for one, other, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -1), (1, 0, -1)):
        np.add.at(matrix, (pair[:, one], pair[:, other]), sign * weights)
    return matrix


def _outcomes(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique (model_a, model_b, outcome), as both of the arena's libraries count them."""
    codes, _ = pd.factorize(pd.concat([table.model_a, table.model_b]), sort=True)
    rows = np.full((len(table), 3), 1, dtype=np.int32)
    rows[:, :2] = codes.reshape(2, -1).T
    rows[table.winner == "model_a", 2] = 2
    rows[table.winner == "model_b", 2] = 0
    unique, count = np.unique(rows, return_counts=True, axis=0)
    return unique[:, :2], unique[:, 2] / 2, count.astype(float)


def _lbfgs(weights: np.ndarray, pair: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    models = int(pair.max()) + 1

    def loss(strength: np.ndarray) -> tuple[float, np.ndarray]:
        odds = strength[pair[:, 0]] - strength[pair[:, 1]]
        value = -(weights * (outcome * odds - np.logaddexp(0, odds))).sum()
        slope = weights * (special.expit(odds) - outcome)
        return float(value), np.bincount(pair[:, 0], slope, models) - np.bincount(
            pair[:, 1], slope, models
        )

    options = {"maxiter": 1000, "gtol": 1e-9, "ftol": 1e-12}
    found = optimize.minimize(loss, np.zeros(models), jac=True, method="L-BFGS-B", options=options)
    return _centred(found.x)


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


# Win rates


def tandem_win_rate(said: Planted) -> Answer:
    """Two-way clustering by prompt and rater."""
    table = said.table
    found = clustered_mean(table.score, table.prompt, raters=table.rater)
    return Answer(*(np.array([end]) for end in (found.value, found.low, found.high)))


def statsmodels_win_rate(said: Planted) -> Answer:
    """A regression on a constant, clustered both ways."""
    table = said.table
    groups = np.column_stack([pd.factorize(table[name])[0] for name in ("prompt", "rater")])
    score = table.score.to_numpy()
    found = sm.OLS(score, np.ones(len(score))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    (low, high), value = found.conf_int()[0], found.params[0]
    return Answer(*(np.array([end]) for end in (value, low, high)))


Side = Callable[[Planted], Answer]

RANKINGS: dict[str, Side] = {
    "Tandem": tandem,
    "Tandem, prompts and raters": tandem_both,
    "evalica, no interval": evalica_once,
    "evalica, bootstrap": evalica_bootstrap,
    "FastChat's regression": fastchat_regression,
    "FastChat's bootstrap": fastchat_bootstrap,
    "arena-rank's way": arena_rank,
}
WIN_RATES: dict[str, Side] = {"Tandem": tandem_win_rate, "statsmodels": statsmodels_win_rate}


def extrapolated(seconds: float, alone: float, rounds: int) -> float:
    """What `ROUNDS` rounds would take when `rounds` of them and one fit took `seconds`."""
    return alone + (seconds - alone) / rounds * ROUNDS
