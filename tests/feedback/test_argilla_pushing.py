"""Which tasks go to Argilla, how their responses stand there, and what a model suggests."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.argilla.pushing import group_of, push, pushable, shown_order, suggestion
from feedback.argilla.questions import LABELS
from feedback.pairing import make_tasks
from storage.database import Database
from storage.elsewhere import sit
from storage.errors import InvalidOption, TooLittleData
from storage.projects import project_named
from storage.records import Collecting, Project, Purpose, ResponseId, Task, TaskId
from storage.tasks import add_tasks, tasks


@pytest.fixture
def ready(database: Database, project: Project, rng: np.random.Generator) -> Project:
    with database.write() as connection:
        make_tasks(connection, project, rng=rng)
    return project


def test_tasks_that_want_judgements_go_and_the_others_stay(
    database: Database, ready: Project, person: Any, now: datetime
) -> None:
    with database.write() as connection:
        first, *rest = tasks(connection, ready.id)
        gold = replace(first, id=TaskId("g"), purpose=Purpose.GOLD, expected={"better": "first"})
        quiz = replace(gold, id=TaskId("q"), purpose=Purpose.QUALIFICATION)
        add_tasks(connection, [gold, quiz])
    for name in ("ann", "ben"):  # as many as the task wants
        judge = person(name)
        with database.write() as connection:
            sit(connection, first.id, judge.id, shown=first.responses, now=now)
    ((group, found),) = pushable(database, ready).items()
    assert {one.id for one in found} == {one.id for one in rest}
    assert (group.type, group.responses, group.overlap) == ("pair_with_ratings", 2, 2)
    # Known items come along where they are mixed in.
    mixing = replace(ready, collecting=replace(ready.collecting, gold_rate=0.1))
    ((_, more),) = pushable(database, mixing).items()
    assert {one.id for one in more} == {"g", *(one.id for one in rest)}


def test_tasks_that_are_asked_alike_share_a_data_set(ready: Project, known: Task) -> None:
    def group(**changes: Any) -> str:
        return group_of(ready, replace(known, **changes)).dataset

    assert group() == "demo-project-pair_with_ratings"
    assert group(id=TaskId("x")) == group()
    assert group(overlap=5) == "demo-project-pair_with_ratings-by-5"
    three = tuple(ResponseId(one) for one in "abc")
    assert group(type="ranking", responses=three) == "demo-project-ranking-3"
    gold = {"purpose": Purpose.GOLD, "expected": {}, "overlap": 1}
    assert group(**gold) == group()
    strange = replace(ready, name="  Ünï: 数据!! ")
    assert group_of(strange, known).dataset == "n-project-pair_with_ratings"
    nameless = replace(ready, name="数据")
    assert group_of(nameless, known).dataset == "project-project-pair_with_ratings"


@pytest.fixture
def known(database: Database, ready: Project) -> Task:
    with database.read() as connection:
        return tasks(connection, ready.id)[0]


def test_the_order_is_by_chance_and_always_the_same() -> None:
    pair = (ResponseId("a"), ResponseId("b"))
    orders = [shown_order(TaskId(str(n)), pair) for n in range(2000)]
    assert orders == [shown_order(TaskId(str(n)), pair[::-1]) for n in range(2000)]
    turned = sum(order == pair[::-1] for order in orders)
    # Within five standard deviations of a fair coin's half.
    assert abs(turned - 1000) < 5 * math.sqrt(2000) / 2
    many = tuple(ResponseId(one) for one in "abcdefgh")
    assert sorted(shown_order(TaskId("x"), many)) == sorted(many)


@pytest.mark.parametrize(
    ("gap", "label", "score"),
    [
        (0.0, "tie", 0.5),
        (0.19, "tie", 0.5474),
        (-0.21, "1_slightly_better", 0.5523),
        (0.21, "2_slightly_better", 0.5523),
        (-1.2, "1_better", 0.7685),
        (2.3, "2_much_better", 0.9089),
        (-1e9, "1_much_better", 1.0),
    ],
)
def test_a_suggestion_says_how_often_the_better_one_would_win(
    gap: float, label: str, score: float
) -> None:
    made = suggestion(gap, "combined-1")
    assert (made.question_name, made.value, made.agent) == ("preference", label, "combined-1")
    assert made.score == score
    assert made.type == "model"


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))
def test_a_clearer_gap_never_suggests_less(gap: float, more: float) -> None:
    one, other = (LABELS[str(suggestion(each, "m").value)] for each in (gap, gap + more))
    assert one <= other
    assert LABELS[str(suggestion(-gap, "m").value)] == -one


def test_a_project_without_tasks_is_refused_before_anything_is_sent(
    database: Database, project: Project
) -> None:
    nobody = cast("Any", None)
    with pytest.raises(TooLittleData, match="'demo' has no task that wants a judgement"):
        push(database, nobody, project, workspace="w")
    with database.read() as connection:
        assert project_named(connection, project.id).collecting == project.collecting


def test_guidelines_that_argilla_does_not_take_are_refused(
    database: Database, ready: Project
) -> None:
    long = replace(ready, guidelines="x" * 10_001)
    with pytest.raises(InvalidOption, match=r"takes 10000 characters.*which have 10001"):
        push(database, cast("Any", None), long, workspace="w")


@pytest.mark.parametrize("name", ["two\nlines", "x" * 201, "\0"])
def test_a_workspace_has_a_name_of_one_line(name: str) -> None:
    with pytest.raises(InvalidOption, match="argilla_workspace"):
        Collecting(argilla_workspace=name)
