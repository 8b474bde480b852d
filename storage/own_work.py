"""What one annotator has done in a project, as far as it is told to the annotator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, func, select

from storage import line, tables
from storage.errors import NotFound
from storage.records import (
    AnnotatorId,
    AssignmentId,
    Comparison,
    ProjectId,
    PromptId,
    Purpose,
    Rating,
    ResponseId,
    SubmissionId,
    TaskId,
)

_tasks, _assignments, _submissions = tables.tasks, tables.assignments, tables.submissions
_given = _submissions.join(_assignments, _submissions.c.assignment == _assignments.c.id).join(
    _tasks, _assignments.c.task == _tasks.c.id
)
_stands = _submissions.c.retracted.is_(None) & _submissions.c.study.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One answer, whatever its task was for: when it came, and how long it took."""

    received: datetime
    active_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What somebody said of two responses of a task."""

    task: TaskId
    overlap: int
    """How many annotators the task wants."""
    annotator: AnnotatorId
    pair: frozenset[ResponseId]
    preferred: ResponseId | None
    """None for a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAnswer:
    """What was said of one task."""

    task: TaskId
    comparisons: tuple[Comparison, ...]
    ratings: tuple[Rating, ...]


def sittings(connection: Connection, annotator: AnnotatorId, project: ProjectId) -> list[Sitting]:
    """Every answer of an annotator that stands, but for votes in studies, oldest first."""
    statement = (
        select(_submissions.c.received, _submissions.c.active_seconds)
        .select_from(_given)
        .where(_stands, _submissions.c.annotator == annotator, _tasks.c.project == project)
        .order_by(_submissions.c.received)
    )
    return [
        Sitting(received=row.received, active_seconds=row.active_seconds)
        for row in connection.execute(statement)
    ]


def votes_beside(connection: Connection, annotator: AnnotatorId, project: ProjectId) -> list[Vote]:
    """What everybody chose in the feedback tasks that several people judge, this annotator too."""
    feedback = _submissions.c.purpose == str(Purpose.FEEDBACK)
    theirs: Select[tuple[str]] = (
        select(_tasks.c.id)
        .select_from(_given)
        .where(
            _stands,
            feedback,
            _submissions.c.annotator == annotator,
            _tasks.c.project == project,
            _tasks.c.overlap > 1,
        )
    )
    said = tables.comparisons
    statement = (
        select(
            _tasks.c.id,
            _tasks.c.overlap,
            _submissions.c.annotator,
            said.c.left,
            said.c.right,
            said.c.choice,
        )
        .select_from(_given.join(said, said.c.submission == _submissions.c.id))
        .where(_stands, feedback, _tasks.c.id.in_(theirs))
    )
    return [
        Vote(
            task=row.id,
            overlap=row.overlap,
            annotator=row.annotator,
            pair=frozenset((row.left, row.right)),
            preferred=(row.left if row.choice < 0 else row.right) if row.choice else None,
        )
        for row in connection.execute(statement)
    ]


def mixable(connection: Connection, project: ProjectId) -> int:
    """How many known items there are to be mixed in among a project's tasks."""
    purposes = [str(Purpose.GOLD), str(Purpose.ATTENTION)]
    there = line.within(project, None) & _tasks.c.purpose.in_(purposes)
    return connection.scalar(select(func.count()).select_from(_tasks).where(there)) or 0


def assignment_of(connection: Connection, submission: SubmissionId) -> AssignmentId:
    """The assignment that an answer belongs to.

    Raises:
        NotFound: There is no such answer, or it was imported.
    """
    statement = select(_submissions.c.assignment).where(_submissions.c.id == submission)
    found = connection.scalar(statement)
    if found is None:
        raise NotFound("answer", submission)
    return AssignmentId(found)


def latest_answers(
    connection: Connection, annotator: AnnotatorId, project: ProjectId, *, most: int
) -> list[tuple[SubmissionId, PromptId]]:
    """The latest real tasks an annotator judged in a project, the latest first, by prompt."""
    statement = (
        select(_submissions.c.id, _submissions.c.prompt)
        .select_from(_given)
        .where(
            _stands,
            _submissions.c.annotator == annotator,
            _submissions.c.purpose == str(Purpose.FEEDBACK),
            _tasks.c.project == project,
        )
        .order_by(_submissions.c.received.desc(), _submissions.c.id)
        .limit(most)
    )
    rows = connection.execute(statement)
    return [(SubmissionId(row.id), PromptId(row.prompt)) for row in rows]


def own_answer(
    connection: Connection, annotator: AnnotatorId, submission: SubmissionId
) -> OwnAnswer | None:
    """An annotator's answer that stands and was no vote; None where there is none."""
    statement = (
        select(_assignments.c.task)
        .select_from(_given)
        .where(_stands, _submissions.c.id == submission, _submissions.c.annotator == annotator)
    )
    task = connection.scalar(statement)
    if task is None:
        return None
    compared, rated = tables.comparisons, tables.ratings
    columns = compared.c.left, compared.c.right, compared.c.choice, compared.c.graded
    comparisons = connection.execute(
        select(*columns, compared.c.both_bad)
        .where(compared.c.submission == submission)
        .order_by(compared.c.id)
    )
    ratings = connection.execute(
        select(rated.c.response, rated.c.value, rated.c.aspect)
        .where(rated.c.submission == submission)
        .order_by(rated.c.id)
    )
    return OwnAnswer(
        task=TaskId(task),
        comparisons=tuple(Comparison(**row._asdict()) for row in comparisons),
        ratings=tuple(Rating(**row._asdict()) for row in ratings),
    )
