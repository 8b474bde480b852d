"""What an answer to a task may hold, and what a kind of task makes of it.

Every kind of task reads the same fields of `Reply`; which of them it wants is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from storage.errors import InvalidAnswer
from storage.records import (
    HIGHEST_RATING,
    LOWEST_RATING,
    STRONGEST_CHOICE,
    Comparison,
    PromptId,
    Rating,
    Response,
    ResponseId,
)

OVERALL = "overall"
"""The aspect of a rating where a project names no single one."""
MOST_SHOWN = 8
"""Responses on one screen; nobody ranks more with care."""
LONGEST_TEXT = 50_000
"""Characters of a text that an annotator writes."""

Choice = Annotated[StrictInt, Field(ge=-STRONGEST_CHOICE, le=STRONGEST_CHOICE)]
Ratings = Annotated[
    list[Annotated[StrictInt, Field(ge=LOWEST_RATING, le=HIGHEST_RATING)]],
    Field(min_length=1, max_length=MOST_SHOWN),
]
Ranks = Annotated[
    list[Annotated[StrictInt, Field(ge=1, le=MOST_SHOWN)]],
    Field(min_length=1, max_length=MOST_SHOWN),
]


class Reply(BaseModel):
    """An answer to one task; lists follow the order of the responses on the screen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Choice | None = Field(
        default=None, description="-3 left much better ... 0 tie ... 3 right much better."
    )
    both_bad: StrictBool = Field(default=False, description="A tie of two unusable responses.")
    ratings: Ratings | None = Field(
        default=None,
        description="1 to 7 for each response, of the project's aspect if it has a single one,"
        " else overall; null where the task asks for none.",
    )
    aspects: dict[StrictStr, Ratings] | None = Field(
        default=None,
        description="1 to 7 for each response by aspect, where the task asks for aspects.",
    )
    ranks: Ranks | None = Field(
        default=None,
        description="Place of each response, 1 for the best; equal places are ties.",
    )
    edited: StrictStr | None = Field(
        default=None,
        max_length=LONGEST_TEXT,
        description="An improved text of the better response (of the left one after a tie); null"
        " where the task asks for none, or when there is nothing to improve.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the annotator had before them."""

    prompt: PromptId
    shown: tuple[ResponseId, ...]
    """Left to right, or top to bottom."""
    aspects: tuple[str, ...] = (OVERALL,)
    """What the project wants rated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """An answer as judgements."""

    comparisons: tuple[Comparison, ...] = ()
    ratings: tuple[Rating, ...] = ()
    written: tuple[Response, ...] = ()
    """Responses that the annotator wrote, to be kept before the comparisons that name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """A kind of task: what it shows, what it asks for, and what the answer means."""

    name: str
    summary: str
    """One sentence for a menu, without a full stop."""
    asks: frozenset[str]
    """Fields of `Reply` that it reads; an answer that holds others is refused."""
    fewest: int = 2
    """Responses that it shows at least."""
    most: int = 2
    """Responses that it shows at most."""
    read: Callable[[Reply, Screen], Meaning]

    def judgements(self, reply: Reply, screen: Screen) -> Meaning:
        """Turn one answer into judgements of the responses shown.

        Raises:
            InvalidAnswer: Something is missing, too much, or out of range.
        """
        for name in Reply.model_fields:
            value = getattr(reply, name)
            if name not in self.asks and value is not None and value is not False:
                raise InvalidAnswer(
                    f"A task of type {self.name!r} takes no {name}; got {value!r:.80}."
                    f" Send {name} as {'false' if value is True else 'null'}."
                )
        return self.read(reply, screen)


def compared(reply: Reply, screen: Screen) -> Comparison:
    """The choice between the two responses shown.

    Raises:
        InvalidAnswer: There is none, or it is out of range.
    """
    left, right = screen.shown
    if reply.choice is None and not reply.both_bad:
        raise InvalidAnswer(
            "The choice is missing. Send a whole number from -3 (left) to 3 (right), or both_bad."
        )
    return Comparison(left=left, right=right, choice=reply.choice or 0, both_bad=reply.both_bad)


def rated(screen: Screen, values: list[int] | None, aspect: str) -> tuple[Rating, ...]:
    """One rating for each response shown.

    Raises:
        InvalidAnswer: Their number is another, or one is out of range.
    """
    if values is None or len(values) != len(screen.shown):
        raise InvalidAnswer(
            f"The task needs one rating of {aspect!r} for each of its {len(screen.shown)}"
            f" responses, in the order shown; got {values!r}."
        )
    return tuple(
        Rating(response=response, value=value, aspect=aspect)
        for response, value in zip(screen.shown, values, strict=True)
    )


def single_aspect(screen: Screen) -> str:
    """What a plain rating is about: the project's only aspect, or all in all."""
    return screen.aspects[0] if len(screen.aspects) == 1 else OVERALL
