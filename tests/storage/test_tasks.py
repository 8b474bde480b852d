"""Leases: exactly as many judgements as asked, drawn fairly, shown in balanced order."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from desk import MINUTE, Desk
from sqlalchemy import select

from storage import studies, tables, tasks
from storage.errors import InvalidData, NotFound
from storage.given import given
from storage.records import AssignmentId, Kind, ProjectId, ResponseId, Task, TaskId
from storage.sides import WIDEST_IMBALANCE


def free_seats(desk: Desk) -> dict[str, int]:
    with desk.database.read() as connection:
        rows = connection.execute(select(tables.tasks.c.id, tables.tasks.c.free_seats))
        return {row.id: row.free_seats for row in rows}


def test_tasks_are_kept_once(desk: Desk) -> None:
    (task,) = desk.tasks(1, overlap=2)
    with desk.database.write() as connection:
        assert tasks.add_tasks(connection, [task]) == 0
        assert tasks.tasks(connection, desk.project.id) == [task]
        assert tasks.task(connection, task.id) == task
        with pytest.raises(NotFound):
            tasks.task(connection, TaskId("none"))
        assert given(connection, AssignmentId("none")) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"responses": ()}, "different responses"),
        ({"responses": (ResponseId("a"), ResponseId("a"))}, "different responses"),
        ({"overlap": 0}, "at least once"),
        ({"project": ProjectId("none")}, "names a project, prompt or study that is not stored"),
    ],
)
def test_a_task_that_cannot_be_shown_is_refused(
    changes: dict[str, Any], sentence: str, desk: Desk
) -> None:
    task = desk.task("a prompt")
    names = Task.__dataclass_fields__
    fields = {name: getattr(task, name) for name in names} | {"id": TaskId("new")} | changes
    with pytest.raises(InvalidData, match=sentence), desk.database.write() as connection:
        tasks.add_tasks(connection, [Task(**fields)])


def test_a_lease_is_what_it_says(desk: Desk) -> None:
    desk.tasks(4)
    ann = desk.person()
    leased = desk.lease(ann, 3)
    assert len({one.task for one in leased}) == 3
    for number, one in enumerate(leased):
        assert (one.annotator, one.submitted) == (ann.id, None)
        # In the order in which they were drawn, so that a reloaded page goes on where it was.
        assert one.leased == desk.now + number * timedelta(microseconds=1)
        assert one.expires == desk.now + 10 * MINUTE
        with desk.database.read() as connection:
            assert set(one.shown) == set(tasks.task(connection, one.task).responses)
            found = given(connection, one.id)
            assert found is not None
            assert found.assignment == one
            assert found.task == tasks.task(connection, one.task)
            assert found.project == desk.project
            assert (found.kind, found.is_closed) == (Kind.PERSON, False)
    # One of four, then one of three, then one of two.
    assert [one.probability for one in leased] == pytest.approx([1 / 4, 1 / 3, 1 / 2])


def test_what_is_open_comes_back_first_and_renewed(desk: Desk) -> None:
    desk.tasks(4)
    ann = desk.person()
    first = desk.lease(ann, 2)
    again = desk.lease(ann, 3, later=5 * MINUTE)
    assert {one.id for one in again[:2]} == {one.id for one in first}
    assert {one.shown for one in again[:2]} == {one.shown for one in first}
    assert {one.expires for one in again} == {desk.now + 15 * MINUTE}
    assert len({one.task for one in again}) == 3
    with desk.database.read() as connection:
        held = tasks.open_assignments(connection, ann.id, project=desk.project.id)
    assert {one.id for one in held} == {one.id for one in again}
    assert [one.id for one in desk.lease(ann, 2)] == [one.id for one in held[:2]]


def test_what_is_on_the_screen_is_not_drawn_again(desk: Desk) -> None:
    desk.tasks(1, overlap=3)
    ann = desk.person()
    (first,) = desk.lease(ann)
    assert [one.id for one in desk.lease(ann, 3)] == [first.id]
    assert list(free_seats(desk).values()) == [2]


def test_nobody_gets_a_task_twice_and_none_is_given_too_often(desk: Desk) -> None:
    desk.tasks(3, overlap=2)
    people = desk.people(3)
    for ann in people:
        for assignment in desk.lease(ann, 10):
            desk.send(desk.answer(assignment))
    with desk.database.read() as connection:
        judged = Counter(connection.scalars(select(tables.assignments.c.task)))
        of_each = [tasks.progress(connection, ann.id, desk.project.id) for ann in people]
    assert list(judged.values()) == [2, 2, 2]
    assert [one.done for one in of_each] == [3, 3, 0]
    assert [one.open for one in of_each] == [0, 0, 0]
    assert [desk.lease(ann, 1) for ann in people] == [[], [], []]


def test_progress_counts_what_is_on_the_screen_as_open(desk: Desk) -> None:
    desk.tasks(5)
    ann, ben = desk.people(2)
    leased = desk.lease(ann, 2)
    desk.lease(ben, 1)
    desk.send(desk.answer(leased[0]))
    with desk.database.read() as connection:
        found = tasks.progress(connection, ann.id, desk.project.id)
    assert found == tasks.Progress(done=1, open=3, total=5, held=1)


def test_an_expired_seat_goes_to_the_next(desk: Desk) -> None:
    desk.tasks(1)
    ann, ben = desk.people(2)
    desk.lease(ann)
    assert desk.lease(ben, later=9 * MINUTE) == []
    (taken,) = desk.lease(ben, later=10 * MINUTE)
    assert taken.annotator == ben.id
    assert desk.lease(ann, later=11 * MINUTE) == []


def test_who_comes_back_to_an_expired_task_sees_it_as_before(desk: Desk) -> None:
    desk.tasks(1)
    ann = desk.person()
    (before,) = desk.lease(ann)
    (after,) = desk.lease(ann, later=timedelta(hours=1))
    assert (after.id, after.shown) == (before.id, before.shown)
    assert after.expires > before.expires
    assert list(free_seats(desk).values()) == [0]


def test_a_judged_task_does_not_expire(desk: Desk) -> None:
    desk.tasks(1)
    ann, ben = desk.people(2)
    desk.send(desk.answer(desk.lease(ann)[0]))
    assert desk.lease(ben, later=timedelta(days=1)) == []


def test_free_seats_are_always_what_the_assignments_leave(desk: Desk) -> None:
    desk.tasks(6, overlap=2)
    people = desk.people(4)
    rng = np.random.default_rng(3)
    for step in range(30):
        later = step * 3 * MINUTE
        leased = desk.lease(people[rng.integers(4)], int(rng.integers(1, 4)), later=later)
        if leased and rng.random() < 0.3:
            desk.send(desk.answer(leased[0], received=desk.now + later))
        with desk.database.read() as connection:
            seat = tables.assignments.c.seat
            taken = Counter(
                connection.scalars(select(tables.assignments.c.task).where(seat.is_not(None)))
            )
        assert free_seats(desk) == {task: 2 - taken[task] for task in free_seats(desk)}


def test_tasks_are_drawn_evenly(desk: Desk) -> None:
    desk.tasks(4, overlap=160)
    people = desk.people(160)
    drawn: Counter[str] = Counter()
    with desk.database.write() as connection:
        for ann in people:
            (one,) = tasks.lease(
                connection,
                ann.id,
                project=desk.project.id,
                count=1,
                now=desk.now,
                lifetime=MINUTE,
                rng=desk.rng,
            )
            drawn[one.task] += 1
    # Chi-square with 3 degrees of freedom: 16.27 is passed by chance once in 1,000 seeds.
    assert sum((count - 40) ** 2 / 40 for count in drawn.values()) < 16.27


def test_sides_are_balanced_for_each_annotator_and_not_to_be_guessed(desk: Desk) -> None:
    made = {task.id: task for task in desk.tasks(30, overlap=6)}
    seen = []
    for ann in desk.people(6):
        turned = [one.shown != made[one.task].responses for one in desk.lease(ann, 30)]
        lean = np.cumsum(np.where(turned, 1, -1))
        assert np.abs(lean).max() <= WIDEST_IMBALANCE
        seen.append(turned)
    # In the big stick design with bound 2 the walk stands at 0 half the time and at 2 or -2 a
    # quarter each, so that every second step from there is forced: 3 of 4 turns are free.
    same = np.mean([a == b for turned in seen for a, b in pairwise(turned)])
    assert 0.25 < same < 0.6
    assert len({tuple(turned) for turned in seen}) == 6


def test_sides_stay_balanced_when_tasks_come_one_at_a_time(desk: Desk) -> None:
    made = {task.id: task for task in desk.tasks(21)}
    ann = desk.person()
    lean = 0
    for _ in range(21):
        (one,) = desk.lease(ann)
        lean += 1 if one.shown != made[one.task].responses else -1
        assert abs(lean) <= WIDEST_IMBALANCE
        desk.send(desk.answer(one))


class TestStudies:
    def test_the_tasks_of_a_study_are_its_own(self, desk: Desk) -> None:
        study = desk.study()
        mine, theirs = desk.tasks(2), [desk.task("voted on", study=study.id)]
        ann = desk.person()
        assert {one.task for one in desk.lease(ann, 9)} == {task.id for task in mine}
        assert {one.task for one in desk.lease(ann, 9, study=study.id)} == {
            task.id for task in theirs
        }
        with desk.database.read() as connection:
            assert tasks.tasks(connection, desk.project.id, study=study.id) == theirs
            found = tasks.progress(connection, ann.id, desk.project.id, study.id)
        assert found == tasks.Progress(done=0, open=1, total=1, held=1)

    def test_a_closed_study_gives_nothing(self, desk: Desk) -> None:
        study = desk.study()
        desk.tasks(2, study=study.id)
        with desk.database.write() as connection:
            studies.close_study(connection, study.id, desk.now)
        assert desk.lease(desk.person(), 2, study=study.id) == []
