"""Tasks, and their leases to annotators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.exc import IntegrityError

from storage import seats, tables
from storage.errors import InvalidData, NotFound
from storage.records import (
    AnnotatorId,
    Assignment,
    AssignmentId,
    ProjectId,
    Purpose,
    StudyId,
    Task,
    TaskId,
)
from storage.rows import as_row, count_new

WIDEST_IMBALANCE = 2
"""By how many an annotator may meet one order of the responses oftener than the other."""

_tasks, _assignments = tables.tasks, tables.assignments


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one annotator is, counted in tasks."""

    done: int
    """Judged by this annotator."""
    open: int
    """Still to be had by this annotator, with those on the screen."""
    total: int
    """All there are, whoever judges them."""


def add_tasks(connection: Connection, tasks: Iterable[Task]) -> int:
    """Keep tasks; those that are known already stay as they are.

    Returns:
        How many were new.

    Raises:
        InvalidData: A task shows nothing or one response twice, has no seats, or names a project,
            prompt or study that is not stored.
    """
    try:
        return count_new(connection, _tasks, map(_row, tasks))
    except IntegrityError as error:
        raise InvalidData(
            "A task names a project, prompt or study that is not stored; add it first."
        ) from error


def tasks(
    connection: Connection, project: ProjectId, *, study: StudyId | None = None
) -> list[Task]:
    """The tasks of a study, or those of a project that belong to no study."""
    statement = select(_tasks).where(seats.within(project, study)).order_by(_tasks.c.id)
    return [_task(row) for row in connection.execute(statement)]


def task(connection: Connection, task_id: TaskId) -> Task:
    """One task.

    Raises:
        NotFound: It is not stored.
    """
    row = connection.execute(select(_tasks).where(_tasks.c.id == task_id)).first()
    if row is None:
        raise NotFound("task", task_id)
    return _task(row)


def assignment(connection: Connection, assignment_id: AssignmentId) -> Assignment:
    """One assignment, whether its lease is still good or not.

    Raises:
        NotFound: It is not stored.
    """
    statement = select(_assignments).where(_assignments.c.id == assignment_id)
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound("assignment", assignment_id)
    return _assignment(row)


def open_assignments(
    connection: Connection,
    annotator: AnnotatorId,
    *,
    project: ProjectId,
    study: StudyId | None = None,
) -> list[Assignment]:
    """What the annotator holds and has not judged, in the order in which it was leased."""
    statement = (
        select(_assignments)
        .where(
            seats.given_within(project, study),
            seats.held,
            _assignments.c.annotator == annotator,
        )
        .order_by(_assignments.c.leased, _assignments.c.id)
    )
    return [_assignment(row) for row in connection.execute(statement)]


def lease(
    connection: Connection,
    annotator: AnnotatorId,
    *,
    project: ProjectId,
    study: StudyId | None = None,
    count: int,
    now: datetime,
    lifetime: timedelta,
    rng: np.random.Generator,
) -> list[Assignment]:
    """Give an annotator up to `count` tasks to judge until `now + lifetime`.

    What the annotator holds already comes first, renewed. The rest is drawn at random, each task
    with the same chance, among those that have a free seat and that the annotator did not judge.
    A closed study gives nothing. Seats whose lease ran out are freed by the way.
    """
    seats.lock(connection, project)
    if study is not None and _is_closed(connection, study):
        return []
    seats.free_expired(connection, project, now)
    expires = now + lifetime
    theirs = open_assignments(connection, annotator, project=project, study=study)
    ids = [one.id for one in theirs[:count]]
    renewed = update(_assignments).where(_assignments.c.id.in_(ids))
    connection.execute(renewed.values(expires=expires))
    lean = _lean(connection, annotator, project, study)
    drawn = seats.draw(connection, annotator, project, study, count=count - len(ids), rng=rng)
    for row, probability in drawn:
        turned = _is_turned(lean, rng)
        lean += 1 if turned else -1
        taken = seats.take(
            connection,
            row,
            annotator,
            turned=turned,
            probability=probability,
            now=now,
            expires=expires,
        )
        ids.append(taken)
    rows = connection.execute(select(_assignments).where(_assignments.c.id.in_(ids)))
    found = {row.id: _assignment(row) for row in rows}
    return [found[one] for one in ids]


def progress(
    connection: Connection,
    annotator: AnnotatorId,
    project: ProjectId,
    study: StudyId | None = None,
) -> Progress:
    """How far an annotator is in a study, or in the tasks of a project that belong to no study."""
    theirs = (_assignments.c.annotator == annotator) & _assignments.c.seat.is_not(None)
    seated = select(func.count(_assignments.c.submitted), func.count()).where(
        theirs, seats.given_within(project, study)
    )
    done, holds = connection.execute(seated).one()
    number = select(func.count()).select_from(_tasks)
    fresh = connection.scalar(number.where(seats.still_open(annotator, project, study))) or 0
    total = connection.scalar(number.where(seats.within(project, study))) or 0
    return Progress(done=done, open=fresh + holds - done, total=total)


def _lean(
    connection: Connection, annotator: AnnotatorId, project: ProjectId, study: StudyId | None
) -> int:
    """By how many the annotator met the turned order oftener than the task's own."""
    turned = _assignments.c.turned
    statement = (
        select(turned, func.count())
        .where(seats.given_within(project, study), _assignments.c.annotator == annotator)
        .group_by(turned)
    )
    return sum(number if turned else -number for turned, number in connection.execute(statement))


def _is_turned(lean: int, rng: np.random.Generator) -> bool:
    """A fair coin, unless one order is ahead by the widest imbalance: then the other order.

    This is the big stick design (Soares and Wu 1983): balanced, yet hardly to be guessed by those
    who would like to know what stands on which side.
    """
    if abs(lean) >= WIDEST_IMBALANCE:
        return lean < 0
    return bool(rng.integers(2))


def _is_closed(connection: Connection, study: StudyId) -> bool:
    statement = select(tables.studies.c.closed).where(tables.studies.c.id == study)
    return connection.scalar(statement) is not None


def _row(task: Task) -> dict[str, Any]:
    if not task.responses or len(set(task.responses)) < len(task.responses):
        raise InvalidData(f"A task shows different responses; got {list(task.responses)!r}.")
    if task.overlap < 1:
        raise InvalidData(f"A task is judged at least once; got an overlap of {task.overlap}.")
    return as_row(_tasks, task, free_seats=task.overlap)


def _task(row: Row[Any]) -> Task:
    fields = row._asdict()
    del fields["free_seats"], fields["place"]
    changed = {"responses": tuple(row.responses), "purpose": Purpose(row.purpose)}
    return Task(**fields | changed)


def _assignment(row: Row[Any]) -> Assignment:
    fields = row._asdict()
    del fields["seat"], fields["turned"], fields["skipped"]
    return Assignment(**fields | {"shown": tuple(row.shown)})
