"""An answer as a policy gave it, wherever that policy is, and how the answers of a policy ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LENGTH, FILTERED = "length", "content_filter"
"""What chat completions call the two ends that are no ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer."""

    text: str
    tokens: int | None = None
    """Its length, the end token included; None where nobody says."""
    ended: str = ""
    """Why it ended, in the words of chat completions: `stop`, `length`, `content_filter`; empty
    where nobody says."""

    @property
    def is_cut(self) -> bool:
        """Whether it reached the longest that an answer may be."""
        return self.ended == LENGTH

    @property
    def is_judgeable(self) -> bool:
        """Whether there is something in it to judge, and all of it is the policy's."""
        return bool(self.text.strip()) and self.ended != FILTERED


def endings(answers: Sequence[Given]) -> dict[str, int]:
    """How many answers there are, and how many of them are not what one would wish.

    Returns:
        {"answers", "empty", "cut", "filtered"}. An answer may be both empty and one of the others,
        as that of a model which thought until it was cut.
    """
    return {
        "answers": len(answers),
        "empty": sum(not one.text.strip() for one in answers),
        "cut": sum(one.is_cut for one in answers),
        "filtered": sum(one.ended == FILTERED for one in answers),
    }
