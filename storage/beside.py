"""Programs judge a study's tasks beside people: their seats are numbered apart and none is taken.

A study plans how many people judge each task. A program that took one of these places would leave
people fewer, and one that came after them would find none; and its votes are worth most where
people voted too.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, func, select, update

from storage import seats, tables
from storage.records import AnnotatorId, Assignment, AssignmentId, ProjectId, Purpose, StudyId
from storage.rows import in_batches
from storage.seats import BESIDE

_tasks, _assignments = tables.tasks, tables.assignments


def lease_beside(
    connection: Connection,
    annotator: AnnotatorId,
    *,
    project: ProjectId,
    study: StudyId,
    count: int,
    now: datetime,
    lifetime: timedelta,
    rng: np.random.Generator,
) -> list[Assignment]:
    """Give a program up to `count` tasks of a study, whether or not people have places left there.

    What it holds already comes first. Every task is its own once, in an order and with sides drawn
    at random. Its leases do not run out: `storage.seats.leave` ends them.

    Args:
        connection: Of a transaction that writes.
        annotator: The program.
        project: The study's.
        study: An open one.
        count: At most so many.
        now: Beginning of the leases.
        lifetime: What the assignments say of their end.
        rng: Draws order and sides.
    """
    seats.lock(connection, project)
    mine = seats.given(annotator, project, study)
    found = [_assignment(row) for row in connection.execute(_theirs().where(mine, seats.held))][
        :count
    ]
    met = select(_assignments.c.task).where(mine, seats.met)
    wanted = connection.execute(
        select(_tasks)
        .where(_tasks.c.study == study, _tasks.c.purpose == str(Purpose.FEEDBACK))
        .where(_tasks.c.id.not_in(met))
        .order_by(_tasks.c.id)
    ).all()
    drawn = [wanted[place] for place in rng.permutation(len(wanted))[: count - len(found)]]
    ids = [row.id for row in drawn]
    numbers, earlier = _last_seats(connection, ids), _left(connection, annotator, ids)
    for row in drawn:
        turned = bool(rng.integers(2))
        lease = {
            "seat": numbers.get(row.id, BESIDE - 1) + 1,
            "probability": 1.0,
            "leased": now,
            "expires": now + lifetime,
        }
        if row.id in earlier:  # in the order of the time
            known = _assignments.c.id == earlier[row.id]
            connection.execute(update(_assignments).where(known).values(lease))
        else:
            own = {
                "id": AssignmentId(secrets.token_hex(8)),
                "task": row.id,
                "project": row.project,
                "study": row.study,
                "purpose": row.purpose,
                "annotator": annotator,
                "shown": list(row.responses[::-1] if turned else row.responses),
                "turned": turned,
                "is_open": False,
            }
            connection.execute(_assignments.insert(), own | lease)
        now += timedelta(microseconds=1)  # they keep their order
    taken = _assignments.c.task.in_(ids)
    return [
        *found,
        *(_assignment(row) for row in connection.execute(_theirs().where(mine, seats.held, taken))),
    ]


def _theirs() -> Select[Any]:
    return select(_assignments).order_by(_assignments.c.leased, _assignments.c.id)


def _assignment(row: Any) -> Assignment:
    return Assignment(
        id=AssignmentId(row.id),
        task=row.task,
        annotator=row.annotator,
        shown=tuple(row.shown),
        probability=row.probability,
        leased=row.leased,
        expires=row.expires,
    )


def _last_seats(connection: Connection, ids: list[str]) -> dict[str, int]:
    """The highest number of a program's seat at each task that has one."""
    seat, task = _assignments.c.seat, _assignments.c.task
    return {
        row.task: row.last
        for batch in in_batches(ids)
        for row in connection.execute(
            select(task, func.max(seat).label("last"))
            .where(task.in_(batch), seat >= BESIDE)
            .group_by(task)
        )
    }


def _left(connection: Connection, annotator: AnnotatorId, ids: list[str]) -> dict[str, str]:
    """Assignments that the program gave back, by task."""
    return {
        row.task: row.id
        for batch in in_batches(ids)
        for row in connection.execute(
            select(_assignments.c.task, _assignments.c.id).where(
                _assignments.c.task.in_(batch), _assignments.c.annotator == annotator
            )
        )
    }
