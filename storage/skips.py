"""Skips: a task that an annotator does not want to judge, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from storage import tables
from storage.records import AnnotatorId, AssignmentId, ProjectId, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """One annotator passed one task over."""

    task: TaskId
    annotator: str
    """Pseudonym."""
    reason: str
    at: datetime


def skip(
    connection: Connection,
    skip_id: str,
    assignment: AssignmentId,
    annotator: AnnotatorId,
    *,
    reason: str,
    now: datetime,
) -> bool:
    """Give a leased task back for good: others may have the seat, this annotator sees it no more.

    A resend of the same `skip_id`, or a second skip of the same assignment, changes nothing.

    Returns:
        True if it was new.

    Raises:
        InvalidAnswer: The task was not given to this annotator, is judged already, or belongs to
            the qualification; or the id came before for another task.
    """
    raise NotImplementedError


def skips(connection: Connection, project: ProjectId) -> list[Skip]:
    """What was skipped in a project, the newest first."""
    skipped, tasks, annotators = tables.skips, tables.tasks, tables.annotators
    statement = (
        select(skipped.c.task, annotators.c.pseudonym, skipped.c.reason, skipped.c.at)
        .join(tasks, skipped.c.task == tasks.c.id)
        .join(annotators, skipped.c.annotator == annotators.c.id)
        .where(tasks.c.project == project)
        .order_by(skipped.c.at.desc(), skipped.c.id)
    )
    return [
        Skip(task=row.task, annotator=row.pseudonym, reason=row.reason, at=row.at)
        for row in connection.execute(statement)
    ]


def skipped_by(connection: Connection, annotator: AnnotatorId, project: ProjectId) -> int:
    """How many tasks of a project an annotator has skipped."""
    skipped, tasks = tables.skips, tables.tasks
    statement = (
        select(func.count())
        .select_from(skipped.join(tasks, skipped.c.task == tasks.c.id))
        .where(skipped.c.annotator == annotator, tasks.c.project == project)
    )
    return connection.scalar(statement) or 0
