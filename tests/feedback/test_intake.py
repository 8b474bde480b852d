"""From a leased task to a judgement on disk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pydantic import ValidationError

from feedback.assignment import LEASE, ShownTask, next_tasks
from feedback.intake import Answer, take
from feedback.pairing import make_tasks
from storage.database import Database
from storage.errors import InvalidAnswer
from storage.judgements import judgements
from storage.prompts import responses_by_id
from storage.records import Annotator, Project


@pytest.fixture
def ready(database: Database, project: Project, rng: np.random.Generator) -> Project:
    with database.write() as connection:
        make_tasks(connection, project, rng=rng)
    return project


@pytest.fixture
def ask(
    database: Database, ready: Project, now: datetime, rng: np.random.Generator
) -> Callable[..., list[ShownTask]]:
    def ask(annotator: Annotator, count: int = 1, at: datetime = now) -> list[ShownTask]:
        return next_tasks(database, annotator, ready, count=count, now=at, rng=rng)

    return ask


def answer(shown: ShownTask, **changes: Any) -> Answer:
    said = {"choice": -2, "ratings": [6, 3], "active_seconds": 12.5} | changes
    return Answer(submission=uuid4(), assignment=shown.assignment.id, **said)


def test_a_task_shows_prompt_and_answers_in_the_order_of_the_lease(
    database: Database, ask: Any, person: Any
) -> None:
    shown_tasks = ask(person("ann"), count=4)
    assert len(shown_tasks) == 4
    with database.read() as connection:
        for shown in shown_tasks:
            texts = responses_by_id(connection, shown.assignment.shown)
            assert shown.responses == tuple(texts[one].text for one in shown.assignment.shown)
            question = shown.prompt[0]["content"]
            assert all(text.startswith(question) for text in shown.responses)
            assert shown.type == "pair_with_ratings"
            assert not any("model-" in text for text in shown.responses)


def test_reloading_the_page_gives_the_same_tasks(ask: Any, person: Any) -> None:
    ann = person("ann")
    first, again = ask(ann, count=3), ask(ann, count=3)
    assert {one.assignment.id for one in first} == {one.assignment.id for one in again}


def test_nobody_judges_a_task_twice_and_then_there_is_nothing_left(
    database: Database, ask: Any, person: Any, now: datetime
) -> None:
    ann = person("ann")
    judged = []
    while shown := ask(ann, count=2):
        for one in shown:
            receipt = take(database, ann, answer(one), now=now)
            judged.append(one.assignment.task)
    assert len(judged) == len(set(judged)) == 6
    assert (receipt.progress.done, receipt.progress.open, receipt.progress.total) == (6, 0, 6)


def test_an_answer_is_kept_as_it_was_given(
    database: Database, ready: Project, ask: Any, person: Any, now: datetime
) -> None:
    ann = person("ann")
    [shown] = ask(ann)
    assert take(database, ann, answer(shown, interface="test"), now=now).saved
    with database.read() as connection:
        [kept] = judgements(connection, ready.id)
    left, right = shown.assignment.shown
    [comparison] = kept.comparisons
    assert (comparison.left, comparison.right, comparison.choice) == (left, right, -2)
    assert {rating.response: rating.value for rating in kept.ratings} == {left: 6, right: 3}
    assert (kept.active_seconds, kept.interface, kept.received) == (12.5, "test", now)
    assert kept.annotator == ann.pseudonym


def test_a_resend_changes_nothing(
    database: Database, ready: Project, ask: Any, person: Any, now: datetime
) -> None:
    ann = person("ann")
    [shown] = ask(ann)
    said = answer(shown)
    assert take(database, ann, said, now=now).saved
    again = take(database, ann, said, now=now + timedelta(seconds=5))
    assert (again.saved, again.progress.done) == (False, 1)
    with pytest.raises(InvalidAnswer, match="other content"):
        take(database, ann, said.model_copy(update={"choice": 3}), now=now)
    with database.read() as connection:
        assert len(list(judgements(connection, ready.id))) == 1


def test_a_task_leased_to_somebody_else_is_refused_without_telling_more(
    database: Database, ready: Project, ask: Any, person: Any, now: datetime
) -> None:
    ann, bob = person("ann"), person("bob")
    [shown] = ask(ann)
    for assignment in (shown.assignment.id, "made-up"):
        said = answer(shown).model_copy(update={"assignment": assignment})
        with pytest.raises(InvalidAnswer, match=f"The task '{assignment}' is not leased to you"):
            take(database, bob, said, now=now)
    with database.read() as connection:
        assert not list(judgements(connection, ready.id))


def test_a_bad_answer_keeps_nothing_and_the_task_stays_open(
    database: Database, ready: Project, ask: Any, person: Any, now: datetime
) -> None:
    ann = person("ann")
    [shown] = ask(ann)
    for changes, sentence in (
        ({"ratings": None}, "needs one rating of 'overall' for each"),
        ({"choice": None}, "choice is missing"),
        ({"both_bad": True}, "either the choice or both_bad"),
    ):
        with pytest.raises(InvalidAnswer, match=sentence):
            take(database, ann, answer(shown, **changes), now=now)
    with database.read() as connection:
        assert not list(judgements(connection, ready.id))
    assert ask(ann)[0].assignment.id == shown.assignment.id


@pytest.mark.parametrize(
    "changes",
    [
        {"choice": 1.5},
        {"choice": True},
        {"choice": "1"},
        {"choice": 4},
        {"ratings": [6, 8]},
        {"ratings": [1.0, 2]},
        {"both_bad": "yes"},
        {"active_seconds": -1},
        {"active_seconds": float("inf")},
        {"interface": ""},
        {"interface": "x" * 51},
        {"submission": "not-a-uuid"},
        {"role": "administrator"},
    ],
)
def test_an_answer_has_the_right_types_and_nothing_else(changes: dict[str, Any]) -> None:
    said = {"submission": str(uuid4()), "assignment": "a", "choice": 1} | changes
    with pytest.raises(ValidationError):
        Answer.model_validate(said)


def test_an_expired_lease_goes_to_others_and_a_late_answer_is_told_so(
    database: Database, ask: Any, person: Any, now: datetime
) -> None:
    ann = person("ann")
    held = ask(ann, count=6)
    later = now + LEASE + timedelta(seconds=1)
    for name in ("bob", "cecil"):  # overlap 2: they fill both seats of every task
        other = person(name)
        for shown in ask(other, count=6, at=later):
            take(database, other, answer(shown), now=later)
    with pytest.raises(InvalidAnswer):
        take(database, ann, answer(held[0]), now=later)
