"""What the JSON interface shows: the models behind its OpenAPI description.

What it takes is declared where it is checked, in `feedback.intake` and `feedback.asides`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from app.markdown import render
from feedback.assignment import ShownTask
from feedback.intake import Lesson
from feedback.own_figures import OwnFigures
from storage.messages import PersonalMessage
from storage.qualification import Standing
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
    type: str = Field(
        description="pair_with_ratings, pair, single_rating, ranking, aspects or edit: what a"
        " judgement must hold."
    )
    prompt: list[Turn]
    responses: list[Text] = Field(description="Left to right, in this annotator's own order.")
    qualifying: bool = Field(description="Part of the qualification round, with feedback.")

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
            qualifying=task.qualifying,
        )


class ProjectShown(BaseModel):
    """What annotators are told about the work."""

    name: str
    guidelines: Text
    simulated: bool = Field(description="Programs in the place of people may have judged here.")
    aspects: list[str] = Field(description="What is rated.")
    break_after_minutes: int = Field(description="When to suggest a break; 0 for never.")
    question: str = Field(
        default="",
        description="What a study asks in words of its own; empty for the usual question.",
    )

    @classmethod
    def of(cls, project: Project, *, name: str | None = None, question: str = "") -> Self:
        """Under its own name, or under another where its name would say too much."""
        return cls(
            name=project.name if name is None else name,
            guidelines=Text.of(project.guidelines),
            simulated=project.simulated,
            aspects=list(project.collecting.aspects),
            break_after_minutes=project.collecting.break_after_minutes,
            question=question,
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


class QualificationShown(BaseModel):
    """How the annotator stands in the qualification round."""

    left: int = Field(description="Items still to be judged.")
    done: int
    correct: int
    passed: bool | None = Field(description="Null until the round is over.")

    @classmethod
    def of(cls, standing: Standing) -> Self | None:
        """The same numbers; None where there is no round."""
        if not standing.left and not standing.done:
            return None
        return cls(
            left=standing.left,
            done=standing.done,
            correct=standing.correct,
            passed=standing.passed,
        )


class MessageShown(BaseModel):
    """A few words from a researcher."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    text: str
    at: datetime
    author: str = Field(serialization_alias="from", description="Pseudonym.")

    @classmethod
    def of(cls, message: PersonalMessage) -> Self:
        """The same message."""
        return cls(id=message.id, text=message.text, at=message.at, author=message.author)


class Completion(BaseModel):
    """What a participant of a study gets at the end."""

    code: str = Field(description="To be handed to whoever sent the participant; may be empty.")
    url: str = Field(description="Where to go on; empty where there is nothing.")


class Elsewhere(BaseModel):
    """Another place where a project is judged: an Argilla server."""

    workspace: str = Field(description="Where on that server.")
    url: str | None = Field(description="Its address; null where Tandem does not know it.")

    @classmethod
    def of(cls, project: Project, url: str | None) -> Self | None:
        """None where people judge in Tandem."""
        workspace = project.collecting.argilla_workspace
        return cls(workspace=workspace, url=url) if workspace else None


class Work(BaseModel):
    """Tasks to judge next. Those held already come first."""

    annotator: str = Field(description="The annotator's pseudonym.")
    project: ProjectShown
    projects: list[str] = Field(description="Names of all projects; empty for participants.")
    tasks: list[TaskShown]
    progress: ProgressShown
    qualification: QualificationShown | None = Field(description="Null where there is no round.")
    messages: list[MessageShown] = Field(description="Not read yet, the oldest first.")
    elsewhere: Elsewhere | None = Field(
        default=None,
        description="Where the project is judged, if not here; tasks held already can be finished.",
    )
    completion: Completion | None = Field(
        default=None, description="Of participants who have done everything; else null."
    )


class LessonShown(BaseModel):
    """What somebody is told of an answer in the qualification round."""

    correct: bool
    explanation: Text
    left: int = Field(description="Items still to be judged.")
    passed: bool | None = Field(description="Null until the round is over.")

    @classmethod
    def of(cls, lesson: Lesson) -> Self:
        """The same, rendered."""
        return cls(
            correct=lesson.correct,
            explanation=Text.of(lesson.explanation),
            left=lesson.left,
            passed=lesson.passed,
        )


class Noted(BaseModel):
    """It is on the server's disk."""

    saved: bool = Field(description="False when it had been kept before: a resend.")
    progress: ProgressShown


class Kept(Noted):
    """The judgement is on the server's disk."""

    qualification: LessonShown | None = Field(
        description="Feedback on an item of the qualification round; null on all others."
    )


class Read(BaseModel):
    """The message will not be shown again."""

    saved: bool = Field(description="False when it had been read before.")


class AgreementShown(BaseModel):
    """How often own choices agree with what most others chose, once a task is complete."""

    value: float = Field(description="A fraction of the decided choices that can be compared.")
    others: int = Field(description="With how many other people they were compared.")


class Figures(BaseModel):
    """The annotator's own work in a project."""

    judgements: int
    today: int = Field(description="Since midnight, UTC.")
    median_seconds: float | None = Field(description="Active time of a judgement.")
    per_hour: float | None = Field(description="Judgements in an hour of active time.")
    agreement: AgreementShown | None = Field(description="Null while there is too little of it.")
    skipped: int

    @classmethod
    def of(cls, figures: OwnFigures) -> Self:
        """The same figures."""
        agreed = figures.agreement
        return cls(
            judgements=figures.judgements,
            today=figures.today,
            median_seconds=figures.median_seconds,
            per_hour=figures.per_hour,
            agreement=agreed and AgreementShown(value=agreed.value, others=agreed.others),
            skipped=figures.skipped,
        )


class KnownItem(BaseModel):
    """A researcher's own answer, as the right one of a known item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    submission: UUID = Field(description="Id of the answer; it must be the researcher's own.")
    purpose: Literal["gold", "attention", "qualification"] = "gold"
    explanation: StrictStr = Field(
        default="", max_length=2000, description="Why it is right. Markdown."
    )
    within: int = Field(
        default=1, ge=0, le=3, description="By how many points another rating may differ."
    )


class KnownKept(BaseModel):
    """The known item is there."""

    task: str
    saved: bool = Field(description="False when it was one already.")


class Saved(BaseModel):
    """It is on the server's disk."""

    saved: bool = Field(description="False when it had been kept before.")


class Participation(BaseModel):
    """Under which pseudonym somebody takes part in a study."""

    annotator: str


class Health(BaseModel):
    """The server answers and its database can be read."""

    status: Literal["ok"] = "ok"


class Refusal(BaseModel):
    """Why nothing was done."""

    error: str = Field(description="One sentence: what, which value, what to do.")
