"""Many people at once: every task is judged exactly as often as asked, and nothing is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
from conftest import Desk
from sqlalchemy import select

from storage import tables, tasks
from storage.errors import InvalidAnswer
from storage.judgements import counts, record_submission
from storage.records import Annotator


def together(*work: Callable[[], None]) -> None:
    """Run everything at once and raise the first error."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(work))

    def run(one: Callable[[], None]) -> None:
        start.wait()
        try:
            one()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def lease(desk: Desk, ann: Annotator, rng: np.random.Generator, **changes: timedelta) -> list:
    times = {"now": desk.now, "lifetime": timedelta(hours=1)} | changes
    with desk.database.write() as connection:
        return tasks.lease(
            connection, ann.id, project=desk.project.id, count=int(rng.integers(1, 4)), rng=rng,
            **times,
        )  # fmt: skip


def test_every_task_is_judged_exactly_as_often_as_asked(desk: Desk) -> None:
    made = desk.tasks(40, overlap=3)
    people = desk.people(12)

    def judge(ann: Annotator, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while leased := lease(desk, ann, rng):
            for assignment in leased:
                submission = desk.answer(assignment)
                assert desk.send(submission)
                if rng.random() < 0.2:
                    assert not desk.send(submission)

    together(*((lambda ann=ann, n=n: judge(ann, n)) for n, ann in enumerate(people)))
    with desk.database.read() as connection:
        rows = connection.execute(
            select(tables.assignments.c.task, tables.assignments.c.annotator).join(
                tables.submissions
            )
        ).all()
        found = counts(connection, desk.project.id)
    assert Counter(row.task for row in rows) == {task.id: 3 for task in made}
    assert len({(row.task, row.annotator) for row in rows}) == len(rows) == 120
    assert (found["submissions"], found["comparisons"], found["ratings"]) == (120, 120, 120)


def test_leases_that_run_out_all_the_time_lose_and_double_nothing(desk: Desk) -> None:
    # Every lease has run out when the next person asks, so seats change hands without end, and
    # answers come early, late, and too late.
    made = desk.tasks(15, overlap=2)
    people = desk.people(8)
    accepted: list[str] = []
    clock = iter(range(10**6))

    def judge(ann: Annotator, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(15):
            now = desk.now + next(clock) * timedelta(minutes=1)
            for assignment in lease(desk, ann, rng, now=now, lifetime=timedelta(seconds=1)):
                if rng.random() < 0.6:
                    with suppress(InvalidAnswer):
                        assert desk.send(desk.answer(assignment))
                        accepted.append(assignment.task)

    together(*((lambda ann=ann, n=n: judge(ann, n)) for n, ann in enumerate(people)))
    with desk.database.read() as connection:
        rows = connection.execute(
            select(tables.assignments.c.task, tables.assignments.c.annotator).join(
                tables.submissions
            )
        ).all()
        left = {
            row.id: row.free_seats
            for row in connection.execute(select(tables.tasks.c.id, tables.tasks.c.free_seats))
        }
        seated = Counter(
            connection.scalars(
                select(tables.assignments.c.task).where(tables.assignments.c.seat.is_not(None))
            )
        )
    judged = Counter(row.task for row in rows)
    assert judged == Counter(accepted)
    assert max(judged.values()) <= 2
    assert len({(row.task, row.annotator) for row in rows}) == len(rows)
    assert {task.id: left[task.id] + seated[task.id] for task in made} == {
        task.id: 2 for task in made
    }


@pytest.mark.parametrize("imported", [False, True])
def test_one_submission_sent_many_times_at_once_is_kept_once(desk: Desk, imported: bool) -> None:
    ann = desk.person()
    desk.tasks(1)
    submission = desk.imported("from a file", ann) if imported else desk.answer(desk.lease(ann)[0])
    kept: list[bool] = []
    together(*[lambda: kept.append(desk.send(submission))] * 8)
    assert sorted(kept) == [False] * 7 + [True]
    with desk.database.read() as connection:
        assert counts(connection, desk.project.id)["ratings"] == 1


def test_of_two_answers_to_one_assignment_at_once_one_is_kept(desk: Desk) -> None:
    desk.tasks(1)
    (assignment,) = desk.lease(desk.person())
    kept: list[bool] = []

    def send() -> None:
        try:
            kept.append(desk.send(desk.answer(assignment)))
        except InvalidAnswer:
            kept.append(False)

    together(*[send] * 6)
    assert sorted(kept) == [False] * 5 + [True]


def test_an_answer_whose_transaction_fails_can_be_sent_again(desk: Desk) -> None:
    desk.tasks(1)
    submission = desk.answer(desk.lease(desk.person())[0])

    def fail() -> None:
        with desk.database.write() as connection:
            assert record_submission(connection, submission)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert desk.send(submission)
