"""A number with an honest interval, and the one way to get it from judgements of prompts.

Answers to one prompt resemble each other, so prompts, not answers, are the independent unit. Data
without any variation (every prompt won, every answer a tie) would shrink such an interval to a
point, which is certainty out of nothing; then the interval says how much disagreement the prompts
asked so far could have hidden (`hidden_share`). Votes of one person resemble each other, too; where
there are enough people (`enough_raters`), an interval can be about other prompts and other people
at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from storage.errors import InvalidData, InvalidOption, TooLittleData

FEWEST_RATERS = 8
"""Below this the spread between raters is known too badly for an interval about other raters."""

Codes = NDArray[np.int64]


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

    def mirrored(self) -> Estimate:
        """The same share from the other side: what is left of the whole."""
        return Estimate(1 - self.value, 1 - self.high, 1 - self.low, self.confidence, self.n)

    def __str__(self) -> str:
        """As people read it: `63 % [55, 71]`."""
        return f"{self.value:.0%} [{100 * self.low:.0f}, {100 * self.high:.0f}]".replace("%", " %")


def clustered_mean(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    raters: ArrayLike | None = None,
    what: str = "A mean",
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    r"""Mean of bounded values, with prompts (clusters) as the independent unit, or raters as well.

    With e_g the sum of the deviations from the mean within prompt g, and G prompts,

        V = G / (G - 1) * sum_g e_g^2 / n^2,    interval = mean +- t(G - 1) * sqrt(V).

    With raters, the same sum over raters is added, and that over what one rater said of one prompt,
    which both have counted, is taken off; t has min(prompts, raters) - 1 degrees of freedom:

        V = V_prompts + V_raters - V_both.

    That is an estimate and may come out below V_prompts, or below 0; then V_prompts stands. So the
    interval is never narrower than without raters.

    Where at most one prompt differs from the typical (median) prompt, there is next to no variation
    to estimate V from. The interval then also covers what the mean would be if a `hidden_share` of
    all prompts (or raters, where they are fewer) went to either extreme.

    Args:
        values: Shape (n,), within `bounds`.
        clusters: Which prompt each value belongs to; shape (n,).
        raters: Who gave each value, shape (n,). The interval is then about other raters, too; below
            `FEWEST_RATERS` it is not to be trusted. None speaks of these raters.
        what: Subject of the sentence that says there is too little data.
        confidence: Coverage of the interval, strictly between 0 and 1.
        bounds: Lowest and highest value there can be.

    Raises:
        TooLittleData: Fewer than two clusters, or fewer than two raters.

    Source:
        Miller (2024), "Adding Error Bars to Evals", arXiv:2411.00640 (clustered standard errors).
        Cameron, Gelbach and Miller (2011), "Robust Inference With Multiway Clustering", Journal
        of Business and Economic Statistics 29 (two ways).
        The guard is ours: Clopper and Pearson (1934) on prompts.
    """
    value, (cluster, _) = vector(values), numbered(label_column(clusters))
    check_confidence(confidence)
    variance, units = mean_variance(value, cluster, raters, what=what)
    mean = float(value.mean())
    reach = float(stats.t.ppf((1 + confidence) / 2, df=units - 1)) * math.sqrt(variance)
    low, high = mean - reach, mean + reach

    hidden = unseen_variation(
        np.bincount(cluster, weights=value) / np.bincount(cluster),
        units=units,
        confidence=confidence,
        bounds=bounds,
    )
    if hidden is not None:
        low, high = min(low, hidden[0]), max(high, hidden[1])
    return Estimate(mean, max(bounds[0], low), min(bounds[1], high), confidence, value.size)


def mean_variance(
    values: NDArray[np.float64],
    clusters: NDArray[Any],
    raters: ArrayLike | None,
    *,
    what: str,
) -> tuple[float, int]:
    """V of `clustered_mean`, whose square root is the standard error, and the independent units.

    Args:
        values: Shape (n,).
        clusters: Which prompt each value belongs to; shape (n,).
        raters: Who gave each value, shape (n,), or None.
        what: Subject of the sentence that says there is too little data.

    Returns:
        The variance, and the number of prompts, or of raters where they are fewer.

    Raises:
        TooLittleData: Fewer than two prompts, or fewer than two raters.
    """
    check_lengths(values, clusters)
    cluster, count = numbered(clusters)
    if count < 2:
        raise TooLittleData(f"{what} needs judgements of at least 2 prompts; there are {count}.")
    deviation = values - values.mean()
    prompts = _squares(deviation, cluster, count)
    if raters is None:
        return prompts / values.size**2, count
    rater, people = numbered(label_column(raters))
    check_lengths(values, rater)
    if people < 2:
        raise TooLittleData(
            f"{what} that is to hold for other raters needs judgements of at least 2 of them;"
            f" there is {people}."
        )
    both = _squares(deviation, *numbered(cluster * people + rater))
    two_way = prompts + _squares(deviation, rater, people) - both
    return max(prompts, two_way) / values.size**2, min(count, people)


def enough_raters(raters: ArrayLike) -> bool:
    """Whether an interval can be about other raters, too: `clustered_mean` with `raters`.

    With fewer, an interval is about prompts alone, and whoever shows it says that it speaks of
    these raters only.

    Args:
        raters: Who gave each judgement, shape (n,).
    """
    return numbered(label_column(raters))[1] >= FEWEST_RATERS


def unseen_variation(
    per_prompt: NDArray[np.float64],
    *,
    units: int,
    confidence: float,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float] | None:
    """Where a mean may lie although the prompts asked so far are all alike, or all but one.

    Args:
        per_prompt: The mean of each prompt, within `bounds`.
        units: How many independent units there are: prompts, or raters where they are fewer.
        confidence: Of the two ends together.
        bounds: Lowest and highest value there can be.

    Returns:
        The mean if a `hidden_share` of all units went to the lowest and to the highest value; None
        where prompts do vary, so that an interval can be had from the variation seen.
    """
    typical = float(np.median(per_prompt))
    differing = int((~np.isclose(per_prompt, typical, rtol=0, atol=1e-9)).sum())
    if differing > 1:
        return None
    hidden = hidden_share(units, seen=differing, confidence=confidence)
    return typical - hidden * (typical - bounds[0]), typical + hidden * (bounds[1] - typical)


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


def percentiles(
    found: NDArray[np.float64], value: float, confidence: float, *, units: int
) -> tuple[float, float]:
    """Percentile interval of a bootstrap, stretched to hold the estimate itself.

    Percentiles of few units lie too close together, by what Student's t and G / (G - 1) mend
    elsewhere; so percentiles further out are taken, which leave an interval of that width where
    resamples are normal.

    Args:
        found: What each resample gave.
        value: The estimate.
        confidence: Coverage of the interval.
        units: How many independent units are drawn anew, at least 2.

    Source:
        Hesterberg (2015), "What Teachers Should Know About the Bootstrap", American Statistician
        69 (expanded percentiles).
    """
    reach = math.sqrt(units / (units - 1)) * stats.t.isf((1 - confidence) / 2, units - 1)
    tail = float(stats.norm.sf(reach))
    low, high = np.quantile(found, [tail, 1 - tail])
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


def win_scores(scores: ArrayLike) -> NDArray[np.float64]:
    """Scores of a win rate as a column: 1 for a win, 1/2 for a tie, 0 for a loss.

    Raises:
        InvalidData: One of them lies outside [0, 1], or is no number.
    """
    score = vector(scores)
    if score.size and not (score.min() >= 0 and score.max() <= 1):
        raise InvalidData(
            "The scores of a win rate lie between 0 (lost) and 1 (won);"
            f" these reach from {score.min():g} to {score.max():g}."
        )
    return score


def label_column(labels: ArrayLike) -> NDArray[Any]:
    """Names of prompts, items or annotators as a column."""
    column = np.asarray(labels)
    if column.ndim != 1:
        raise ValueError(f"Expected one label per judgement; got shape {column.shape}.")
    return column


def numbered(labels: NDArray[Any]) -> tuple[Codes, int]:
    """Labels as numbers from 0 in the order of their first appearance, and how many there are."""
    # By hashing, which takes a tenth of the time that sorting a million names takes.
    codes, known = pd.factorize(labels, use_na_sentinel=False)
    return codes.astype(np.int64, copy=False), len(known)


def _squares(deviation: NDArray[np.float64], unit: Codes, count: int) -> float:
    """Sum over units of the squared sum of their deviations, times count / (count - 1)."""
    sums = np.bincount(unit, weights=deviation, minlength=count)
    return float(sums @ sums) * count / (count - 1)


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
