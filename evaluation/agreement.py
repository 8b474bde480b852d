"""How far two readings of the same things agree: ranks of scores, and annotators with each other.

Neither figure has a textbook interval for clustered data, so both are bootstrapped; the source of
randomness is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import krippendorff
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.intervals import (
    Estimate,
    check_confidence,
    check_lengths,
    hidden_share,
    label_column,
    percentiles,
    vector,
)
from storage.errors import InvalidData, TooLittleData

Level = Literal["nominal", "ordinal", "interval", "ratio"]

FEWEST_PROMPTS_FOR_RANKS = 5
"""Below this a bootstrap over prompts meets too few different resamples to mean anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Krippendorff's alpha: 1 is perfect agreement, 0 what chance gives, below 0 is worse."""

    alpha: Estimate | None
    """None when it cannot be computed; `reason` says why."""
    level: Level
    items: int
    """Items that at least two annotators judged; the others say nothing about agreement."""
    annotators: int
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The form in which commands and pages carry it."""
        return asdict(self)


def spearman(
    first: ArrayLike,
    second: ArrayLike,
    *,
    prompts: ArrayLike,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Estimate:
    """Spearman's rank correlation, with a percentile bootstrap over prompts.

    Args:
        first: For example rewards, shape (n,), any unit.
        second: For example ratings, shape (n,), any unit.
        prompts: Which prompt each pair of numbers belongs to; whole prompts are resampled.
        rng: Source of the resamples.
        confidence: Coverage of the interval, strictly between 0 and 1.
        resamples: How many times the prompts are drawn anew, with replacement.

    Returns:
        A correlation within [-1, 1]. Where every resample gives the same, the interval reaches as
        far towards 0 as a `hidden_share` of prompts in random order would take it.

    Raises:
        TooLittleData: Fewer than 5 prompts, or one side hardly ever changes.

    Source:
        Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    return _bootstrapped(
        _rank_correlation,
        first,
        second,
        prompts=prompts,
        rng=rng,
        confidence=confidence,
        resamples=resamples,
    )


def kendall(
    first: ArrayLike,
    second: ArrayLike,
    *,
    prompts: ArrayLike,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 300,
) -> Estimate:
    """Kendall's tau-b: among two answers that differ on both sides, order kept less order turned.

    Ties on either side are taken out of the denominator. Arguments, interval and errors are those
    of `spearman`; it takes a little longer, so fewer resamples are drawn.

    Source:
        Kendall (1945), "The treatment of ties in ranking problems", Biometrika 33.
    """
    return _bootstrapped(
        _tau,
        first,
        second,
        prompts=prompts,
        rng=rng,
        confidence=confidence,
        resamples=resamples,
    )


def agreement(
    items: ArrayLike,
    annotators: ArrayLike,
    values: ArrayLike,
    *,
    level: Level,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 500,
) -> Agreement:
    """How far annotators agree beyond chance: Krippendorff's alpha, bootstrapped over items.

    Args:
        items: What was judged, shape (n,). For choices: the pair in a fixed order of its responses.
        annotators: Who judged, shape (n,). A later judgement of the same item replaces the
            earlier.
        values: What was said, shape (n,), turned to the item's fixed order.
        level: "nominal" counts any difference alike, "ordinal" by the ranks between, "interval" by
            its square, "ratio" by its square relative to the sum, for values that have a true zero.
        rng: Source of the resamples.
        confidence: Coverage of the interval, strictly between 0 and 1.
        resamples: How many times the items are drawn anew, with replacement.

    Returns:
        Alpha, or None with the reason. Where every resample gives the same, the interval reaches
        as far towards 0 as a `hidden_share` of items judged at random would take it.

    Raises:
        InvalidData: The level is "ratio" and a value is below 0.

    Source:
        Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability".
    """
    item, who, value = label_column(items), label_column(annotators), vector(values)
    check_lengths(item, who, value)
    check_confidence(confidence)
    if level == "ratio" and value.size and value.min() < 0:
        raise InvalidData(
            f"Agreement at the ratio level needs values from 0 up; got {value.min():g}. Choices"
            " that point left or right are ordinal."
        )
    last = {(i, a): v for i, a, v in zip(item.tolist(), who.tolist(), value, strict=True)}
    _, row = np.unique([i for i, _ in last], return_inverse=True)
    domain, column = np.unique(list(last.values()), return_inverse=True)
    counts = np.zeros((row.max(initial=-1) + 1, len(domain)), dtype=int)
    np.add.at(counts, (row, column), 1)
    counts = counts[counts.sum(axis=1) >= 2]
    people = len({a for _, a in last})

    def without(reason: str) -> Agreement:
        return Agreement(
            alpha=None, level=level, items=len(counts), annotators=people, reason=reason
        )

    if not len(counts):
        return without("No item was judged by two annotators, so there is nothing to compare.")
    if (counts.sum(axis=0) > 0).sum() < 2:
        return without("Everyone gave the same answer everywhere, so chance cannot be told apart.")
    if len(counts) < 2:
        return without("Only 1 item was judged by two annotators; an interval needs at least 2.")

    point = float(
        krippendorff.alpha(value_counts=counts, value_domain=domain, level_of_measurement=level)
    )
    # Items judged alike are drawn together: how often each way of judging comes up in a resample.
    ways, times = np.unique(counts, axis=0, return_counts=True)
    drawn = rng.multinomial(len(counts), times / len(counts), size=resamples)
    found = _alphas(np.tensordot(drawn, _coincidences(ways), axes=1), domain, level)
    # Only one answer in the resample: alpha is undefined there, as above.
    found = found[np.isfinite(found)]
    low, high = percentiles(
        found if len(found) else np.array([point]), point, confidence, units=len(counts)
    )
    if math.isclose(low, high, abs_tol=1e-12):
        edge = point * (1 - hidden_share(len(counts), confidence=confidence))
        low, high = min(low, edge), max(high, edge)
    estimate = Estimate(point, low, high, confidence, int(counts.sum()))
    return Agreement(alpha=estimate, level=level, items=len(counts), annotators=people)


def _bootstrapped(
    coefficient: Callable[[NDArray[np.float64], NDArray[np.float64]], float | None],
    first: ArrayLike,
    second: ArrayLike,
    *,
    prompts: ArrayLike,
    rng: np.random.Generator,
    confidence: float,
    resamples: int,
) -> Estimate:
    """A coefficient of rank correlation with the interval that `spearman` describes."""
    x, y, labels = vector(first), vector(second), label_column(prompts)
    check_lengths(x, y, labels)
    check_confidence(confidence)
    _, cluster = np.unique(labels, return_inverse=True)
    count = int(cluster.max(initial=-1)) + 1
    if count < FEWEST_PROMPTS_FOR_RANKS:
        raise TooLittleData(
            f"A rank correlation needs answers to at least {FEWEST_PROMPTS_FOR_RANKS} prompts;"
            f" there are {count}."
        )
    value = coefficient(x, y)
    members = [np.flatnonzero(cluster == prompt) for prompt in range(count)]
    drawn = [
        coefficient(x[rows], y[rows])
        for _ in range(resamples)
        for rows in [np.concatenate([members[p] for p in rng.integers(count, size=count)])]
    ]
    # A resample in which one side is constant has no correlation. A few are bad luck; many mean
    # that the data hardly vary.
    found = np.array([each for each in drawn if each is not None])
    if value is None or len(found) < 0.95 * resamples:
        raise TooLittleData(
            "A rank correlation needs numbers that differ; on one side nearly all are equal."
        )
    low, high = percentiles(found, value, confidence, units=count)
    if math.isclose(low, high, abs_tol=1e-12):
        edge = value * (1 - hidden_share(count, confidence=confidence))
        low, high = min(low, edge), max(high, edge)
    return Estimate(value, low, high, confidence, x.size)


def _rank_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Spearman's correlation, or None when a side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])


def _tau(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Kendall's tau-b, or None when a side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    # The p-value is not used; its asymptotic form is the cheap one.
    return float(stats.kendalltau(x, y, method="asymptotic").statistic)


def _coincidences(counts: NDArray[np.int_]) -> NDArray[np.float64]:
    """How often each two answers meet within an item, shape (items, V, V).

    An item of m judgements counts m times.

    Args:
        counts: How many annotators gave each answer to each item, at least two; shape (items, V).
    """
    met = counts[:, :, None] * counts[:, None, :].astype(np.float64)
    place = np.arange(counts.shape[1])
    met[:, place, place] -= counts
    return np.asarray(met / (counts.sum(axis=1) - 1)[:, None, None])


def _alphas(
    coincidences: NDArray[np.float64], domain: NDArray[np.float64], level: Level
) -> NDArray[np.float64]:
    """Alpha of many tables at once; nan where a table holds one answer only.

    Args:
        coincidences: Shape (R, V, V).
        domain: The answers, in order, shape (V,).
        level: As in `agreement`.
    """
    margin = coincidences.sum(axis=2)
    total = margin.sum(axis=1)
    distance = 1 - np.eye(len(domain))[None]
    if level == "ratio":
        sums = domain[:, None] + domain
        distance = (((domain[:, None] - domain) / np.where(sums == 0, 1, sums)) ** 2)[None]
    elif level != "nominal":
        # By rank, answers lie as far apart as there are judgements between them.
        place = margin.cumsum(axis=1) - margin / 2 if level == "ordinal" else domain[None]
        distance = (place[:, :, None] - place[:, None, :]) ** 2
    observed = (coincidences * distance).sum(axis=(1, 2)) * (total - 1)
    expected = (margin[:, :, None] * margin[:, None, :] * distance).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected > 0, 1 - observed / expected, np.nan))
