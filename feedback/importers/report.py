"""What an import tells afterwards: what it added, what it changed, what it left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.errors import InvalidData

REASONS_TOLD = 10
"""Broken lines that a report names one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import added, changed and left out."""

    file: str
    format: str
    project: str
    lines: int
    prompts: int
    """New ones; the same holds for the next three."""
    responses: int
    comparisons: int
    ratings: int
    duplicates: int
    """Comparisons and ratings that the project had already."""
    skipped: int
    """Comparisons that are not of two different answers to one prompt."""
    dependent: int
    """Comparisons computed from ratings of the same sitting; they add nothing to those ratings."""
    known_items: int
    """New tasks whose right answer is known."""
    rescaled: int = 0
    """Ratings, new or not, that were mapped from another scale to 1 to 7."""
    scales: tuple[str, ...] = ()
    """Which scales these were."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What of the lines has no place here, and how much of it."""
    broken: int = 0
    """Lines that were left out because they are broken."""
    reasons: tuple[str, ...] = ()
    """Where the first of these stand and what is wrong with them."""

    def sentence(self) -> str:
        """The report for people."""
        remarks = [
            *(f"{count} {what} were left out" for what, count in self.left_out.items()),
            *(
                [f"{self.rescaled} ratings were mapped from {' and '.join(self.scales)} to 1 to 7"]
                if self.rescaled
                else []
            ),
            *(
                [f"{self.broken} broken lines were left out, the first: {self.reasons[0]}"]
                if self.broken
                else []
            ),
        ]
        remarks += [
            f"{count} {remark}"
            for count, remark in (
                (self.known_items, "of the prompts are known items"),
                (self.duplicates, "judgements were there already"),
                (self.skipped, "comparisons were not of two different answers to one prompt"),
                (self.dependent, "comparisons were computed from ratings and are not independent"),
            )
            if count
        ]
        return (
            f"{self.file} ({self.format}) added {self.prompts} prompts, {self.responses} responses,"
            f" {self.comparisons} comparisons and {self.ratings} ratings to {self.project!r}"
            f"{'; ' if remarks else ''}{'; '.join(remarks).rstrip('.')}."
        )


@dataclass
class Faults:
    """The broken lines of a file."""

    number: int = 0
    first: list[str] = field(default_factory=list)
    """Where the first ones stand and what is wrong with them."""

    def add(self, error: InvalidData) -> None:
        """Count one."""
        self.number += 1
        if len(self.first) < REASONS_TOLD:
            self.first.append(str(error))


def pass_over(_: InvalidData) -> None:
    """A broken line that was counted already."""
