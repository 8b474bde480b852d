"""Flags: what annotators report about a task. A flag does not end the task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import Connection, select, update

from storage import tables
from storage.errors import InvalidAnswer, NotFound
from storage.records import AnnotatorId, AssignmentId, ProjectId, TaskId
from storage.rows import checked, count_new

FlagReason = Literal["unclear", "broken", "harmful", "personal", "other"]
LONGEST_COMMENT = 2000

_flags = tables.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A problem with one task, as one annotator reported it."""

    id: str
    task: TaskId
    annotator: str
    """Pseudonym."""
    reason: FlagReason
    comment: str
    at: datetime
    resolved: datetime | None


def add_flag(
    connection: Connection,
    flag_id: str,
    assignment: AssignmentId,
    annotator: AnnotatorId,
    *,
    reason: FlagReason,
    comment: str = "",
    now: datetime,
) -> bool:
    """Keep what an annotator reports about a task that was given to them, judged or not.

    Returns:
        True if it was new; a resend of the same `flag_id` changes nothing.

    Raises:
        InvalidAnswer: The task was not given to this annotator, the reason is none of the known
            ones, the comment is too long, or the id came before for another task.
    """
    if reason not in get_args(FlagReason):
        raise InvalidAnswer(
            f"A reason is one of {', '.join(get_args(FlagReason))}; got {reason!r}."
        )
    if len(comment) > LONGEST_COMMENT:
        raise InvalidAnswer(
            f"A comment has at most {LONGEST_COMMENT} characters; this one has {len(comment)}."
        )
    given = tables.assignments
    of = select(given.c.task).where(given.c.id == assignment, given.c.annotator == annotator)
    task = connection.scalar(of)
    if task is None:
        raise InvalidAnswer(
            f"No task was given to this annotator as assignment {assignment!r}, so it cannot be"
            " flagged."
        )
    row = {
        "id": flag_id,
        "task": task,
        "annotator": annotator,
        "reason": reason,
        "comment": comment,
        "at": now,
    }
    if count_new(connection, _flags, [checked(_flags, row)]):
        return True
    known = select(_flags.c.task, _flags.c.annotator).where(_flags.c.id == flag_id)
    if tuple(connection.execute(known).one()) != (task, annotator):
        raise InvalidAnswer(
            f"Flag {flag_id!r} was kept before for another task; give every flag an id of its own."
        )
    return False


def flags(connection: Connection, project: ProjectId) -> list[Flag]:
    """What was reported in a project: first what is not resolved, then the newest first."""
    tasks, annotators = tables.tasks, tables.annotators
    statement = (
        select(_flags, annotators.c.pseudonym)
        .join(tasks, _flags.c.task == tasks.c.id)
        .join(annotators, _flags.c.annotator == annotators.c.id)
        .where(tasks.c.project == project)
        .order_by(_flags.c.resolved.is_not(None), _flags.c.at.desc(), _flags.c.id)
    )
    return [
        Flag(
            id=row.id,
            task=row.task,
            annotator=row.pseudonym,
            reason=row.reason,
            comment=row.comment,
            at=row.at,
            resolved=row.resolved,
        )
        for row in connection.execute(statement)
    ]


def resolve_flag(connection: Connection, flag_id: str, *, now: datetime) -> None:
    """Say that a reported problem was dealt with. A second time changes nothing.

    Raises:
        NotFound: There is no such flag.
    """
    unresolved = (_flags.c.id == flag_id) & _flags.c.resolved.is_(None)
    connection.execute(update(_flags).where(unresolved).values(resolved=now))
    if connection.scalar(select(_flags.c.id).where(_flags.c.id == flag_id)) is None:
        raise NotFound("flag", flag_id)
