"""Two responses side by side: which is better, and how good each one is."""

from __future__ import annotations

from feedback.tasks.reply import Meaning, Reply, Screen, TaskType, compared, rated, single_aspect


def _read(reply: Reply, screen: Screen) -> Meaning:
    return Meaning(
        comparisons=(compared(reply, screen),),
        ratings=rated(screen, reply.ratings, single_aspect(screen)),
    )


pair_with_ratings = TaskType(
    name="pair_with_ratings",
    summary="Choose the better of two responses and rate each from 1 to 7",
    asks=frozenset({"choice", "both_bad", "ratings"}),
    read=_read,
)
