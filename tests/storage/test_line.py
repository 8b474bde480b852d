"""The line: whatever happens, the tasks with a free seat stand in front, and none is lost."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from desk import MINUTE, Desk
from sqlalchemy import select

from storage import line, seats, skips, tables
from storage.database import Database
from storage.errors import InvalidAnswer
from storage.records import Assignment, StudyId


def check(database: Database, study: StudyId | None = None) -> None:
    """The places are 0 ... n - 1, the open tasks have the lowest, and assignments know of it."""
    with database.read() as connection:
        table = tables.tasks
        in_study = table.c.study == study if study else table.c.study.is_(None)
        rows = connection.execute(
            select(table.c.place, table.c.free_seats).where(in_study, table.c.place.is_not(None))
        ).all()
        project = connection.scalar(select(tables.projects.c.id))
        counted = connection.execute(
            select(line.opened(project, study), line.length(project, study))
        ).one()
    assert sorted(row.place for row in rows) == list(range(len(rows)))
    opened = [row.place for row in rows if row.free_seats]
    assert sorted(opened) == list(range(len(opened)))
    assert tuple(counted) == (len(opened), len(rows))
    with database.read() as connection:
        wrong = connection.execute(
            select(tables.assignments.c.id)
            .join(table, tables.assignments.c.task == table.c.id)
            .where(seats.met, tables.assignments.c.is_open != line.is_open)
        ).all()
    assert wrong == []


@pytest.mark.parametrize("seed", range(4))
def test_the_open_ones_stand_in_front_whatever_happens(desk: Desk, seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = desk.people(5)
    study = desk.study()
    desk.tasks(3, study=study.id)
    given: dict[str, Assignment] = {}
    for step in range(40):
        later = step * 4 * MINUTE
        if rng.random() < 0.2:
            desk.task(f"new {step}", overlap=int(rng.integers(1, 4)))
        if rng.random() < 0.1:
            desk.tasks(int(rng.integers(1, 6)), overlap=int(rng.integers(1, 3)))
        ann = people[rng.integers(5)]
        leased = desk.lease(ann, int(rng.integers(1, 4)), later=later)
        if leased and rng.random() < 0.5:
            desk.send(desk.answer(leased[0], received=desk.now + later))
            given.pop(leased[0].id, None)
        given |= {one.id: one for one in leased}
        if given and rng.random() < 0.4:
            # Perhaps one whose lease ran out, perhaps one that is judged.
            one = list(given.values())[rng.integers(len(given))]
            with suppress(InvalidAnswer), desk.database.write() as connection:
                skips.skip(
                    connection, f"s{step}", one.id, one.annotator, reason="", now=desk.now + later
                )
        if rng.random() < 0.2:
            desk.lease(ann, 1, study=study.id, later=later)
        if rng.random() < 0.1:
            with desk.database.write() as connection:
                seats.leave(connection, ann.id, desk.project.id, None)
        check(desk.database)
        check(desk.database, study.id)


def test_known_items_stand_in_no_line(desk: Desk) -> None:
    desk.tasks(2)
    desk.known(3)
    check(desk.database)
    with desk.database.read() as connection:
        assert connection.scalar(select(line.length(desk.project.id, None))) == 2


def test_whoever_leaves_gives_back_what_they_hold_and_nothing_else(desk: Desk) -> None:
    ann, bea = desk.people(2)
    study = desk.study()
    desk.tasks(3, study=study.id)
    desk.tasks(2)
    first, *rest = desk.lease(ann, 3, study=study.id)
    desk.lease(ann, 2)
    desk.send(desk.answer(first))
    assert desk.lease(bea, 3, study=study.id) == []
    with desk.database.write() as connection:
        seats.leave(connection, ann.id, desk.project.id, study.id)
    check(desk.database)
    check(desk.database, study.id)
    assert len(desk.lease(ann, 2)) == 2  # outside of the study all is as it was
    assert {one.task for one in desk.lease(bea, 1, study=study.id)} < {one.task for one in rest}
    # What is left may be had again, as it was shown before.
    (again,) = desk.lease(ann, 3, study=study.id)
    assert (again.id, again.shown) in {(one.id, one.shown) for one in rest}
