"""What came of people's answers in Argilla: judgements, skips, changed minds, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.argilla.pulling import pull_file
from feedback.argilla.pushing import shown_order
from feedback.argilla.report import Pulled
from feedback.argilla.server import SHOWN, Answered, Page
from feedback.argilla.taking import FROM_ARGILLA, Desk
from feedback.pairing import make_tasks
from feedback.tasks import EDITED
from storage.annotators import annotators
from storage.database import Database
from storage.errors import InvalidData
from storage.judgements import Judgement, judgements
from storage.prompts import responses_by_id
from storage.records import Kind, Project, Purpose, Role, Task, TaskId
from storage.skips import skips
from storage.tasks import add_tasks, tasks, untaken

VALUES = {"preference": "1_better", "rating_1": 6, "rating_2": 3}
HOUR = timedelta(hours=1)


@pytest.fixture
def ready(database: Database, project: Project, rng: np.random.Generator) -> Project:
    with database.write() as connection:
        make_tasks(connection, project, rng=rng)
    return project


@pytest.fixture
def known(database: Database, ready: Project) -> list[Task]:
    with database.read() as connection:
        return tasks(connection, ready.id)


@pytest.fixture
def take(database: Database, ready: Project, now: datetime) -> Callable[..., Pulled]:
    """Take the whole page of some records, as a pull does."""

    def take(*answers: Answered, records: Sequence[str] = (), at: datetime = now) -> Pulled:
        report = Pulled()
        held = tuple(dict.fromkeys([*records, *(one.record for one in answers)]))
        page = Page(records=held, answers=answers, done=len(held), total=len(held))
        Desk(database, ready, report).take_page(page, now=at)
        return report

    return take


@pytest.fixture
def said(database: Database, ready: Project) -> Callable[..., list[Judgement]]:
    def said(**which: Any) -> list[Judgement]:
        with database.read() as connection:
            return list(judgements(connection, ready.id, **which))

    return said


def answer(
    task: Task, user: str, at: datetime, /, status: str = "submitted", **changes: Any
) -> Answered:
    values = VALUES | changes if status == "submitted" or changes else {}
    return Answered(
        record=task.id,
        shown=shown_order(task.id, task.responses),
        user=user,
        status=status,
        values=values,
        at=at,
    )


def test_a_submitted_answer_is_a_judgement_of_what_was_shown(
    known: list[Task], take: Any, said: Any, now: datetime, database: Database
) -> None:
    report = take(answer(known[0], "u1", now + HOUR, comment="Clear."))
    assert (report.records, report.responses, report.new) == (1, 1, 1)
    (kept,) = said()
    left, right = shown_order(known[0].id, known[0].responses)
    assert kept.shown == (left, right)
    assert [(one.left, one.right, one.choice, one.graded) for one in kept.comparisons] == [
        (left, right, -2, True)
    ]
    assert {one.response: one.value for one in kept.ratings} == {left: 6, right: 3}
    assert (kept.task, kept.prompt) == (known[0].id, known[0].prompt)
    assert (kept.comment, kept.interface, kept.received) == ("Clear.", "argilla", now + HOUR)
    assert (kept.purpose, kept.probability, kept.active_seconds) == (Purpose.FEEDBACK, 1.0, None)
    # Known by Argilla's id alone, and not to be signed in as.
    with database.read() as connection:
        (person,) = [one for one in annotators(connection) if one.name.startswith(FROM_ARGILLA)]
    assert person.name == "argilla:u1"
    assert (person.role, person.kind, person.active) == (Role.ANNOTATOR, Kind.PERSON, False)
    assert kept.annotator == person.pseudonym
    assert "u1" not in person.pseudonym


def test_twice_changes_nothing(known: list[Task], take: Any, said: Any, now: datetime) -> None:
    answers = [
        answer(known[0], "u1", now),
        answer(known[0], "u2", now, preference="tie"),
        answer(known[1], "u1", now, "discarded"),
        answer(known[2], "u1", now, "draft"),
    ]
    first = take(*answers)
    assert (first.new, first.discarded, first.drafts, first.known) == (2, 1, 1, 0)
    before = said(everything=True)
    second = take(*answers, at=now + HOUR)
    assert (second.new, second.discarded, second.known, second.drafts) == (0, 0, 3, 1)
    assert (second.changed, second.withdrawn) == (0, 0)
    assert said(everything=True) == before


def test_who_changes_an_answer_has_the_former_one_taken_back(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    one = known[0]
    take(answer(one, "u1", now))
    report = take(answer(one, "u1", now + HOUR, preference="both_bad"), at=now + 2 * HOUR)
    assert (report.changed, report.new) == (1, 0)
    (kept,) = said()
    assert kept.comparisons[0].both_bad
    # And back to the first words: a third judgement, not the first one again.
    report = take(answer(one, "u1", now + 2 * HOUR))
    assert report.changed == 1
    assert [j.comparisons[0].choice for j in said()] == [-2]
    every = said(everything=True)
    assert len(every) == 3
    assert [j.retracted is None for j in every] == [False, False, True]
    assert every[0].retracted == now + 2 * HOUR


@pytest.mark.parametrize("status", ["draft", "pending", "gone"])
def test_an_answer_that_is_gone_is_taken_back_and_its_seat_is_free(
    *,
    database: Database,
    ready: Project,
    known: list[Task],
    take: Any,
    said: Any,
    now: datetime,
    status: str,
) -> None:
    take(answer(known[0], "u1", now), answer(known[0], "u2", now))
    with database.read() as connection:
        assert known[0].id not in untaken(connection, ready.id)
    later = [answer(known[0], "u1", now + HOUR, status)] if status != "gone" else []
    report = take(answer(known[0], "u2", now), *later)
    assert (report.withdrawn, report.known) == (1, 1)
    assert report.drafts == (status == "draft")
    assert len(said()) == 1
    with database.read() as connection:
        assert known[0].id in untaken(connection, ready.id)
    assert take(answer(known[0], "u1", now + 2 * HOUR), answer(known[0], "u2", now)).new == 1
    assert len(said()) == 2


def test_a_page_says_nothing_of_records_that_are_not_in_it(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    take(answer(known[0], "u1", now))
    assert take(answer(known[1], "u1", now)).withdrawn == 0
    assert len(said()) == 2


def test_a_discarded_record_is_a_task_passed_over(
    *, database: Database, ready: Project, known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    take(answer(known[0], "u1", now))
    report = take(answer(known[0], "u1", now + HOUR, "discarded"))
    assert (report.discarded, report.withdrawn) == (1, 0)
    assert said() == []
    with database.read() as connection:
        assert [(one.task, one.reason) for one in skips(connection, ready.id)] == [
            (known[0].id, "Discarded in Argilla.")
        ]
    # A draft after all: it is passed over no more.
    assert take(answer(known[0], "u1", now + 2 * HOUR, "draft")).drafts == 1
    with database.read() as connection:
        assert skips(connection, ready.id) == []
    assert take(answer(known[0], "u1", now + 3 * HOUR)).new == 1


def test_more_judgements_than_a_task_asks_for_are_kept_and_told(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    report = take(*(answer(known[0], f"u{n}", now) for n in range(4)))
    assert (report.new, report.beside) == (4, 2)
    assert len(said()) == 4
    assert "2 beyond what their tasks asked for" in report.sentence()
    assert take(*(answer(known[0], f"u{n}", now) for n in range(4))).beside == 0


def test_an_answer_that_is_no_judgement_is_refused_and_the_rest_kept(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    bad = answer(known[0], "u1", now, rating_2=9)
    long = answer(known[1], "u1", now, comment="x" * 2001)
    report = take(bad, answer(known[0], "u2", now), long)
    assert (report.new, report.refused) == (1, 2)
    assert len(said()) == 1
    assert "'rating_2' is a whole number from 1 to 7; got 9" in report.reasons[0]
    assert f"record {known[0].id}, user u1" in report.reasons[0]
    assert "comment: String should have at most 2000 characters" in report.reasons[1]
    # Mended there, it comes in.
    assert take(answer(known[0], "u1", now), answer(known[0], "u2", now)).new == 1


def test_what_stands_stays_when_the_new_answer_is_refused(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    take(answer(known[0], "u1", now))
    report = take(answer(known[0], "u1", now + HOUR, preference="C"))
    assert (report.refused, report.changed) == (1, 0)
    assert [one.comparisons[0].choice for one in said()] == [-2]


def test_a_record_that_shows_other_responses_is_refused(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    one, other = answer(known[0], "u1", now), answer(known[-1], "u1", now)
    mixed = replace(one, shown=other.shown)
    report = take(mixed)
    assert report.refused == 1
    assert "its metadata were changed in Argilla" in report.reasons[0]
    assert said() == []


def test_records_of_others_are_counted_and_left_alone(
    known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    strange = Answered(record="nobody's", shown=None, user="u1", status="submitted",
                       values=VALUES, at=now)  # fmt: skip
    report = take(strange, answer(known[0], "u1", now))
    assert (report.foreign, report.new, report.responses) == (1, 1, 1)
    assert len(said()) == 1


def test_messages_that_come_late_change_nothing(
    database: Database, ready: Project, known: list[Task], said: Any, now: datetime
) -> None:
    def tell(*answers: Answered) -> Pulled:
        report = Pulled()
        for one in answers:
            Desk(database, ready, report).take([one], now=now)
        return report

    first = answer(known[0], "u1", now)
    second = answer(known[0], "u1", now + HOUR, preference="2_better")
    report = tell(first, second, first)
    assert (report.new, report.changed, report.older) == (1, 1, 1)
    assert [one.comparisons[0].choice for one in said()] == [2]
    # Of a deletion the server tells with the response as it was.
    assert tell(answer(known[0], "u1", now + HOUR, "pending")).withdrawn == 1
    # An old message of what was discarded since.
    assert tell(answer(known[0], "u1", now + 2 * HOUR, "discarded")).discarded == 1
    assert tell(second).older == 1
    assert said() == []
    second = replace(second, at=now + 3 * HOUR)
    assert tell(second).new == 1
    # A message is about one response, not about who else answered.
    assert tell(second, answer(known[0], "u2", now)).withdrawn == 0
    assert len(said()) == 2


def test_a_pull_is_the_truth_whatever_the_clocks_say(
    *, database: Database, ready: Project, known: list[Task], take: Any, said: Any, now: datetime
) -> None:
    # From a file, which does not say when, so it counts from the import on.
    answers = [replace(answer(known[0], "u1", now), at=None)]
    Desk(database, ready, Pulled()).take(answers, now=now + 9 * HOUR)
    assert take(answer(known[0], "u1", now)).known == 1
    assert take(answer(known[0], "u1", now + HOUR, preference="tie")).changed == 1
    assert [one.comparisons[0].choice for one in said()] == [0]


def test_an_improved_text_is_a_response_of_its_own(
    database: Database, ready: Project, known: list[Task], now: datetime
) -> None:
    with database.write() as connection:
        one = replace(known[0], id=TaskId("edit"), type="edit")
        add_tasks(connection, [one])
    report = Pulled()
    values = {"preference": "2_better", "edited": "Better words."}
    given = Answered(
        record=one.id, shown=None, user="u1", status="submitted", values=values, at=now
    )
    Desk(database, ready, report).take([given], now=now)
    assert report.new == 1
    with database.read() as connection:
        (kept,) = judgements(connection, ready.id)
        texts = responses_by_id(connection, [c.preferred for c in kept.comparisons if c.preferred])
    written = [text for text in texts.values() if text.policy == EDITED]
    assert [text.text for text in written] == ["Better words."]
    assert len(kept.comparisons) == 3


def test_known_items_say_whether_they_were_met(
    database: Database, ready: Project, known: list[Task], now: datetime
) -> None:
    item = replace(known[0], id=TaskId("gold"), purpose=Purpose.GOLD, expected={"better": "first"})
    with database.write() as connection:
        add_tasks(connection, [item])
    first = shown_order(item.id, item.responses).index(item.responses[0])
    right, wrong = ("1_better", "2_better") if first == 0 else ("2_better", "1_better")
    report = Pulled()
    answers = [
        answer(item, f"u{n}", now, preference=p) for n, p in enumerate((right, wrong, right))
    ]
    Desk(database, ready, report).take(answers, now=now)
    assert (report.new, report.beside) == (3, 0)
    with database.read() as connection:
        found = list(judgements(connection, ready.id, everything=True))
    assert sorted(str(one.correct) for one in found) == ["False", "True", "True"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_however_people_change_their_minds_the_last_pull_tells_what_stands(
    known: list[Task], take: Any, said: Any, now: datetime, data: st.DataObject
) -> None:
    """Law: after any number of pulls, what counts is what stands in Argilla, once each."""
    states = st.one_of(
        st.none(),
        st.tuples(st.sampled_from(["submitted", "draft", "discarded"]), st.sampled_from(LABELS)),
    )
    clock = now + timedelta(days=data.draw(st.integers(1, 400)))
    there: dict[tuple[int, str], tuple[str, str] | None] = {}
    for _ in range(data.draw(st.integers(1, 4))):
        clock += HOUR
        there = {
            (place, user): data.draw(states) for place in (0, 1) for user in ("u1", "u2", "u3")
        }
        answers = [
            answer(known[place], user, clock, state[0], preference=state[1])
            for (place, user), state in there.items()
            if state is not None
        ]
        take(*answers, records=[known[0].id, known[1].id], at=clock)
    expected = sorted(
        (known[place].id, LABELS.index(state[1]) - 3)
        for (place, _), state in there.items()
        if state is not None and state[0] == "submitted"
    )
    assert sorted((one.task, one.comparisons[0].choice) for one in said()) == expected
    take(*answers, records=[known[0].id, known[1].id], at=clock + HOUR)
    assert sorted((one.task, one.comparisons[0].choice) for one in said()) == expected
    take(records=[known[0].id, known[1].id], at=clock + 2 * HOUR)
    assert said() == []


LABELS = [
    "1_much_better",
    "1_better",
    "1_slightly_better",
    "tie",
    "2_slightly_better",
    "2_better",
    "2_much_better",
]


def test_a_file_adds_what_is_missing_and_changes_nothing(
    *,
    database: Database,
    ready: Project,
    known: list[Task],
    take: Any,
    said: Any,
    now: datetime,
    tmp_path: Path,
) -> None:
    take(answer(known[0], "u1", now, preference="tie"))
    shown = {SHOWN: ",".join(shown_order(known[0].id, known[0].responses))}
    answered = {
        name: [{"value": value, "user_id": user} for user in ("u1", "u2")]
        for name, value in VALUES.items()
    }
    exported = [
        {"id": known[0].id, "fields": {"prompt": "x"}, "metadata": shown, "responses": answered},
        {"id": known[1].id, "fields": {"prompt": "y"}, "metadata": {}, "responses": {}},
    ]
    path = tmp_path / "records.json"
    path.write_text(json.dumps(exported))
    report = pull_file(database, path, ready, now=now + HOUR)
    assert (report.records, report.responses, report.new, report.older) == (2, 2, 1, 1)
    assert sorted(one.comparisons[0].choice for one in said()) == [-2, 0]
    again = pull_file(database, path, ready, now=now + HOUR)
    assert (again.new, again.known, again.older) == (0, 1, 1)


def test_rows_of_a_table_say_what_was_submitted(
    *,
    database: Database,
    ready: Project,
    known: list[Task],
    said: Any,
    now: datetime,
    tmp_path: Path,
) -> None:
    row: dict[str, Any] = {"id": known[0].id, "prompt": "x"}
    for name, value in VALUES.items():
        row[f"{name}.responses"] = [value, value, value]
        row[f"{name}.responses.users"] = ["u1", "u2", "u3"]
        row[f"{name}.responses.status"] = ["submitted", "draft", "discarded"]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    report = pull_file(database, path, ready, now=now)
    assert (report.new, report.drafts, report.discarded) == (1, 1, 1)
    assert len(said()) == 1


def test_a_file_of_somebody_elses_records_is_refused(
    database: Database, ready: Project, now: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"id": "7", "fields": {"text": "x"}, "responses": {}}) + "\n")
    with pytest.raises(InvalidData, match="holds no answer to a task of project 'demo'"):
        pull_file(database, path, ready, now=now)
    path.write_text(json.dumps({"fields": {"text": "x"}, "responses": {}}) + "\n")
    with pytest.raises(InvalidData, match=r"line 1.*its task's id as 'id'"):
        pull_file(database, path, ready, now=now)
