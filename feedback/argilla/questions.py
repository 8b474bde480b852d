"""How a kind of task is asked in Argilla, and what people answered, as a `Reply`.

What a task asks for (`TaskType.asks`) decides which questions there are, so a new kind of task
needs nothing here. What an answer means stays the affair of the kind of task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feedback.tasks import OVERALL, Reply, TaskType
from storage.errors import InvalidAnswer
from storage.records import HIGHEST_RATING, LOWEST_RATING, digest

PROMPT = "prompt"
"""The field of the conversation."""
BOTH_BAD = "both_bad"
LABELS: Mapping[str, int] = {
    "1_much_better": -3,
    "1_better": -2,
    "1_slightly_better": -1,
    "tie": 0,
    "2_slightly_better": 1,
    "2_better": 2,
    "2_much_better": 3,
}
"""The graded preference: the option's name, and the choice that it stands for."""
TITLES: Mapping[str, str] = {
    "1_much_better": "1 is much better",
    "1_better": "1 is better",
    "1_slightly_better": "1 is slightly better",
    "tie": "Equally good",
    "2_slightly_better": "2 is slightly better",
    "2_better": "2 is better",
    "2_much_better": "2 is much better",
    BOTH_BAD: "Both are bad",
}

COMMENT, PREFERENCE, RANKING, EDITED = "comment", "preference", "ranking", "edited"


def response_field(place: int) -> str:
    """The field of the response at a place, counted from 0."""
    return f"response_{place + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a data set in Argilla."""

    name: str
    title: str
    kind: Literal["label", "rating", "ranking", "text"]
    options: Mapping[str, str] | None = None
    """Name and title of each option of a label or a ranking."""
    required: bool = True
    description: str = ""


def questions(task: TaskType, responses: int, aspects: Sequence[str]) -> list[Question]:
    """What is asked of a record.

    Args:
        task: The kind of task.
        responses: How many a record shows.
        aspects: What the project wants rated.
    """
    found = []
    if "choice" in task.asks:
        found.append(
            Question(
                name=PREFERENCE,
                title="Which response is better?",
                kind="label",
                options=TITLES,
            )
        )
    if "ratings" in task.asks:
        of = f" ({aspects[0]})" if len(aspects) == 1 and aspects[0] != OVERALL else ""
        found += [
            Question(
                name=_rating(place),
                title=f"How good is response {place + 1}?{of}",
                kind="rating",
                description="1 very bad, 7 very good",
            )
            for place in range(responses)
        ]
    if "aspects" in task.asks:
        found += [
            Question(
                name=_rating(place, aspect),
                title=f"Response {place + 1}: {aspect}",
                kind="rating",
                description="1 very bad, 7 very good",
            )
            for aspect in aspects
            for place in range(responses)
        ]
    if "ranks" in task.asks:
        options = {response_field(place): f"Response {place + 1}" for place in range(responses)}
        found.append(
            Question(
                name=RANKING, title="Put the responses in order", kind="ranking", options=options
            )
        )
    if "edited" in task.asks:
        found.append(
            Question(
                name=EDITED,
                title="The better response, improved",
                kind="text",
                required=False,
                description="Leave it out where there is nothing to improve",
            )
        )
    comment = Question(name=COMMENT, title="A remark", kind="text", required=False)
    return [*found, comment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody answered."""

    reply: Reply
    comment: str = ""


def read_answers(
    values: Mapping[str, Any], task: TaskType, responses: int, aspects: Sequence[str]
) -> Said:
    """The answers to a record's questions.

    Args:
        values: By question, what was answered; questions without an answer are missing.
        task: The kind of task.
        responses: How many the record shows.
        aspects: What the project wants rated.

    Raises:
        InvalidAnswer: A question has no answer that it could have.
    """
    places = range(responses)
    typed: dict[str, Any] = {}
    if "choice" in task.asks:
        label = values.get(PREFERENCE)
        if not isinstance(label, str) or label not in TITLES:
            raise InvalidAnswer(
                f"The answer to {PREFERENCE!r} is one of {', '.join(TITLES)}; got {label!r:.80}."
            )
        typed |= {"both_bad": True} if label == BOTH_BAD else {"choice": LABELS[label]}
    if "ratings" in task.asks:
        typed["ratings"] = [_rated(values, _rating(place)) for place in places]
    if "aspects" in task.asks:
        typed["aspects"] = {
            aspect: [_rated(values, _rating(place, aspect)) for place in places]
            for aspect in aspects
        }
    if "ranks" in task.asks:
        typed["ranks"] = _ranks(values.get(RANKING), responses)
    if "edited" in task.asks:
        typed["edited"] = _text(values, EDITED) or None
    return Said(reply=Reply(**typed), comment=_text(values, COMMENT))


def _rating(place: int, aspect: str | None = None) -> str:
    """The name of the question about a response; an aspect's own name where Argilla allows it."""
    if aspect is None:
        return f"rating_{place + 1}"
    plain = re.sub(r"[^a-z0-9]+", "_", aspect.lower()).strip("_")
    return f"rating_{place + 1}_{plain if plain == aspect else f'{plain}_{digest(aspect)[:6]}'}"


def _rated(values: Mapping[str, Any], question: str) -> int:
    value = values.get(question)
    if type(value) is not int or not LOWEST_RATING <= value <= HIGHEST_RATING:
        raise InvalidAnswer(
            f"The answer to {question!r} is a whole number from {LOWEST_RATING} to"
            f" {HIGHEST_RATING}; got {value!r:.80}."
        )
    return value


def _ranks(value: object, responses: int) -> list[int]:
    """The place of each response, 1 for the best, equal for ties; gaps are closed from above.

    Who puts two responses in the second place and none in the first means that they tie.
    """
    given: dict[str, object] = {}
    for number, one in enumerate(value if isinstance(value, list) else (), 1):
        # Without ranks, as Argilla's files have it, the order says them.
        option, rank = (
            (one.get("value"), one.get("rank", number))
            if isinstance(one, Mapping)
            else (one, number)
        )
        given[str(option)] = rank
    options = [response_field(place) for place in range(responses)]
    places = [given.get(option) for option in options]
    if set(given) != set(options) or not all(type(one) is int for one in places):
        raise InvalidAnswer(
            f"The answer to {RANKING!r} gives each of {', '.join(options)} a place;"
            f" got {value!r:.200}."
        )
    return [1 + sum(other < one for other in places) for one in places]  # type: ignore[operator]


def _text(values: Mapping[str, Any], question: str) -> str:
    value = values.get(question)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidAnswer(f"The answer to {question!r} is a text; got {value!r:.80}.")
    return value.strip()
