"""Letting policies answer on the Data page: models, endpoints and files, and how far they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from invented import Invented
from pages_desk import Desk, refusal_of, uploaded

from storage import jobs
from storage.records import Job, JobState

Filled = tuple[Desk, Invented]


def newest(desk: Desk) -> Job:
    with desk.database.read() as connection:
        return jobs.jobs(connection)[0]


def sample(desk: Desk, kind: str, **typed: Any) -> list[Any]:
    """Fill the card in and press its button; inputs go by what stands above them."""
    handler = desk.handler("data", "sample")
    shown = {one.label: one.value for one in handler.inputs}
    assert typed.keys() <= shown.keys(), f"no such input: {typed.keys() - shown.keys()}"
    return desk.call(handler, *(shown | typed | {"Who answers": kind}).values())


def over(desk: Desk, job: Job, state: JobState, **said: Any) -> None:
    with desk.database.write() as connection:
        jobs.mark_running(connection, job.id, now=job.created)
        jobs.finish(connection, job.id, state, now=job.created, **said)


def test_models_of_an_endpoint_reach_the_job_with_their_options(full_desk: Filled) -> None:
    desk, invented = full_desk
    told = sample(
        desk,
        "endpoint",
        Address=" http://localhost:8000/v1/ ",
        **{"Models there": "a/one, two,", "Key variable": "SERVED_KEY", "Limit": "5"},
        Concurrency=8,
        **{"Requests per minute": "120", "Retries": 2},
    )
    job = newest(desk)
    assert (job.kind, job.project) == ("sample", invented.project.id)
    assert job.config["policies"] == [
        "openai:a/one@http://localhost:8000/v1/",
        "openai:two@http://localhost:8000/v1/",
    ]
    chosen = {"concurrency": 8, "requests_per_minute": 120, "retries": 2, "limit": 5}
    assert chosen.items() <= job.config.items()
    assert (job.config["key_variable"], job.config["keep"]) == ("SERVED_KEY", True)
    assert "Answers of a/one, two" in told[1]
    assert "Waits for the worker." in told[1]
    over(desk, job, JobState.DONE, result={"new_responses": 0, "tasks": 0})


def test_models_here_take_no_options_of_endpoints(full_desk: Filled) -> None:
    desk, _ = full_desk
    sample(desk, "here", Models=["ppo-combined-1"], **{"Key variable": "LEFT_OVER_KEY"})
    job = newest(desk)
    assert job.config["policies"] == ["ppo-combined-1"]
    assert job.config["key_variable"] == ""
    over(desk, job, JobState.DONE, result={"new_responses": 0, "tasks": 0})


def test_uploaded_answers_are_a_policy_and_do_not_stay_where_they_came(
    full_desk: Filled, tmp_path: Path
) -> None:
    desk, _ = full_desk
    source = tmp_path / "gpt.jsonl"
    source.write_text(json.dumps({"instruction": "a?", "output": "b", "generator": "gpt-x"}))
    upload = uploaded(desk, source)
    sample(desk, "files", **{"Answers, a file for each policy": [upload]})
    job = newest(desk)
    (written,) = job.config["policies"]
    assert written.startswith("answers:gpt-x@")
    assert not Path(upload["path"]).exists()
    over(desk, job, JobState.DONE, result={"new_responses": 0, "tasks": 0})
    source.write_text('{"prompt": "a?"}\n')
    upload = uploaded(desk, source)
    told = refusal_of(sample(desk, "files", **{"Answers, a file for each policy": [upload]}))
    assert "gpt.jsonl, line 1: there is no answer" in told
    assert upload["path"] not in told


@pytest.mark.parametrize(
    ("kind", "typed", "problem"),
    [
        ("here", {"Models": ["/etc"]}, "may not name a folder"),
        ("here", {"Models": ["../models/other"]}, "may not name a folder"),
        ("here", {"Models": ["file:/etc/passwd"]}, "imported before"),
        ("here", {"Models": []}, "choose somebody"),
        ("files", {}, "choose somebody"),
        ("endpoint", {"Models there": "m"}, "write where it is"),
        ("endpoint", {"Address": "http://h/v1"}, "name one"),
        ("endpoint", {"Address": "file:///etc/passwd", "Models there": "m"}, "openai:NAME@http"),
        ("endpoint", {"Address": "http://me:pass@h/v1", "Models there": "m"}, "no password"),
        ("endpoint", {"Address": "http://h/v1?a=b", "Models there": "m"}, "no ? and no #"),
        (
            "endpoint",
            {"Address": "http://h/v1", "Models there": "m", "Key variable": "TANDEM_PUBLIC_URL"},
            "key_variable",
        ),
        (
            "endpoint",
            {"Address": "http://h/v1", "Models there": "m", "Key variable": "SERVED_KEY_FILE"},
            "key_variable",
        ),
    ],
)
def test_what_the_server_must_not_do_is_refused(
    full_desk: Filled, kind: str, typed: dict[str, Any], problem: str
) -> None:
    desk, _ = full_desk
    before = newest(desk)
    told = refusal_of(sample(desk, kind, **typed))
    assert problem in told
    assert "pass@" not in told
    assert newest(desk) == before


def test_no_folder_is_opened_for_a_look_either(full_desk: Filled) -> None:
    desk, _ = full_desk
    told = refusal_of(desk.call(desk.handler("models", "send"), "Hello?", ["/etc"]))
    assert "may not name a folder" in told


def test_an_annotator_may_let_nobody_answer(full_desk: Filled) -> None:
    desk, invented = full_desk
    desk.sit(invented.annotator)
    for name in ("sample", "end", "go_on"):
        told = refusal_of(desk.call(desk.handler("data", name)))
        assert "needs the role" in told


def test_each_kind_of_source_shows_what_it_needs(full_desk: Filled) -> None:
    desk, _ = full_desk
    choose = desk.handler("data", "choose")
    shown = {
        kind: [one["visible"] for one in desk.call(choose, kind)[:4]]
        for kind in ("here", "endpoint", "files")
    }
    assert shown == {
        "here": [True, False, False, True],
        "endpoint": [False, True, False, True],
        "files": [False, False, True, False],
    }


def test_how_far_it_is_is_shown_and_it_can_be_stopped_and_go_on(full_desk: Filled) -> None:
    desk, _ = full_desk
    watch = desk.handler("data", "watch")
    sample(desk, "endpoint", Address="http://localhost:8000/v1", **{"Models there": "<b>one</b>"})
    job = newest(desk)
    with desk.database.write() as connection:
        jobs.mark_running(connection, job.id, now=job.created)
        jobs.record_progress(
            connection, job.id, step=30, total=40, message="<b>one</b> answers", now=job.created
        )
    drawn, stop, again = desk.call(watch)[:3]
    assert "30 of 40" in drawn
    assert "&lt;b&gt;one&lt;/b&gt; answers" in drawn
    assert "<b>" not in drawn
    assert (stop["visible"], again["visible"]) == (True, False)
    desk.call(desk.handler("data", "end"))
    assert newest(desk).cancel_asked
    error = "one at http://localhost:8000/v1 refused with status 503. 30 of 40 answers are kept."
    over(desk, job, JobState.FAILED, error=error)
    drawn, stop, again = desk.call(watch)[:3]
    assert error in drawn
    assert (stop["visible"], again["visible"]) == (False, True)
    desk.call(desk.handler("data", "go_on"))
    resumed = newest(desk)
    assert resumed.id != job.id
    assert resumed.config == job.config
    counts = {"answers": 40, "empty": 1, "cut": 2, "filtered": 0}
    done = {"new_responses": 39, "tasks": 117, "endings": {"one": counts}}
    over(desk, resumed, JobState.DONE, result=done)
    drawn, stop, again = desk.call(watch)[:3]
    assert "39 new responses, 117 new tasks" in drawn
    assert "<td" in drawn
    assert (stop["visible"], again["visible"]) == (False, False)
