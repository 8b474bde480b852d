"""Taking an annotator's answer: checked with its task, kept once, acknowledged when on disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import Field, StrictFloat, StrictInt

from feedback.tasks import TASKS, Said, Screen
from storage.database import Database
from storage.errors import InvalidAnswer, NotFound
from storage.judgements import record_submission
from storage.records import Annotator, AssignmentId, Submission, SubmissionId
from storage.tasks import Progress, assignment, progress, task


class Answer(Said):
    """What a browser sends for one task. Scales are checked with the task, by `feedback.tasks`."""

    submission: UUID = Field(
        description="Made by the sender; a resend of the same id changes nothing."
    )
    assignment: str = Field(min_length=1, max_length=32, description="As given with the task.")
    active_seconds: StrictInt | StrictFloat | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="From first sight to sending, without idle time.",
    )
    interface: str = Field(default="web", min_length=1, max_length=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The answer is on disk."""

    saved: bool
    """False when it was there before: this was a resend."""
    progress: Progress


def take(database: Database, annotator: Annotator, answer: Answer, *, now: datetime) -> Receipt:
    """Keep one answer. When this returns, it is committed.

    Raises:
        InvalidAnswer: The task was not leased to this annotator, the lease ran out and another took
            the place, the answer does not fit the task, or the submission id stands for another
            answer.
    """
    assignment_id = AssignmentId(answer.assignment)
    with database.write() as connection:
        try:
            leased = assignment(connection, assignment_id)
        except NotFound:
            leased = None
        if leased is None or leased.annotator != annotator.id:
            # One sentence for both, so that nobody learns which assignments others hold.
            raise InvalidAnswer(
                f"The task {answer.assignment!r} is not leased to you; load your tasks again."
            )
        judged = task(connection, leased.task)
        screen = Screen(prompt=judged.prompt, shown=leased.shown)
        meaning = TASKS[judged.type].judgements(answer, screen)
        submission = Submission(
            id=SubmissionId(str(answer.submission)),
            annotator=annotator.id,
            prompt=judged.prompt,
            assignment=leased.id,
            study=judged.study,
            comparisons=meaning.comparisons,
            ratings=meaning.ratings,
            active_seconds=answer.active_seconds,
            interface=answer.interface,
            received=now,
        )
        saved = record_submission(connection, submission)
        done = progress(connection, annotator.id, judged.project, judged.study)
    return Receipt(saved=saved, progress=done)
