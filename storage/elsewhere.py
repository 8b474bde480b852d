"""Judgements given in another front end: they take their seat when they are known, not before.

Where people judge elsewhere, nothing is leased to them here, and nothing keeps more of them from a
task than it asks for. What they said is kept all the same: whoever comes when the seats are taken
sits beside them, as programs do (`storage.beside`). People change their mind there, and what they
said before stays, taken back.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from storage import line, seats, tables
from storage.records import (
    AnnotatorId,
    AssignmentId,
    ProjectId,
    Purpose,
    ResponseId,
    SubmissionId,
    TaskId,
)
from storage.rows import in_batches
from storage.seats import BESIDE

_assignments, _submissions = tables.assignments, tables.submissions
_tasks, _skips = tables.tasks, tables.skips


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What stands of one annotator at one task."""

    assignment: AssignmentId
    shown: tuple[ResponseId, ...]
    submission: SubmissionId | None
    """The judgement that counts; None where there is none."""
    received: datetime | None
    """When that was given."""
    taken_back: int
    """How many judgements were taken back before."""
    skipped: datetime | None
    """Since when the annotator has passed the task over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An annotator's place at a task."""

    assignment: AssignmentId
    is_beside: bool
    """Whether the annotator came when all seats that the task has were taken."""


def standings(
    connection: Connection, tasks: Iterable[TaskId]
) -> dict[tuple[TaskId, AnnotatorId], Standing]:
    """What stands of everybody at some tasks."""
    found: dict[tuple[TaskId, AnnotatorId], Standing] = {}
    for batch in in_batches(tasks):
        rows = connection.execute(select(_assignments).where(_assignments.c.task.in_(batch))).all()
        said: dict[str, Any] = {}
        taken_back: Counter[str] = Counter()
        columns = _submissions.c.id, _submissions.c.assignment, _submissions.c.received
        about = select(*columns, _submissions.c.retracted)
        for some in in_batches(row.id for row in rows):
            for one in connection.execute(about.where(_submissions.c.assignment.in_(some))):
                if one.retracted is None:
                    said[one.assignment] = one
                else:
                    taken_back[one.assignment] += 1
        for row in rows:
            stands = said.get(row.id)
            found[row.task, row.annotator] = Standing(
                assignment=row.id,
                shown=tuple(row.shown),
                submission=None if stands is None else SubmissionId(stands.id),
                received=None if stands is None else stands.received,
                taken_back=taken_back[row.id],
                skipped=row.skipped,
            )
    return found


def sit(
    connection: Connection,
    task: TaskId,
    annotator: AnnotatorId,
    *,
    shown: Sequence[ResponseId],
    now: datetime,
) -> Seat:
    """Give an annotator a seat at a task that they judged elsewhere, beside the others if need be.

    A task that they passed over is theirs again. The judgement is to be recorded in the same
    transaction; a seat without one goes to others.

    Args:
        connection: Of a transaction that writes.
        task: What they judged.
        annotator: Who.
        shown: The responses in the order in which they saw them.
        now: Beginning and end of the lease.
    """
    row = _locked(connection, task)
    is_it = (_assignments.c.task == task) & (_assignments.c.annotator == annotator)
    known = connection.execute(select(_assignments).where(is_it)).first()
    if known is not None and known.seat is not None:
        # Judged before, and taken back: the seat is still theirs.
        connection.execute(update(_assignments).where(is_it).values(submitted=None))
        return Seat(assignment=AssignmentId(known.id), is_beside=known.seat >= BESIDE)
    is_counted = not Purpose(row.purpose).is_known and row.free_seats > 0
    seat = _free(connection, row)
    taken = {
        "seat": seat,
        "shown": list(shown),
        "turned": tuple(shown) == tuple(row.responses)[::-1] if len(shown) == 2 else None,
        "submitted": None,
        "skipped": None,
        # Everybody there is offered every task.
        "probability": 1.0,
        "leased": now,
        "expires": now,
        "is_open": row.place is not None and row.free_seats > 1,
    }
    if known is None:
        assignment = AssignmentId(secrets.token_hex(8))
        own = {
            "id": assignment,
            "task": row.id,
            "project": row.project,
            "study": row.study,
            "purpose": row.purpose,
            "annotator": annotator,
        }
        connection.execute(_assignments.insert(), own | taken)
    else:
        assignment = AssignmentId(known.id)
        connection.execute(update(_assignments).where(is_it).values(taken))
        # Whoever judges a task has not passed it over.
        connection.execute(_skips.delete().where(_skips.c.assignment == assignment))
    if is_counted:
        line.change_free_seats(connection, row, -1)
    return Seat(assignment=assignment, is_beside=seat >= BESIDE)


def take_back(
    connection: Connection, submission: SubmissionId, undo_id: str, *, now: datetime
) -> None:
    """Let a judgement count for nothing from now on; its seat stays with the annotator.

    Other than `storage.judgements.retract`, however old it is, and whether or not it is their
    latest: elsewhere people may change what they said at any time.
    """
    stands = (_submissions.c.id == submission) & _submissions.c.retracted.is_(None)
    connection.execute(update(_submissions).where(stands).values(retracted=now, undo=undo_id))


def stand_up(connection: Connection, assignment: AssignmentId) -> None:
    """Free the seat of somebody who has nothing to say of a task any more, nor passes it over."""
    is_it = _assignments.c.id == assignment
    known = connection.execute(select(_assignments).where(is_it)).one()
    row = _locked(connection, known.task)
    is_open = row.place is not None and row.free_seats > 0
    freed = {"seat": None, "submitted": None, "skipped": None, "is_open": is_open}
    connection.execute(update(_assignments).where(is_it).values(freed))
    connection.execute(_skips.delete().where(_skips.c.assignment == assignment))
    if known.seat is not None and known.seat < BESIDE:
        seats.give_back(connection, row.id, 1)


def _locked(connection: Connection, task: TaskId) -> Row[Any]:
    """The task's row, with its project locked."""
    project = connection.scalar(select(_tasks.c.project).where(_tasks.c.id == task))
    seats.lock(connection, ProjectId(str(project)))
    return connection.execute(select(_tasks).where(_tasks.c.id == task)).one()


def _free(connection: Connection, task: Row[Any]) -> int:
    """A seat at the task that nobody has; beyond all others where those are taken."""
    if Purpose(task.purpose).is_known or task.free_seats > 0:
        return seats.free_seat(connection, task)
    seat = _assignments.c.seat
    last = select(func.max(seat)).where(_assignments.c.task == task.id, seat >= BESIDE)
    return int(connection.scalar(last) or BESIDE - 1) + 1
