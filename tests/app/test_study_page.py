"""What a participant is told before the first vote, and what they are not told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from served import ARMS, Web, open_plain_web

from storage.database import Database
from storage.records import StudyId
from storage.studies import add_study


@pytest.fixture
def web(database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    return open_plain_web(database, data_dir, now, monkeypatch)


def test_consent_comes_before_the_first_comparison(web: Web) -> None:
    study = web.study(web.project(prompts=8))
    page = web.browser().get(f"/study/{study.code}").text
    assert "<dd>8</dd>" in page
    assert "about 6 min" in page
    for told in ("What is kept", "made-up name", "One cookie", "voluntary", "stop at any time"):
        assert told in page
    assert 'type="checkbox" required' in page
    assert "data-state" not in page
    assert "Simulated" not in page


def test_looking_at_the_page_makes_nobody_a_participant(web: Web) -> None:
    study = web.study(web.project())
    browser = web.browser()
    browser.get(f"/study/{study.code}")
    assert not browser.cookies
    assert browser.get("/api/v1/tasks", params={"study": study.code}).status_code == 401


def test_whoever_agreed_goes_on_without_being_asked_again(web: Web) -> None:
    study = web.study(web.project())
    browser = web.browser()
    browser.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
    page = browser.get(f"/study/{study.code}").text
    assert f'data-study="{study.code}"' in page
    assert "voluntary" not in page


def test_a_simulated_study_says_so(web: Web) -> None:
    study = web.study(web.project())
    marked = replace(study, id=StudyId("marked"), code="marked-code", simulated=True)
    with web.database.write() as connection:
        add_study(connection, marked, key={})
    assert "Simulated" in web.browser().get("/study/marked-code").text


def test_neither_the_name_nor_the_policies_are_on_the_page(web: Web) -> None:
    study = web.study(web.project("Project with a telling name"))
    browser = web.browser()
    for _ in range(2):
        page = browser.get(f"/study/{study.code}").text
        assert not any(word in page for word in (study.name, "telling name", *ARMS, study.id))
        browser.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})


def test_a_study_asks_its_own_question_before_and_with_the_tasks(web: Web) -> None:
    study = web.study(web.project())
    asked = {"question": "Which is <b>kinder</b>?", "form": "ranking"}
    own = replace(study, id=StudyId("own"), code="own-code", plan=asked)
    usual = replace(study, id=StudyId("usual"), code="usual-code", plan={})
    with web.database.write() as connection:
        for one in (own, usual):
            add_study(connection, one, key={})
    page = web.browser().get("/study/own-code").text
    assert "<h1>Which is &lt;b&gt;kinder&lt;/b&gt;?</h1>" in page
    assert "Put them in order" in page
    assert "<h1>Which answer is better?</h1>" in web.browser().get("/study/usual-code").text
    for one, question in ((own, "Which is <b>kinder</b>?"), (usual, "")):
        browser = web.browser()
        browser.post(f"/api/v1/study/{one.code}/enter", json={"consent": True})
        work = browser.get("/api/v1/tasks", params={"study": one.code}).json()
        assert work["project"]["question"] == question
