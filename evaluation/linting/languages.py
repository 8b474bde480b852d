"""Which languages prompts and answers are in, and where the two differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from evaluation.linting.entries import Entry
from evaluation.linting.findings import EXAMPLES, Finding, Severity, counted, example, percent

MOST = 1_000
"""Entries that are looked at; a text takes about a millisecond."""
MOST_ANSWERS = 2
"""Answers of each."""
READ = 400
"""Characters of a text that are looked at."""
FEWEST_LETTERS = 40
"""Below this a language cannot be told."""
SURE = 0.8
"""Probability from which on a language counts as told."""
MANY = 0.05
"""Share of answers in another language than their prompt from which on it is a warning."""
UNKNOWN = "not told"
_NO_LANGUAGE = "zxx"
"""ISO 639-2: code, notation of games, numbers."""

NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip
"""Of codes that are met most; others are shown as their ISO 639 code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Languages:
    """The mix of languages in a sample."""

    entries: int
    prompts: Mapping[str, int]
    """Language, by its English name or code, and how many prompts are in it."""
    answers: Mapping[str, int]
    findings: tuple[Finding, ...]


def languages(kept: Mapping[int, Entry], *, most: int = MOST) -> Languages:
    """The languages of prompts and answers of a sample of entries.

    Args:
        kept: Entries; the first `most` are looked at, so their order is to be one by chance.
        most: How many.
    """
    sample = list(islice(kept.values(), most))
    prompts: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    different: list[tuple[Entry, str, str, str]] = []
    compared = 0
    for entry in sample:
        asked = language(entry.asked)
        prompts[asked or UNKNOWN] += 1
        for text in entry.responses[:MOST_ANSWERS]:
            answered = language(text)
            answers[answered or UNKNOWN] += 1
            if asked and answered:
                compared += 1
                if asked != answered:
                    different.append((entry, asked, answered, text))
    found = [*_mixed(prompts), *_different(different, compared)]
    return Languages(
        entries=len(sample),
        prompts=dict(prompts.most_common()),
        answers=dict(answers.most_common()),
        findings=tuple(found),
    )


def language(text: str) -> str | None:
    """The language of a text, by its English name or code; None where it cannot be told.

    Source:
        py3langid, after Lui and Baldwin (2012), "langid.py", ACL.
    """
    read = text[:READ]
    if sum(map(str.isalpha, read)) < FEWEST_LETTERS:
        return None
    code, probability = _identifier().classify(read)
    return NAMES.get(code, code) if probability >= SURE and code != _NO_LANGUAGE else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415, takes a second

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _mixed(prompts: Counter[str]) -> Iterator[Finding]:
    told = prompts.total() - prompts[UNKNOWN]
    known = [(name, number) for name, number in prompts.most_common() if name != UNKNOWN]
    # A language that is met once among many is a mistake of the method as likely as not.
    real = [(name, number) for name, number in known if number >= max(2, told / 100)]
    if len(real) > 1:
        most = real[0][1]
        listed = ", ".join(f"{name} {percent(number / told)}" for name, number in real[:6])
        yield Finding(
            name="several-languages",
            severity=Severity.NOTE,
            sentence=f"Prompts are in {len(real)} languages: {listed}"
            f" (of {told:,} prompts whose language can be told).",
            advice="Measure models by language too; annotators need to read what they judge.",
            count=told - most,
            share=(told - most) / told,
        )


def _different(different: list[tuple[Entry, str, str, str]], compared: int) -> Iterator[Finding]:
    if different:
        share = len(different) / compared
        yield Finding(
            name="answer-in-another-language",
            severity=Severity.WARNING if share >= MANY else Severity.NOTE,
            sentence=f"{counted(len(different), 'answer is', 'answers are')} in another language"
            f" than {'its' if len(different) == 1 else 'their'} prompt ({percent(share)} of"
            f" {compared:,} that were looked at).",
            advice="Right where a translation is asked for; else the model changed language.",
            count=len(different),
            share=share,
            examples=tuple(
                example(f"{entry.place}, {asked} to {answered}", entry.asked, text)
                for entry, asked, answered, text in different[:EXAMPLES]
            ),
        )
