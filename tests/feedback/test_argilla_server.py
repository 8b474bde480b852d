"""Talking to an Argilla server that stumbles, and reading what it tells by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from feedback.argilla import server as talking
from feedback.argilla.events import EVENTS, Subscription, read_event, subscribe, unsubscribe
from feedback.argilla.server import SHOWN, Server, telling
from storage.errors import InvalidData, InvalidOption, NotAllowed, ServiceFailed

URL = "http://argilla.test"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBhbmQgbm9ib2R5IGVsc2U="
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(talking.time, "sleep", found.append)
    return found


def server(*replies: Answer | httpx.Response | Exception) -> tuple[Server, list[httpx.Request]]:
    """A server that answers so, one reply after the other; the last one stays."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        reply = replies[min(len(asked), len(replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, httpx.Response) else reply(request)

    client = httpx.Client(base_url=URL, transport=httpx.MockTransport(answer))
    return Server(cast("Any", SimpleNamespace(api_url=URL, http_client=client))), asked


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"server-{number}",
        "external_id": f"task-{number}",
        "metadata": {SHOWN: "a,b"},
        "responses": [],
    } | changes


def pages_of(total: int, at_once: int) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        found = [record(n) for n in range(start, min(start + at_once, total))]
        return httpx.Response(200, json={"items": found, "total": total})

    return answer


def test_records_are_read_page_by_page() -> None:
    found, asked = server(pages_of(250, 100))
    pages = list(found.pages(cast("Any", SimpleNamespace(id="d"))))
    assert [page.done for page in pages] == [100, 200, 250]
    assert {page.total for page in pages} == {250}
    assert [one for page in pages for one in page.records] == [f"task-{n}" for n in range(250)]
    assert asked[0].url.path == "/api/v1/datasets/d/records"
    assert asked[0].url.params["include"] == "responses"


def test_a_response_is_read_as_the_server_writes_it() -> None:
    responses = [
        {"id": "r1", "values": {"preference": {"value": "tie"}}, "status": "submitted",
         "user_id": "u1", "inserted_at": "2026-11-22T18:41:02.150036",
         "updated_at": "2026-11-22T18:45:02.150036"},
        # Saved in spite of the error 500 that discarding without values gives.
        {"id": "r2", "values": None, "status": "discarded", "user_id": "u2",
         "inserted_at": "2026-11-22T18:41:02", "updated_at": "2026-11-22T18:41:02"},
    ]  # fmt: skip
    body = {"items": [record(1, responses=responses)], "total": 1}
    found, _ = server(httpx.Response(200, json=body), httpx.Response(200, json={"items": []}))
    (page,) = found.pages(cast("Any", SimpleNamespace(id="d")))
    one, other = page.answers
    assert (one.record, one.shown, one.user, one.status) == (
        "task-1",
        ("a", "b"),
        "u1",
        "submitted",
    )
    assert one.values == {"preference": "tie"}
    assert one.at == datetime(2026, 11, 22, 18, 45, 2, 150036, UTC)
    assert (other.status, other.values) == ("discarded", {})
    assert page.mute == (("r2", "discarded"),)


def test_a_response_without_values_is_mended() -> None:
    found, asked = server(httpx.ReadError("closed"), httpx.Response(200, json={}))
    found.mend("r2", "discarded")
    assert [(one.method, one.url.path) for one in asked] == [("PUT", "/api/v1/responses/r2")] * 2
    assert json.loads(asked[-1].content) == {"status": "discarded", "values": {}}


@pytest.mark.parametrize(
    "fault",
    [
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500, json={"detail": "x"}),
        httpx.Response(503),
    ],
    ids=str,
)
def test_a_server_that_stumbles_is_asked_again(
    fault: httpx.Response | Exception, pauses: list[float]
) -> None:
    found, asked = server(fault, fault, pages_of(1, 100))
    assert len(list(found.pages(cast("Any", SimpleNamespace(id="d"))))) == 1
    assert len(asked) == 4  # the third gave the page, the fourth said that it was the last
    assert pauses == [0.5, 1.0]


def test_and_not_for_ever(pauses: list[float]) -> None:
    found, asked = server(httpx.Response(502, text="bad gateway"))
    with pytest.raises(ServiceFailed, match=r"answered 502 to GET /api/v1/x: bad gateway"):
        found.read("/api/v1/x")
    assert len(asked) == talking.TRIES
    assert pauses == [0.5, 1.0, 2.0]
    found, _ = server(httpx.ConnectError("refused"))
    with pytest.raises(ServiceFailed, match=r"cannot be reached.*what came before is kept"):
        found.read("/api/v1/x")


def test_a_refusal_is_not_repeated(pauses: list[float]) -> None:
    found, asked = server(httpx.Response(403, text="no"))
    with pytest.raises(ServiceFailed, match="answered 403"):
        found.read("/api/v1/x")
    assert len(asked) == 1
    assert pauses == []


@pytest.mark.parametrize("missing", ["ARGILLA_API_URL", "ARGILLA_API_KEY"])
def test_a_variable_that_is_missing_is_named(missing: str) -> None:
    there = {"ARGILLA_API_URL": URL, "ARGILLA_API_KEY": "secret"}
    with pytest.raises(InvalidOption, match=missing):
        Server.open({**there, missing: " "})


def test_an_error_never_tells_the_key() -> None:
    with pytest.raises(ServiceFailed) as told:
        Server.open({"ARGILLA_API_URL": "http://127.0.0.1:9", "ARGILLA_API_KEY": "hush.key"})
    assert "hush" not in str(told.value)
    assert "cannot be reached" in str(told.value)


def test_what_the_sdk_raises_becomes_a_sentence() -> None:
    from argilla._exceptions import ArgillaCredentialsError, ForbiddenError

    with pytest.raises(ServiceFailed, match=r"does not know the key.*owner"), telling(URL):
        raise ArgillaCredentialsError
    with pytest.raises(ServiceFailed, match="does not let the key's owner do this"), telling(URL):
        raise ForbiddenError(status_code=403)


def test_a_subscription_takes_the_place_of_an_earlier_one() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        if request.method == "GET":
            known = [{"id": "old", "url": "http://us/argilla"}, {"id": "other", "url": "http://x"}]
            return httpx.Response(200, json={"items": known})
        if request.method == "POST":
            said = json.loads(request.content)
            assert said["url"] == "http://us/argilla"
            assert said["events"] == list(EVENTS)
            return httpx.Response(201, json={"id": "new", "secret": SECRET})
        return httpx.Response(404)  # gone already

    found, _ = server(answer)
    made = subscribe(found, "http://us/argilla", "Tandem")
    assert made == Subscription("new", SECRET)
    unsubscribe(found, made)
    assert asked == [
        ("GET", "/api/v1/webhooks"),
        ("DELETE", "/api/v1/webhooks/old"),
        ("POST", "/api/v1/webhooks"),
        ("DELETE", "/api/v1/webhooks/new"),
    ]


SUBSCRIPTION = Subscription("w", SECRET)


def message(kind: str = "response.updated", **changes: Any) -> dict[str, Any]:
    """As a genuine server writes it, without what nobody reads."""
    return {
        "type": kind,
        "version": 1,
        "timestamp": "2026-11-22T18:45:02.200000Z",
        "data": {
            "id": "r",
            "values": {"preference": {"value": "tie"}},
            "status": "submitted",
            "record": {
                "id": "server-1",
                "status": "pending",
                "fields": {},
                "metadata": {SHOWN: "a,b"},
                "external_id": "task-1",
                "dataset": {"id": "d", "name": "demo"},
            },
            "user": {"id": "u1", "username": "ann"},
            "inserted_at": "2026-11-22T18:41:02.150036",
            "updated_at": "2026-11-22T18:45:02.150036",
        }
        | changes,
    }


def signed(
    said: dict[str, Any], *, secret: str = SECRET, at: datetime | None = None
) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(said)
    moment = at or datetime.now(UTC)
    signature = Webhook(secret).sign("m", moment, body)
    return body.encode(), {
        "webhook-id": "m",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }


def test_a_message_is_an_answer() -> None:
    read = read_event(SUBSCRIPTION, *signed(message()))
    assert read is not None
    dataset, one = read
    assert dataset == "d"
    assert (one.record, one.user, one.status, one.shown) == (
        "task-1",
        "u1",
        "submitted",
        ("a", "b"),
    )
    assert one.values == {"preference": "tie"}
    assert one.at == datetime(2026, 11, 22, 18, 45, 2, 150036, UTC)


def test_a_deleted_response_stands_for_nothing() -> None:
    read = read_event(SUBSCRIPTION, *signed(message("response.deleted")))
    assert read is not None
    assert read[1].status == "pending"


def test_what_is_about_something_else_is_passed_over() -> None:
    assert read_event(SUBSCRIPTION, *signed(message("record.updated"))) is None
    foreign = message()
    foreign["data"]["record"]["external_id"] = None
    assert read_event(SUBSCRIPTION, *signed(foreign)) is None


def forged() -> Iterator[tuple[bytes, dict[str, str]]]:
    body, headers = signed(message())
    yield body.replace(b"tie", b"two"), headers
    yield body, headers | {"webhook-id": "another"}
    yield body, {}
    yield signed(message(), secret="whsec_" + "b3RoZXI=" * 3)
    # Played again after a while.
    yield signed(message(), at=datetime.now(UTC) - timedelta(minutes=6))


@pytest.mark.parametrize(("body", "headers"), list(forged()))
def test_what_the_server_did_not_sign_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(NotAllowed, match="not signed"):
        read_event(SUBSCRIPTION, body, headers)


def test_a_signed_message_that_cannot_be_read_is_told() -> None:
    said = message()
    del said["data"]["user"]
    with pytest.raises(InvalidData, match=r"cannot be read.*user"):
        read_event(SUBSCRIPTION, *signed(said))
