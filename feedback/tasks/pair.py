"""Two responses side by side: which is better, and how clearly."""

from __future__ import annotations

from feedback.tasks.reply import Meaning, Reply, Screen, TaskType, compared


def _read(reply: Reply, screen: Screen) -> Meaning:
    return Meaning(comparisons=(compared(reply, screen),))


pair = TaskType(
    name="pair",
    summary="Choose the better of two responses",
    asks=frozenset({"choice", "both_bad"}),
    read=_read,
)
