"""One response by itself: how good it is."""

from __future__ import annotations

from feedback.tasks.reply import Meaning, Reply, Screen, TaskType, rated, single_aspect


def _read(reply: Reply, screen: Screen) -> Meaning:
    return Meaning(ratings=rated(screen, reply.ratings, single_aspect(screen)))


single_rating = TaskType(
    name="single_rating",
    summary="Rate one response from 1 to 7",
    asks=frozenset({"ratings"}),
    fewest=1,
    most=1,
    read=_read,
)
