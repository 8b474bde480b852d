"""Two responses side by side: which is better, and how good each is in every aspect asked for."""

from __future__ import annotations

from feedback.tasks.reply import Meaning, Reply, Screen, TaskType, compared, rated
from storage.errors import InvalidAnswer


def _read(reply: Reply, screen: Screen) -> Meaning:
    given = reply.aspects or {}
    if set(given) != set(screen.aspects):
        raise InvalidAnswer(
            f"The task asks for ratings of {', '.join(screen.aspects)}; got"
            f" {', '.join(sorted(given)) or 'none'}."
        )
    return Meaning(
        comparisons=(compared(reply, screen),),
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
