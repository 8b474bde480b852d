"""How alike votes are on one prompt and by one person, from votes one has: what a plan needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.intervals import (
    Codes,
    Estimate,
    check_confidence,
    check_lengths,
    clustered_mean,
    hidden_share,
    label_column,
    numbered,
    win_scores,
)
from storage.errors import TooLittleData


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDesign:
    """What votes that were given are like."""

    prompts: int
    """Counted once for each two policies that were compared on it."""
    overlap: float
    """Votes on each, on average."""
    likeness: Estimate
    """Correlation of two votes on one prompt. Below 0, which is chance more often than not, plan
    with 0."""
    ties: Estimate
    """Share of votes that are ties."""
    raters: int | None
    """None where it is not known who voted."""
    rater_likeness: Estimate | None
    """Correlation of two votes of one person; None where nobody, or only one person, voted
    twice."""


def seen_design(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    raters: ArrayLike | None = None,
    comparisons: ArrayLike | None = None,
    confidence: float = 0.95,
) -> SeenDesign:
    """What to expect of votes like these: `evaluation.power.StudyDesign` asks for it.

    Args:
        scores: 1 for a win, 1/2 for a tie, 0 for a loss; shape (n,).
        prompts: Which prompt each score belongs to, shape (n,).
        raters: Who gave each score, shape (n,); None where it is not known.
        comparisons: Which two policies were compared, shape (n,), where they are not the same two
            throughout. Scores are then taken about the mean of their comparison, and a prompt
            counts anew for each.
        confidence: Coverage of the intervals, strictly between 0 and 1.

    Raises:
        TooLittleData: Fewer than two prompts, no prompt with two votes, or all votes are alike.
        InvalidData: A score lies outside [0, 1].
    """
    check_confidence(confidence)
    score, labels = win_scores(scores), label_column(prompts)
    check_lengths(score, labels)
    pair, pairs = np.zeros(score.size, dtype=np.int64), 1
    if comparisons is not None:
        pair, pairs = numbered(label_column(comparisons))
        check_lengths(score, pair)
    prompt, count = numbered(labels)
    unit, units = numbered(prompt * pairs + pair)
    if count < 2 or units == score.size:
        raise TooLittleData(
            "How alike votes on one prompt are is seen from at least 2 prompts, with 2 votes on"
            f" some of them; there are {score.size} votes on {units}."
        )
    people, own = None, None
    if raters is not None:
        rater, people = numbered(label_column(raters))
        check_lengths(score, rater)
        taste, tastes = numbered(rater * pairs + pair)
        if people > 1 and tastes < score.size:
            own = _intraclass(score, taste, pair, confidence)
    return SeenDesign(
        prompts=units,
        overlap=score.size / units,
        likeness=_intraclass(score, unit, pair, confidence),
        ties=clustered_mean(score == 0.5, labels, what="A share of ties", confidence=confidence),
        raters=people,
        rater_likeness=own,
    )


def _intraclass(
    score: NDArray[np.float64], unit: Codes, pair: Codes, confidence: float
) -> Estimate:
    """Correlation of two scores of one unit, by the analysis of variance within pairs of policies.

    With k units of n_g scores in c pairs, and the mean squares B between units (k - c degrees of
    freedom) and W within them (n - k),

        r = (B - W) / (B + (n0 - 1) W),    n0 = (n - sum_g n_g^2 / n_pair(g)) / (k - c).

    The interval is that of the F distribution, exact for normal scores and units of one size.

    Raises:
        TooLittleData: Nothing varies, or every pair was judged on a single unit.

    Source:
        Donner (1986), "A Review of Inference Procedures for the Intraclass Correlation
        Coefficient", International Statistical Review 54.
    """
    sizes = np.bincount(unit)
    of_pair = np.zeros(len(sizes), dtype=np.int64)
    of_pair[unit] = pair
    votes = np.bincount(pair)
    mean = np.bincount(unit, weights=score) / sizes
    overall = (np.bincount(pair, weights=score) / votes)[of_pair]
    n, k, c = score.size, len(sizes), len(votes)
    if k == c:
        raise TooLittleData("Every two policies were compared on a single prompt.")
    between = float((sizes * (mean - overall) ** 2).sum()) / (k - c)
    within = float(((score - mean[unit]) ** 2).sum()) / (n - k)
    size = (n - float((sizes**2 / votes[of_pair]).sum())) / (k - c)
    if max(between, within) < 1e-12:
        raise TooLittleData("All votes are alike, so nothing can be said of how they vary.")
    if within < 1e-12:
        low = 1 - hidden_share(k, confidence=confidence)
        return Estimate(1.0, low, 1.0, confidence, n)

    def correlation(ratio: float) -> float:
        return (ratio - 1) / (ratio + size - 1)

    ratio = between / within
    tail = (1 - confidence) / 2
    return Estimate(
        correlation(ratio),
        correlation(ratio / float(stats.f.isf(tail, k - c, n - k))),
        correlation(ratio / float(stats.f.ppf(tail, k - c, n - k))),
        confidence,
        n,
    )
