"""Comparisons that were decided: which answer was chosen, which rejected, and by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from feedback.exporters.source import Source, Told
from storage.records import Comparison, Response

TIES = "ties"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A comparison that was not a tie, with the texts it is about."""

    told: Told
    comparison: Comparison
    chosen: Response
    rejected: Response

    @property
    def strength(self) -> int | None:
        """1 slightly better ... 3 much better; None where only the direction was asked."""
        return abs(self.comparison.choice) if self.comparison.graded else None

    @property
    def rating_gap(self) -> float | None:
        """Rating of the chosen answer minus that of the rejected one, in points of the 1-7 scale.

        Both by the same annotator in the same sitting, each the mean over its aspects; None where
        one of them was not rated. Below 0 where ratings and choice contradict each other.
        """
        chosen, rejected = self.told.rating(self.chosen.id), self.told.rating(self.rejected.id)
        return None if chosen is None or rejected is None else chosen - rejected


def decided(source: Source, left_out: Counter[str]) -> Iterator[Decided]:
    """Stream them, oldest first, and count the ties."""
    for told in source.told():
        for comparison in told.judgement.comparisons:
            if comparison.preferred is None:
                left_out[TIES] += 1
                continue
            rejected = (
                comparison.right if comparison.preferred == comparison.left else comparison.left
            )
            yield Decided(
                told=told,
                comparison=comparison,
                chosen=told.responses[comparison.preferred],
                rejected=told.responses[rejected],
            )
