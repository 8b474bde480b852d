"""Seats: what makes sure that a task is judged exactly as often as asked.

A task has `overlap` seats. A lease takes one, a judgement keeps it, and a lease that ran out gives
it back. The database refuses two annotators in one seat, and two seats to one annotator, so nothing
is judged too often whatever happens. Whoever takes or frees seats locks the project's row
first, so that those who want the same seat stand in line instead of failing; keeping a seat that
one holds needs no lock.
"""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, exists, func, select, update

from storage import tables
from storage.records import AnnotatorId, AssignmentId, ProjectId, StudyId, TaskId
from storage.rows import in_batches

_tasks, _assignments = tables.tasks, tables.assignments

held = _assignments.c.seat.is_not(None) & _assignments.c.submitted.is_(None)
"""True of the assignments that are leased and not judged."""


def within(project: ProjectId, study: StudyId | None) -> ColumnElement[bool]:
    """True of the tasks of a study, or of those of a project that belong to no study."""
    in_study = _tasks.c.study.is_(None) if study is None else _tasks.c.study == study
    return (_tasks.c.project == project) & in_study


def given_within(project: ProjectId, study: StudyId | None) -> ColumnElement[bool]:
    """True of the assignments of such tasks.

    A join would say the same, but without statistics SQLite walks through the tasks for it.
    """
    return exists().where(_tasks.c.id == _assignments.c.task, within(project, study))


def still_open(
    annotator: AnnotatorId, project: ProjectId, study: StudyId | None
) -> ColumnElement[bool]:
    """True of the tasks with a free seat, in which this annotator has none."""
    theirs = (_assignments.c.annotator == annotator) & _assignments.c.seat.is_not(None)
    return (
        within(project, study)
        & (_tasks.c.free_seats > 0)
        & _tasks.c.id.not_in(select(_assignments.c.task).where(theirs))
    )


def lock(connection: Connection, project: ProjectId) -> None:
    """Wait for the right to change the project's seats; it ends with the transaction.

    On SQLite a transaction that writes has that right anyway.
    """
    row = select(tables.projects.c.id).where(tables.projects.c.id == project)
    connection.execute(row.with_for_update(key_share=True))


def free_expired(connection: Connection, project: ProjectId, now: datetime) -> None:
    """Give back the seats whose lease has run out. The project must be locked."""
    late = held & (_assignments.c.expires <= now)
    here = exists().where(_tasks.c.id == _assignments.c.task, _tasks.c.project == project)
    of_project = select(_assignments.c.id).where(late, here)
    freed: Counter[str] = Counter()
    for batch in in_batches(connection.scalars(of_project).all()):
        # `late` again, because one of them may have been judged since it was looked up.
        free = update(_assignments).where(_assignments.c.id.in_(batch), late).values(seat=None)
        freed.update(connection.scalars(free.returning(_assignments.c.task)))
    for task, count in freed.items():
        _change_free_seats(connection, task, count)


def draw(
    connection: Connection,
    annotator: AnnotatorId,
    project: ProjectId,
    study: StudyId | None,
    *,
    count: int,
    rng: np.random.Generator,
) -> list[tuple[Row[Any], float]]:
    """Draw tasks without replacement, each with the same chance, among those open to an annotator.

    Returns:
        At most `count` rows of `tasks`, each with the chance of its own draw: the first is one of
        n, the next one of n - 1, and so on.
    """
    condition = still_open(annotator, project, study)
    known = connection.scalar(select(func.count()).select_from(_tasks).where(condition)) or 0
    places = rng.choice(known, size=min(count, known), replace=False)
    # Any order will do, as long as it stays the same: this is the one of the index, so that
    # nothing is sorted, and only the tasks that were drawn are read.
    order = _tasks.c.project, _tasks.c.study, _tasks.c.free_seats, _tasks.c.id
    in_order = select(_tasks.c.id).where(condition).order_by(*order).limit(1)
    drawn = [connection.scalar(in_order.offset(int(place))) for place in places]
    return [
        (connection.execute(select(_tasks).where(_tasks.c.id == task)).one(), 1 / (known - earlier))
        for earlier, task in enumerate(drawn)
    ]


def take(
    connection: Connection,
    task: Row[Any],
    annotator: AnnotatorId,
    *,
    turned: bool,
    probability: float,
    now: datetime,
    expires: datetime,
) -> AssignmentId:
    """Seat an annotator at a task with a free seat. The project must be locked.

    Somebody whose earlier lease of the task ran out gets the same assignment again, in the same
    order: the browser may still show it.
    """
    lease = {
        "seat": _free_seat(connection, task.id, task.overlap),
        "probability": probability,
        "leased": now,
        "expires": expires,
    }
    earlier = (_assignments.c.task == task.id) & (_assignments.c.annotator == annotator)
    again = update(_assignments).where(earlier).values(lease).returning(_assignments.c.id)
    assignment = connection.scalar(again)
    if assignment is None:
        assignment = secrets.token_hex(8)
        shown = task.responses[::-1] if turned else task.responses
        connection.execute(
            _assignments.insert().values(
                id=assignment,
                task=task.id,
                annotator=annotator,
                shown=shown,
                turned=turned,
                **lease,
            )
        )
    _change_free_seats(connection, task.id, -1)
    return AssignmentId(assignment)


def keep(connection: Connection, assignment: AssignmentId, *, now: datetime) -> bool:
    """Make a leased seat a judged one, once; False when it is not held any more.

    A lease that ran out while nobody asked for the seat is still held.
    """
    mine = held & (_assignments.c.id == assignment)
    kept = update(_assignments).where(mine).values(submitted=now)
    return connection.execute(kept).rowcount == 1


def keep_late(
    connection: Connection, assignment: AssignmentId, *, project: ProjectId, now: datetime
) -> bool:
    """Take a seat again for a judgement that came after its lease; False when none is free."""
    lock(connection, project)
    if keep(connection, assignment, now=now):
        return True  # leased to the same annotator anew in the meantime
    late = _assignments.c.submitted.is_(None) & (_assignments.c.id == assignment)
    wanted = select(_tasks.c.id, _tasks.c.overlap).join(_assignments)
    task = connection.execute(wanted.where(late, _tasks.c.free_seats > 0)).first()
    if task is None:
        return False
    seat = _free_seat(connection, task.id, task.overlap)
    connection.execute(update(_assignments).where(late).values(seat=seat, submitted=now))
    _change_free_seats(connection, task.id, -1)
    return True


def _free_seat(connection: Connection, task: TaskId, overlap: int) -> int:
    seat = _assignments.c.seat
    taken = select(seat).where(_assignments.c.task == task, seat.is_not(None))
    return min(set(range(overlap)) - set(connection.scalars(taken)))


def _change_free_seats(connection: Connection, task: str, by: int) -> None:
    changed = update(_tasks).where(_tasks.c.id == task)
    connection.execute(changed.values(free_seats=_tasks.c.free_seats + by))
