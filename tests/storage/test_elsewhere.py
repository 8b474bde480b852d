"""Judgements given in another front end: seats, people beside them, changed minds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from desk import MINUTE, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from storage import tables
from storage.elsewhere import Seat, Standing, sit, stand_up, standings, take_back
from storage.judgements import judgements, record_submission
from storage.records import Annotator, Comparison, Purpose, Submission, SubmissionId, Task
from storage.seats import BESIDE
from storage.skips import skip, skips
from storage.tasks import progress, untaken


def say(desk: Desk, task: Task, person: Annotator, choice: int = -1, name: str = "") -> Seat:
    """Take a seat and judge, as a pull does."""
    with desk.database.write() as connection:
        seat = sit(connection, task.id, person.id, shown=task.responses, now=desk.now)
        left, right = task.responses
        record_submission(
            connection,
            Submission(
                id=SubmissionId(name or f"{task.id} {person.id}"),
                annotator=person.id,
                prompt=task.prompt,
                assignment=seat.assignment,
                comparisons=(Comparison(left=left, right=right, choice=choice),),
                interface="argilla",
                received=desk.now,
            ),
        )
    return seat


def withdraw(desk: Desk, task: Task, person: Annotator) -> None:
    """Let nothing stand."""
    stands = standing(desk, task, person)
    assert stands is not None
    with desk.database.write() as connection:
        if stands.submission:
            take_back(connection, stands.submission, f"undo {stands.submission}", now=desk.now)
        stand_up(connection, stands.assignment)


def pass_over(desk: Desk, task: Task, person: Annotator) -> None:
    with desk.database.write() as connection:
        seat = sit(connection, task.id, person.id, shown=task.responses, now=desk.now)
        own = seat.assignment
        skip(connection, f"skip {own}", own, person.id, reason="Discarded.", now=desk.now)


def standing(desk: Desk, task: Task, person: Annotator) -> Standing | None:
    with desk.database.read() as connection:
        return standings(connection, [task.id]).get((task.id, person.id))


def free(desk: Desk, *tasks: Task) -> list[int]:
    with desk.database.read() as connection:
        seats = select(tables.tasks.c.id, tables.tasks.c.free_seats)
        found = {row.id: row.free_seats for row in connection.execute(seats)}
    return [found[task.id] for task in tasks]


def said(desk: Desk, **which: Any) -> list[tuple[str, int]]:
    """Who judged, and what, of all that counts."""
    with desk.database.read() as connection:
        return [
            (one.annotator, one.comparisons[0].choice)
            for one in judgements(connection, desk.project.id, **which)
        ]


def test_who_comes_when_the_seats_are_taken_sits_beside_them(desk: Desk) -> None:
    task = desk.task("why", overlap=2)
    people = desk.people(4)
    assert [say(desk, task, one).is_beside for one in people] == [False, False, True, True]
    assert free(desk, task) == [0]
    assert sorted(said(desk)) == sorted((one.pseudonym, -1) for one in people)
    with desk.database.read() as connection:
        assert untaken(connection, desk.project.id) == set()
        done = progress(connection, people[3].id, desk.project.id)
    assert (done.done, done.open, done.total) == (1, 0, 1)


def test_a_seat_taken_elsewhere_is_not_given_out_here(desk: Desk) -> None:
    first, second = desk.tasks(2, overlap=1)
    say(desk, first, desk.person("there"))
    assert free(desk, first, second) == [0, 1]
    assert [one.task for one in desk.lease(desk.person("here"), 5)] == [second.id]
    with desk.database.read() as connection:
        assert untaken(connection, desk.project.id) == set()


def test_nothing_is_given_out_where_people_judge_in_argilla(desk: Desk) -> None:
    desk.tasks(3)
    person = desk.person("here")
    held = desk.lease(person)
    desk.collect(argilla_workspace="team")
    # What is on the screen may be finished.
    assert [one.id for one in desk.lease(person, 5)] == [one.id for one in held]
    assert desk.send(desk.answer(held[0]))
    assert desk.lease(person, 5) == []
    assert desk.lease(desk.person("another"), 5) == []
    desk.collect(argilla_workspace="")
    assert len(desk.lease(person, 5)) == 2


def test_a_study_is_voted_on_here_wherever_its_project_is_judged(desk: Desk) -> None:
    study = desk.study()
    desk.task("vote", study=study.id)
    desk.collect(argilla_workspace="team")
    assert len(desk.lease(desk.person("voter"), study=study.id)) == 1


def test_the_seat_stays_when_somebody_says_something_else(desk: Desk) -> None:
    task = desk.task("why", overlap=1)
    person = desk.person("ann")
    seat = say(desk, task, person, -1, "first")
    before = standing(desk, task, person)
    assert before is not None
    assert (before.submission, before.taken_back, before.skipped) == ("first", 0, None)
    assert before.shown == task.responses
    assert before.received == desk.now
    with desk.database.write() as connection:
        take_back(connection, SubmissionId("first"), "undo first", now=desk.now + MINUTE)
    assert say(desk, task, person, 3, "second") == seat
    assert said(desk) == [(person.pseudonym, 3)]
    assert free(desk, task) == [0]
    after = standing(desk, task, person)
    assert after is not None
    assert (after.submission, after.taken_back) == ("second", 1)
    # What was said first is still there, and says when it was taken back.
    with desk.database.read() as connection:
        kept = {
            one.submission: one.retracted
            for one in judgements(connection, desk.project.id, everything=True)
        }
    assert kept == {"first": desk.now + MINUTE, "second": None}


def test_old_judgements_may_be_taken_back_and_not_only_the_latest(desk: Desk) -> None:
    first, second = desk.tasks(2)
    person = desk.person("ann")
    say(desk, first, person, -1)
    say(desk, second, person, 2)
    desk.now += timedelta(days=30)
    withdraw(desk, first, person)
    assert said(desk) == [(person.pseudonym, 2)]
    assert free(desk, first, second) == [1, 0]
    gone = standing(desk, first, person)
    assert gone is not None
    assert gone.submission is None


def test_who_passes_a_task_over_gives_the_seat_back(desk: Desk) -> None:
    task = desk.task("why", overlap=1)
    person = desk.person("ann")
    pass_over(desk, task, person)
    assert free(desk, task) == [1]
    stands = standing(desk, task, person)
    assert stands is not None
    assert stands.skipped == desk.now
    with desk.database.read() as connection:
        assert [one.reason for one in skips(connection, desk.project.id)] == ["Discarded."]
    # And may judge it after all.
    say(desk, task, person)
    assert free(desk, task) == [0]
    with desk.database.read() as connection:
        assert skips(connection, desk.project.id) == []
    after = standing(desk, task, person)
    assert after is not None
    assert after.skipped is None


def test_passing_over_beside_the_seats_frees_none_of_them(desk: Desk) -> None:
    task = desk.task("why", overlap=1)
    say(desk, task, desk.person("ann"))
    late = desk.person("late")
    assert say(desk, task, late).is_beside
    withdraw(desk, task, late)
    assert free(desk, task) == [0]
    pass_over(desk, task, late)
    assert free(desk, task) == [0]
    withdraw(desk, task, late)
    assert free(desk, task) == [0]


def test_known_items_have_room_for_everybody(desk: Desk) -> None:
    (item,) = desk.known(1)
    people = desk.people(3)
    assert not any(say(desk, item, one, choice).is_beside
                   for one, choice in zip(people, (-2, 2, 0), strict=True))  # fmt: skip
    with desk.database.read() as connection:
        found = [
            (one.purpose, one.correct)
            for one in judgements(connection, desk.project.id, everything=True)
        ]
    assert sorted(found, key=str) == sorted(
        [(Purpose.GOLD, True), (Purpose.GOLD, False), (Purpose.GOLD, False)], key=str
    )


def test_several_tasks_are_looked_up_at_once(desk: Desk) -> None:
    tasks = desk.tasks(3)
    ann, ben = desk.people(2)
    for task, person in ((tasks[0], ann), (tasks[0], ben), (tasks[2], ann)):
        say(desk, task, person)
    with desk.database.read() as connection:
        found = standings(connection, [task.id for task in tasks])
    assert found.keys() == {(tasks[0].id, ann.id), (tasks[0].id, ben.id), (tasks[2].id, ann.id)}


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["say", "withdraw", "pass over"]), st.integers(0, 1), st.integers(0, 3)
        ),
        max_size=14,
    )
)
def test_whatever_people_do_seats_are_counted_right(
    desk: Desk, steps: Sequence[tuple[str, int, int]]
) -> None:
    """Law: the free seats are those that no assignment holds, and every assignment knows it."""
    tasks = [desk.task(f"{len(steps)} {n} {id(steps)}", overlap=2) for n in range(2)]
    people = desk.people(4)
    mind: dict[tuple[int, int], str] = {}
    for number, (what, task, who) in enumerate(steps):
        before = mind.get((task, who))
        if what == "say" and before != "say":
            say(desk, tasks[task], people[who], name=f"{tasks[task].id} {number}")
        elif what == "withdraw" and before:
            withdraw(desk, tasks[task], people[who])
        elif what == "pass over" and before is None:
            pass_over(desk, tasks[task], people[who])
        else:
            continue
        mind[task, who] = "" if what == "withdraw" else what
        if what == "withdraw":
            del mind[task, who]
    table = tables.assignments
    for place, task in enumerate(tasks):
        with desk.database.read() as connection:
            rows = connection.execute(select(table).where(table.c.task == task.id)).all()
            stored = connection.execute(
                select(tables.tasks).where(tables.tasks.c.id == task.id)
            ).one()
        taken = {row.seat for row in rows if row.seat is not None and row.seat < BESIDE}
        assert taken <= {0, 1}
        assert stored.free_seats == 2 - len(taken)
        judged = {who for (at, who), what in mind.items() if at == place and what == "say"}
        assert {row.annotator for row in rows if row.seat is not None} == {
            people[who].id for who in judged
        }
        assert all(
            row.is_open == (stored.free_seats > 0)
            for row in rows
            if row.seat is not None or row.skipped is not None
        )
