"""Tasks, and their leases to annotators."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, Executable, Select, Update, select, update
from sqlalchemy.exc import IntegrityError

from storage import line, seats, tables
from storage.drawing import Offer, met_and_open, number_of
from storage.errors import InvalidData, NotFound
from storage.known_items import check_expected
from storage.participants import quota as quota_of
from storage.prepared import prepared
from storage.qualification import standing_of
from storage.records import (
    AnnotatorId,
    Assignment,
    ProjectId,
    Purpose,
    StudyId,
    Task,
    TaskId,
)
from storage.rows import as_row, in_batches, insert_new

RENEWED_AFTER = 0.1
"""Share of a lease after which asking again renews it. A widget asks after every judgement."""

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
    held: int = 0
    """Of the open ones, those on the screen."""
    mixed_in: int = 0
    """Known items and repeats among those judged and those on the screen."""


def add_tasks(connection: Connection, tasks: Iterable[Task]) -> int:
    """Keep tasks; those that are known already stay as they are.

    Returns:
        How many were new.

    Raises:
        InvalidData: A task shows nothing or one response twice, has no seats, expects what it may
            not, or names a project, prompt or study that is not stored.
    """
    count = 0
    for batch in in_batches(tasks):
        rows = [_row(task) for task in batch]
        for project in sorted({task.project for task in batch}):
            seats.lock(connection, project)
        try:
            new = set(insert_new(connection, _tasks, rows))
        except IntegrityError as error:
            raise InvalidData(
                "A task names a project, prompt or study that is not stored; add it first."
            ) from error
        count += len(new)
        fresh = {task.id: task for task in batch if task.id in new}
        line.enter(
            connection, [task for task in fresh.values() if task.purpose == Purpose.FEEDBACK]
        )
    return count


def tasks(
    connection: Connection,
    project: ProjectId,
    *,
    study: StudyId | None = None,
    everything: bool = False,
) -> list[Task]:
    """The tasks of a study, or those of a project that belong to no study.

    With `everything`, also known items and repeats.
    """
    statement = select(_tasks).where(line.within(project, study)).order_by(_tasks.c.id)
    if not everything:
        statement = statement.where(_tasks.c.purpose == str(Purpose.FEEDBACK))
    return [as_task(row._asdict()) for row in connection.execute(statement)]


def untaken(connection: Connection, project: ProjectId) -> set[TaskId]:
    """The tasks of a project, outside of studies, that have a seat which nobody has."""
    free = line.within(project, None) & (_tasks.c.free_seats > 0)
    return set(connection.scalars(select(_tasks.c.id).where(free)))


def task(connection: Connection, task_id: TaskId) -> Task:
    """One task.

    Raises:
        NotFound: It is not stored.
    """
    return tasks_by_id(connection, [task_id])[task_id]


def tasks_by_id(connection: Connection, ids: Iterable[TaskId]) -> dict[TaskId, Task]:
    """Several tasks.

    Raises:
        NotFound: One of them is not stored.
    """
    wanted = list(dict.fromkeys(ids))
    found = known_tasks(connection, wanted)
    for missing in wanted:
        if missing not in found:
            raise NotFound("task", missing)
    return found


def known_tasks(connection: Connection, ids: Iterable[TaskId]) -> dict[TaskId, Task]:
    """Those of several tasks that are stored."""
    found: dict[TaskId, Task] = {}
    for batch in in_batches(ids):
        found |= {row.id: as_task(row._asdict()) for row in _with_ids(connection, ids=batch)}
    return found


def open_assignments(
    connection: Connection,
    annotator: AnnotatorId,
    *,
    project: ProjectId,
    study: StudyId | None = None,
) -> list[Assignment]:
    """What the annotator holds and has not judged, in the order in which it was leased."""
    held = _held(connection, annotator=annotator, project=project, study=study)
    return [as_assignment(row._asdict()) for row in held]


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
    """Give an annotator up to `count` tasks to judge until about `now + lifetime`.

    What the annotator holds already comes first, renewed when a tenth of its time is over; the rest
    is drawn as told in `storage.drawing`. Before the qualification of the project is passed there
    is nothing but its items, and after it was failed nothing at all. A closed study gives nothing,
    and a participant who has finished gets no more than what they hold; nor does anybody where
    people judge in Argilla. Seats whose lease ran out are freed by the way.
    """
    collecting = seats.lock(connection, project)
    if study is not None and _is_closed(connection, study):
        return []
    seats.free_expired(connection, project, now)
    theirs = _held(connection, annotator=annotator, project=project, study=study).all()
    asked = None if study is None else quota_of(connection, annotator, study)
    if asked is not None and asked.finished:
        count = min(count, len(theirs))
    if study is None and collecting.argilla_workspace:
        count = min(count, len(theirs))
    qualifies = False
    if study is None and collecting.qualification:
        standing = standing_of(connection, annotator, project, collecting)
        if not standing.passed:
            qualifies = True
            theirs = [row for row in theirs if row.purpose == Purpose.QUALIFICATION]
            count = min(count, standing.left)
    expires = now + lifetime
    leased = [as_assignment(row._asdict()) for row in theirs[:count]]
    aged = [one.id for one in leased if one.expires < expires - lifetime * RENEWED_AFTER]
    if aged:
        _renew(connection, ids=aged, expires=expires)
        leased = [replace(one, expires=expires) if one.id in aged else one for one in leased]
    if len(leased) == count:
        return leased
    offer = Offer.of(
        connection,
        annotator,
        project,
        study,
        collecting=collecting,
        qualifies=qualifies,
        quota=asked,
    )
    seating = seats.Seating(connection=connection, annotator=annotator, now=now, expires=expires)
    while len(leased) < count and (drawn := offer.draw(rng)) is not None:
        leased.append(
            seating.take(
                drawn.task,
                earlier=drawn.task.earlier,
                shown=drawn.shown,
                turned=drawn.turned,
                probability=drawn.probability,
            )
        )
    seating.write()
    return leased


def progress(
    connection: Connection,
    annotator: AnnotatorId,
    project: ProjectId,
    study: StudyId | None = None,
) -> Progress:
    """How far an annotator is in a study, or in the tasks of a project that belong to no study.

    The known items and repeats that the annotator was given count like all others; those of the
    qualification do not count. Before annotators are told, `feedback.reached` has to hide when
    one was mixed in.
    """
    row = _reached(connection, annotator=annotator, project=project, study=study).one()
    fresh = row.opened - row.met
    return Progress(
        done=row.done,
        open=fresh + row.holds,
        total=row.length + row.mixed_in,
        held=row.holds,
        mixed_in=row.mixed_in,
    )


@prepared
def _with_ids(ids: Any) -> Select[Any]:
    return select(_tasks).where(_tasks.c.id.in_(ids))


@prepared
def _held(annotator: Any, project: Any, study: Any) -> Select[Any]:
    """What the annotator holds and has not judged."""
    return (
        select(_assignments)
        .where(seats.given(annotator, project, study), seats.held)
        .order_by(_assignments.c.leased, _assignments.c.id)
    )


@prepared
def _renew(ids: Any, expires: Any) -> Update:
    return update(_assignments).where(_assignments.c.id.in_(ids)).values(expires=expires)


@prepared
def _reached(annotator: Any, project: Any, study: Any) -> Executable:
    """The numbers behind `progress`."""
    seated, submitted = _assignments.c.seat.is_not(None), _assignments.c.submitted.is_not(None)
    purpose = _assignments.c.purpose
    counts = seated & (purpose != str(Purpose.QUALIFICATION))
    return (
        select(
            line.opened(project, study).label("opened"),
            line.length(project, study).label("length"),
            met_and_open().label("met"),
            number_of(counts & submitted).label("done"),
            number_of(counts & ~submitted).label("holds"),
            number_of(counts & (purpose != str(Purpose.FEEDBACK))).label("mixed_in"),
        )
        .select_from(_assignments)
        .where(seats.given(annotator, project, study))
    )


@prepared
def _closed(study: Any) -> Select[Any]:
    return select(tables.studies.c.closed).where(tables.studies.c.id == study)


def _is_closed(connection: Connection, study: StudyId) -> bool:
    return _closed(connection, study=study).scalar() is not None


def _row(task: Task) -> dict[str, Any]:
    if not task.responses or len(set(task.responses)) < len(task.responses):
        raise InvalidData(f"A task shows different responses; got {list(task.responses)!r}.")
    if task.overlap < 1:
        raise InvalidData(f"A task is judged at least once; got an overlap of {task.overlap}.")
    if task.purpose.is_known == (task.expected is None):
        raise InvalidData(
            f"Known items say what is expected, and only they; a task for {task.purpose} has"
            f" {task.expected!r}."
        )
    if task.expected is not None:
        check_expected(task.expected, task.responses)
    if (task.purpose == Purpose.REPEAT) == (task.repeats is None):
        raise InvalidData(f"A repeat, and only that, names what it repeats; got {task.repeats!r}.")
    if not math.isfinite(task.priority):
        raise InvalidData(f"A priority is a number; got {task.priority!r}.")
    return as_row(_tasks, task, free_seats=task.overlap)


def as_task(fields: dict[str, Any]) -> Task:
    """The task of a row, by column; the dictionary is used up."""
    del fields["free_seats"], fields["place"]
    fields["responses"] = tuple(fields["responses"])
    fields["purpose"] = Purpose(fields["purpose"])
    return Task(**fields)


def as_assignment(fields: Mapping[str, Any]) -> Assignment:
    """The assignment of a row, by column."""
    return Assignment(
        id=fields["id"],
        task=fields["task"],
        annotator=fields["annotator"],
        shown=tuple(fields["shown"]),
        probability=fields["probability"],
        leased=fields["leased"],
        expires=fields["expires"],
        submitted=fields["submitted"],
    )
