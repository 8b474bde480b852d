"""Verdicts that teach nothing or contradict each other, and answers given out of habit."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation.intervals import Estimate, clustered_mean
from evaluation.leakage import question
from evaluation.linting.entries import Entry, fingerprint
from evaluation.linting.findings import (
    EXAMPLES,
    Example,
    Finding,
    Severity,
    counted,
    example,
    percent,
)
from feedback.importers.records import UNKNOWN_ANNOTATOR
from storage.errors import TooLittleData

FEWEST = 20
"""Judgements of one annotator from which on always the same answer is odd. By chance, with two
answers equally likely, it happens once in half a million."""
MANY_TIES = 0.5
"""Share of ties from which on comparisons teach little."""
ALWAYS = 0.95
"""Share of one answer that counts as always."""


@dataclass(slots=True)
class Verdicts:
    """All choices, counted; who said what of which two answers, in 9 bytes each."""

    choices: Counter[str] = field(default_factory=Counter)
    same: int = 0
    same_shown: list[Example] = field(default_factory=list)
    pairs: array[int] = field(default_factory=lambda: array("Q"))
    signs: array[int] = field(default_factory=lambda: array("b"))
    of: array[int] = field(default_factory=lambda: array("Q"))
    lefts: array[int] = field(default_factory=lambda: array("b"))
    prompts: array[int] = field(default_factory=lambda: array("Q"))
    by_annotator: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def look(self, ordinal: int, entry: Entry) -> None:
        """Take one entry in."""
        if entry.same:
            self.same += entry.same
            if len(self.same_shown) < EXAMPLES:
                self.same_shown.append(example(entry.place, entry.asked, *entry.responses[:1]))
        asks = fingerprint(question(entry.prompt)) if entry.verdicts else 0
        for verdict in entry.verdicts:
            said = _SIDES[(verdict.choice > 0) - (verdict.choice < 0)]
            self.choices[said] += 1
            if entry.sides:
                self.by_annotator[verdict.annotator][said] += 1
                if verdict.choice:
                    self.lefts.append(verdict.choice < 0)
                    self.prompts.append(asks)
            left, right = entry.responses[verdict.left], entry.responses[verdict.right]
            if verdict.choice and verdict.annotator != UNKNOWN_ANNOTATOR and left != right:
                turned = left > right
                self.pairs.append(fingerprint(verdict.annotator, asks, *sorted((left, right))))
                self.signs.append((1 if verdict.choice > 0 else -1) * (-1 if turned else 1))
                self.of.append(ordinal)

    def findings(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        """What is odd about the verdicts."""
        yield from self._same()
        yield from self._contradictions(kept)
        yield from self._sides()
        yield from self._habits()

    def _same(self) -> Iterator[Finding]:
        if self.same:
            every = max(self.same, self.choices.total())
            yield Finding(
                name="chosen-equals-rejected",
                severity=Severity.ERROR,
                sentence=f"{counted(self.same, 'comparison holds', 'comparisons hold')} an answer"
                f" against itself ({percent(self.same / every)}): chosen equals rejected.",
                advice="Nothing can be learnt from them: take them out. An import leaves them out.",
                count=self.same,
                share=self.same / every,
                examples=tuple(self.same_shown),
            )

    def contradicted(self) -> set[int]:
        """Numbers of those pairs that one annotator judged in both directions."""
        pairs = np.frombuffer(self.pairs, dtype=np.uint64)
        signs = np.frombuffer(self.signs, dtype=np.int8)
        return set(np.intersect1d(pairs[signs > 0], pairs[signs < 0]).tolist())

    def _contradictions(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        both = self.contradicted()
        if not both:
            return
        share = len(both) / len(set(self.pairs))
        where: dict[int, list[Entry]] = {}
        for pair, ordinal in zip(self.pairs, self.of, strict=True):
            if pair in both and ordinal in kept:
                where.setdefault(pair, []).append(kept[ordinal])
                if len(where) > EXAMPLES:
                    break
        yield Finding(
            name="contradictory-verdicts",
            severity=Severity.WARNING,
            sentence=f"{counted(len(both), 'pair of answers was', 'pairs of answers were')} judged"
            f" both ways by the same annotator ({percent(share)}).",
            advice="People do change their minds. Keep the last word, or both, as votes on a close"
            " pair; many from one annotator are a reason to look at the Quality page.",
            count=len(both),
            share=share,
            examples=tuple(
                example(" and ".join(dict.fromkeys(e.place for e in them)), them[0].asked)
                for them in list(where.values())[:EXAMPLES]
            ),
        )

    def left_share(self) -> Estimate | None:
        """Share of decided choices for the left side of a screen; None without two prompts."""
        try:
            return clustered_mean(
                np.frombuffer(self.lefts, dtype=np.int8).astype(float),
                np.frombuffer(self.prompts, dtype=np.uint64),
                what="The share of left",
            )
        except TooLittleData:
            return None

    def _sides(self) -> Iterator[Finding]:
        left = self.left_share()
        if left is not None and not left.low <= 0.5 <= left.high:
            side = "left" if left.value > 0.5 else "right"
            share = max(left.value, 1 - left.value)
            yield Finding(
                name="one-side-preferred",
                severity=Severity.WARNING,
                sentence=f"The answer on the {side} was chosen in {percent(share)} of"
                f" {left.n:,} decided comparisons; the {100 * left.confidence:.0f} % interval of"
                f" the share of left, {_range(left)}, leaves 50 % out.",
                advice="Either the better answers were put on that side, or people prefer it. Draw"
                " the side by chance for every task, as Tandem does.",
                count=round(share * left.n),
                share=share,
            )
        ties, every = self.choices["tie"], self.choices.total()
        if every and ties / every > MANY_TIES:
            yield Finding(
                name="many-ties",
                severity=Severity.NOTE,
                sentence=f"{counted(ties, 'comparison')} of {every:,} are ties"
                f" ({percent(ties / every)}).",
                advice="The answers may be too alike: compare policies that differ more, or sample"
                " at a higher temperature.",
                count=ties,
                share=ties / every,
            )

    def _habits(self) -> Iterator[Finding]:
        always = []
        for annotator, said in sorted(self.by_annotator.items()):
            answer, times = max(said.items(), key=lambda one: (one[1], one[0]))
            if said.total() >= FEWEST and times / said.total() >= ALWAYS:
                always.append((annotator, answer, times, said.total()))
        if always:
            yield Finding(
                name="always-one-choice",
                severity=Severity.WARNING,
                sentence=f"{counted(len(always), 'annotator gives', 'annotators give')} nearly"
                f" always the same choice, in {FEWEST} comparisons or more.",
                advice="Look at these annotators on the Quality page before you learn from them.",
                count=len(always),
                share=len(always) / len(self.by_annotator),
                examples=tuple(
                    example(name, f"{answer} in {times:,} of {every:,}")
                    for name, answer, times, every in always[:EXAMPLES]
                ),
            )


_SIDES = {-1: "left", 0: "tie", 1: "right"}


def _range(found: Estimate) -> str:
    return f"{100 * found.low:.0f} to {100 * found.high:.0f} %"
