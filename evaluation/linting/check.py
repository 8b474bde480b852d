"""One look through data: every check over every entry, and what it found, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluation.linting.endings import Endings
from evaluation.linting.entries import Entry, Refused
from evaluation.linting.findings import (
    EXAMPLES,
    Example,
    Finding,
    Severity,
    counted,
    percent,
    shortened,
    worst_first,
)
from evaluation.linting.kept import KEPT, Kept
from evaluation.linting.languages import Languages, languages
from evaluation.linting.leaks import Leaks
from evaluation.linting.lengths import Lengths
from evaluation.linting.near_repeats import MOST_TEXTS, near_repeats
from evaluation.linting.personal_data import PersonalData
from evaluation.linting.repeats import Repeats
from evaluation.linting.scales import Ratings
from evaluation.linting.verdicts import Verdicts
from storage.errors import TooLittleData
from storage.records import Message

DRAWN = 5_000
"""Lengths that a report draws; a figure of more looks the same."""
EVERY = 1_000
"""Entries between two words on how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was looked at, what was found, and the numbers behind the figures."""

    name: str
    """Of the file, snapshot or project."""
    rows: int
    """Lines or rows, also refused ones."""
    prompts: int
    """Different ones."""
    answers: int
    comparisons: int
    ratings: int
    sampled: tuple[str, ...]
    """What was looked at in part only, in words; nothing for small data."""
    findings: tuple[Finding, ...]
    """The worst first."""
    choices: Mapping[str, int]
    """left, tie, right; or chosen and tie, where a file does not tell the sides."""
    rated: Mapping[float, int]
    """Ratings from 1 to 7, and how often each was given."""
    languages: Languages
    chosen_lengths: tuple[int, ...] = field(repr=False)
    """Characters of chosen answers; at most `DRAWN`."""
    rejected_lengths: tuple[int, ...] = field(repr=False)

    def number(self, severity: Severity) -> int:
        """How many findings are as bad as that."""
        return sum(one.severity is severity for one in self.findings)

    @property
    def verdict(self) -> str:
        """What to make of it, in one sentence."""
        errors, warnings = self.number(Severity.ERROR), self.number(Severity.WARNING)
        looked = f"in {counted(self.rows, 'row')}"
        if errors:
            also = f" and {counted(warnings, 'warning')}" if warnings else ""
            return f"Mend this first: {counted(errors, 'error')}{also} {looked}."
        if warnings:
            return f"No errors, but {counted(warnings, 'warning')} {looked}: look before you go on."
        return f"Nothing found {looked} that would hurt."

    def as_json(self) -> dict[str, Any]:
        """For programs: everything but the lengths."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "errors": self.number(Severity.ERROR),
            "warnings": self.number(Severity.WARNING),
            "notes": self.number(Severity.NOTE),
            "rows": self.rows,
            "prompts": self.prompts,
            "answers": self.answers,
            "comparisons": self.comparisons,
            "ratings": self.ratings,
            "sampled": list(self.sampled),
            "findings": [
                asdict(one) | {"examples": [asdict(shown) for shown in one.examples]}
                for one in self.findings
            ],
            "choices": dict(self.choices),
            "rated": {f"{value:g}": times for value, times in self.rated.items()},
            "languages": {
                "rows": self.languages.entries,
                "prompts": dict(self.languages.prompts),
                "answers": dict(self.languages.answers),
            },
        }


def check(
    entries: Iterable[Entry | Refused],
    *,
    name: str,
    against: Mapping[str, Sequence[tuple[Message, ...]]] | None = None,
    kept: int = KEPT,
    report: Callable[[int], None] | None = None,
) -> CheckReport:
    """Look through data once, without keeping more of it than a sample.

    The order of the entries changes nothing but which examples are shown.

    Args:
        entries: As `evaluation.linting.sources` gives them.
        name: What the report calls the data.
        against: Evaluation sets: name and prompts, that must not be in the data.
        kept: Entries that are kept for the slow checks.
        report: Told the number of entries now and then.

    Raises:
        TooLittleData: There is nothing to look at.
    """
    sample = Kept(kept)
    repeats, leaks, verdicts = Repeats(), Leaks(against or {}), Verdicts()
    lengths, ratings, endings, personal = Lengths(), Ratings(), Endings(), PersonalData()
    refused: list[Refused] = []
    refusals = answers = 0
    sided = True
    for number, entry in enumerate(entries, start=1):
        if report is not None and number % EVERY == 0:
            report(number)
        ratings.look(entry)
        endings.look(entry)
        if isinstance(entry, Refused):
            refusals += 1
            refused += [entry] if len(refused) < EXAMPLES else []
            continue
        ordinal, fingerprint = sample.add(entry)
        repeats.look(ordinal, fingerprint, entry)
        leaks.look(entry)
        verdicts.look(ordinal, entry)
        lengths.look(entry)
        personal.look(entry)
        answers += len(entry.responses)
        sided = sided and (entry.sides or not entry.verdicts)
    if report is not None:
        report(sample.seen + refusals)
    if not sample.seen and not refusals:
        raise TooLittleData(f"{name} holds nothing to check.")
    known = sample.entries()
    told = languages(known)
    found = [
        *_refusals(refused, refusals, sample.seen + refusals),
        *repeats.findings(known),
        *near_repeats(known),
        *leaks.findings(known),
        *verdicts.findings(known),
        *lengths.findings(),
        *ratings.findings(),
        *endings.findings(),
        *told.findings,
        *personal.findings(),
    ]
    return CheckReport(
        name=name,
        rows=sample.seen + refusals,
        prompts=len(set(repeats.questions)),
        answers=answers,
        comparisons=verdicts.choices.total(),
        ratings=ratings.read.total(),
        sampled=_sampled(sample, told),
        findings=worst_first(found),
        choices=_choices(verdicts.choices, sided=sided),
        rated=dict(sorted(ratings.read.items())),
        languages=told,
        chosen_lengths=_spread(lengths.chosen),
        rejected_lengths=_spread(lengths.rejected),
    )


def _refusals(refused: Sequence[Refused], count: int, rows: int) -> list[Finding]:
    if not count:
        return []
    return [
        Finding(
            name="refused-lines",
            severity=Severity.ERROR,
            sentence=f"{counted(count, 'line')} of {rows:,} would be refused by an import"
            f" ({percent(count / rows)}).",
            advice="Mend these lines or take them out; the reason stands beside each.",
            count=count,
            share=count / rows,
            examples=tuple(Example(place=one.place, text=shortened(one.reason)) for one in refused),
        )
    ]


def _sampled(sample: Kept, told: Languages) -> tuple[str, ...]:
    """What was not looked at whole."""
    words = []
    if sample.is_sample:
        words.append(
            f"Near duplicates and near leaks were sought among {sample.most:,} of"
            f" {sample.seen:,} rows, drawn by their content; the rest of the checks saw every row."
        )
    if len(sample.entries()) > MOST_TEXTS:
        words.append(
            f"At most {MOST_TEXTS:,} prompts and {MOST_TEXTS:,} answers were compared with each"
            " other for near duplicates."
        )
    if told.entries < sample.seen:
        words.append(f"Languages were told of {told.entries:,} of {sample.seen:,} rows.")
    return tuple(words)


def _choices(choices: Counter[str], *, sided: bool) -> dict[str, int]:
    if not choices:
        return {}
    if sided:
        return {side: choices[side] for side in ("left", "tie", "right")}
    return {"decided": choices["left"] + choices["right"], "tie": choices["tie"]}


def _spread(lengths: Sequence[int]) -> tuple[int, ...]:
    """Lengths from all over the data, at most `DRAWN`."""
    every = -(-len(lengths) // DRAWN) or 1
    return tuple(lengths[::every])
