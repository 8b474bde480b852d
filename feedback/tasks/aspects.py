"""Two responses side by side: which is better, and how good each is in every aspect asked for."""

from __future__ import annotations

from feedback.tasks.said import Meaning, Said, Screen, TaskType, compared, rated
from storage.errors import InvalidAnswer


def _read(said: Said, screen: Screen) -> Meaning:
    given = said.aspects or {}
    if set(given) != set(screen.aspects):
        raise InvalidAnswer(
            f"The task asks for ratings of {', '.join(screen.aspects)}; got"
            f" {', '.join(sorted(given)) or 'none'}."
        )
    return Meaning(
        comparisons=(compared(said, screen),),
        ratings=tuple(
            rating for aspect in screen.aspects for rating in rated(screen, given[aspect], aspect)
        ),
    )


aspects = TaskType(
    name="aspects",
    summary="Choose the better of two responses and rate each in several aspects",
    asks=frozenset({"choice", "both_bad", "aspects"}),
    read=_read,
)
