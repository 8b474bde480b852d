"""A number with an honest interval, and the one way to get it from judgements of prompts.

Answers to one prompt resemble each other, so prompts, not answers, are the independent unit. Data
without any variation (every prompt won, every answer a tie) would shrink such an interval to a
point, which is certainty out of nothing; then the interval says how much disagreement the prompts
asked so far could have hidden (`hidden_share`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from storage.errors import InvalidData, InvalidOption, TooLittleData


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval that covers the truth `confidence` of the time."""

    value: float
    low: float
    high: float
    confidence: float
    n: int
    """Judgements behind the number. The interval may rest on fewer independent prompts."""

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise InvalidData(f"An estimate needs finite numbers; got {asdict(self)}.")

    def as_json(self) -> dict[str, float | int]:
        """The form in which commands, pages and model cards carry an estimate: fractions."""
        return asdict(self)

    def __str__(self) -> str:
        """As people read it: `63 % [55, 71]`."""
        return f"{self.value:.0%} [{100 * self.low:.0f}, {100 * self.high:.0f}]".replace("%", " %")


def clustered_mean(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    what: str = "A mean",
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    r"""Mean of bounded values, with prompts (clusters) as the independent unit.

    With e_g the sum of the deviations from the mean within prompt g, and G prompts,

        se = sqrt( G / (G - 1) * sum_g e_g^2 ) / n,    interval = mean +- t(G - 1) * se.

    Where at most one prompt differs from the typical (median) prompt, there is next to no variation
    to estimate se from. The interval then also covers what the mean would be if a `hidden_share` of
    all prompts went to either extreme.

    Args:
        values: Shape (n,), within `bounds`.
        clusters: Which prompt each value belongs to; shape (n,).
        what: Subject of the sentence that says there is too little data.
        confidence: Coverage of the interval, strictly between 0 and 1.
        bounds: Lowest and highest value there can be.

    Raises:
        TooLittleData: Fewer than two clusters.

    Source:
        Miller (2024), "Adding Error Bars to Evals", arXiv:2411.00640 (clustered standard errors).
        The guard is ours: Clopper and Pearson (1934) on prompts.
    """
    value, labels = vector(values), label_column(clusters)
    check_lengths(value, labels)
    check_confidence(confidence)
    _, cluster = np.unique(labels, return_inverse=True)
    count = int(cluster.max(initial=-1)) + 1
    if count < 2:
        raise TooLittleData(f"{what} needs judgements of at least 2 prompts; there are {count}.")

    mean = float(value.mean())
    deviation = np.bincount(cluster, weights=value - mean)
    error = math.sqrt(float((deviation**2).sum()) * count / (count - 1)) / value.size
    reach = float(stats.t.ppf((1 + confidence) / 2, df=count - 1)) * error
    low, high = mean - reach, mean + reach

    per_cluster = np.bincount(cluster, weights=value) / np.bincount(cluster)
    typical = float(np.median(per_cluster))
    differing = int((~np.isclose(per_cluster, typical, rtol=0, atol=1e-9)).sum())
    if differing <= 1:
        hidden = hidden_share(count, seen=differing, confidence=confidence)
        low = min(low, typical - hidden * (typical - bounds[0]))
        high = max(high, typical + hidden * (bounds[1] - typical))
    return Estimate(mean, max(bounds[0], low), min(bounds[1], high), confidence, value.size)


def weighted_sum(parts: Iterable[tuple[float, Estimate]]) -> Estimate:
    r"""A sum of independent estimates, each times its weight; a difference has weights 1 and -1.

    With weights c_k, values v_k and interval ends l_k, u_k (exchanged where c_k < 0),

        low = sum_k c_k v_k - sqrt( sum_k (c_k v_k - c_k l_k)^2 ),    high likewise from u_k,

    so that lopsided intervals, such as those near 100 %, stay lopsided.

    Args:
        parts: (weight, estimate), estimates of the same confidence from different prompts.

    Source:
        Zou and Donner (2008), "Construction of confidence limits about effect measures",
        Statistics in Medicine 27 (MOVER).
    """
    terms = list(parts)
    value = sum(weight * each.value for weight, each in terms)

    def reach(downwards: bool) -> float:
        return math.hypot(
            *(
                weight * (each.value - (each.low if downwards == (weight > 0) else each.high))
                for weight, each in terms
            )
        )

    (confidence,) = {each.confidence for _, each in terms}
    judgements = sum(each.n for _, each in terms)
    return Estimate(value, value - reach(True), value + reach(False), confidence, judgements)


def hidden_share(units: int, *, seen: int = 0, confidence: float = 0.95) -> float:
    """Largest share of all prompts that may be unlike the rest when `seen` of `units` were.

    The upper end of Clopper and Pearson's exact two-sided interval; with none seen it is
    1 - ((1 - confidence) / 2) ** (1 / units), about 17 % after 20 prompts that all agree.
    """
    return float(stats.beta.ppf((1 + confidence) / 2, seen + 1, units - seen))


def plain(value: Any) -> Any:
    """What a report holds, at any depth, as JSON carries it: estimates become objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def percentiles(found: NDArray[np.float64], value: float, confidence: float) -> tuple[float, float]:
    """Percentile interval, stretched to hold the estimate itself where the bootstrap is skewed."""
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), value), max(float(high), value)


def vector(numbers: ArrayLike) -> NDArray[np.float64]:
    """Numbers as a column.

    Raises:
        InvalidData: One of them is nan or infinite.
    """
    column = np.asarray(numbers, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"Expected one number per judgement; got shape {column.shape}.")
    if not np.isfinite(column).all():
        raise InvalidData(
            f"{int((~np.isfinite(column)).sum())} of {column.size} scores are not numbers"
            " (nan or infinite), so nothing can be computed from them."
        )
    return column


def label_column(labels: ArrayLike) -> NDArray[Any]:
    """Names of prompts, items or annotators as a column."""
    column = np.asarray(labels)
    if column.ndim != 1:
        raise ValueError(f"Expected one label per judgement; got shape {column.shape}.")
    return column


def check_lengths(*columns: NDArray[Any]) -> None:
    """Refuse columns that do not belong together."""
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"Columns of different lengths: {[len(column) for column in columns]}.")


def check_confidence(confidence: float) -> None:
    """Refuse a coverage that is no probability.

    Raises:
        InvalidOption: It does not lie strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InvalidOption("confidence", "must lie strictly between 0 and 1", confidence)
