"""What a study asks of its participants beside their votes: settings that are frozen with its plan.

The researcher sets them once, when the study is opened. Participants see them as consent text,
questions about themselves, instructions, attention checks and a completion code.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from feedback.attention import MOST_CHECKS
from storage.errors import InvalidAnswer
from storage.recipes import RecipeConfig
from storage.records import Study, check_text

LONGEST_ANSWER = 200
"""Characters of a short text about oneself."""
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without those that are taken for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutYou:
    """A question about the participants, which nobody has to answer."""

    text: str
    choices: tuple[str, ...]
    """Empty: a short text is asked for."""

    @classmethod
    def of(cls, written: str) -> Self:
        """Read "TEXT", or "TEXT | CHOICE | CHOICE".

        Raises:
            ValueError: It asks nothing, offers a single choice, or the same one twice.
        """
        text, *choices = (part.strip() for part in written.split("|"))
        if not text:
            raise ValueError(f"a question needs a text; got {written!r}")
        if len(choices) == 1 or not all(choices) or len(set(choices)) < len(choices):
            raise ValueError(
                f"a question to choose from has two or more different choices; got {written!r}"
            )
        return cls(text=text, choices=tuple(choices))


def _questions(written: tuple[str, ...]) -> tuple[str, ...]:
    asked = [AboutYou.of(one).text for one in written]
    if len(set(asked)) < len(asked):
        raise ValueError("a question is there twice")
    return written


def _secure_address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme != "https" or not parts.hostname or not url.isprintable()):
        raise ValueError("this must be a whole address that begins with https://")
    return url


class Participation(RecipeConfig):
    """What a study asks of its participants, and what it gives them."""

    consent: Annotated[
        str,
        Field(
            max_length=20_000,
            description="Your own words on the consent page: who you are, what the study is for,"
            " whom to ask; plain text, an empty line begins a paragraph. What is kept is told"
            " anyway",
            json_schema_extra={"lines": 5},
        ),
    ] = ""
    instructions: Annotated[
        str,
        Field(
            max_length=20_000,
            description="What participants read before the first comparison and may read again;"
            " Markdown",
            json_schema_extra={"lines": 5},
        ),
    ] = ""
    about_you: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=1000)], ...],
        Field(
            max_length=20,
            description="Questions about the participants themselves, which nobody has to answer:"
            " 'TEXT' for a short text, 'TEXT | CHOICE | CHOICE' to choose one",
        ),
        AfterValidator(_questions),
    ] = ()
    votes_each: Annotated[
        int | None,
        Field(
            ge=1, le=10_000, description="Most votes one participant gives; empty: all there are"
        ),
    ] = None
    attention_checks: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_CHECKS,
            description="Comparisons for each participant that tell which answer to choose, at"
            " random places; they are no votes",
        ),
    ] = 0
    failed_checks: Annotated[
        Literal["leave-out", "keep"],
        Field(
            description="What becomes of the votes of participants who get half or more of their"
            " attention checks wrong; either way they are counted in the result"
        ),
    ] = "leave-out"
    completion_code: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,50}$"),
        Field(description="What participants are shown at the end; empty draws one"),
    ] = ""
    completion_url: Annotated[
        str,
        Field(
            max_length=500,
            description="Where participants go from the last page, as Prolific has it; https only",
        ),
        AfterValidator(_secure_address),
    ] = ""

    @classmethod
    def among(cls, options: RecipeConfig) -> Participation:
        """Those of a job's options that are about participation."""
        return Participation(
            **{name: getattr(options, name) for name in Participation.model_fields}
        )

    @classmethod
    def of(cls, study: Study) -> Participation:
        """What the plan of a study says; the defaults, and no code, where it says nothing."""
        return Participation.read(study.plan.get("participation", {}))

    def with_code(self) -> Self:
        """The same, with a completion code drawn where none is given."""
        drawn = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
        return self.model_copy(update={"completion_code": self.completion_code or drawn})

    @property
    def has_introduction(self) -> bool:
        """True when there is something to read or to answer before the first vote."""
        return bool(self.instructions.strip() or self.about_you)

    @property
    def questions(self) -> tuple[AboutYou, ...]:
        """The questions about the participants, as they were set."""
        return tuple(map(AboutYou.of, self.about_you))

    def failed(self, answered: int, right: int) -> bool:
        """Whether somebody failed who answered so many checks, so many of them rightly."""
        return answered > 0 and 2 * (answered - right) >= answered


def read_answers(questions: Sequence[AboutYou], said: Sequence[str | None]) -> Mapping[str, str]:
    """What a participant said of themselves, by question; what was left open is left out.

    Args:
        questions: As the study asks them.
        said: In the same order; None or empty where nothing was said.

    Raises:
        InvalidAnswer: There are more answers than questions, a choice is not offered, or a text is
            too long.
    """
    if len(said) != len(questions):
        raise InvalidAnswer(f"There are {len(questions)} questions; got {len(said)} answers.")
    answers: dict[str, Any] = {}
    for question, answer in zip(questions, said, strict=True):
        text = (answer or "").strip()
        if not text:
            continue
        check_text(text, "An answer")
        if question.choices and text not in question.choices:
            raise InvalidAnswer(
                f"{question.text!r} can be answered with {', '.join(question.choices)}; got"
                f" {text[:80]!r}."
            )
        if len(text) > LONGEST_ANSWER:
            raise InvalidAnswer(
                f"An answer has at most {LONGEST_ANSWER} characters; the one to {question.text!r}"
                f" has {len(text)}."
            )
        answers[question.text] = text
    return answers
