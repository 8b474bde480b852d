"""Answers that are not whole: without text, cut short, or with a code block left open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from evaluation.linting.entries import Entry, Refused, fingerprint
from evaluation.linting.findings import (
    EXAMPLES,
    LONGEST,
    Example,
    Finding,
    Severity,
    counted,
    excerpt,
    percent,
)

FEWEST_WORDS = 20
"""Below this an answer without a full stop may be a name, a number or a title."""
MANY = 0.05
"""Share of cut answers from which on it is a warning."""
FEWEST_AT_MOST = 5
"""Different answers that have exactly the greatest length, from which on that is no accident."""
AT_MOST = 0.01
"""Share of all answers that they need to be, too."""
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_OPEN = re.compile(r"[\w,;(\[{–-]$")
"""How a sentence does not end: with a letter, a digit, a comma, an open bracket, a dash."""
_NO_SENTENCE = re.compile(r"^\s*(?:[-*+•#>|]|\d+[.)]|https?://|\w+:\s)")
"""How lines begin that need no full stop: of lists, tables, headings, addresses, `Name: value`."""


@dataclass(slots=True)
class Longest:
    """The greatest length there is, and the texts that have it."""

    most: int = 0
    texts: set[int] = field(default_factory=set)
    """Their fingerprints: one answer judged many times is one."""

    def look(self, length: int, text: str) -> None:
        """Take one text in."""
        if length > self.most:
            self.most = length
            self.texts.clear()
        if length == self.most:
            self.texts.add(fingerprint(text))


@dataclass(slots=True)
class Endings:
    """Counts of answers that end oddly, and of the lengths there are."""

    answers: int = 0
    empty: int = 0
    empty_shown: list[Example] = field(default_factory=list)
    cut: int = 0
    cut_shown: list[Example] = field(default_factory=list)
    fences: int = 0
    fences_shown: list[Example] = field(default_factory=list)
    characters: Longest = field(default_factory=Longest)
    words: Longest = field(default_factory=Longest)

    def look(self, entry: Entry | Refused) -> None:
        """Take one entry in."""
        if isinstance(entry, Refused):
            if entry.empty:
                self.empty += 1
                _show(self.empty_shown, entry.place, entry.reason)
            return
        for text in entry.responses:
            self.answers += 1
            self.characters.look(len(text), text)
            self.words.look(len(text.split()), text)
            if has_open_fence(text):
                self.fences += 1
                _show(self.fences_shown, entry.place, text)
            elif is_cut(text):
                self.cut += 1
                _show(self.cut_shown, entry.place, text)

    def findings(self) -> Iterator[Finding]:
        """What is odd about how answers end."""
        if self.empty:
            share = self.empty / (self.empty + self.answers)
            yield Finding(
                name="empty-answers",
                severity=Severity.ERROR,
                sentence=f"{counted(self.empty, 'line has', 'lines have')} an answer without text.",
                advice="Take these lines out; an import refuses them.",
                count=self.empty,
                share=share,
                examples=tuple(self.empty_shown),
            )
        if self.cut:
            share = self.cut / self.answers
            yield Finding(
                name="cut-answers",
                severity=Severity.WARNING if share >= MANY else Severity.NOTE,
                sentence=f"{counted(self.cut, 'answer ends', 'answers end')} in the middle of a"
                f" sentence ({percent(share)} of {self.answers:,}).",
                advice="Raise the limit of tokens they were sampled with; people and models judge"
                " a cut answer by its end.",
                count=self.cut,
                share=share,
                examples=tuple(self.cut_shown),
            )
        if self.fences:
            share = self.fences / self.answers
            yield Finding(
                name="open-code-block",
                severity=Severity.WARNING if share >= MANY else Severity.NOTE,
                sentence=f"{counted(self.fences, 'answer opens', 'answers open')} a code block"
                f" that is never closed ({percent(share)}).",
                advice="Most likely the limit of tokens cut them.",
                count=self.fences,
                share=share,
                examples=tuple(self.fences_shown),
            )
        yield from self._at_most()

    def _at_most(self) -> Iterator[Finding]:
        for longest, unit in ((self.characters, "characters"), (self.words, "words")):
            count = len(longest.texts)
            share = count / self.answers if self.answers else 0.0
            if longest.most > FEWEST_WORDS and count >= FEWEST_AT_MOST and share >= AT_MOST:
                yield Finding(
                    name="common-greatest-length",
                    severity=Severity.WARNING,
                    sentence=f"{counted(count, 'different answer has', 'different answers have')}"
                    f" exactly {longest.most:,} {unit} ({percent(share)}), and none has more:"
                    " something cut them.",
                    advice="Look for a limit in the program that wrote the file; write it anew.",
                    count=count,
                    share=share,
                )
                return


def is_cut(text: str) -> bool:
    """Whether an answer of prose breaks off: long enough, and its last line ends no sentence."""
    whole = text.rstrip()
    if not _OPEN.search(whole) or len(whole.split()) < FEWEST_WORDS:
        return False
    last = whole.rsplit("\n", 1)[-1]
    # Verses, signatures and code end in short lines, without a full stop.
    return len(last.split()) >= 5 and not _NO_SENTENCE.match(last) and not _FENCE.search(whole)


def has_open_fence(text: str) -> bool:
    """Whether a Markdown code block is opened and never closed."""
    return len(_FENCE.findall(text)) % 2 == 1


def _show(shown: list[Example], place: str, text: str) -> None:
    """Keep an example, of its end."""
    if len(shown) < EXAMPLES:
        shown.append(Example(place=place, text=excerpt(text, max(0, len(text) - LONGEST // 2))))
