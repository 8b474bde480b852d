"""The same again: rows, prompts and answers that come up more than once, letter by letter."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    shortened,
)

FEWEST_LETTERS = 20
"""An answer below this ("Yes.", "B") may well be right for several prompts."""
MANY = 0.05
"""Share of answers from which on one answer to several prompts is odd."""


def _numbers() -> array[int]:
    return array("Q")


@dataclass(slots=True)
class Repeats:
    """Fingerprints of all rows, prompts and answers: 8 bytes each, so a million fit."""

    rows: array[int] = field(default_factory=_numbers)
    prompts: array[int] = field(default_factory=_numbers)
    questions: array[int] = field(default_factory=_numbers)
    answers: array[int] = field(default_factory=_numbers)
    asked: array[int] = field(default_factory=_numbers)
    """The question that each of `answers` was given to."""
    of: array[int] = field(default_factory=_numbers)
    """The entry that each of `answers` belongs to."""

    def look(self, ordinal: int, row: int, entry: Entry) -> None:
        """Take one entry in.

        Args:
            ordinal: Its number, from 0.
            row: Its fingerprint, by `content`.
            entry: The entry.
        """
        asks = fingerprint(question(entry.prompt))
        self.rows.append(row)
        self.prompts.append(fingerprint([(turn["role"], turn["content"]) for turn in entry.prompt]))
        self.questions.append(asks)
        for text in entry.responses:
            if len(text) >= FEWEST_LETTERS:
                self.answers.append(fingerprint(text))
                self.asked.append(asks)
                self.of.append(ordinal)

    def findings(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        """What comes up more than once."""
        yield from self._rows(kept)
        yield from self._prompts(kept)
        yield from self._answers(kept)

    def repeated_rows(self) -> int:
        """Rows that say what another one has said already."""
        return len(self.rows) - len(np.unique(_column(self.rows)))

    def _rows(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        count = self.repeated_rows()
        if not count:
            return
        share = count / len(self.rows)
        yield Finding(
            name="repeated-rows",
            severity=Severity.WARNING,
            sentence=f"{counted(count, 'row says', 'rows say')} exactly what another one says"
            f" ({percent(share)} of all): same prompt, answers, verdict and annotator.",
            advice="An import keeps each, as people do say the same twice. Where they are copies,"
            " take them out, or training counts them twice.",
            count=count,
            share=share,
            examples=_together(_column(self.rows), kept),
        )

    def _prompts(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        prompts, first = np.unique(_column(self.prompts), return_index=True)
        questions = _column(self.questions)[first]
        count = len(prompts) - len(np.unique(questions))
        if not count:
            return
        share = count / len(prompts)
        yield Finding(
            name="same-question",
            severity=Severity.NOTE,
            sentence=f"{counted(count, 'prompt asks', 'prompts ask')} what another one asks"
            f" ({percent(share)} of {len(prompts):,}); they differ in capitals, spaces, punctuation"
            " or the system prompt alone.",
            advice="Write them alike, so that they count as one prompt and stay in one part of the"
            " data.",
            count=count,
            share=share,
            examples=_together(_column(self.questions), kept, among=np.sort(first)),
        )

    def _answers(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        if not self.answers:
            return
        # An answer that several rows judge is one answer to one prompt.
        pairs = np.unique(np.stack([_column(self.answers), _column(self.asked)]), axis=1)
        answers, times = np.unique(pairs[0], return_counts=True)
        count = int(times[times > 1].sum())
        if not count:
            return
        share = count / pairs.shape[1]
        again = answers[np.argsort(-times, kind="stable")][: int((times > 1).sum())]
        yield Finding(
            name="one-answer-to-several-prompts",
            severity=Severity.WARNING if share >= MANY else Severity.NOTE,
            sentence=f"{counted(count, 'answer')} ({percent(share)}) stand word for word under"
            f" another prompt too: {counted(len(again), 'text')}, of at least {FEWEST_LETTERS}"
            " characters.",
            advice="Look whether these are refusals, error messages or mixed-up lines; take out"
            " what does not answer its prompt.",
            count=count,
            share=share,
            examples=self._answers_shown(again, kept),
        )

    def _answers_shown(
        self, again: NDArray[np.uint64], kept: Mapping[int, Entry]
    ) -> tuple[Example, ...]:
        wanted = set(again[: 4 * EXAMPLES].tolist())
        shown: dict[int, Example] = {}
        for place in np.flatnonzero(np.isin(_column(self.answers), list(wanted))).tolist():
            answer, entry = self.answers[place], kept.get(self.of[place])
            if entry is not None and answer not in shown:
                (text,) = {text for text in entry.responses if fingerprint(text) == answer}
                shown[answer] = example(entry.place, text)
        ranked = [shown[answer] for answer in again[: 4 * EXAMPLES].tolist() if answer in shown]
        return tuple(ranked[:EXAMPLES])


def _column(numbers: array[int]) -> NDArray[np.uint64]:
    return np.frombuffer(numbers, dtype=np.uint64) if numbers else np.empty(0, dtype=np.uint64)


def _together(
    column: NDArray[np.uint64], kept: Mapping[int, Entry], *, among: NDArray[np.int64] | None = None
) -> tuple[Example, ...]:
    """Where those stand that share a number, of those that were kept.

    Args:
        column: A number for each entry.
        kept: Entries by their place in the column.
        among: The places that count; None for all.
    """
    places = np.arange(column.size) if among is None else among
    _, group, times = np.unique(column[places], return_inverse=True, return_counts=True)
    shown: dict[int, list[Entry]] = {}
    for place, of in zip(places.tolist(), group.tolist(), strict=True):
        if times[of] > 1 and place in kept:
            shown.setdefault(of, []).append(kept[place])
            if len(shown) > EXAMPLES:
                break
    return tuple(
        Example(
            place=" and ".join(dict.fromkeys(entry.place for entry in entries[:3])),
            text=shortened(entries[0].asked),
        )
        for entries in list(shown.values())[:EXAMPLES]
    )
