"""Known items: tasks whose right answer is known, and whether an answer is right.

What is expected stands by place in the task's own order of responses, whatever order is shown:

    {"better": "first" | "second" | "tie" | None,      of the first two responses
     "ratings": [[low, high] | None, ...] | None,       bounds of the aspect asked, inclusive
     "explanation": "Why that is so. Markdown."}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from storage.errors import InvalidData
from storage.records import (
    HIGHEST_RATING,
    LOWEST_RATING,
    Comparison,
    Rating,
    ResponseId,
    check_text,
)

_BETTER = ("first", "second", "tie", None)
_KEYS = {"better", "ratings", "explanation"}


def check_expected(expected: Mapping[str, Any], responses: Sequence[ResponseId]) -> None:
    """See that what is expected can be met and says something.

    Raises:
        InvalidData: It has other keys or values than those told above, or expects nothing.
    """
    unknown = sorted(map(str, expected.keys() - _KEYS))
    if unknown:
        raise InvalidData(
            f"A known item says better, ratings and explanation; got {', '.join(unknown)}."
        )
    better, ratings = expected.get("better"), expected.get("ratings")
    if better not in _BETTER or (better is not None and len(responses) < 2):
        raise InvalidData(
            "The better response of a known item is 'first', 'second', 'tie' or null, where there"
            f" are two; got {better!r} with {len(responses)} responses."
        )
    if ratings is not None and (
        not isinstance(ratings, Sequence)
        or isinstance(ratings, str)
        or len(ratings) != len(responses)
        or not all(map(_is_range, ratings))
    ):
        raise InvalidData(
            f"The ratings of a known item are one [low, high] within {LOWEST_RATING} and"
            f" {HIGHEST_RATING}, or null, for each of its {len(responses)} responses;"
            f" got {ratings!r}."
        )
    if better is None and not any(ratings or ()):
        raise InvalidData("A known item expects a better response or some ratings; got neither.")
    explanation = expected.get("explanation", "")
    if not isinstance(explanation, str):
        raise InvalidData(f"The explanation of a known item is a text; got {explanation!r}.")
    check_text(explanation, "The explanation of a known item")


def is_right(
    expected: Mapping[str, Any] | None,
    responses: Sequence[ResponseId],
    comparisons: Sequence[Comparison],
    ratings: Sequence[Rating],
) -> bool | None:
    """Whether an answer has the right direction, and every rating lies within its bounds.

    What the answer does not speak of, because its task did not ask, cannot be wrong.

    Args:
        expected: What is expected of the task; None where nothing is.
        responses: In the task's own order.
        comparisons: Of the answer.
        ratings: Of the answer; all aspects of a response must lie within the bounds.

    Returns:
        None where nothing is expected, or the answer speaks of nothing that is.
    """
    if expected is None:
        return None
    found: list[bool] = []
    better = expected.get("better")
    if better is not None:
        first, second = responses[:2]
        wanted = {"first": first, "second": second, "tie": None}[better]
        found += [
            one.preferred == wanted
            for one in comparisons
            if {one.left, one.right} == {first, second}
        ]
    bounds = dict(zip(responses, expected.get("ratings") or (), strict=False))
    for rating in ratings:
        bound = bounds.get(rating.response)
        if bound is not None:
            found.append(bound[0] <= rating.value <= bound[1])
    return all(found) if found else None


def _is_range(bound: Any) -> bool:
    if bound is None:
        return True
    if not isinstance(bound, Sequence) or isinstance(bound, str) or len(bound) != 2:
        return False
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in bound)
    return numbers and LOWEST_RATING <= bound[0] <= bound[1] <= HIGHEST_RATING
