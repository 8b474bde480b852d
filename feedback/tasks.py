"""The kinds of task that people are given, and what an answer to each must hold.

A new kind of task is one more line in `TASKS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import InvalidAnswer
from storage.records import Comparison, Rating, ResponseId


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """Two responses side by side: which is better, and perhaps how good each one is."""

    name: str
    summary: str
    """One sentence for a menu, without a full stop."""
    rated: bool
    """True when each response also gets a rating from 1 to 7."""

    def judgements(
        self,
        shown: Sequence[ResponseId],
        *,
        choice: int | None,
        both_bad: bool = False,
        ratings: Sequence[int] | None = None,
    ) -> tuple[tuple[Comparison, ...], tuple[Rating, ...]]:
        """Turn one answer into judgements of the responses shown.

        Args:
            shown: The two responses, left and right.
            choice: -3 left much better ... 0 tie ... +3 right much better. None only with
                `both_bad`.
            both_bad: Both responses are unusable; a tie.
            ratings: Whole numbers from 1 to 7, left and right. None when the task does not ask.

        Raises:
            InvalidAnswer: Something is missing, too much, or out of range.
        """
        left, right = shown
        if choice is None and not both_bad:
            raise InvalidAnswer(
                "The choice is missing. Send a whole number from -3 (left) to 3 (right), or"
                " both_bad."
            )
        comparison = Comparison(left=left, right=right, choice=choice or 0, both_bad=both_bad)
        if not self.rated:
            if ratings is not None:
                raise InvalidAnswer(
                    f"A task of type {self.name!r} takes no ratings; got {list(ratings)}."
                    " Send ratings as null."
                )
            return (comparison,), ()
        if ratings is None or len(ratings) != len(shown):
            raise InvalidAnswer(
                f"A task of type {self.name!r} needs one rating for each of its {len(shown)}"
                f" responses, left and right; got {ratings!r}."
            )
        return (comparison,), tuple(
            Rating(response=response, value=value)
            for response, value in zip(shown, ratings, strict=True)
        )


TASKS: dict[str, TaskType] = {
    task_type.name: task_type
    for task_type in (
        TaskType(
            name="pair_with_ratings",
            summary="Choose the better of two responses and rate each from 1 to 7",
            rated=True,
        ),
        TaskType(name="pair", summary="Choose the better of two responses", rated=False),
    )
}
