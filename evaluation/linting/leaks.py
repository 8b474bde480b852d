"""Whether prompts to be judged by were seen before: between the parts, and in evaluation sets."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

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
from evaluation.linting.likeness import Likeness, ShingleIndex, shingles
from storage.records import Message, Split

FEWEST_WORDS = 8
"""Runs of words below which two prompts that are alike ("Tell me a joke") are no proof."""
_PARTS = list(Split)


@dataclass(slots=True)
class Leaks:
    """Which question stands in which part, and which are in evaluation sets."""

    against: Mapping[str, Sequence[tuple[Message, ...]]] = field(default_factory=dict)
    """Name of each evaluation set, and its prompts."""
    questions: array[int] = field(default_factory=lambda: array("Q"))
    parts: array[int] = field(default_factory=lambda: array("B"))

    def look(self, entry: Entry) -> None:
        """Take one entry in."""
        self.questions.append(fingerprint(question(entry.prompt)))
        self.parts.append(_PARTS.index(entry.split))

    def findings(self, kept: Mapping[int, Entry]) -> Iterator[Finding]:
        """Prompts that stand where they should not, exactly and nearly."""
        exact = self.between_parts()
        if exact:
            held_out = self._held_out()
            yield _leaked(
                "leakage",
                f"{counted(len(exact), 'held-out prompt is', 'held-out prompts are')} in the"
                f" training part too ({percent(len(exact) / held_out)} of {held_out:,} for"
                " validation and test). Figures on them say how well a model remembers.",
                advice="Put each prompt into one part, or leave the field split out: then Tandem"
                " draws the parts by prompt.",
                count=len(exact),
                share=len(exact) / held_out,
                entries=_of(exact, (e for e in kept.values() if e.split is not Split.TRAIN)),
            )
        yield from self._nearly_between_parts(kept, exact)
        for name, prompts in self.against.items():
            yield from self._in_evaluation_set(name, prompts, kept)

    def between_parts(self) -> set[int]:
        """Fingerprints of the questions that are both for training and held out."""
        questions = np.frombuffer(self.questions, dtype=np.uint64)
        train = np.frombuffer(self.parts, dtype=np.uint8) == _PARTS.index(Split.TRAIN)
        return set(np.intersect1d(questions[train], questions[~train]).tolist())

    def _held_out(self) -> int:
        questions = np.frombuffer(self.questions, dtype=np.uint64)
        train = np.frombuffer(self.parts, dtype=np.uint8) == _PARTS.index(Split.TRAIN)
        return len(np.unique(questions[~train]))

    def _nearly_between_parts(
        self, kept: Mapping[int, Entry], exact: set[int]
    ) -> Iterator[Finding]:
        different = _different(kept.values())
        train = {asked for asked, (_, entry) in different.items() if entry.split is Split.TRAIN}
        held_out = {
            asked: entry
            for asked, (number, entry) in different.items()
            if entry.split is not Split.TRAIN and number not in exact
        }
        alike = _alike(held_out, train)
        if not alike:
            return
        share = len(alike) / len(held_out)
        yield Finding(
            name="near-leakage",
            severity=Severity.WARNING,
            sentence=f"{counted(len(alike), 'held-out prompt is', 'held-out prompts are')} nearly"
            f" the same as one for training ({percent(share)} of {len(held_out):,}).",
            advice="Put prompts made from one pattern into one part with the field split, or"
            " judge models on other prompts.",
            count=len(alike),
            share=share,
            examples=_shown(alike, held_out),
        )

    def _in_evaluation_set(
        self, name: str, prompts: Sequence[tuple[Message, ...]], kept: Mapping[int, Entry]
    ) -> Iterator[Finding]:
        sought = {fingerprint(question(one)): _text(one) for one in prompts}
        here = set(np.unique(np.frombuffer(self.questions, dtype=np.uint64)).tolist())
        exact = sought.keys() & here
        if exact:
            share = len(exact) / len(sought)
            yield _leaked(
                "evaluation-leakage",
                f"{counted(len(exact), 'prompt')} of {name} ({percent(share)} of its"
                f" {len(sought):,}) {'is' if len(exact) == 1 else 'are'} in this data.",
                advice=f"Take them out before training, or do not report figures on {name}.",
                count=len(exact),
                share=share,
                entries=_of(exact, kept.values()),
            )
        rest = {text: number for number, text in sought.items() if number not in exact}
        different = _different(kept.values())
        alike = _alike(rest, set(different))
        if alike:
            share = len(alike) / len(sought)
            yield Finding(
                name="near-evaluation-leakage",
                severity=Severity.WARNING,
                sentence=f"{counted(len(alike), 'prompt')} of {name} ({percent(share)})"
                f" {'is' if len(alike) == 1 else 'are'} nearly the same as one in this data.",
                advice="Look at them: where it is the same question, take it out before training.",
                count=len(alike),
                share=share,
                examples=tuple(
                    example(different[one.like][1].place, one.like, one.text)
                    for one in alike[:EXAMPLES]
                ),
            )


def _leaked(
    name: str, sentence: str, *, advice: str, count: int, share: float, entries: Iterable[Entry]
) -> Finding:
    return Finding(
        name=name,
        severity=Severity.ERROR,
        sentence=sentence,
        advice=advice,
        count=count,
        share=share,
        examples=tuple(example(entry.place, entry.asked) for entry in entries)[:EXAMPLES],
    )


def _of(questions: set[int], entries: Iterable[Entry]) -> list[Entry]:
    """One entry of each question."""
    found: dict[int, Entry] = {}
    for entry in entries:
        number = fingerprint(question(entry.prompt))
        if number in questions:
            found.setdefault(number, entry)
    return list(found.values())


def _different(entries: Iterable[Entry]) -> dict[str, tuple[int, Entry]]:
    """Each question as it was asked, once, with its fingerprint; the held-out entry wins."""
    found: dict[int, Entry] = {}
    for entry in entries:
        number = fingerprint(question(entry.prompt))
        if number not in found or entry.split is not Split.TRAIN:
            found[number] = entry
    return {entry.asked: (number, entry) for number, entry in found.items()}


def _alike(sought: Iterable[str], known: set[str]) -> list[Likeness]:
    """Those sought that resemble a known one, the most similar first.

    Of known ones that are alike, one stands for all, so that patterns do not make this slow.
    """
    index = ShingleIndex()
    for text in sorted(known):
        if len(shingles(text)) >= FEWEST_WORDS:
            index.add(text)
    found = [
        like
        for text in sorted(sought)
        if len(shingles(text)) >= FEWEST_WORDS and (like := index.nearest(text))
    ]
    return sorted(found, key=lambda one: (-one.index, one.text))


def _shown(alike: Sequence[Likeness], of: Mapping[str, Entry]) -> tuple[Example, ...]:
    return tuple(example(of[one.text].place, one.text, one.like) for one in alike[:EXAMPLES])


def _text(messages: tuple[Message, ...]) -> str:
    return "\n".join(turn["content"] for turn in messages if turn["role"] != "system")
