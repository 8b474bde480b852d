"""The JSON interface: what it shows, what it takes, what it refuses, and that it keeps its word."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from served import ARMS, Web, answer, open_plain_web

import app.api
import app.api_judging
from storage import jobs
from storage.database import Database
from storage.errors import StorageFailed
from storage.prompts import responses
from storage.records import Role
from storage.studies import close_study
from storage.tasks import tasks

GARBLED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"submission": NaN}',
    b"[" * 5000,
]


@pytest.fixture
def web(database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    return open_plain_web(database, data_dir, now, monkeypatch)


@pytest.fixture
def mira(web: Web) -> TestClient:
    return web.browser(web.person("Mira"))


def given(browser: TestClient, **asked: Any) -> list[dict[str, Any]]:
    reply = browser.get("/api/v1/tasks", params=asked)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["tasks"])


def pseudonym(browser: TestClient) -> str:
    """The pseudonym under which this browser judges."""
    return str(browser.get("/api/v1/tasks").json()["annotator"])


def refused(reply: Any, status: int) -> str:
    """The sentence of a refusal."""
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    sentence = str(reply.json()["error"])
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence
    return sentence


def test_a_task_shows_texts_and_nothing_that_tells_who_wrote_them(
    web: Web, mira: TestClient
) -> None:
    project = web.project(prompts=6)
    study = web.study(project)
    voter = web.browser()
    voter.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
    with web.database.read() as connection:
        written = responses(connection, project.id)
        known = [*tasks(connection, project.id), *tasks(connection, project.id, study=study.id)]
    secrets = {*ARMS, study.id, study.name, project.id, *written}
    secrets |= {one.id for answers in written.values() for one in answers}
    secrets |= {one.id for one in known}
    for browser, asked in ((mira, {}), (voter, {"study": study.code})):
        reply = browser.get("/api/v1/tasks", params={"count": 20, **asked})
        for secret in secrets:
            assert secret not in reply.text
        shown = reply.json()
        assert set(shown) == {
            "annotator",
            "project",
            "projects",
            "tasks",
            "progress",
            "qualification",
            "messages",
            "elsewhere",
            "completion",
        }
        for task in shown["tasks"]:
            assert set(task) == {"assignment", "type", "prompt", "responses", "qualifying"}
            assert [set(one) for one in task["responses"]] == [{"html", "text"}] * 2
            assert [set(turn) for turn in task["prompt"]] == [{"role", "html", "text"}]
    assert shown["project"]["name"] == ""
    assert shown["projects"] == []
    page = voter.get(f"/study/{study.code}")
    assert page.status_code == 200
    assert not any(secret in page.text for secret in secrets)


def test_each_arm_stands_left_about_half_the_time_for_every_voter(web: Web) -> None:
    project = web.project(prompts=20)
    study = web.study(project)
    with web.database.read() as connection:
        known = tasks(connection, project.id, study=study.id)
        texts = {
            one.id: one.text for all_ in responses(connection, project.id).values() for one in all_
        }
    firsts = {texts[one.responses[0]] for one in known}
    for _ in range(5):
        voter = web.browser()
        voter.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
        shown = voter.get("/api/v1/tasks", params={"count": 20, "study": study.code}).json()
        lefts = [task["responses"][0]["text"] in firsts for task in shown["tasks"]]
        assert len(lefts) == 20
        # A random walk that never leaves 2, so the arms differ by 2 at most: 9 to 11 of 20.
        assert 9 <= sum(lefts) <= 11


def test_answers_come_as_safe_html_beside_their_text(web: Web, mira: TestClient) -> None:
    web.project(prompts=1, answers=("**Yes** <script>x</script>", "[l](javascript:x)"))
    for shown in given(mira)[0]["responses"]:
        if shown["text"].startswith("**Yes**"):
            assert "<strong>Yes</strong> &lt;script&gt;" in shown["html"]
        else:
            assert "<a" not in shown["html"]


def test_a_judgement_is_kept_as_it_was_said_and_counted(web: Web, mira: TestClient) -> None:
    project = web.project(simulated=True)
    work = mira.get("/api/v1/tasks", params={"count": 2}).json()
    assert work["project"]["name"] == "Balcony"
    assert "<strong>helpfulness</strong>" in work["project"]["guidelines"]["html"]
    assert work["project"]["simulated"] is True
    assert work["projects"] == ["Balcony"]
    assert work["progress"] == {"done": 0, "open": 4, "total": 4}
    said = answer(work["tasks"][0], choice=2, ratings=[3, 6], active_seconds=12.25)
    reply = mira.post("/api/v1/submissions", json=said)
    assert reply.json() == {
        "saved": True,
        "progress": {"done": 1, "open": 3, "total": 4},
        "qualification": None,
    }
    (kept,) = web.kept(project)
    assert kept.submission == said["submission"]
    assert kept.annotator == work["annotator"]
    assert kept.comparisons[0].choice == 2
    assert [rating.value for rating in kept.ratings] == [3, 6]
    assert [rating.response for rating in kept.ratings] == list(kept.shown or ())
    assert kept.active_seconds == 12.25
    assert kept.interface == "test"
    assert kept.received == web.now


def test_both_bad_and_a_tie_are_different_things(web: Web, mira: TestClient) -> None:
    project = web.project()
    tie, bad = given(mira, count=2)
    mira.post("/api/v1/submissions", json=answer(tie, choice=0))
    mira.post("/api/v1/submissions", json=answer(bad, choice=0, both_bad=True))
    assert sorted(one.comparisons[0].both_bad for one in web.kept(project)) == [False, True]


def test_a_resend_changes_nothing(web: Web, mira: TestClient) -> None:
    project = web.project()
    said = answer(given(mira)[0])
    replies = [mira.post("/api/v1/submissions", json=said).json() for _ in range(3)]
    assert [reply["saved"] for reply in replies] == [True, False, False]
    assert {reply["progress"]["done"] for reply in replies} == {1}
    later = {**said, "active_seconds": 99.0}
    assert mira.post("/api/v1/submissions", json=later).json()["saved"] is False
    assert len(web.kept(project)) == 1


def test_an_id_stands_for_one_answer(web: Web, mira: TestClient) -> None:
    project = web.project()
    said = answer(given(mira)[0])
    mira.post("/api/v1/submissions", json=said)
    other = mira.post("/api/v1/submissions", json={**said, "choice": 3})
    assert "other content" in refused(other, 409)
    second = mira.post("/api/v1/submissions", json={**said, "submission": str(uuid4())})
    assert "judged already" in refused(second, 409)
    assert len(web.kept(project)) == 1
    assert web.kept(project)[0].comparisons[0].choice == -2


def test_the_lease_of_another_is_refused_like_one_that_never_was(
    web: Web, mira: TestClient
) -> None:
    project = web.project()
    rosa = web.browser(web.person("Rosa"))
    hers = given(rosa)[0]
    sentence = refused(mira.post("/api/v1/submissions", json=answer(hers)), 409)
    invented = {"type": hers["type"], "assignment": "0" * len(hers["assignment"])}
    same = refused(mira.post("/api/v1/submissions", json=answer(invented)), 409)
    assert sentence.replace(hers["assignment"], "") == same.replace(invented["assignment"], "")
    assert web.kept(project) == []
    assert rosa.post("/api/v1/submissions", json=answer(hers)).json()["saved"] is True


def test_what_one_said_is_not_taken_from_another_on_the_same_device(
    web: Web, mira: TestClient
) -> None:
    project = web.project()
    task = given(mira)[0]
    for name, status in (("somebody-else-1", 401), (pseudonym(mira), 200)):
        reply = mira.post(
            "/api/v1/submissions", json=answer(task), headers={"X-Tandem-Annotator": name}
        )
        assert reply.status_code == status
    assert len(web.kept(project)) == 1


def test_a_late_judgement_counts_while_there_is_room(web: Web, mira: TestClient) -> None:
    project = web.project(prompts=2)
    first, second = given(mira, count=2)
    web.now += timedelta(hours=2)
    assert mira.post("/api/v1/submissions", json=answer(first)).json()["saved"] is True
    rosa = web.browser(web.person("Rosa"))
    (taken,) = given(rosa, count=2)
    assert rosa.post("/api/v1/submissions", json=answer(taken)).json()["saved"] is True
    assert "ran out" in refused(mira.post("/api/v1/submissions", json=answer(second)), 409)
    assert len(web.kept(project)) == 2


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"ratings": [8, 1]}, "ratings"),
        ({"ratings": [1, 0]}, "ratings"),
        ({"ratings": []}, "ratings"),
        ({"ratings": [4] * 9}, "ratings"),
        ({"ratings": [4.5, 4]}, "ratings"),
        ({"ratings": ["4", 4]}, "ratings"),
        ({"ratings": [True, 4]}, "ratings"),
        ({"choice": 4}, "choice"),
        ({"choice": -4}, "choice"),
        ({"choice": "1"}, "choice"),
        ({"choice": 0.5}, "choice"),
        ({"both_bad": 1}, "both_bad"),
        ({"active_seconds": -1}, "active_seconds"),
        ({"submission": "one"}, "submission"),
        ({"assignment": ""}, "assignment"),
        ({"assignment": "x" * 33}, "assignment"),
        ({"interface": "x" * 51}, "interface"),
        ({"annotator": "somebody else"}, "annotator"),
    ],
)
def test_a_value_out_of_bounds_is_refused_in_one_sentence(
    web: Web, mira: TestClient, said: dict[str, Any], named: str
) -> None:
    project = web.project()
    reply = mira.post("/api/v1/submissions", json=answer(given(mira)[0], **said))
    assert refused(reply, 422).startswith(named)
    assert web.kept(project) == []


def test_a_rating_of_eight_is_refused_by_name_and_value(web: Web, mira: TestClient) -> None:
    web.project()
    reply = mira.post("/api/v1/submissions", json=answer(given(mira)[0], ratings=[8, 1]))
    assert refused(reply, 422) == ("ratings.0: input should be less than or equal to 7 (got 8).")


@pytest.mark.parametrize(
    "said",
    [
        {"ratings": None},
        {"ratings": [4]},
        {"ratings": [4, 4, 4]},
        {"choice": None},
        {"choice": 2, "both_bad": True},
    ],
)
def test_an_answer_that_does_not_fit_its_task_is_refused(
    web: Web, mira: TestClient, said: dict[str, Any]
) -> None:
    project = web.project()
    reply = mira.post("/api/v1/submissions", json=answer(given(mira)[0], **said))
    refused(reply, 409)
    assert web.kept(project) == []


def test_a_pair_takes_no_ratings(web: Web, mira: TestClient) -> None:
    project = web.project(task_type="pair")
    task = given(mira)[0]
    refused(mira.post("/api/v1/submissions", json=answer(task, ratings=[4, 4])), 409)
    assert mira.post("/api/v1/submissions", json=answer(task)).json()["saved"] is True
    assert web.kept(project)[0].ratings == ()


@pytest.mark.parametrize("body", GARBLED, ids=range(len(GARBLED)))
def test_what_is_no_judgement_is_refused(web: Web, mira: TestClient, body: bytes) -> None:
    reply = mira.post(
        "/api/v1/submissions", content=body, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code in (400, 422)
    assert set(reply.json()) == {"error"}


@pytest.mark.parametrize("count", ["0", "21", "-1", "x", "1e3"])
def test_tasks_are_handed_out_in_bounds(web: Web, mira: TestClient, count: str) -> None:
    web.project()
    assert refused(mira.get("/api/v1/tasks", params={"count": count}), 422).startswith("count")


def test_an_unknown_project_is_refused_with_the_nearest(web: Web, mira: TestClient) -> None:
    web.project("Balcony")
    sentence = refused(mira.get("/api/v1/tasks", params={"project": "Balcon"}), 404)
    assert "'Balcon'" in sentence
    assert "Did you mean 'Balcony'?" in sentence


def test_without_a_name_the_newest_project_with_work_is_chosen(web: Web, mira: TestClient) -> None:
    refused(mira.get("/api/v1/tasks"), 404)
    web.project("First", prompts=1)
    web.now += timedelta(days=1)
    web.project("Second", prompts=1)
    for expected in ("Second", "First", "Second"):
        work = mira.get("/api/v1/tasks").json()
        assert work["project"]["name"] == expected
        assert work["projects"] == ["First", "Second"]
        for task in work["tasks"]:
            mira.post("/api/v1/submissions", json=answer(task))


def test_a_vote_is_kept_with_its_study_and_not_as_feedback(web: Web) -> None:
    project = web.project()
    study = web.study(project)
    voter = web.browser()
    entered = voter.post(f"/api/v1/study/{study.code}/enter", json={"consent": True}).json()
    for task in given(voter, study=study.code):
        assert task["type"] == "pair"
        reply = voter.post(f"/api/v1/submissions?study={study.code}", json=answer(task))
        assert reply.json()["saved"] is True
    assert given(voter, study=study.code) == []
    assert web.kept(project) == []
    votes = web.kept(project, study)
    assert [vote.annotator for vote in votes] == [entered["annotator"]] * 4
    assert {vote.study for vote in votes} == {study.id}


def test_the_links_of_studies_are_not_to_be_guessed_or_listed(web: Web, mira: TestClient) -> None:
    study = web.study(web.project())
    for wrong in ("x", study.id, study.code[:-1], study.code.swapcase()):
        reply = web.browser().post(f"/api/v1/study/{wrong}/enter", json={"consent": True})
        assert study.code not in refused(reply, 404)
        page = web.browser().get(f"/study/{wrong}")
        assert page.status_code == 404
        assert study.code not in page.text


def test_nobody_takes_part_without_consent(web: Web) -> None:
    study = web.study(web.project())
    browser = web.browser()
    for body in ({}, {"consent": False}, {"consent": None}):
        refused(browser.post(f"/api/v1/study/{study.code}/enter", json=body), 422)
    assert browser.get("/api/v1/tasks", params={"study": study.code}).status_code == 401


def test_a_closed_study_takes_no_votes(web: Web) -> None:
    project = web.project()
    study = web.study(project)
    voter = web.browser()
    voter.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
    task = given(voter, study=study.code)[0]
    with web.database.write() as connection:
        close_study(connection, study.id, web.now)
    path = f"/api/v1/submissions?study={study.code}"
    assert "closed" in refused(voter.post(path, json=answer(task)), 409)
    refused(voter.get("/api/v1/tasks", params={"study": study.code}), 403)
    refused(web.browser().post(f"/api/v1/study/{study.code}/enter", json={"consent": True}), 403)
    assert web.browser().get(f"/study/{study.code}").status_code == 410
    assert web.kept(project, study) == []


@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
def test_researchers_download_what_was_said(web: Web, mira: TestClient, file_type: str) -> None:
    web.project("Balcony & beyond", prompts=12)
    for task in given(mira, count=12):
        mira.post("/api/v1/submissions", json=answer(task))
    rosa = web.browser(web.person("Rosa", Role.RESEARCHER))
    path = "/api/v1/projects/Balcony & beyond/export/preference"
    assert mira.get(path).status_code == 403
    reply = rosa.get(path, params={"file_type": file_type})
    assert reply.status_code == 200
    assert "attachment" in reply.headers["content-disposition"]
    packed = zipfile.ZipFile(io.BytesIO(reply.content))
    assert "README.md" in packed.namelist()
    files = [name for name in packed.namelist() if name.endswith(f".{file_type}")]
    assert files
    if file_type == "jsonl":
        lines = [line for name in files for line in packed.read(name).splitlines()]
        assert len(lines) == 12
        assert {"prompt", "chosen", "rejected"} <= set(json.loads(lines[0]))
    assert list(web.settings.folder("temporary").iterdir()) == []


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(web: Web) -> None:
    web.project()
    rosa = web.browser(web.person("Rosa", Role.RESEARCHER))
    for path, status in (
        ("/api/v1/projects/Balcony/export/preferenc", 404),
        ("/api/v1/projects/Balcony/export/..", 404),
        ("/api/v1/projects/Nowhere/export/preference", 404),
        ("/api/v1/projects/Balcony/export/preference?file_type=exe", 422),
        ("/api/v1/projects/Balcony/export/preference", 422),  # nothing was said yet
    ):
        refused(rosa.get(path), status)
    assert list(web.settings.folder("temporary").iterdir()) == []


def test_researchers_download_the_report_of_a_job(web: Web, mira: TestClient) -> None:
    with web.database.write() as connection:
        job = jobs.add_job(
            connection, kind="ablation", recipe="ablation", config={}, project=None, now=web.now
        )
    path = f"/api/v1/jobs/{job.id}/report"
    rosa = web.browser(web.person("Rosa", Role.RESEARCHER))
    assert mira.get(path).status_code == 403
    assert "There is no report of job" in refused(rosa.get(path), 404)
    assert "There is no job called 'nothing'" in refused(
        rosa.get("/api/v1/jobs/nothing/report"), 404
    )
    (web.settings.folder("jobs", job.id) / "report.html").write_text("<p>All of it</p>")
    reply = rosa.get(path)
    assert (reply.status_code, reply.text) == (200, "<p>All of it</p>")
    # Never opened as a page of ours: its scripts stay in the file.
    assert reply.headers["content-disposition"].startswith("attachment; filename=")
    assert reply.headers["content-type"].startswith("text/html")


def test_the_interface_is_described_to_researchers(web: Web, mira: TestClient) -> None:
    assert web.browser().get("/api/v1/openapi.json").status_code == 401
    assert mira.get("/api/v1/openapi.json").status_code == 403
    described = web.browser(web.person("Rosa", Role.RESEARCHER)).get("/api/v1/openapi.json").json()
    assert set(described["paths"]) == {
        f"/api/v1/{end}"
        for end in (
            "tasks",
            "submissions",
            "skip",
            "flag",
            "undo",
            "progress",
            "statistics",
            "messages/{message}/read",
            "known",
            "study/{code}/enter",
            "study/{code}/begin",
            "study/{code}/withdraw",
            "projects/{name}/export/{form}",
            "jobs/{job}/report",
            "studies/{study}/report",
            "studies/{study}/package",
            "score",
            "health",
        )
    }
    judgement = described["components"]["schemas"]["Answer"]["properties"]
    assert judgement["choice"]["anyOf"][0]["maximum"] == 3
    assert described["servers"] == [{"url": web.settings.address}]
    assert set(described["components"]["securitySchemes"]) == {"session", "token", "participant"}
    assert described["paths"]["/api/v1/health"]["get"]["security"] == []
    for path, methods in described["paths"].items():
        for told in methods.values():
            assert told["summary"], path
            assert {"401", "403", "409", "422"} <= set(told["responses"]), path


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (OSError(28, "No space left on device"), 507),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), 507),
        (RuntimeError("database is locked"), 503),
    ],
)
def test_a_judgement_that_cannot_be_kept_is_not_acknowledged(
    web: Web, mira: TestClient, monkeypatch: pytest.MonkeyPatch, cause: Exception, status: int
) -> None:
    project = web.project()
    task = given(mira)[0]

    def fails(*_: object, **__: object) -> None:
        raise StorageFailed("The database /secret/place/tandem.sqlite has a problem.") from cause

    with monkeypatch.context() as broken:
        broken.setattr(app.api_judging, "keep", fails)
        reply = mira.post("/api/v1/submissions", json=answer(task))
        assert "/secret/place" not in refused(reply, status)
    assert web.kept(project) == []
    assert mira.post("/api/v1/submissions", json=answer(task)).json()["saved"] is True


def test_a_mistake_of_ours_is_a_sentence_too(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = TestClient(web.app, base_url=web.settings.address, raise_server_exceptions=False)
    monkeypatch.setattr(app.api, "projects", lambda _: 1 / 0)
    reply = browser.get("/api/v1/health")
    assert "division" not in refused(reply, 500)


def test_the_health_of_the_server_is_open_to_all(web: Web) -> None:
    reply = web.browser().get("/api/v1/health")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_what_is_not_there_is_a_sentence_for_programs_and_a_page_for_people(web: Web) -> None:
    assert refused(web.browser().get("/api/v1/nothing"), 404)
    page = web.browser().get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "<h1>" in page.text
