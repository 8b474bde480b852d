"""What our bridge relies on in Argilla 2.8, and which faults it must live with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from argilla_people import Person, Team, gather
from genuine_server import GenuineServer
from standardwebhooks import WebhookVerificationError
from webhook_listener import Listener, listening

pytestmark = [pytest.mark.argilla, pytest.mark.timeout(600)]

EVENT = Path(__file__).with_name("response_created.json")
"""An event of a response as it arrives, for tests without a server."""

OPTIONS = [{"value": value, "text": f"{value} is better"} for value in ("left", "tie", "right")]
RANKED = [{"value": value, "text": value} for value in ("left", "right")]
ANSWER = {
    "preference": "left",
    "rating_left": 6,
    "rank": [{"value": "left", "rank": 1}, {"value": "right", "rank": 2}],
    "comment": "Sound.",
}
SHORT = {"preference": "tie", "rating_left": 4}
"""All that is required."""


@dataclass
class Pairs:
    """A dataset that asks what Tandem asks of two answers."""

    team: Team
    id: str
    questions: dict[str, str]

    def record(self, name: str, **changed: Any) -> dict[str, Any]:
        """One to be sent, with everything that one may have."""
        return {
            "external_id": name,
            "fields": {
                "prompt": [{"role": "user", "content": f"What of {name}?"}],
                "left": f"Left of {name}",
                "right": f"Right of {name}",
            },
            "metadata": {"task": name, "policy": "sft", "length": 12, "undeclared": "x"},
            "suggestions": [
                {
                    "question_id": self.questions["preference"],
                    "value": "left",
                    "score": 0.75,
                    "agent": "reward model",
                    "type": "model",
                }
            ],
        } | changed

    def send(self, *records: dict[str, Any]) -> httpx.Response:
        """Add them; change those that are known."""
        return self.team.owner.put(f"/datasets/{self.id}/records/bulk", json={"items": records})

    def fill(self, *names: str) -> list[str]:
        """Add records; their ids."""
        reply = self.send(*(self.record(name) for name in names)).raise_for_status()
        return [record["id"] for record in reply.json()["items"]]

    def records(self) -> list[dict[str, Any]]:
        return self.team.records(self.id)

    def responses(self, name: str) -> list[dict[str, Any]]:
        (found,) = (one["responses"] for one in self.records() if one["external_id"] == name)
        return list(found)

    def status(self, record: str) -> str:
        return str(self.team.get(f"/records/{record}")["status"])

    def last_activity(self) -> str:
        return str(self.team.get(f"/datasets/{self.id}")["last_activity_at"])


@pytest.fixture
def make_pairs(team: Team) -> Callable[..., Pairs]:
    def make(*, min_submitted: int = 2) -> Pairs:
        made = team.post(
            "/datasets",
            name="pairs",
            workspace_id=team.id,
            guidelines="Compare.",
            allow_extra_metadata=True,
            distribution={"strategy": "overlap", "min_submitted": min_submitted},
        )
        here = f"/datasets/{made['id']}"
        for name, kind in (("prompt", "chat"), ("left", "text"), ("right", "text")):
            settings = {"type": kind, "use_markdown": True}
            team.post(f"{here}/fields", name=name, title=name, required=True, settings=settings)
        kinds: dict[str, dict[str, Any]] = {
            "preference": {"type": "label_selection", "options": OPTIONS},
            "rating_left": {"type": "rating", "options": [{"value": v} for v in range(1, 8)]},
            "rank": {"type": "ranking", "options": RANKED},
            "comment": {"type": "text", "use_markdown": False},
        }
        questions = {
            name: team.post(
                f"{here}/questions",
                name=name,
                title=name,
                required=name in SHORT,
                settings=settings,
            )["id"]
            for name, settings in kinds.items()
        }
        for name, kind, shown in (
            ("task", "terms", False),
            ("policy", "terms", False),
            ("length", "integer", True),
        ):
            team.post(
                f"{here}/metadata-properties",
                name=name,
                title=name,
                settings={"type": kind},
                visible_for_annotators=shown,
            )
        team.owner.put(f"{here}/publish").raise_for_status()
        return Pairs(team, made["id"], questions)

    return make


@pytest.fixture
def pairs(make_pairs: Callable[..., Pairs]) -> Pairs:
    """Two responses are asked for."""
    return make_pairs()


@pytest.fixture(scope="module")
def ann_and_ben(argilla_server: GenuineServer) -> tuple[Person, Person]:
    """Made once, since a password takes the server half a second."""
    elsewhere = gather(argilla_server)
    return elsewhere.join("ann"), elsewhere.join("ben")


@pytest.fixture
def ann(team: Team, ann_and_ben: tuple[Person, Person]) -> Person:
    team.add(ann_and_ben[0])
    return ann_and_ben[0]


@pytest.fixture
def ben(team: Team, ann_and_ben: tuple[Person, Person]) -> Person:
    team.add(ann_and_ben[1])
    return ann_and_ben[1]


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as each:
        yield each


@pytest.fixture
def secret(team: Team, listener: Listener) -> Iterator[str]:
    """What the events of responses are signed with."""
    events = [f"response.{what}" for what in ("created", "updated", "deleted")]
    hook = team.post("/webhooks", url=listener.address, events=events)
    yield hook["secret"]
    # Webhooks are the whole server's: one left behind would be called for every other test.
    team.owner.delete(f"/webhooks/{hook['id']}").raise_for_status()


def test_a_record_comes_back_as_it_was_sent(pairs: Pairs) -> None:
    sent = pairs.record("why")
    pairs.send(sent).raise_for_status()
    (kept,) = pairs.records()
    assert (kept["status"], kept["responses"]) == ("pending", [])
    assert {name: kept[name] for name in ("external_id", "fields", "metadata")} == {
        name: sent[name] for name in ("external_id", "fields", "metadata")
    }
    (suggested,) = kept["suggestions"]
    assert suggested | sent["suggestions"][0] == suggested
    dataset = pairs.team.get(f"/datasets/{pairs.id}")
    assert dataset["distribution"] == {"strategy": "overlap", "min_submitted": 2}
    assert dataset["guidelines"] == "Compare."


def test_annotators_see_only_the_metadata_that_is_shown_to_them(pairs: Pairs, ann: Person) -> None:
    pairs.fill("why")
    (seen,) = ann.pending(pairs.id)
    assert seen["metadata"] == {"length": 12}
    assert "external_id" in seen  # but our own id of it is there for those who look


def test_sending_again_changes_records_in_place_and_keeps_what_people_said(
    pairs: Pairs, ann: Person
) -> None:
    why, how = pairs.fill("why", "how")
    said = ann.submit(why, ANSWER)
    again = pairs.send(
        pairs.record("why", metadata={"task": "why", "policy": "ppo"}), pairs.record("when")
    )
    assert again.raise_for_status().json()["items"][0]["id"] == why
    names = {one["external_id"]: one["id"] for one in pairs.records()}
    assert names | {"why": why, "how": how} == names
    assert len(names) == 3
    (first, *_) = pairs.records()
    assert first["metadata"] == {"task": "why", "policy": "ppo"}
    assert first["responses"] == [said]


def test_a_suggestion_can_be_taken_back(pairs: Pairs, ann: Person) -> None:
    (why,) = pairs.fill("why")
    ((suggested,),) = (record["suggestions"] for record in ann.pending(pairs.id))
    pairs.team.owner.delete(
        f"/records/{why}/suggestions", params={"ids": suggested["id"]}
    ).raise_for_status()
    assert [record["suggestions"] for record in ann.pending(pairs.id)] == [[]]


def test_records_are_listed_in_the_order_they_were_sent_whatever_is_said_to_them(
    pairs: Pairs, ann: Person
) -> None:
    names = [f"t{number}" for number in range(25)]
    records = pairs.fill(*names)

    def listed() -> list[str]:
        pages = [pairs.team.records(pairs.id, limit=10, offset=at) for at in (0, 10, 20, 30)]
        assert [len(page) for page in pages] == [10, 10, 5, 0]
        return [record["external_id"] for page in pages for record in page]

    assert listed() == names
    ann.submit(records[12], ANSWER)
    ann.discard(records[3])
    pairs.send(pairs.record("t20", metadata={"task": "changed"})).raise_for_status()
    assert listed() == names
    total = pairs.team.get(f"/datasets/{pairs.id}/records", limit=1, offset=30)["total"]
    assert total == 25


def test_a_call_takes_500_records_and_a_page_1000(pairs: Pairs) -> None:
    many = [{"external_id": str(n), "fields": pairs.record("x")["fields"]} for n in range(501)]
    assert pairs.send(*many).status_code == 422
    assert pairs.records() == []
    page = pairs.team.owner.get(f"/datasets/{pairs.id}/records", params={"limit": 1001})
    assert page.status_code == 422


def test_the_owner_reads_what_everybody_said_and_others_only_their_own(
    pairs: Pairs, ann: Person, ben: Person
) -> None:
    (why,) = pairs.fill("why")
    eve = pairs.team.join("eve")
    said = [ann.submit(why, ANSWER), ben.draft(why, {"rating_left": 2})]
    said.append(eve.discard(why, {"comment": "Not mine."}))
    kept = pairs.responses("why")
    assert kept == said
    assert [(one["user_id"], one["status"]) for one in kept] == [
        (ann.id, "submitted"),
        (ben.id, "draft"),
        (eve.id, "discarded"),
    ]
    assert kept[0]["values"]["rank"] == {"value": ANSWER["rank"]}
    assert kept[1]["values"] == {"rating_left": {"value": 2}}
    assert ben.http.get(f"/datasets/{pairs.id}/records").status_code == 403
    everything = ben.http.post(
        f"/me/datasets/{pairs.id}/records/search", params={"include": "responses"}, json={}
    ).json()
    assert [one["record"]["responses"] for one in everything["items"]] == [[said[1]]]


def test_an_edit_keeps_who_and_when_and_a_record_may_open_again(
    pairs: Pairs, ann: Person, ben: Person
) -> None:
    (why,) = pairs.fill("why")
    first = ann.submit(why, ANSWER)
    ben.submit(why, SHORT)
    assert pairs.status(why) == "completed"
    edited = ann.edit(first["id"], SHORT)
    assert {name for name in first if first[name] != edited[name]} == {"values", "updated_at"}
    assert edited["updated_at"] > first["updated_at"]
    assert ann.edit(first["id"], {}, status="discarded")["values"] == {}
    assert pairs.status(why) == "pending"
    ann.edit(first["id"], SHORT)
    assert pairs.status(why) == "completed"
    assert ann.delete(first["id"])["values"] == edited["values"]
    assert pairs.status(why) == "pending"
    assert [one["user_id"] for one in pairs.responses("why")] == [ben.id]


def test_what_argilla_refuses(pairs: Pairs, ann: Person, ben: Person) -> None:
    (why,) = pairs.fill("why")
    for values, reason in (
        (SHORT | {"rating_left": 8}, "8 is not a valid rating"),
        (SHORT | {"preference": "up"}, "'up' is not a valid label"),
        ({"rating_left": 4}, "missing response value for required question"),
        (SHORT | {"mood": "good"}, "mood"),
    ):
        refused = ann.respond(why, "submitted", values)
        assert refused.status_code == 422
        assert reason in refused.json()["detail"]
    assert pairs.responses("why") == []
    said = ann.submit(why, SHORT)
    assert ann.respond(why, "submitted", SHORT).status_code == 409
    others = ben.http.put(f"/responses/{said['id']}", json={"status": "discarded", "values": {}})
    assert others.status_code == 403
    assert pairs.responses("why") == [said]


def test_a_discard_without_values_is_kept_although_it_fails(pairs: Pairs, ann: Person) -> None:
    why, _ = pairs.fill("why", "how")
    assert ann.respond(why, "discarded", None).status_code == 500
    assert ann.respond(why, "discarded", {}).status_code == 409
    (kept,) = pairs.responses("why")
    assert (kept["status"], kept["values"]) == ("discarded", None)


def test_as_long_as_it_is_there_new_records_sent_beside_it_reach_nobody(
    pairs: Pairs, ann: Person, ben: Person
) -> None:
    (why,) = pairs.fill("why")
    ann.respond(why, "discarded", None)
    batch = (pairs.record("why"), pairs.record("when"))
    assert pairs.send(*batch).status_code == 500
    # Kept, but not indexed: the screens of people do not offer it.
    assert [record["external_id"] for record in pairs.records()] == ["why", "when"]
    assert [record["external_id"] for record in ben.pending(pairs.id)] == ["why"]
    (kept,) = pairs.responses("why")
    mended = pairs.team.owner.put(
        f"/responses/{kept['id']}", json={"status": "discarded", "values": {}}
    )
    assert mended.raise_for_status().json()["user_id"] == ann.id
    assert pairs.send(*batch).is_success
    assert {record["external_id"] for record in ben.pending(pairs.id)} == {"why", "when"}


def test_after_a_failure_the_connection_is_closed_without_a_word(
    pairs: Pairs, ann: Person, argilla_server: GenuineServer
) -> None:
    (why,) = pairs.fill("why")
    kept = HTTPConnection("127.0.0.1", argilla_server.port, timeout=60)
    headers = {
        "Authorization": ann.http.headers["authorization"],
        "Content-Type": "application/json",
    }
    kept.request("POST", f"/api/v1/records/{why}/responses", '{"status": "discarded"}', headers)
    refused = kept.getresponse()
    assert (refused.status, refused.getheader("connection")) == (500, None)
    refused.read()
    # So a client that keeps it may find out in the middle of its next request.
    with suppress(ConnectionResetError):
        assert kept.sock.recv(1) == b""
    kept.close()


def test_last_activity_tells_of_every_response_even_of_one_that_failed(
    pairs: Pairs, ann: Person, ben: Person
) -> None:
    why, how = pairs.fill("why", "how")
    seen = [pairs.last_activity()]
    pairs.fill("when")
    assert pairs.last_activity() == seen[0]
    said = ann.submit(why, ANSWER)
    seen.append(pairs.last_activity())
    ann.edit(said["id"], SHORT)
    seen.append(pairs.last_activity())
    ann.delete(said["id"])
    seen.append(pairs.last_activity())
    ben.respond(how, "discarded", None)
    seen.append(pairs.last_activity())
    assert seen == sorted(set(seen))


def test_nobody_holds_a_place_so_more_answer_than_were_asked(
    make_pairs: Callable[..., Pairs], ann: Person, ben: Person
) -> None:
    pairs = make_pairs(min_submitted=1)
    pairs.fill("why")
    (ours,), (theirs,) = ann.pending(pairs.id), ben.pending(pairs.id)
    assert ours["id"] == theirs["id"]
    ann.submit(ours["id"], SHORT)
    assert ben.pending(pairs.id) == []
    ben.submit(theirs["id"], ANSWER)
    assert [one["user_id"] for one in pairs.responses("why")] == [ann.id, ben.id]


def test_progress_says_what_each_person_did(pairs: Pairs, ann: Person, ben: Person) -> None:
    why, how = pairs.fill("why", "how")
    ann.submit(why, ANSWER)
    ben.discard(why)
    ben.draft(how, {})
    progress = pairs.team.get(f"/datasets/{pairs.id}/users/progress")["users"]
    pending = {one["username"]: one["pending"] for one in progress}
    assert pending == {
        ann.username: {"submitted": 1, "discarded": 0, "draft": 0},
        ben.username: {"submitted": 0, "discarded": 1, "draft": 1},
    }


def test_the_owner_may_learn_who_everybody_is(team: Team, ann: Person, ben: Person) -> None:
    everybody = {one["id"]: one for one in team.get("/users")["items"]}
    assert everybody[ann.id]["username"] == ann.username
    assert {one["role"] for one in everybody.values()} == {"owner", "annotator"}
    # With the keys that open their accounts: such a reply must never be kept or logged.
    assert all(one["api_key"] for one in everybody.values())
    ours = team.get(f"/workspaces/{team.id}/users")["items"]
    assert {one["id"] for one in ours} == {ann.id, ben.id}
    assert ann.http.get("/users").status_code == 403


def test_who_is_deleted_takes_along_what_they_said(pairs: Pairs, ann: Person) -> None:
    (why,) = pairs.fill("why")
    eve = pairs.team.join("eve")
    eve.submit(why, ANSWER)
    ann.submit(why, SHORT)
    before = pairs.last_activity()
    pairs.team.owner.delete(f"/users/{eve.id}").raise_for_status()
    assert [one["user_id"] for one in pairs.responses("why")] == [ann.id]
    assert pairs.last_activity() == before  # and nothing tells of it


def test_events_are_signed_and_tell_all_of_a_response(
    pairs: Pairs, ann: Person, listener: Listener, secret: str
) -> None:
    why, how = pairs.fill("why", "how")
    made = ann.submit(why, ANSWER)
    ann.respond(how, "discarded", None)
    edited = ann.edit(made["id"], SHORT)
    ann.delete(made["id"])
    deliveries = listener.wait_for(3)
    created, updated, deleted = (one.read(secret) for one in deliveries)
    assert [one["type"] for one in (created, updated, deleted)] == [
        "response.created",
        "response.updated",  # nothing of the discard that failed
        "response.deleted",
    ]
    for event, response in ((created, made), (updated, edited), (deleted, edited)):
        told = event["data"]
        for name in ("id", "values", "status", "inserted_at", "updated_at"):
            assert told[name] == response[name]
        assert told["user"]["id"] == response["user_id"]
        assert told["record"]["id"] == response["record_id"]
        assert told["record"]["external_id"] == "why"
        assert told["record"]["dataset"]["id"] == pairs.id
    assert "api_key" not in created["data"]["user"]
    with pytest.raises(WebhookVerificationError):
        deliveries[0].read("c29tZWJvZHkgZWxzZQ==")


def test_an_event_that_was_refused_comes_again_under_another_name_after_later_ones(
    pairs: Pairs, ann: Person, listener: Listener, secret: str
) -> None:
    (why,) = pairs.fill("why")
    listener.refusing = True
    said = ann.submit(why, ANSWER)
    listener.wait_for(1)
    listener.refusing = False
    ann.edit(said["id"], SHORT)
    refused, later, again = listener.wait_for(3)  # after ten seconds
    assert later.read(secret)["type"] == "response.updated"
    assert again.read(secret) == refused.read(secret)
    assert again.headers["webhook-id"] != refused.headers["webhook-id"]


def test_the_event_kept_for_other_tests_looks_like_a_genuine_one(
    pairs: Pairs, ann: Person, listener: Listener, secret: str
) -> None:
    (why,) = pairs.fill("why")
    ann.submit(why, ANSWER)
    (delivery,) = listener.wait_for(1)
    assert _shape(delivery.read(secret)) == _shape(json.loads(EVENT.read_text()))


def test_a_restart_loses_nothing(
    pairs: Pairs, ann: Person, ben: Person, listener: Listener, secret: str
) -> None:
    why, _ = pairs.fill("why", "how")
    ann.submit(why, ANSWER)
    # A message that is on its way when the worker is stopped may be lost; pulling finds it.
    listener.wait_for(1)
    before = pairs.records()
    pairs.team.server.stop()
    with pytest.raises(httpx.ConnectError):
        pairs.records()
    pairs.team.server.start()
    assert pairs.records() == before
    assert [record["external_id"] for record in ann.pending(pairs.id)] == ["how"]
    ben.submit(why, SHORT)
    assert pairs.status(why) == "completed"
    events = [one.read(secret) for one in listener.wait_for(2)]
    assert [one["data"]["user"]["id"] for one in events] == [ann.id, ben.id]


def _shape(said: Any) -> Any:
    """Which names there are, and what kinds of values."""
    if isinstance(said, dict):
        return {name: _shape(value) for name, value in said.items()}
    if isinstance(said, list):
        return [_shape(value) for value in said]
    return type(said).__name__
