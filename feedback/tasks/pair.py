"""Two responses side by side: which is better, and how clearly."""

from __future__ import annotations

from feedback.tasks.said import Meaning, Said, Screen, TaskType, compared


def _read(said: Said, screen: Screen) -> Meaning:
    return Meaning(comparisons=(compared(said, screen),))


pair = TaskType(
    name="pair",
    summary="Choose the better of two responses",
    asks=frozenset({"choice", "both_bad"}),
    read=_read,
)
