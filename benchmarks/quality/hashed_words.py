"""The baseline that only knows words: a linear model on hashed words and pairs of words."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from storage.snapshots import ComparisonRow, RatingRow

PLACES = 1 << 17
PENALTIES = (0.1, 1.0, 10.0, 100.0)
_WORD = re.compile(r"\w+")


def features(texts: Sequence[str]) -> sparse.csr_matrix:
    """One row of unit length per text: how often, as 1 + log, each hashed word or pair is there."""
    places, values, ends = [], [], [0]
    for text in texts:
        words = _WORD.findall(text.lower())
        grams = [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]
        found, counts = np.unique(
            [zlib.crc32(gram.encode()) % PLACES for gram in grams], return_counts=True
        )
        weights = 1 + np.log(counts)
        places.append(found)
        values.append(weights / np.linalg.norm(weights) if len(weights) else weights)
        ends.append(ends[-1] + len(found))
    return sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(places).astype(np.int64), ends),
        shape=(len(texts), PLACES),
    )


def learn(
    train: tuple[Sequence[ComparisonRow], Sequence[RatingRow]],
    validation: tuple[Sequence[ComparisonRow], Sequence[RatingRow]],
) -> NDArray[np.float64]:
    """Weights of the words: logistic on differences of compared answers, squared on ratings.

    The penalty is the one that does best on the validation part.
    """
    fitted = [_fit(*train, penalty) for penalty in PENALTIES]
    return min(fitted, key=lambda weights: _loss(weights, *validation))


def _design(
    comparisons: Sequence[ComparisonRow], ratings: Sequence[RatingRow]
) -> tuple[sparse.csr_matrix, NDArray[np.float64], sparse.csr_matrix, NDArray[np.float64]]:
    decided = [one for one in comparisons if one.choice]
    apart = features([one.right for one in decided] or [""]) - features(
        [one.left for one in decided] or [""]
    )
    sides = np.array([np.sign(one.choice) for one in decided] or [0.0], dtype=float)
    rated = features([one.response for one in ratings] or [""])
    values = np.array([one.value for one in ratings] or [0.0], dtype=float)
    return apart, sides, rated, values - values.mean()


def _fit(
    comparisons: Sequence[ComparisonRow], ratings: Sequence[RatingRow], penalty: float
) -> NDArray[np.float64]:
    apart, sides, rated, values = _design(comparisons, ratings)

    def objective(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lead = sides * (apart @ weights)
        error = rated @ weights - values
        loss = np.logaddexp(0, -lead)[sides != 0].sum() + (error @ error) / 2
        slope = apart.T @ (-sides * expit(-lead)) + rated.T @ error
        return float(loss + penalty * (weights @ weights) / 2), slope + penalty * weights

    found = minimize(objective, np.zeros(PLACES), jac=True, method="L-BFGS-B")
    weights: NDArray[np.float64] = found.x
    return weights


def _loss(
    weights: NDArray[np.float64],
    comparisons: Sequence[ComparisonRow],
    ratings: Sequence[RatingRow],
) -> float:
    apart, sides, rated, values = _design(comparisons, ratings)
    error = rated @ weights - values
    return float(
        np.logaddexp(0, -sides * (apart @ weights))[sides != 0].sum() + (error @ error) / 2
    )
