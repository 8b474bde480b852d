"""What the JSON interface shows, and what it takes: the models behind its OpenAPI description."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from app.markdown import render
from feedback.assignment import ShownTask
from storage.records import Project
from storage.tasks import Progress


class Text(BaseModel):
    """A text as it was written, and as HTML that is safe to show."""

    html: str
    text: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Render Markdown."""
        return cls(html=render(text), text=text)


class Turn(Text):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]


class TaskShown(BaseModel):
    """What one annotator is to judge, leased to them for half an hour."""

    assignment: str = Field(description="Send it back with the judgement.")
    type: str = Field(description="pair_with_ratings, or pair: without ratings.")
    prompt: list[Turn]
    responses: list[Text] = Field(description="Left and right, in this annotator's own order.")

    @classmethod
    def of(cls, task: ShownTask) -> Self:
        """Texts only: identifiers of responses would tell a blinded annotator what to look up."""
        return cls(
            assignment=task.assignment.id,
            type=task.type,
            prompt=[
                Turn(role=turn["role"], html=render(turn["content"]), text=turn["content"])
                for turn in task.prompt
            ],
            responses=[Text.of(response) for response in task.responses],
        )


class ProjectShown(BaseModel):
    """What annotators are told about the work."""

    name: str
    guidelines: Text
    simulated: bool = Field(description="Programs in the place of people may have judged here.")

    @classmethod
    def of(cls, project: Project, *, name: str | None = None) -> Self:
        """Under its own name, or under another where its name would say too much."""
        return cls(
            name=project.name if name is None else name,
            guidelines=Text.of(project.guidelines),
            simulated=project.simulated,
        )


class ProgressShown(BaseModel):
    """How far this annotator is, in tasks."""

    done: int = Field(description="Judged by this annotator.")
    open: int = Field(description="Still to be had by this annotator, with those held now.")
    total: int = Field(description="All there are, whoever judges them.")

    @classmethod
    def of(cls, progress: Progress) -> Self:
        """The same numbers."""
        return cls(done=progress.done, open=progress.open, total=progress.total)


class Work(BaseModel):
    """Tasks to judge next. Those held already come first."""

    annotator: str = Field(description="The annotator's pseudonym.")
    project: ProjectShown
    projects: list[str] = Field(description="Names of all projects; empty for participants.")
    tasks: list[TaskShown]
    progress: ProgressShown


class Kept(BaseModel):
    """The judgement is on the server's disk."""

    saved: bool = Field(description="False when it had been kept before: a resend.")
    progress: ProgressShown


class Consent(BaseModel):
    """What a participant agreed to."""

    consent: Literal[True]


class Participation(BaseModel):
    """Under which pseudonym somebody takes part in a study."""

    annotator: str


class Health(BaseModel):
    """The server answers and its database can be read."""

    status: Literal["ok"] = "ok"


class Refusal(BaseModel):
    """Why nothing was done."""

    error: str = Field(description="One sentence: what, which value, what to do.")
