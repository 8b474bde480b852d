"""What a check found: a sentence with its number, what to do, and a few examples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from evaluation.linting.masking import masked

EXAMPLES = 5
"""Shown of each finding."""
LONGEST = 160
"""Characters of an example's text."""
_READ = 4 * LONGEST
"""Characters of a text that are looked at for its example."""


class Severity(StrEnum):
    """How much a finding hurts, the worst first."""

    ERROR = "error"
    """Models would learn or be judged wrongly, or the import would refuse it."""
    WARNING = "warning"
    """It may be meant; look before you go on."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One place where it was found."""

    place: str
    """Line or prompt."""
    text: str
    """Cut, and without personal data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is odd about the data."""

    name: str
    """What programs know it by; says what was found and never changes."""
    severity: Severity
    sentence: str
    """What was found, in plain words, with its number."""
    advice: str
    """What to do about it."""
    count: int
    """How often it was found."""
    share: float
    """Fraction of what was looked at."""
    examples: tuple[Example, ...] = ()


def example(place: str, *texts: str) -> Example:
    """An example of one text, or of several beside each other: masked, in one line each, cut."""
    longest = LONGEST // max(1, len(texts))
    return Example(place=place, text=" | ".join(shortened(text, longest) for text in texts))


def shortened(text: str, longest: int = LONGEST) -> str:
    """The beginning of a text in one line, without personal data.

    It is masked before it is cut: half of a number would not be known for one.
    """
    return excerpt(text, 0, longest)


def excerpt(text: str, start: int, longest: int = LONGEST) -> str:
    """As `shortened`, from a place within the text."""
    before = max(0, start - _READ)
    # Masking changes no length.
    read = masked(text[before : start + _READ])[start - before :]
    line = " ".join(read.split())
    more = len(line) > longest or start + _READ < len(text)
    lead = "…" if start else ""
    return lead + (line[: longest - 1].rstrip() + "…" if more else line)


def percent(share: float) -> str:
    """A fraction as people read it; little is not nothing, and nearly all is not all."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def counted(amount: int, one: str, many: str = "") -> str:
    """An amount with its noun: "1 line", "2,000 lines"."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; in each, what was found in the largest share first."""
    order = list(Severity)
    return tuple(
        sorted(findings, key=lambda one: (order.index(one.severity), -one.share, one.name))
    )
