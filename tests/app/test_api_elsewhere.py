"""A project that is judged in Argilla, as the annotation screen is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import Web, answer, open_plain_web

from app.argilla_address import KEY, URL
from storage.database import Database
from storage.projects import set_collecting
from storage.records import Project


@pytest.fixture
def web(database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    monkeypatch.setenv(URL, "http://argilla.lan:6900")
    monkeypatch.setenv(KEY, "owner.apikey")
    return open_plain_web(database, data_dir, now, monkeypatch)


@pytest.fixture
def mira(web: Web) -> TestClient:
    return web.browser(web.person("Mira"))


def move(web: Web, project: Project, workspace: str) -> None:
    with web.database.write() as connection:
        moved = replace(project.collecting, argilla_workspace=workspace)
        set_collecting(connection, project.id, moved)


def work(browser: TestClient, **asked: Any) -> dict[str, Any]:
    reply = browser.get("/api/v1/tasks", params=asked)
    assert reply.status_code == 200, reply.text
    assert "apikey" not in reply.text
    return dict(reply.json())


def test_nothing_is_given_out_and_the_place_is_told(web: Web, mira: TestClient) -> None:
    project = web.project(prompts=4)
    move(web, project, "spring")
    said = work(mira)
    assert said["tasks"] == []
    assert said["elsewhere"] == {"workspace": "spring", "url": "http://argilla.lan:6900"}
    assert said["progress"] == {"done": 0, "open": 0, "total": 4}
    move(web, project, "")
    said = work(mira)
    assert len(said["tasks"]) == said["progress"]["open"] == 4
    assert said["elsewhere"] is None


def test_tasks_held_when_a_project_leaves_are_finished_here(web: Web, mira: TestClient) -> None:
    project = web.project(prompts=4)
    held = work(mira, count=2)["tasks"]
    move(web, project, "spring")
    said = work(mira, count=4)
    assert [one["assignment"] for one in said["tasks"]] == [one["assignment"] for one in held]
    assert said["progress"]["open"] == 2
    assert said["elsewhere"]["workspace"] == "spring"
    for one in held:
        reply = mira.post("/api/v1/submissions", json=answer(one))
        assert reply.json()["saved"] is True
    assert reply.json()["progress"] == {"done": 2, "open": 0, "total": 4}
    assert work(mira)["tasks"] == []
    assert len(web.kept(project)) == 2


@pytest.mark.parametrize("rates", [{"gold_rate": 0.2}, {"repeat_rate": 0.2}])
def test_nothing_is_left_to_do_where_known_items_are_mixed_in_either(
    web: Web, mira: TestClient, rates: dict[str, float]
) -> None:
    project = web.project(prompts=4)
    move(web, replace(project, collecting=replace(project.collecting, **rates)), "spring")
    assert work(mira)["progress"]["open"] == 0


@pytest.mark.parametrize("written", ["", "javascript:alert(1)", "http://ada:owner.apikey@lan"])
def test_without_an_address_to_follow_only_the_workspace_is_told(
    web: Web, mira: TestClient, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv(URL, written)
    move(web, web.project(), "spring")
    assert work(mira)["elsewhere"] == {"workspace": "spring", "url": None}


def test_studies_go_on_here_and_their_participants_hear_nothing_of_it(web: Web) -> None:
    project = web.project(prompts=4)
    study = web.study(project)
    move(web, project, "spring")
    participant = web.browser()
    entered = participant.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
    assert entered.status_code == 200, entered.text
    said = work(participant, study=study.code)
    assert len(said["tasks"]) == 4
    assert said["elsewhere"] is None
