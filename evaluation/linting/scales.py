"""On which scale ratings are, how they become 1 to 7, and who always gives the same one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from evaluation.linting.entries import Entry, RawRating, Refused
from evaluation.linting.findings import EXAMPLES, Example, Finding, Severity, counted, percent
from storage.records import HIGHEST_RATING, LOWEST_RATING

SCALES = ((1, 5), (1, 7), (1, 10), (0, 1), (0, 4), (0, 5), (0, 10), (0, 100), (-1, 1))
"""Scales in use: the first that holds every rating is taken, those from 1 before those from 0."""
FEWEST = 20
"""Ratings of one annotator from which on always the same one is odd."""
OURS = (float(LOWEST_RATING), float(HIGHEST_RATING))


@dataclass(slots=True)
class Ratings:
    """Ratings as the file writes them and as they are read, counted."""

    declared: Counter[tuple[float, float]] = field(default_factory=Counter)
    bare: Counter[float] = field(default_factory=Counter)
    """Values without a scale."""
    outside: int = 0
    outside_shown: list[Example] = field(default_factory=list)
    bare_outside_shown: list[Example] = field(default_factory=list)
    read: Counter[float] = field(default_factory=Counter)
    """Values from 1 to 7."""
    by_annotator: dict[str, Counter[float]] = field(default_factory=lambda: defaultdict(Counter))

    def look(self, entry: Entry | Refused) -> None:
        """Take one entry in."""
        for rating in entry.raw:
            self._look_at(rating, entry.place)
        if isinstance(entry, Entry):
            for score in entry.scores:
                self.read[score.value] += 1
                self.by_annotator[f"{score.annotator} on {score.aspect}"][score.value] += 1

    def _look_at(self, rating: RawRating, place: str) -> None:
        if rating.low is None or rating.high is None:
            self.bare[rating.value] += 1
            if not OURS[0] <= rating.value <= OURS[1] and len(self.bare_outside_shown) < EXAMPLES:
                self.bare_outside_shown.append(Example(place=place, text=f"{rating.value:g}"))
            return
        self.declared[rating.low, rating.high] += 1
        if not rating.low <= rating.value <= rating.high:
            self.outside += 1
            if len(self.outside_shown) < EXAMPLES:
                said = f"{rating.value:g} on a scale from {rating.low:g} to {rating.high:g}"
                self.outside_shown.append(Example(place=place, text=said))

    def findings(self) -> Iterator[Finding]:
        """What is odd about the ratings."""
        yield from self._out_of_scale()
        yield from self._without_scale()
        yield from self._mapped()
        yield from self._habits()

    def _out_of_scale(self) -> Iterator[Finding]:
        if self.outside:
            share = self.outside / self.declared.total()
            yield Finding(
                name="rating-out-of-scale",
                severity=Severity.ERROR,
                sentence=f"{counted(self.outside, 'rating lies', 'ratings lie')} outside the scale"
                f" of {'its' if self.outside == 1 else 'their'} own line ({percent(share)}).",
                advice="Mend the rating, or scale_min and scale_max; an import refuses the line.",
                count=self.outside,
                share=share,
                examples=tuple(self.outside_shown),
            )

    def _without_scale(self) -> Iterator[Finding]:
        found = detected_scale(self.bare)
        if found is None or found == OURS:
            return
        low, high = min(self.bare), max(self.bare)
        refused = sum(n for value, n in self.bare.items() if not OURS[0] <= value <= OURS[1])
        meaning = (
            f"an import refuses {counted(refused, 'line')}"
            if refused
            else f"an import takes them for 1 to 7, so that the best, {high:g}, counts as middling"
        )
        yield Finding(
            name="scale-not-given",
            severity=Severity.ERROR if refused else Severity.WARNING,
            sentence=f"{counted(self.bare.total(), 'rating comes', 'ratings come')} without a scale"
            f" and {'run' if len(self.bare) > 1 else 'is'} from {low:g} to {high:g}: it looks like"
            f" {found[0]:g} to {found[1]:g}, and {meaning}.",
            advice=f"Import it with --option scale_min={found[0]:g} --option"
            f' scale_max={found[1]:g}, or write "scale_min": {found[0]:g}, "scale_max":'
            f" {found[1]:g} into every line; then {formula(*found)}.",
            count=self.bare.total(),
            share=self.bare.total() / (self.bare.total() + self.declared.total()),
            examples=tuple(self.bare_outside_shown),
        )

    def _mapped(self) -> Iterator[Finding]:
        foreign = {scale: times for scale, times in self.declared.items() if scale != OURS}
        if foreign:
            told = ", ".join(
                f"{low:g} to {high:g} ({times:,}, {formula(low, high)})"
                for (low, high), times in sorted(foreign.items())
                if low < high
            )
            yield Finding(
                name="scale-mapped",
                severity=Severity.NOTE,
                sentence=f"{counted(sum(foreign.values()), 'rating')} on other scales than 1 to 7"
                f" {'is' if sum(foreign.values()) == 1 else 'are'} mapped by the scale of the line:"
                f" {told}.",
                advice="Ends meet ends. Whether the middles mean the same, only people can say:"
                " compare ratings within one scale where you can.",
                count=sum(foreign.values()),
                share=sum(foreign.values()) / (self.declared.total() + self.bare.total()),
            )

    def _habits(self) -> Iterator[Finding]:
        always = [
            (who, next(iter(values)), values.total())
            for who, values in sorted(self.by_annotator.items())
            if len(values) == 1 and values.total() >= FEWEST
        ]
        if always:
            yield Finding(
                name="always-one-rating",
                severity=Severity.WARNING,
                sentence=f"{counted(len(always), 'annotator gives', 'annotators give')} always the"
                f" same rating of an aspect, in {FEWEST} ratings or more.",
                advice="Such ratings tell nothing of the answers; leave these annotators out, or"
                " ask them what they mean.",
                count=len(always),
                share=len(always) / len(self.by_annotator),
                examples=tuple(
                    Example(place=who, text=f"{value:g} in all of {times:,}")
                    for who, value, times in always[:EXAMPLES]
                ),
            )


def detected_scale(values: Counter[float]) -> tuple[float, float] | None:
    """The scale that values without one are most likely on.

    None where there are fewer than two different values, or no scale in use holds them.
    """
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    for lowest, highest in SCALES:
        if lowest <= low and high <= highest:
            return float(lowest), float(highest)
    return None


def formula(low: float, high: float) -> str:
    """How a rating r from `low` to `high` becomes one from 1 to 7, in words and numbers."""
    moved = "r" if low == 0 else f"(r {'-' if low > 0 else '+'} {abs(low):g})"
    factor = (HIGHEST_RATING - LOWEST_RATING) / (high - low)
    return f"r becomes 1 + {factor:g} {moved}"
