"""Agreement beyond chance where everybody judged the same: Cohen's and Fleiss' kappa.

Krippendorff's alpha (`evaluation.agreement`) says more with missing judgements; these stand beside
it because the field quotes them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.intervals import (
    Estimate,
    check_confidence,
    check_lengths,
    hidden_share,
    label_column,
    percentiles,
    vector,
)

Weights = Literal["none", "linear", "quadratic"]

MOST_DRAWN_AT_ONCE = 10**7
"""Numbers of a part of the bootstrap: 80 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kappa:
    """1 is perfect agreement, 0 what chance gives these annotators, below 0 is worse."""

    kappa: Estimate | None
    """None when it cannot be computed; `reason` says why."""
    items: int
    """Items it rests on."""
    left_out: int = 0
    """Items that were judged by more or fewer annotators than most."""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The form in which commands and pages carry it."""
        return asdict(self)


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    *,
    rng: np.random.Generator,
    weights: Weights = "none",
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Kappa:
    """How far two annotators agree beyond chance, bootstrapped over items or clusters of them.

    Args:
        first: What one said of each item, shape (n,).
        second: What the other said of the same items, shape (n,).
        rng: Source of the resamples.
        weights: "none" counts any difference alike; "linear" and "quadratic" count answers by how
            far apart they stand in the order of all answers given.
        clusters: Which prompt each item belongs to, where several do, shape (n,). Prompts are then
            drawn anew with all their items, as items of one prompt resemble each other.
        confidence: Coverage of the interval, strictly between 0 and 1.
        resamples: How many times the items are drawn anew, with replacement.

    Source:
        Cohen (1960), "A Coefficient of Agreement for Nominal Scales"; weights: Cohen (1968).
    """
    one, other = vector(first), vector(second)
    check_lengths(one, other)
    check_confidence(confidence)
    domain, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    if one.size < 2:
        return Kappa(
            kappa=None,
            items=one.size,
            reason=f"Kappa needs at least 2 items that both judged; there are {one.size}.",
        )
    if len(domain) < 2:
        return _everyone_alike(one.size)
    size = len(domain)
    cell = place[: one.size] * size + place[one.size :]
    apart = np.abs(np.arange(size)[:, None] - np.arange(size))
    power = {"none": 0, "linear": 1, "quadratic": 2}[weights]
    distance = np.where(apart > 0, apart.astype(np.float64) ** power, 0.0)

    def kappas(tables: NDArray[Any]) -> NDArray[np.float64]:
        counts = tables.reshape(-1, size, size)
        share = counts / counts.sum(axis=(1, 2), keepdims=True)
        chance = share.sum(axis=2)[:, :, None] * share.sum(axis=1)[:, None, :]
        return _beyond_chance((share * distance).sum(axis=(1, 2)), (chance * distance).sum((1, 2)))

    units = np.arange(one.size) if clusters is None else label_column(clusters)
    check_lengths(one, units)
    _, unit = np.unique(units, return_inverse=True)
    many = int(unit.max()) + 1
    if many < 2:
        return Kappa(
            kappa=None,
            items=one.size,
            reason="Kappa needs items of at least 2 prompts; there is 1.",
        )
    table = np.bincount(cell, minlength=size**2)
    if many == one.size:
        drawn = rng.multinomial(one.size, table / one.size, size=resamples)
    else:
        of_each = np.zeros((many, size**2))
        np.add.at(of_each, (unit, cell), 1)
        # In parts, because each resample is a row of all prompts.
        part = max(1, MOST_DRAWN_AT_ONCE // many)
        sizes = [min(part, resamples - start) for start in range(0, resamples, part)]
        alike = np.full(many, 1 / many)
        drawn = np.concatenate([rng.multinomial(many, alike, size=n) @ of_each for n in sizes])
    return _kappa(float(kappas(table)[0]), kappas(drawn), one.size, confidence, units=many)


def fleiss_kappa(
    items: ArrayLike,
    annotators: ArrayLike,
    values: ArrayLike,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Kappa:
    """How far several annotators agree beyond chance, any difference counting alike.

    It is defined for items that equally many annotators judged. Items that were judged by more or
    fewer than most are left out, and counted.

    Args:
        items: What was judged, shape (n,).
        annotators: Who judged, shape (n,). A later judgement of the same item replaces the earlier.
        values: What was said, shape (n,).
        rng: Source of the resamples.
        confidence: Coverage of the interval, strictly between 0 and 1.
        resamples: How many times the items are drawn anew, with replacement.

    Source:
        Fleiss (1971), "Measuring Nominal Scale Agreement Among Many Raters".
    """
    item, who, value = label_column(items), label_column(annotators), vector(values)
    check_lengths(item, who, value)
    check_confidence(confidence)
    last = {(i, a): v for i, a, v in zip(item.tolist(), who.tolist(), value, strict=True)}
    names, row = np.unique([i for i, _ in last], return_inverse=True)
    domain, column = np.unique(list(last.values()), return_inverse=True)
    counts = np.zeros((len(names), len(domain)), dtype=int)
    np.add.at(counts, (row, column), 1)
    judged = counts.sum(axis=1)
    usual = int(np.bincount(judged[judged >= 2]).argmax()) if (judged >= 2).any() else 0
    kept = counts[judged == usual]
    left_out = len(counts) - len(kept)
    if usual < 2 or len(kept) < 2:
        return Kappa(
            kappa=None,
            items=len(kept) if usual else 0,
            left_out=left_out if usual else len(counts),
            reason="Kappa needs at least 2 items that the same number of annotators judged.",
        )
    if (kept.sum(axis=0) > 0).sum() < 2:
        return _everyone_alike(len(kept), left_out)
    ways, times = np.unique(kept, axis=0, return_counts=True)
    agreed = (ways * (ways - 1)).sum(axis=1) / (usual * (usual - 1))

    def kappas(drawn: NDArray[np.int_]) -> NDArray[np.float64]:
        share = (drawn @ ways) / (len(kept) * usual)
        return _beyond_chance(1 - drawn @ agreed / len(kept), 1 - (share**2).sum(axis=1))

    drawn = kappas(rng.multinomial(len(kept), times / len(kept), size=resamples))
    return _kappa(float(kappas(times[None])[0]), drawn, len(kept), confidence, left_out)


def _beyond_chance(
    observed: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 - observed over expected disagreement; nan where chance leaves none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected > 1e-12, 1 - observed / expected, np.nan))


def _kappa(
    value: float,
    drawn: NDArray[np.float64],
    items: int,
    confidence: float,
    left_out: int = 0,
    *,
    units: int | None = None,
) -> Kappa:
    found = drawn[np.isfinite(drawn)]
    independent = units or items
    low, high = percentiles(
        found if len(found) else np.array([value]), value, confidence, units=independent
    )
    if math.isclose(low, high, abs_tol=1e-12):
        # Every resample alike is no certainty: some items may have been judged at random.
        edge = value * (1 - hidden_share(independent, confidence=confidence))
        low, high = min(low, edge), max(high, edge)
    return Kappa(
        kappa=Estimate(value, low, high, confidence, items), items=items, left_out=left_out
    )


def _everyone_alike(items: int, left_out: int = 0) -> Kappa:
    return Kappa(
        kappa=None,
        items=items,
        left_out=left_out,
        reason="Everyone gave the same answer everywhere, so chance cannot be told apart.",
    )
