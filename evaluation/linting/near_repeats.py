"""Nearly the same again: prompts and answers that differ from another one in a few words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evaluation.leakage import question
from evaluation.linting.entries import Entry
from evaluation.linting.findings import (
    EXAMPLES,
    Example,
    Finding,
    Severity,
    counted,
    example,
    excerpt,
    percent,
)
from evaluation.linting.likeness import ALIKE, Likeness, jaccard, near_duplicates, shingles

MOST_TEXTS = 20_000
"""Prompts and, likewise, answers that are compared; about a millisecond each."""
FEWEST_WORDS = 8
"""Answers of fewer ("I do not know.") resemble each other without being copies."""
MANY = 0.05
"""Share from which on near duplicates deserve a warning."""


def near_repeats(kept: Mapping[int, Entry]) -> Iterator[Finding]:
    """Near duplicates among different prompts, among different answers, and within comparisons.

    Args:
        kept: The entries, in an order that is not that of the file.
    """
    prompts: dict[str, tuple[str, Entry]] = {}
    answers: dict[str, Entry] = {}
    for entry in kept.values():
        if len(prompts) < MOST_TEXTS:
            prompts.setdefault(question(entry.prompt), (entry.asked, entry))
        for text in entry.responses:
            if len(answers) < MOST_TEXTS and len(text.split()) >= FEWEST_WORDS:
                answers.setdefault(text, entry)
    of = dict(prompts.values())
    alike = near_duplicates(of)
    if alike:
        yield _finding(
            "near-duplicate-prompts", "prompt", alike, of,
            advice="Where they are one prompt written twice, take one out; where they are made from"
            " one pattern, put all of them into one part of the data.",
        )  # fmt: skip
    # Answers to one prompt may well resemble each other; that is told of comparisons, below.
    between = [
        one
        for one in near_duplicates(answers)
        if question(answers[one.text].prompt) != question(answers[one.like].prompt)
    ]
    if between:
        yield _finding(
            "near-duplicate-answers", "answer", between, answers,
            advice="Answers from one pattern teach little; look whether they answer their prompts.",
        )  # fmt: skip
    yield from _hardly_different(kept)


def _finding(
    name: str, noun: str, alike: list[Likeness], of: Mapping[str, Entry], *, advice: str
) -> Finding:
    share = len(alike) / len(of)
    whose = " to another prompt" if noun == "answer" else ""
    closest = sorted(alike, key=lambda one: (-one.index, one.text))[:EXAMPLES]
    return Finding(
        name=name,
        severity=Severity.WARNING if share >= MANY else Severity.NOTE,
        sentence=f"{counted(len(alike), noun)} ({percent(share)} of {len(of):,} different ones)"
        f" {'is' if len(alike) == 1 else 'are'} nearly the same as another one{whose}: at least"
        f" {percent(ALIKE)} of their runs of three words are in both.",
        advice=advice,
        count=len(alike),
        share=share,
        examples=tuple(
            example(f"{of[one.text].place} and {of[one.like].place}", one.text, one.like)
            for one in closest
        ),
    )


def _hardly_different(kept: Mapping[int, Entry]) -> Iterator[Finding]:
    compared, shown, count = 0, [], 0
    for entry in kept.values():
        for verdict, chosen, rejected in entry.decided():
            compared += 1
            equal = " ".join(chosen.split()) == " ".join(rejected.split())
            if verdict.choice and not equal and _alike(chosen, rejected):
                count += 1
                shown.append(Example(place=entry.place, text=_difference(chosen, rejected)))
    if count:
        share = count / compared
        yield Finding(
            name="chosen-nearly-rejected",
            severity=Severity.WARNING if share >= MANY else Severity.NOTE,
            sentence=f"In {counted(count, 'comparison')} ({percent(share)}) the chosen and the"
            " rejected answer are nearly the same.",
            advice="Fine where small differences matter, such as a wrong number; else such pairs"
            " are mostly noise.",
            count=count,
            share=share,
            examples=tuple(shown[:EXAMPLES]),
        )


def _alike(one: str, other: str) -> bool:
    # Sets of very different sizes cannot be alike, and most pairs end here.
    if min(len(one), len(other)) < ALIKE / 2 * max(len(one), len(other)):
        return False
    return jaccard(shingles(one), shingles(other)) >= ALIKE


def _difference(chosen: str, rejected: str) -> str:
    """Both texts from shortly before where they part."""
    same = next(
        (at for at, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
        min(len(chosen), len(rejected)),
    )
    start = max(0, same - 30)
    return f"{excerpt(chosen, start, 78)} | {excerpt(rejected, start, 78)}"
