"""The JSON interface to reward models: conversations in, rewards out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends
from fastapi.exceptions import HTTPException
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictStr,
    Tag,
    model_validator,
)
from starlette.concurrency import run_in_threadpool

from app.access import Access, needs_fetch
from app.scoring_process import Conversation, ScoringEnded, ScoringProcess
from app.sources import model_folder, registered
from storage import models
from storage.database import Database
from storage.errors import InvalidData, NotFound
from storage.records import Role, as_messages, check_text
from storage.settings import Settings

MOST_CONVERSATIONS = 100
MOST_CHARACTERS = 200_000
"""In one request, all conversations together: about a minute of two processor cores."""
MOST_WAITING = 8
"""Requests in the line; more are told to come back."""

Text = Annotated[StrictStr, Field(max_length=MOST_CHARACTERS)]


def _written_as(prompt: Any) -> str:
    """Which of the two forms is meant, so that what is wrong is told of that one."""
    return "text" if isinstance(prompt, str) else "turns"


class TurnToRead(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Text


class AnswerToScore(BaseModel):
    """An answer, and what was said before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Annotated[
        Annotated[Text, Tag("text")]
        | Annotated[list[TurnToRead], Field(min_length=1, max_length=1000), Tag("turns")],
        Discriminator(_written_as),
    ] = Field(description="A text, or the turns of a conversation up to the answer.")
    response: Text = Field(description="The answer. It may be empty.")

    @property
    def characters(self) -> int:
        """In the prompt and the response."""
        turns = [self.prompt] if isinstance(self.prompt, str) else [t.content for t in self.prompt]
        return len(self.response) + sum(map(len, turns))

    def conversation(self) -> Conversation:
        """The same, as reward models take it.

        Raises:
            InvalidData: The prompt is empty, or a text holds what is no text.
        """
        prompt = self.prompt
        turns = prompt if isinstance(prompt, str) else [turn.model_dump() for turn in prompt]
        check_text(self.response, "A response")
        return as_messages(turns), self.response


class AnswersToScore(BaseModel):
    """What to score, and with which model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: StrictStr = Field(
        min_length=1, max_length=200, description="A registered reward model, by its name or id."
    )
    conversations: list[AnswerToScore] = Field(
        min_length=1,
        max_length=MOST_CONVERSATIONS,
        description=f"At most {MOST_CONVERSATIONS}, with {MOST_CHARACTERS:,} characters together."
        " Answers to the same prompt are read after it together.",
    )

    @model_validator(mode="after")
    def _not_too_much(self) -> Self:
        characters = sum(one.characters for one in self.conversations)
        if characters > MOST_CHARACTERS:
            raise ValueError(
                f"the conversations have {characters:,} characters together, of at most"
                f" {MOST_CHARACTERS:,}; send fewer at once, or score a file with tandem score"
            )
        return self


class Score(BaseModel):
    """What the model says of one answer."""

    reward: float = Field(
        description="In logits. Only differences mean something unless ratings anchored the scale."
    )
    reward_standardised: float = Field(
        description="In standard deviations around the mean of the model's training data."
    )


class Scores(BaseModel):
    """What the model says of the answers, in their order."""

    model: str = Field(description="The model's name.")
    scores: list[Score]


def scoring(
    settings: Settings, database: Database, access: Access, process: ScoringProcess
) -> APIRouter:
    """The endpoint, for researchers and their programs."""
    router = APIRouter(tags=["models"])
    guards = [Depends(access.needs(Role.RESEARCHER)), Depends(needs_fetch)]
    waiting = 0

    def find(name: str) -> tuple[str, Path]:
        """The name and the folder of a model. Paths are not for programs elsewhere to try."""
        check_text(name, "The name of a model")
        with database.read() as connection:
            model = registered(connection, name, purpose="reward")
            if model is None:
                known = [one.name for one in models.models(connection, purpose="reward")]
                raise NotFound("reward model", name, known)
        return model.name, model_folder(settings, model)

    @router.post("/score", dependencies=guards)
    async def score(said: AnswersToScore) -> Scores:
        """Score answers with a reward model.

        Requests are worked off one after the other. The first one of a while takes some seconds
        longer, because the model is loaded. Conversations that the model cannot read whole are
        refused; nothing is cut.
        """
        nonlocal waiting
        name, folder = await run_in_threadpool(find, said.model)
        conversations = _conversations(said)
        if waiting >= MOST_WAITING:
            raise HTTPException(503, "Too much waits to be scored just now; try again in a minute.")
        waiting += 1
        try:
            rewards = await asyncio.get_running_loop().run_in_executor(
                process.line, process.score, folder, conversations
            )
        except ScoringEnded:
            raise HTTPException(
                503,
                "Scoring ended in the middle, most often because memory ran out; send fewer or"
                " shorter conversations, or try again when no model is being trained.",
            ) from None
        finally:
            waiting -= 1
        pairs = zip(rewards.raw, rewards.standardised, strict=True)
        return Scores(
            model=name,
            scores=[Score(reward=raw, reward_standardised=standard) for raw, standard in pairs],
        )

    return router


def _conversations(said: AnswersToScore) -> list[Conversation]:
    found = []
    for place, one in enumerate(said.conversations, start=1):
        try:
            found.append(one.conversation())
        except InvalidData as error:
            raise InvalidData(f"Conversation {place}: {error}") from error
    return found
