"""Following a project in Argilla: messages taken as they come, and pulls that find the rest."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from standardwebhooks.webhooks import Webhook

from app import following as module
from app.following import PATH, Following, follow, receiver
from app.serve import listen
from feedback.argilla.events import Subscription
from feedback.argilla.pulling import project_datasets
from feedback.argilla.pushing import group_of, shown_order
from feedback.argilla.server import SHOWN, Answered, Page
from feedback.pairing import make_tasks
from storage.database import Database
from storage.errors import InvalidData, NotFound, ServiceFailed
from storage.judgements import judgements
from storage.projects import add_project
from storage.prompts import add_prompts, add_responses
from storage.records import Collecting, Project, ProjectId, Prompt, Response, Task
from storage.tasks import tasks

SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cyBhbmQgbm9ib2R5IGVsc2U="


@dataclass
class StandIn:
    """The part of an Argilla server that following asks: data sets, records, messages."""

    name: str
    answers: list[Answered] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    webhooks: dict[str, str] = field(default_factory=dict)
    pulls: int = 0

    url = "http://argilla.test"

    def workspace(self, name: str) -> str:
        if name != "team":
            raise NotFound("Argilla workspace", name)
        return name

    def datasets(self, _: str) -> dict[str, Any]:
        return {self.name: SimpleNamespace(id="d", name=self.name)}

    def pages(self, _: object) -> Iterator[Page]:
        self.pulls += 1
        if self.faults:
            raise self.faults.pop(0)
        records = tuple(dict.fromkeys(one.record for one in self.answers))
        yield Page(
            records=records, answers=tuple(self.answers), done=len(records), total=len(records)
        )

    def read(self, _: str) -> dict[str, Any]:
        return {"items": [{"id": name, "url": url} for name, url in self.webhooks.items()]}

    def post(self, _: str, said: dict[str, Any]) -> dict[str, str]:
        name = f"w{len(self.webhooks)}"
        self.webhooks[name] = said["url"]
        return {"id": name, "secret": SECRET}

    def delete(self, path: str) -> None:
        self.webhooks.pop(path.rpartition("/")[2], None)


@pytest.fixture
def project(database: Database, now: datetime) -> Project:
    made = Project(
        id=ProjectId("project"),
        name="demo",
        collecting=Collecting(task_types=("pair",), argilla_workspace="team"),
        created=now,
    )
    prompts = [Prompt.of(made.id, text) for text in ("Why?", "How?")]
    with database.write() as connection:
        add_project(connection, made)
        add_prompts(connection, prompts)
        add_responses(
            connection, [Response.of(one.id, text) for one in prompts for text in ("Yes.", "No.")]
        )
        make_tasks(connection, made, rng=np.random.default_rng(0))
    return made


@pytest.fixture
def known(database: Database, project: Project) -> list[Task]:
    with database.read() as connection:
        return tasks(connection, project.id)


@pytest.fixture
def argilla(project: Project, known: list[Task]) -> StandIn:
    return StandIn(group_of(project, known[0]).dataset)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def following(
    database: Database, project: Project, argilla: StandIn, now: datetime, told: list[str]
) -> Following:
    return Following(
        database=database,
        server=cast("Any", argilla),
        project=project,
        now=lambda: now,
        tell=told.append,
    )


@pytest.fixture
def said(database: Database, project: Project) -> Callable[[], list[int]]:
    def said() -> list[int]:
        with database.read() as connection:
            return [one.comparisons[0].choice for one in judgements(connection, project.id)]

    return said


def answer(task: Task, label: str = "1_better", at: datetime | None = None) -> Answered:
    return Answered(
        record=task.id,
        shown=shown_order(task.id, task.responses),
        user="u1",
        status="submitted",
        values={"preference": label},
        at=at or datetime(2026, 3, 14, 16, tzinfo=UTC),
    )


def message(task: Task, label: str, *, dataset: str = "d", secret: str = SECRET) -> dict[str, Any]:
    """What `TestClient.post` takes: a signed message of somebody who answered."""
    at = "2026-03-14T17:00:00"
    said = {
        "type": "response.updated",
        "data": {
            "values": {"preference": {"value": label}},
            "status": "submitted",
            "record": {
                "external_id": task.id,
                "metadata": {SHOWN: ",".join(shown_order(task.id, task.responses))},
                "dataset": {"id": dataset},
            },
            "user": {"id": "u1"},
            "inserted_at": at,
            "updated_at": at,
        },
    }
    body, moment = json.dumps(said), datetime.now(UTC)
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign("m", moment, body),
    }
    return {"content": body, "headers": headers}


@contextmanager
def running(following: Following, **options: Any) -> Iterator[threading.Event]:
    """Follow in another thread meanwhile, and stop it at the end."""
    stopping = threading.Event()
    thread = threading.Thread(
        target=follow, args=(following,), kwargs={"stopping": stopping, **options}
    )
    thread.start()
    try:
        yield stopping
    finally:
        stopping.set()
        thread.join(30)
        assert not thread.is_alive()


def until(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = threading.Event()
    for _ in range(1500):
        if what():
            return
        end.wait(0.02)
    pytest.fail("It did not come to that within 30 seconds.")


def test_polling_finds_what_was_answered(
    following: Following, argilla: StandIn, known: list[Task], said: Any, told: list[str]
) -> None:
    with running(following, every=0.05):
        until(lambda: argilla.pulls >= 2)
        argilla.answers.append(answer(known[0]))
        until(lambda: said() == [-2])
        argilla.answers[0] = answer(known[0], "2_better", datetime(2026, 3, 14, 18, tzinfo=UTC))
        until(lambda: said() == [2])
    assert told == ["1 new judgements.", "1 changed ones."]
    assert argilla.webhooks == {}


def test_a_server_that_is_away_is_asked_again(
    *,
    following: Following,
    argilla: StandIn,
    known: list[Task],
    said: Any,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    argilla.faults += [ServiceFailed("Argilla cannot be reached."), ServiceFailed("Still away.")]
    argilla.answers.append(answer(known[0]))
    with running(following, every=0.05):
        until(lambda: said() == [-2])
    assert told[:2] == [
        "Argilla cannot be reached. Trying again in 0 s.",
        "Still away. Trying again in 0 s.",
    ]


def test_messages_are_taken_while_they_are_subscribed_to(
    following: Following, argilla: StandIn, known: list[Task], said: Any
) -> None:
    with closing(listen("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with running(following, every=60, listener=listener, address=address + "/"):
            until(lambda: argilla.pulls >= 2)
            assert list(argilla.webhooks.values()) == [address + PATH]
            reply = httpx.post(address + PATH, timeout=60, **message(known[0], "2_better"))
            assert (reply.status_code, reply.json()) == (200, {"taken": True})
            assert said() == [2]
    assert argilla.webhooks == {}


def test_what_was_answered_before_the_subscription_is_pulled(
    following: Following, argilla: StandIn, known: list[Task], said: Any
) -> None:
    class Late(StandIn):
        def post(self, path: str, asked: dict[str, Any]) -> dict[str, str]:
            # Between the first pull and the subscription.
            argilla.answers.append(answer(known[1], "tie"))
            return super().post(path, asked)

    argilla.__class__ = Late
    with (
        closing(listen("127.0.0.1", 0)) as listener,
        running(following, every=60, listener=listener, address="http://us"),
    ):
        until(lambda: said() == [0])


def test_only_what_the_server_signed_about_this_project_is_taken(
    following: Following, known: list[Task], said: Any
) -> None:
    with TestClient(receiver(following)) as client:
        assert client.post(PATH, **message(known[0], "tie")).status_code == 403
        following.subscription = Subscription("w", SECRET)
        following.datasets = {"d"}
        forged = message(known[0], "tie", secret="b3RoZXIgc2VjcmV0")
        assert client.post(PATH, **forged).status_code == 403
        assert client.post(PATH, content=b"{}").status_code == 403
        other = client.post(PATH, **message(known[0], "tie", dataset="another"))
        assert (other.status_code, said()) == (200, [])
        assert client.post(PATH, **message(known[0], "tie")).status_code == 200
        assert said() == [0]
        # The same message once more, and one that cannot be meant.
        assert client.post(PATH, **message(known[0], "tie")).status_code == 200
        assert client.post(PATH, **message(known[0], "C")).status_code == 200
        assert said() == [0]
        assert client.get(PATH).status_code == 405
        assert client.get("/docs").status_code == 404
        assert client.get("/openapi.json").status_code == 404


def test_a_message_that_is_too_long_is_refused(
    following: Following, monkeypatch: pytest.MonkeyPatch, known: list[Task], said: Any
) -> None:
    monkeypatch.setattr(module, "LONGEST_MESSAGE", 100)
    following.subscription = Subscription("w", SECRET)
    following.datasets = {"d"}
    with TestClient(receiver(following)) as client:
        assert client.post(PATH, **message(known[0], "tie")).status_code == 413
    assert said() == []


def test_a_refused_answer_is_told(following: Following, known: list[Task], told: list[str]) -> None:
    following.subscription = Subscription("w", SECRET)
    following.datasets = {"d"}
    with TestClient(receiver(following)) as client:
        client.post(PATH, **message(known[0], "C"))
    assert len(told) == 1
    assert told[0].startswith(f"1 answers refused. The first: record {known[0].id}, user u1:")


def test_a_project_that_collects_in_tandem_cannot_be_followed(
    following: Following, project: Project, database: Database
) -> None:
    here = replace(project, collecting=Collecting())
    with pytest.raises(InvalidData, match="collects in Tandem; push it to Argilla first"):
        project_datasets(database, cast("Any", following.server), here)
    gone = replace(project, collecting=Collecting(argilla_workspace="gone"))
    with pytest.raises(NotFound, match="gone"):
        project_datasets(database, cast("Any", following.server), gone)
