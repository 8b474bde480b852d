"""Where an LLM judge asks: servers that fail, addresses that are none, keys that stay secret."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from openai_server import FakeServer, answers, completion, longer
from small_study import let_vote, small_study, votes_of
from sqlalchemy import select

from evaluation.endpoint import Endpoint
from evaluation.judges import Voting
from feedback.assignment import next_tasks
from storage import tables
from storage.annotators import add_annotator
from storage.database import Database
from storage.errors import InvalidOption, JobCancelled, NotAllowed, ServiceFailed
from storage.projects import projects
from storage.records import Role, Study

SECRET = "sk-test-0123456789abcdef"


def test_an_error_of_the_server_is_tried_again(
    server: FakeServer, judge: Callable[..., Voting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    failing = iter([(500, {"error": {"message": "busy"}}), (429, {"error": {}}), (503, "<p>")])
    server.say = lambda asked: next(failing, None) or longer(asked)
    found = judge(retries=3)
    assert (found.votes, found.abstained, len(server.asked)) == (12, 0, 27)


def test_a_request_that_keeps_failing_is_an_abstention(
    server: FakeServer, judge: Callable[..., Voting]
) -> None:
    def choke(asked: Mapping[str, Any]) -> Any:
        if " 5." in answers(asked)[0]:
            return 400, {"error": {"message": "maximum context length is 8 tokens"}}
        return longer(asked)

    server.say = choke
    found = judge()
    assert (found.votes, found.failed, found.unparsable, found.parse_rate) == (11, 1, 0, 1)
    assert "maximum context length is 8 tokens" in found.warnings[0]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_ends_it_at_once(
    server: FakeServer,
    judge: Callable[..., Voting],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    server.say = lambda _: (status, {"error": {"message": f"Incorrect API key provided: {SECRET}"}})
    with pytest.raises(
        NotAllowed, match=rf"does not accept the key in JUDGE_KEY \({status}\)"
    ) as refused:
        judge(key_variable="JUDGE_KEY")
    assert SECRET not in str(refused.value)
    with pytest.raises(NotAllowed, match="does not accept a request without a key; put one into"):
        judge(key_variable="NOTHING_THERE")
    assert len(server.asked) < 48


def test_an_unknown_model_or_a_wrong_address_ends_it_at_once(
    server: FakeServer, judge: Callable[..., Voting]
) -> None:
    server.say = lambda _: (404, {"error": {"message": "no such model"}})
    with pytest.raises(ServiceFailed, match=r"no chat completions of the model 'm'.*no such model"):
        judge()
    server.say = lambda _: (200, "<html>Welcome</html>")
    with pytest.raises(
        ServiceFailed, match="something else than a chat completion; check --base-url"
    ):
        judge()
    server.say = lambda _: (200, b"{")
    with pytest.raises(ServiceFailed, match="something else than a chat completion"):
        judge()


def test_nobody_there(judge: Callable[..., Voting]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServiceFailed, match=r"None of 24 requests was answered.*Connection error"):
        judge(base_url=f"http://127.0.0.1:{port}/v1")


def test_a_server_that_is_too_slow(server: FakeServer, judge: Callable[..., Voting]) -> None:
    server.delay = 0.5
    with pytest.raises(ServiceFailed, match=r"None of 24 requests.*timed out"):
        judge(timeout=0.05, concurrency=24)


def test_votes_given_before_a_failure_are_kept_and_the_rest_is_asked_later(
    database: Database,
    study: Study,
    server: FakeServer,
    judge: Callable[..., Voting],
) -> None:
    def revoked(asked: Mapping[str, Any]) -> Any:
        return longer(asked) if len(server.asked) <= 10 else (401, {})

    server.say = revoked
    with pytest.raises(NotAllowed):
        judge(concurrency=1)
    assert len(votes_of(database, study)) == 5
    server.say = longer
    server.asked.clear()
    assert judge().votes == 7
    assert len(server.asked) == 14
    assert len(votes_of(database, study)) == 12


def test_a_judge_that_stops_holds_no_seats(
    database: Database, now: datetime, server: FakeServer
) -> None:
    study = small_study(database, now, overlap=1)
    server.say = lambda _: completion("no idea")
    found = let_vote(database, study, "llm", now, base_url=server.base_url, llm="m")
    assert (found.votes, found.unparsable) == (0, 12)
    server.say = lambda _: (401, {})
    with pytest.raises(NotAllowed):
        let_vote(database, study, "llm", now, base_url=server.base_url, llm="m")
    with database.write() as connection:
        (project,) = projects(connection)
        person = add_annotator(connection, "mira", role=Role.PARTICIPANT, now=now)
        held = tables.assignments.c.seat.is_not(None)
        assert connection.execute(select(tables.assignments).where(held)).all() == []
    rng = np.random.default_rng(0)
    given = next_tasks(database, person, project, study=study.id, count=20, now=now, rng=rng)
    assert len(given) == 12


def test_what_got_no_vote_does_not_stand_in_the_way_of_the_rest(
    server: FakeServer, judge: Callable[..., Voting]
) -> None:
    server.say = lambda _: completion("no idea")
    found = judge(concurrency=2)
    assert (found.unparsable, len(server.asked)) == (12, 24)


def test_after_a_refusal_nobody_tries_again(
    server: FakeServer, judge: Callable[..., Voting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)
    # The first task is refused, once all are under way; the others are tried a thousand times.
    asked: list[str] = []

    def mostly_busy(one: Mapping[str, Any]) -> Any:
        asked.append(one["messages"][1]["content"])
        return (401, {}) if asked[-1] == asked[0] and len(asked) > 30 else (500, {})

    server.say = mostly_busy
    with pytest.raises(NotAllowed):
        judge(retries=20, concurrency=8)
    time.sleep(0.2)
    done = len(server.asked)
    time.sleep(0.3)
    assert len(server.asked) == done


def test_cancelling_between_batches_keeps_votes_and_frees_seats(
    database: Database, study: Study, now: datetime, server: FakeServer
) -> None:
    class Stopped:
        def report(self, *_: object, **__: object) -> None:
            raise JobCancelled("Stopped.")

        def log(self, line: str) -> None: ...

    options = {"base_url": server.base_url, "llm": "m", "concurrency": 2}
    with pytest.raises(JobCancelled):
        let_vote(database, study, "llm", now, progress=Stopped(), **options)
    assert len(votes_of(database, study)) == 4
    with database.read() as connection:
        held = tables.assignments.c.seat.is_not(None) & tables.assignments.c.submitted.is_(None)
        assert connection.execute(select(tables.assignments).where(held)).all() == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("localhost:8000/v1", "begins with http"),
        ("ftp://host/v1", "begins with http"),
        ("http:///v1", "begins with http"),
        ("http://host:99999/v1", "begins with http"),
        (" http://host/v1", "begins with http"),
        ("http://user:pass@host/v1", "user's name and no password"),
        ("https://host/v1?key=1", "no \\? and no #"),
    ],
)
def test_what_is_no_address_is_refused(address: str, problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem) as refused:
        Endpoint.of(address, key_variable="OPENAI_API_KEY", environment={})
    assert "pass@" not in str(refused.value)


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    database: Database,
    server: FakeServer,
    judge: Callable[..., Voting],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody-else")
    found = judge(key_variable="JUDGE_KEY")
    assert {one["authorization"] for one in server.headers} == {f"Bearer {SECRET}"}
    assert "somebody-else" not in json.dumps(server.headers)
    with database.read() as connection:
        kept = [
            repr(row) for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
        ]  # fmt: skip
    assert len(kept) > 50
    assert SECRET not in "".join(kept) + json.dumps(found.as_json())
    endpoint = Endpoint.of(
        server.base_url, key_variable="JUDGE_KEY", environment={"JUDGE_KEY": SECRET}
    )
    assert SECRET not in repr(endpoint)
    assert SECRET not in endpoint.quoted(ValueError(f"not {SECRET}"))


def test_a_local_server_needs_no_key(server: FakeServer, judge: Callable[..., Voting]) -> None:
    assert judge().votes == 12
    assert {one["authorization"] for one in server.headers} == {"Bearer none"}


def test_the_usual_key_is_not_sent_in_the_clear() -> None:
    environment = {"OPENAI_API_KEY": SECRET, "MINE": SECRET}
    for address, variable in (
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("http://127.0.0.1:8000/v1", "OPENAI_API_KEY"),
        ("http://localhost/v1", "OPENAI_API_KEY"),
        ("http://gpu.example:8000/v1", "MINE"),
    ):
        assert Endpoint.of(address, key_variable=variable, environment=environment).key == SECRET
    with pytest.raises(InvalidOption, match="unencrypted; use https") as refused:
        Endpoint.of("http://gpu.example/v1", key_variable="OPENAI_API_KEY", environment=environment)
    assert SECRET not in str(refused.value)
    assert (
        Endpoint.of("http://gpu.example/v1", key_variable="OTHER", environment=environment).key
        is None
    )


def test_a_key_typed_in_place_of_its_variable_is_not_repeated() -> None:
    with pytest.raises(InvalidOption, match="the name of an environment variable") as refused:
        Endpoint.of("https://host/v1", key_variable=SECRET, environment={})
    assert SECRET not in str(refused.value)
    looks_like_a_name = "sk_live_0123456789"
    endpoint = Endpoint.of("https://host/v1", key_variable=looks_like_a_name, environment={})
    assert looks_like_a_name not in repr(endpoint)
