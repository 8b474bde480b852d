"""Hints of personal data in prompts and answers, counted; what is shown of them is masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from evaluation.linting.entries import Entry
from evaluation.linting.findings import EXAMPLES, Example, Finding, Severity, counted, percent
from evaluation.linting.masking import KINDS, hints, masked

_AROUND = 25
"""Characters shown on either side of a hint."""


@dataclass(slots=True)
class PersonalData:
    """How many entries hold each kind of hint."""

    entries: int = 0
    holding: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[Example]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def look(self, entry: Entry) -> None:
        """Take one entry in."""
        self.entries += 1
        met: set[str] = set()
        for text in (*(turn["content"] for turn in entry.prompt), *entry.responses):
            for hint in hints(text):
                if hint.kind in met:
                    continue
                met.add(hint.kind)
                if len(self.shown[hint.kind]) < EXAMPLES:
                    safe = masked(text)[max(0, hint.start - _AROUND) : hint.end + _AROUND]
                    self.shown[hint.kind].append(
                        Example(place=entry.place, text=" ".join(safe.split()))
                    )
        self.holding.update(met)

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind that was met."""
        for kind in KINDS:
            count = self.holding[kind]
            if count:
                share = count / self.entries
                article = "an" if kind[0] in "eI" else "a"
                yield Finding(
                    name=f"personal-data-{kind.lower().replace(' ', '-')}",
                    severity=Severity.WARNING,
                    sentence=f"{counted(count, 'row holds', 'rows hold')} what looks like"
                    f" {article} {kind} ({percent(share)}).",
                    advice="Look whether it is a real person's. If so, take it out or make it up:"
                    " a model may learn it by heart, and annotators should not see it.",
                    count=count,
                    share=share,
                    examples=tuple(self.shown[kind]),
                )
