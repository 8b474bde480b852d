"""Sampling jobs whose policies are elsewhere: from the queue to responses that people can judge."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openai_server import FakeServer, Said, completion, echo, openai_server
from workshop import Workshop, open_workshop

from app.answer_files import keep_answers
from app.foreground import run_here
from app.kept_answers import FOLDER
from app.queue import enqueue
from app.work import forget, perform
from storage import prompts as stored
from storage import snapshots
from storage.errors import InvalidData, InvalidOption, NotFound, ServiceFailed
from storage.recipes import Silent
from storage.records import Job, JobState, Response
from storage.settings import Settings
from storage.tasks import tasks

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with openai_server(echo) as running:
        yield running


@pytest.fixture
def workshop(data_dir: Path, now: Any) -> Iterator[Workshop]:
    opened = open_workshop(
        Settings(data_dir=data_dir, database_url="", device="cpu"), now, prompts=12
    )
    yield opened
    opened.database.close()


@pytest.fixture
def answer(workshop: Workshop) -> Callable[..., dict[str, Any]]:
    """Perform a job as a worker does, to its end."""

    def run(job: Job) -> dict[str, Any]:
        made = perform(
            job, database=workshop.database, settings=workshop.settings, progress=Silent()
        )
        forget(job, workshop.settings)
        return made

    return run


def queue(workshop: Workshop, *policies: str, **options: Any) -> Job:
    return workshop.queue("sample", "sample", policies=policies, **options)


def asked_of(workshop: Workshop) -> list[str]:
    with workshop.database.read() as connection:
        found = stored.prompts(connection, workshop.project.id)
    return [one.messages[0]["content"] for one in sorted(found, key=lambda one: one.id)]


def new_responses(workshop: Workshop) -> list[Response]:
    """Those that the judgements of the workshop did not come with."""
    with workshop.database.read() as connection:
        found = stored.responses(connection, workshop.project.id)
    return [one for given in found.values() for one in given if one.sampling]


def everything_kept(settings: Settings) -> bytes:
    return b"".join(one.read_bytes() for one in settings.data_dir.rglob("*") if one.is_file())


def test_an_endpoint_and_a_file_answer_and_every_answer_says_where_it_came_from(
    workshop: Workshop,
    server: FakeServer,
    answer: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "outputs.json"
    rows = [
        {"instruction": one, "output": f"Out {n}" if n else " ", "generator": "gpt-x"}
        for n, one in enumerate(asked_of(workshop))
    ]
    path.write_text(json.dumps(rows))
    written = keep_answers(workshop.settings, path)
    with workshop.database.read() as connection:
        before = len(tasks(connection, workshop.project.id))
    said = [completion("Half", finish_reason="length"), completion("")]
    said.append(completion("How to", finish_reason="content_filter"))
    server.say = lambda asked: said.pop() if said else echo(asked)
    job = queue(workshop, server.arm("served-1"), written, keep=True, temperature=0.5, seed=3)
    made = answer(job)
    assert made["endings"] == {
        "served-1": {"answers": 12, "empty": 1, "cut": 1, "filtered": 1},
        "gpt-x": {"answers": 12, "empty": 1, "cut": 0, "filtered": 0},
    }
    assert (made["prompts"], made["new_responses"]) == (12, 10 + 11)
    kept = new_responses(workshop)
    assert Counter(one.policy for one in kept) == {"served-1": 10, "gpt-x": 11}
    how = {"max_new_tokens": 256, "temperature": 0.5, "top_p": 0.95, "seed": 3}
    for one in kept:
        if one.policy == "gpt-x":
            assert one.sampling == {"imported": written.rsplit("@", 1)[1]}
        elif one.text == "Half":
            assert one.sampling == {"endpoint": server.host, **how, "ended": "length"}
        else:
            assert one.sampling == {"endpoint": server.host, **how}
    with workshop.database.read() as connection:
        assert len(tasks(connection, workshop.project.id)) == before + made["tasks"] > before
    lines = [
        json.loads(line)
        for line in (workshop.settings.data_dir / made["file"]).read_text().splitlines()
    ]
    assert len(lines) == 12
    told = [one for line in lines for one in line["responses"]]
    assert {(one["policy"], one["text"]) for one in told} == {
        (one.policy, one.text) for one in kept
    }
    assert all(one["sampling"] for one in told)


def test_a_job_that_failed_goes_on_as_a_new_one_and_nothing_is_paid_twice(
    workshop: Workshop, server: FakeServer, answer: Callable[..., dict[str, Any]]
) -> None:
    def down(asked: Mapping[str, Any]) -> Said:
        return echo(asked) if len(server.asked) <= 7 else (503, {})

    server.say = down
    options = {"keep": True, "concurrency": 1, "retries": 0}
    with pytest.raises(ServiceFailed, match=r"status 503.*7 of 12 answers are kept; start the"):
        answer(queue(workshop, server.arm(), **options))
    assert new_responses(workshop) == []
    paid = server.questions[:7]
    server.asked.clear()
    server.say = echo
    # Whoever goes on may ask more at once, but asks for the same answers.
    made = answer(queue(workshop, server.arm(), **options | {"concurrency": 4}))
    assert sorted([*paid, *server.questions]) == sorted(asked_of(workshop))
    assert made["endings"]["served-1"]["answers"] == made["new_responses"] == 12
    # What was delivered is forgotten: the same again is asked anew.
    assert list((workshop.settings.data_dir / FOLDER).iterdir()) == []
    server.asked.clear()
    assert answer(queue(workshop, server.arm(), **options))["new_responses"] == 0
    assert len(server.asked) == 12


@pytest.mark.timeout(300)
def test_a_worker_that_is_killed_pays_for_no_answer_twice(
    workshop: Workshop, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_KEY", f"{server.host}={KEY}")
    killed, arrived = threading.Event(), threading.Event()

    def stalls(asked: Mapping[str, Any]) -> Said:
        if len(server.asked) > 5 and not killed.is_set():
            arrived.set()
            killed.wait(60)
        return echo(asked)

    server.say = stalls
    job = queue(workshop, server.arm(), keep=True, concurrency=2, key_variable="SERVED_KEY")
    with workshop.worker() as worker:
        workshop.wait(job, lambda _: arrived.is_set(), what="never asked")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    (kept,) = (workshop.settings.data_dir / FOLDER).iterdir()
    before = len(kept.read_text().splitlines())
    under_way = len(server.asked) - before
    killed.set()
    assert before >= 4
    assert under_way <= 2
    with workshop.worker():
        done = workshop.wait_for_end(job)
    assert done.state is JobState.DONE, workshop.log(job)
    assert f"{before} of 12 answers were kept before" in workshop.log(job)
    assert len(server.asked) == 12 + under_way
    times = Counter(server.questions)
    assert set(times) == set(asked_of(workshop))
    assert sum(count > 1 for count in times.values()) == under_way
    assert done.result["new_responses"] == 12
    assert server.keys == {KEY}
    assert not kept.exists()
    kept_here = everything_kept(workshop.settings)
    assert b"SERVED_KEY" in kept_here
    assert KEY.encode() not in kept_here


@pytest.mark.parametrize("from_file", [False, True])
def test_the_key_is_nowhere_in_the_data_directory_and_in_no_export(
    workshop: Workshop,
    *,
    server: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    from_file: bool,
) -> None:
    (tmp_path / "secret").write_text(f"{server.host}={KEY}\n")
    name, held = ("SERVED_KEY", f"{server.host}={KEY}")
    if from_file:
        name, held = "SERVED_KEY_FILE", str(tmp_path / "secret")
    monkeypatch.setenv(name, held)
    server.say = lambda asked: (401, {"error": {"message": f"Not this: {KEY}"}})
    options = {"policies": [server.arm()], "keep": True, "key_variable": "SERVED_KEY"}
    more: dict[str, Any] = {"kind": "sample", "recipe": "sample", "project": workshop.project.id}
    with pytest.raises(ServiceFailed) as refusal:
        run_here(workshop.database, workshop.settings, config=options, **more)
    assert KEY not in str(refusal.value)
    server.say = echo
    run_here(workshop.database, workshop.settings, config=options, **more)
    snapshots.freeze(
        workshop.database,
        workshop.project.id,
        data_dir=workshop.settings.data_dir,
        now=workshop.now,
    )
    assert server.keys == {KEY}
    kept_here = everything_kept(workshop.settings)
    assert b"Answer to" in kept_here
    assert b"very-secret" not in kept_here


def test_a_worker_shows_no_key_that_is_bound_to_no_host(
    workshop: Workshop,
    server: FakeServer,
    answer: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVED_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for variable in ("SERVED_KEY", "OPENAI_API_KEY"):
        with pytest.raises(InvalidOption, match="which host a key is for"):
            answer(queue(workshop, server.arm(), key_variable=variable))
    with pytest.raises(InvalidOption, match="the environment has no such variable"):
        answer(queue(workshop, server.arm(), key_variable="OTHER_KEY"))
    assert server.asked == []


def test_what_costs_nothing_to_refuse_is_refused_before_anybody_is_paid(
    workshop: Workshop,
    server: FakeServer,
    answer: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text(json.dumps({"prompt": asked_of(workshop)[0], "response": "One"}))
    written = keep_answers(workshop.settings, path)
    with pytest.raises(InvalidData, match="few has no answer to 11 of 12 prompts"):
        answer(queue(workshop, server.arm(), written))
    with pytest.raises(NotFound, match="imported file"):
        queue(workshop, server.arm(), "answers:few@0123456789abcdef")
    with pytest.raises(InvalidOption, match="no endpoint takes part that a key is for"):
        queue(workshop, written, key_variable="SERVED_KEY")
    with pytest.raises(InvalidOption, match="each needs a name of its own, and served-1 is there"):
        queue(workshop, server.arm(), server.arm().replace("127.0.0.1", "localhost"))
    assert server.asked == []


def test_a_look_at_an_endpoint_keeps_nothing(
    workshop: Workshop, server: FakeServer, answer: Callable[..., dict[str, Any]]
) -> None:
    asked = [[{"role": "user", "content": "Good morning"}]]
    job = enqueue(
        workshop.database,
        workshop.settings,
        kind="sample",
        recipe="sample",
        config={"policies": [server.arm()], "prompts": asked},
        project=None,
        now=workshop.now,
    )
    assert answer(job) == {
        "answers": [
            {
                "policy": "served-1",
                "prompt": 0,
                "text": "Answer to Good morning",
                "tokens": 10,
                "finished": True,
            }
        ]
    }
    assert list((workshop.settings.data_dir / FOLDER).iterdir()) == []
