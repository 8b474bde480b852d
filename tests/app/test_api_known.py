"""Known items and repeats: nobody can tell them apart; the qualification, which teaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from served import Web, answer, open_plain_web, prefer

from storage.database import Database
from storage.judgements import judgements
from storage.records import Collecting, Project, Purpose, Role
from storage.tasks import tasks

GOOD = "A good answer."


@pytest.fixture
def web(database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    return open_plain_web(database, data_dir, now, monkeypatch)


@pytest.fixture
def mira(web: Web) -> TestClient:
    return web.browser(web.person("Mira"))


def shape(value: Any) -> Any:
    """What a payload is made of: names and kinds, without what they hold."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def worked(web: Web, browser: TestClient, **said: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Judge one task after the other: how it was given out, it, and what came back."""
    while True:
        reply = browser.get("/api/v1/tasks", params={"count": 1})
        work = reply.json()
        if not work["tasks"]:
            return
        (task,) = work["tasks"]
        web.now += timedelta(seconds=5)
        kept = browser.post("/api/v1/submissions", json=answer(task, **said))
        assert kept.status_code == 200, kept.text
        yield reply, task, kept


def everything_said(web: Web, project: Project) -> dict[str, Purpose]:
    """The purpose of each assignment that was judged."""
    with web.database.read() as connection:
        said = list(judgements(connection, project.id, everything=True))
    return {str(one.assignment): one.purpose for one in said}


def test_no_payload_tells_what_a_task_is_for(web: Web, mira: TestClient) -> None:
    collecting = Collecting(gold_rate=0.2, repeat_rate=0.2)
    project = web.project(prompts=30, collecting=collecting)
    web.known(project, Purpose.GOLD, number=10)
    web.known(project, Purpose.ATTENTION, number=10)
    shapes: dict[str, Any] = {}
    told: list[dict[str, int]] = []
    for given, task, kept in worked(web, mira):
        told += [given.json()["progress"], kept.json()["progress"]]
        headers = sorted(set(given.headers) | set(kept.headers))
        shapes[task["assignment"]] = shape([given.json(), kept.json(), headers])
        # Her pseudonym may be golden-otter-7.
        said = f"{given.text} {kept.text}".replace(given.json()["annotator"], "")
        for word in ("gold", "attention", "repeat", "known", "expected", "purpose"):
            assert word not in said
    purposes = everything_said(web, project)
    met = Counter(purposes.values())
    assert met[Purpose.FEEDBACK] == 30
    assert met[Purpose.GOLD] + met[Purpose.ATTENTION] > 3
    assert met[Purpose.REPEAT] > 0
    first = next(iter(shapes.values()))
    for assignment, purpose in purposes.items():
        assert shapes[assignment] == first, purpose
    # 30 tasks are 60 % of the 50 that there are with what is mixed in. Whatever comes, one more is
    # done each time and one fewer open; only at the end it shows that chance gave a few more or
    # fewer.
    assert (
        told[:40]
        == [
            {"done": number, "open": 50 - number, "total": 50}
            for number in range(21)
            for _ in range(1 if number == 0 else 2)
        ][:40]
    )
    assert told[-1]["open"] == 0
    counted = mira.get("/api/v1/statistics").json()
    assert counted["judgements"] == len(purposes)
    assert len(web.kept(project)) == 30  # only these are to be learnt from


def test_known_items_look_like_the_others_and_are_met_once(web: Web, mira: TestClient) -> None:
    project = web.project(prompts=40, collecting=Collecting(gold_rate=0.5), overlap=2)
    web.known(project, Purpose.GOLD, number=3)
    for person in (mira, web.browser(web.person("Rosa"))):
        list(worked(web, person))
    with web.database.read() as connection:
        gold = [
            one
            for one in judgements(connection, project.id, everything=True)
            if one.purpose is Purpose.GOLD
        ]
    assert len(gold) == 6  # more people than the overlap may meet each, and each once
    assert len({(one.task, one.annotator) for one in gold}) == 6


def qualifying(web: Web, *, items: int = 3, better: str = "first") -> Project:
    project = web.project(
        prompts=4, collecting=Collecting(qualification=items, qualification_pass=0.6)
    )
    web.known(project, Purpose.QUALIFICATION, number=items, better=better, ratings=[[5, 7], [1, 4]])
    return project


def test_the_qualification_comes_first_and_teaches(web: Web, mira: TestClient) -> None:
    qualifying(web)
    work = mira.get("/api/v1/tasks", params={"count": 20}).json()
    assert work["qualification"] == {"left": 3, "done": 0, "correct": 0, "passed": None}
    assert [task["qualifying"] for task in work["tasks"]] == [True] * 3
    wrong, *right = work["tasks"]
    bad = next(one["text"] for one in wrong["responses"] if one["text"] != GOOD)
    said = prefer(wrong, bad)
    lesson = mira.post("/api/v1/submissions", json=said).json()["qualification"]
    assert lesson == {
        "correct": False,
        "explanation": {
            "html": "<p>Because it <em>helps</em>.</p>\n",
            "text": "Because it *helps*.",
        },
        "left": 2,
        "passed": None,
    }
    again = mira.post("/api/v1/submissions", json=said).json()
    assert (again["saved"], again["qualification"]) == (False, lesson)
    undone = {"id": str(uuid4()), "submission": said["submission"]}
    assert mira.post("/api/v1/undo", json=undone).status_code == 409
    for left, task in zip((1, 0), right, strict=True):
        told = mira.post("/api/v1/submissions", json=prefer(task, GOOD)).json()["qualification"]
        assert (told["correct"], told["left"], told["passed"]) == (
            True,
            left,
            None if left else True,
        )
    work = mira.get("/api/v1/tasks").json()
    assert work["qualification"] == {"left": 0, "done": 3, "correct": 2, "passed": True}
    assert [task["qualifying"] for task in work["tasks"]] == [False] * 4


def test_whoever_fails_the_qualification_gets_no_real_task(web: Web, mira: TestClient) -> None:
    project = qualifying(web)
    for task in mira.get("/api/v1/tasks", params={"count": 20}).json()["tasks"]:
        # The right choice, with ratings that are not.
        mira.post("/api/v1/submissions", json=prefer(task, GOOD) | {"ratings": [4, 4]})
    work = mira.get("/api/v1/tasks").json()
    assert work["qualification"] == {"left": 0, "done": 3, "correct": 0, "passed": False}
    assert work["tasks"] == []
    assert web.kept(project) == []


def test_a_project_without_a_round_says_so(web: Web, mira: TestClient) -> None:
    web.project()
    assert mira.get("/api/v1/tasks").json()["qualification"] is None


def test_researchers_make_a_known_item_of_their_own_answer(web: Web, mira: TestClient) -> None:
    project = web.project(prompts=1, overlap=2)
    rosa = web.browser(web.person("Rosa", Role.RESEARCHER))
    (task,) = rosa.get("/api/v1/tasks").json()["tasks"]
    said = answer(task, choice=3, ratings=[1, 6])
    rosa.post("/api/v1/submissions", json=said)
    body = {"submission": said["submission"], "explanation": "It answers.", "within": 1}
    made = rosa.post("/api/v1/known", json=body)
    assert made.json()["saved"] is True
    assert rosa.post("/api/v1/known", json=body).json()["saved"] is False
    with web.database.read() as connection:
        known = [t for t in tasks(connection, project.id, everything=True) if t.expected]
    (item,) = known
    (kept,) = web.kept(project)
    assert kept.shown is not None
    right = item.responses.index(kept.shown[1])
    assert item.purpose is Purpose.GOLD
    assert item.expected == {
        "better": ("first", "second")[right],
        "ratings": [[5, 7], [1, 2]] if right == 0 else [[1, 2], [5, 7]],
        "explanation": "It answers.",
    }


def test_a_known_item_needs_a_researcher_and_an_answer_of_theirs(
    web: Web, mira: TestClient
) -> None:
    web.project()
    (task,) = mira.get("/api/v1/tasks", params={"count": 1}).json()["tasks"]
    said = answer(task)
    mira.post("/api/v1/submissions", json=said)
    body = {"submission": said["submission"]}
    assert mira.post("/api/v1/known", json=body).status_code == 403
    rosa = web.browser(web.person("Rosa", Role.RESEARCHER))
    assert rosa.post("/api/v1/known", json=body).status_code == 409
    assert rosa.post("/api/v1/known", json={"submission": str(uuid4())}).status_code == 409
    for wrong in ({"purpose": "feedback"}, {"within": 4}, {"explanation": "x" * 2001}):
        assert rosa.post("/api/v1/known", json=body | wrong).status_code == 422
