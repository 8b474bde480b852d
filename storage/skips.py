"""Skips: a task that an annotator does not want to judge, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from storage import line, seats, tables
from storage.errors import InvalidAnswer
from storage.records import AnnotatorId, AssignmentId, ProjectId, Purpose, TaskId
from storage.rows import checked

LONGEST_REASON = 2000

_skips, _assignments = tables.skips, tables.assignments


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
    if len(reason) > LONGEST_REASON:
        raise InvalidAnswer(
            f"A reason has at most {LONGEST_REASON} characters; this one has {len(reason)}."
        )
    given = select(_assignments.c.task, _assignments.c.project, tables.tasks.c.purpose)
    mine = (_assignments.c.id == assignment) & (_assignments.c.annotator == annotator)
    found = connection.execute(given.join(tables.tasks).where(mine)).first()
    if found is None:
        raise InvalidAnswer(
            f"No task was given to this annotator as assignment {assignment!r}, so it cannot be"
            " skipped."
        )
    if found.purpose == Purpose.QUALIFICATION:
        raise InvalidAnswer("The items of the qualification cannot be skipped; judge this one.")
    # Under the lock no seat changes hands, and a second skip waits for the first.
    seats.lock(connection, found.project)
    known = connection.scalar(select(_skips.c.assignment).where(_skips.c.id == skip_id))
    if known is not None and known != assignment:
        raise InvalidAnswer(
            f"Skip {skip_id!r} was kept before for another task; give every skip an id of its own."
        )
    before = select(_assignments.c.seat, _assignments.c.skipped).where(mine)
    seat, skipped = connection.execute(before).one()
    if skipped is not None:
        return False
    gone = update(_assignments).where(mine, _assignments.c.submitted.is_(None))
    # Nobody told an assignment without a seat whether its task is open, and now it counts again.
    is_open = select(line.is_open).where(tables.tasks.c.id == found.task).scalar_subquery()
    if not connection.execute(gone.values(seat=None, skipped=now, is_open=is_open)).rowcount:
        raise InvalidAnswer("This task is judged already, so it cannot be skipped; undo it first.")
    if seat is not None and seat < seats.BESIDE:
        seats.give_back(connection, found.task, 1)
    row = {
        "id": skip_id,
        "assignment": assignment,
        "annotator": annotator,
        "task": found.task,
        "reason": reason,
        "at": now,
    }
    connection.execute(_skips.insert().values(checked(_skips, row)))
    return True


def skips(connection: Connection, project: ProjectId) -> list[Skip]:
    """What was skipped in a project, the newest first."""
    tasks, annotators = tables.tasks, tables.annotators
    statement = (
        select(_skips, annotators.c.pseudonym)
        .join(tasks, _skips.c.task == tasks.c.id)
        .join(annotators, _skips.c.annotator == annotators.c.id)
        .where(tasks.c.project == project)
        .order_by(_skips.c.at.desc(), _skips.c.id)
    )
    return [
        Skip(task=row.task, annotator=row.pseudonym, reason=row.reason, at=row.at)
        for row in connection.execute(statement)
    ]


def skipped_by(connection: Connection, annotator: AnnotatorId, project: ProjectId) -> int:
    """How many tasks of a project an annotator has skipped."""
    tasks = tables.tasks
    statement = (
        select(func.count())
        .select_from(_skips.join(tasks, _skips.c.task == tasks.c.id))
        .where(_skips.c.annotator == annotator, tasks.c.project == project)
    )
    return connection.scalar(statement) or 0
