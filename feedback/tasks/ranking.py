"""Several responses put in order, ties allowed.

A ranking is kept as a comparison of every pair of the responses, of which only the direction was
asked. They are one submission, so whoever counts evidence can tell that they are not independent.
"""

from __future__ import annotations

from itertools import combinations

from feedback.tasks.reply import MOST_SHOWN, Meaning, Reply, Screen, TaskType
from storage.errors import InvalidAnswer
from storage.records import Comparison


def _read(reply: Reply, screen: Screen) -> Meaning:
    ranks = reply.ranks
    number = len(screen.shown)
    if ranks is None or len(ranks) != number or not all(1 <= rank <= number for rank in ranks):
        raise InvalidAnswer(
            f"The task needs one place from 1 (best) to {number} for each of its {number}"
            f" responses, in the order shown; got {ranks!r}."
        )
    if 1 not in ranks:
        raise InvalidAnswer(f"The best response has place 1; got the places {ranks!r}.")
    return Meaning(
        comparisons=tuple(
            Comparison(
                left=left,
                right=right,
                # A smaller place is better, and a negative choice means that the left is.
                choice=(place > other) - (place < other),
                graded=False,
            )
            for (left, place), (right, other) in combinations(
                zip(screen.shown, ranks, strict=True), 2
            )
        )
    )


ranking = TaskType(
    name="ranking",
    summary="Put three or more responses in order",
    asks=frozenset({"ranks"}),
    fewest=3,
    most=MOST_SHOWN,
    read=_read,
)
