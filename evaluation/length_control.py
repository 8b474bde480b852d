"""How often a policy would win if its answers were as long as the other's."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.tools.sm_exceptions import ModelWarning

from evaluation.intervals import Estimate, check_lengths, label_column, vector
from evaluation.statistics import win_rate
from storage.errors import NoConvergence

FURTHEST = 12.0
"""A coefficient beyond this, in logits, means that the likelihood has no highest point."""


def length_controlled_win_rate(
    scores: ArrayLike,
    longer_by: ArrayLike,
    prompts: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Estimate:
    r"""Win rate at equal length, by a logistic regression on the difference of the lengths.

        logit P(win) = theta + phi * tanh(d / sd(d)),    win rate at equal length = sigmoid(theta)

    with d the difference of the lengths. The interval is that of theta by standard errors clustered
    by prompt, with t(G - 1) for G prompts.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability; shape (n,).
        longer_by: By how much the policy's answer is longer than the other's, in any unit; (n,).
        prompts: Which prompt each score belongs to, shape (n,).
        confidence: Coverage of the interval, strictly between 0 and 1.

    Returns:
        A fraction. Where no two answers differ in length, or all scores are the same and neither
        wins nor losses, it is the win rate itself.

    Raises:
        TooLittleData: Fewer than two prompts were answered.
        InvalidData: A score lies outside [0, 1], or a length is no number.
        NoConvergence: Length alone, or nothing but one outcome, explains all scores.

    Source:
        Dubois et al. (2024), "Length-Controlled AlpacaEval", arXiv:2404.04475, equation 2 without
        the term for the prompt's difficulty, which needs many policies on the same prompts.
    """
    plain = win_rate(scores, prompts, confidence=confidence)
    score, difference = vector(scores), vector(longer_by)
    check_lengths(score, difference)
    spread = float(difference.std())
    all_alike = bool(score.std() == 0)
    # Length changes nothing where there is none, nor where everything is a tie.
    if not difference.any() or (all_alike and 0 < score[0] < 1):
        return plain
    # A difference that is always the same cannot be told from the policies' own.
    if spread == 0 or all_alike:
        raise NoConvergence(
            "A win rate at equal length needs answers that differ in length by more and by less,"
            f" and wins as well as losses; {score.size} scores have a mean of {score.mean():g}, and"
            f" the standard deviation of the difference is {spread:g}."
        )
    _, clusters = np.unique(label_column(prompts), return_inverse=True)
    theta, error = _at_equal_length(score, np.tanh(difference / spread), clusters)
    reach = float(stats.t.ppf((1 + confidence) / 2, df=int(clusters.max()))) * error
    return Estimate(
        float(expit(theta)),
        float(expit(theta - reach)),
        float(expit(theta + reach)),
        confidence,
        score.size,
    )


def _at_equal_length(
    score: np.ndarray, length: np.ndarray, clusters: np.ndarray
) -> tuple[float, float]:
    """Theta and its standard error, in logits."""
    design = np.column_stack([np.ones_like(length), length])
    with warnings.catch_warnings():
        # Whether there is a highest point is seen from the coefficients below.
        warnings.simplefilter("ignore", ModelWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        fitted: Any = GLM(score, design, family=Binomial()).fit(
            cov_type="cluster", cov_kwds={"groups": clusters}
        )
    theta, error = float(fitted.params[0]), float(fitted.bse[0])
    if not (math.isfinite(error) and np.abs(fitted.params).max() < FURTHEST):
        raise NoConvergence(
            "The length of the answers explains every score, so nothing can be said about answers"
            " of equal length; judge more answers, some of which are of about the same length."
        )
    return theta, error
