"""Whether longer answers win: what a model could learn by counting characters."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from evaluation.intervals import Estimate, clustered_mean, label_column, numbered
from evaluation.leakage import question
from evaluation.linting.entries import Entry, fingerprint
from evaluation.linting.findings import Finding, Severity, percent
from storage.errors import TooLittleData

BIASED = 0.6
"""Share of longer chosen answers (or of shorter ones) from which on it is a warning."""
CORRELATED = 0.3
"""Rank correlation of rating and length from which on it is a warning."""
FEWEST_PROMPTS = 10
"""Below this nothing is said about correlation."""


@dataclass(slots=True)
class Lengths:
    """Lengths in characters of all that was chosen, rejected and rated; 8 bytes each."""

    chosen: array[int] = field(default_factory=lambda: array("Q"))
    rejected: array[int] = field(default_factory=lambda: array("Q"))
    prompts: array[int] = field(default_factory=lambda: array("Q"))
    rated: array[int] = field(default_factory=lambda: array("Q"))
    ratings: array[float] = field(default_factory=lambda: array("d"))
    rated_prompts: array[int] = field(default_factory=lambda: array("Q"))

    def look(self, entry: Entry) -> None:
        """Take one entry in."""
        if not (entry.verdicts or entry.scores):
            return
        asks = fingerprint(question(entry.prompt))
        for _, chosen, rejected in entry.decided():
            self.chosen.append(len(chosen))
            self.rejected.append(len(rejected))
            self.prompts.append(asks)
        for score in entry.scores:
            self.rated.append(len(entry.responses[score.response]))
            self.ratings.append(score.value)
            self.rated_prompts.append(asks)

    def findings(self) -> Iterator[Finding]:
        """How far length decides."""
        longer = self.longer_chosen()
        if longer is not None:
            yield _longer(longer)
        along = self.with_rating()
        if along is not None:
            yield _along(along)

    def longer_chosen(self) -> Estimate | None:
        """Share of comparisons won by the longer answer, prompts as clusters.

        Ties, and answers of one length, do not count. None with fewer than two prompts.
        """
        chosen, rejected = (
            np.frombuffer(of, dtype=np.uint64) for of in (self.chosen, self.rejected)
        )
        unequal = chosen != rejected
        try:
            return clustered_mean(
                (chosen > rejected)[unequal].astype(float),
                np.frombuffer(self.prompts, dtype=np.uint64)[unequal],
                what="The share of longer answers",
            )
        except TooLittleData:
            return None

    def with_rating(self) -> Estimate | None:
        r"""Spearman's rank correlation of rating and length.

        The interval is Fisher's, with every prompt counting once, since ratings of one prompt
        resemble each other: tanh(atanh(r) +- z * 1.03 / sqrt(prompts - 3)).

        None where there are few prompts, or all ratings or lengths are equal.

        Source:
            Fieller, Hartley and Pearson (1957), Biometrika 44: the variance 1.06 / (n - 3).
        """
        lengths = np.frombuffer(self.rated, dtype=np.uint64).astype(float)
        ratings = np.frombuffer(self.ratings, dtype=np.float64)
        if not self.rated_prompts or np.ptp(lengths) == 0 or np.ptp(ratings) == 0:
            return None
        _, prompts = numbered(label_column(np.frombuffer(self.rated_prompts, dtype=np.uint64)))
        if prompts < FEWEST_PROMPTS:
            return None
        found = float(stats.spearmanr(lengths, ratings).statistic)
        middle = math.atanh(max(-0.999999, min(0.999999, found)))
        reach = float(stats.norm.ppf(0.975)) * math.sqrt(1.06 / (prompts - 3))
        low, high = math.tanh(middle - reach), math.tanh(middle + reach)
        return Estimate(found, min(low, found), max(high, found), 0.95, len(self.rated))


def _longer(longer: Estimate) -> Finding:
    side = "longer" if longer.value >= 0.5 else "shorter"
    share = max(longer.value, 1 - longer.value)
    certain = not longer.low <= 0.5 <= longer.high
    return Finding(
        name="length-bias",
        severity=Severity.WARNING if certain and share >= BIASED else Severity.NOTE,
        sentence=f"The longer answer was chosen in {percent(longer.value)} of {longer.n:,} decided"
        f" comparisons (95 % interval {100 * longer.low:.0f} to {100 * longer.high:.0f} %, by"
        " prompt).",
        advice=f"A model that only counts characters and prefers {side} answers is right as often."
        " Hold every reward model against that, and read win rates at equal length.",
        count=round(longer.value * longer.n),
        share=longer.value,
    )


def _along(along: Estimate) -> Finding:
    certain = not along.low <= 0 <= along.high
    how = "higher" if along.value > 0 else "lower"
    told = f"Longer answers are rated {how}." if certain else "That may be chance."
    return Finding(
        name="rating-follows-length",
        severity=Severity.WARNING if certain and abs(along.value) >= CORRELATED else Severity.NOTE,
        sentence=f"Ratings and lengths have a rank correlation of {along.value:.2f} (95 % interval"
        f" {along.low:.2f} to {along.high:.2f}) over {along.n:,} ratings.",
        advice=f"{told} At 0, length would tell nothing. Hold every reward model against length"
        " alone.",
        count=along.n,
        share=abs(along.value),
    )
