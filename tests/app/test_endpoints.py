"""Asking an endpoint: side by side, at its pace, again when it fails, and never twice for a reply.

The server is a real one on this machine, so what counts is what it was asked.
"""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from openai_server import FakeServer, Said, completion, echo, openai_server

from app.arms import EndpointArm, read_arm
from app.endpoints import Asking, endpoint_answers
from app.given import Given, endings
from app.kept_answers import kept_answers, place_of
from app.pace import Pace, Stopped
from evaluation.endpoint import Endpoint
from storage.errors import InvalidData, InvalidOption, JobCancelled, ServiceFailed, StorageFailed
from storage.recipes import Silent
from storage.records import Message, as_messages
from storage.settings import Settings
from training.sampling_config import SamplingConfig

CONFIG = SamplingConfig(temperature=0.25, top_p=0.5, max_new_tokens=33, seed=5)
ONE = Asking(concurrency=1, retries=0)
"""One at a time, once."""
TWO = Asking(concurrency=2, retries=2, first_pause=0.01)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with openai_server(echo) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def ask(server: FakeServer, settings: Settings) -> Callable[..., list[Given]]:
    """Ask so many questions, or those that are given; returns the answers."""

    def answers(
        asked: int | Sequence[tuple[Message, ...]] = 6, asking: Asking = TWO, **more: Any
    ) -> list[Given]:
        arm = the_arm(server)
        conversations = questions(asked) if isinstance(asked, int) else asked
        endpoint = Endpoint.of(
            more.pop("address", server.base_url),
            key_variable="SERVED_KEY",
            environment={"SERVED_KEY": more.pop("key", "")},
        )
        with kept_answers(settings, arm, CONFIG) as kept:
            return endpoint_answers(
                arm,
                conversations,
                CONFIG,
                endpoint=endpoint,
                asking=asking,
                kept=kept,
                progress=more.pop("progress", Silent()),
            )

    return answers


def the_arm(server: FakeServer) -> EndpointArm:
    arm = read_arm(server.arm())
    assert isinstance(arm, EndpointArm)
    return arm


def questions(number: int) -> list[tuple[Message, ...]]:
    return [as_messages(f"Question {n}?") for n in range(number)]


def told(server: FakeServer, *replies: Said, then: Callable[[Any], Said] = echo) -> None:
    """Let the server say these things first."""
    waiting = iter(replies)
    lock = threading.Lock()

    def say(asked: Mapping[str, Any]) -> Said:
        with lock:
            first = next(waiting, None)
        return first or then(asked)

    server.say = say


def error(code: str = "", param: str = "") -> dict[str, Any]:
    return {"error": {"message": "Something about sk-secret.", "code": code, "param": param}}


# --- What is asked, and what comes back ---


def test_every_question_is_answered_in_order(
    server: FakeServer, ask: Callable[..., list[Given]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, f"secret {name}")
    server.delay = 0.02
    assert ask(6, key="k-1") == [
        Given(text=f"Answer to Question {n}?", tokens=10, ended="stop") for n in range(6)
    ]
    assert server.keys == {"k-1"}
    assert "secret" not in json.dumps(server.headers)
    assert server.most_at_once == 2
    first = server.asked[0]
    assert first["path"] == "/v1/chat/completions"
    assert (first["model"], first["temperature"], first["top_p"]) == ("served-1", 0.25, 0.5)
    assert (first["max_tokens"], first["seed"]) == (33, 5)
    assert first["messages"] == [{"role": "user", "content": server.questions[0]}]


def test_without_a_key_none_of_the_environment_is_shown(
    server: FakeServer, ask: Callable[..., list[Given]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    ask(1)
    assert server.keys == {"none"}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (completion("Half a", finish_reason="length"), ("Half a", "length")),
        (completion(None, finish_reason="length"), ("", "length")),
        (completion("", finish_reason="stop"), ("", "stop")),
        (completion("How to", finish_reason="content_filter"), ("How to", "content_filter")),
        ((400, error("content_filter")), ("", "content_filter")),
        ((200, {"choices": [{"message": {"content": "Plain"}}]}), ("Plain", "")),
        (
            (200, {"choices": [{"message": {"content": None, "refusal": "No."}}]}),
            ("", "content_filter"),
        ),
        (completion("NUL \0 and half a \ud83d."), ("NUL \ufffd and half a \ufffd.", "stop")),
    ],
)
def test_how_an_answer_ended_is_kept(
    server: FakeServer, ask: Callable[..., list[Given]], said: Said, answer: tuple[str, str]
) -> None:
    told(server, said)
    (given,) = ask(1, ONE)
    assert (given.text, given.ended) == answer
    assert ask(1, ONE) == [given]
    assert len(server.asked) == 1


def test_endings_are_counted_and_only_what_can_be_judged_is_judged() -> None:
    given = [
        Given(text="Whole", ended="stop"),
        Given(text="Half", ended="length"),
        Given(text=" \n", ended="length"),
        Given(text="How to", ended="content_filter"),
        Given(text=""),
    ]
    assert endings(given) == {"answers": 5, "empty": 2, "cut": 2, "filtered": 1}
    assert [one.is_judgeable for one in given] == [True, True, False, False, False]


def test_models_with_another_name_for_the_longest_answer_are_told_so(
    server: FakeServer, ask: Callable[..., list[Given]]
) -> None:
    def newer(asked: Mapping[str, Any]) -> Said:
        if "max_tokens" in asked:
            return 400, error("unsupported_parameter", "max_tokens")
        return echo(asked)

    server.say = newer
    assert len(ask(3, ONE)) == 3
    assert [one.get("max_completion_tokens") for one in server.asked] == [None, 33, 33, 33]
    # A server that refuses both is not asked for ever.
    server.say = lambda _: (400, error("unsupported_parameter", "max_tokens"))
    with pytest.raises(ServiceFailed, match="refused with status 400"):
        ask(4, ONE)


# --- Again, and when ---


def test_what_passes_is_tried_again(server: FakeServer, ask: Callable[..., list[Given]]) -> None:
    told(server, (503, {}), (500, "<p>"))
    assert ask(1)[0].text == "Answer to Question 0?"
    assert len(server.asked) == 3
    told(server, *[(502, {})] * 3)
    with pytest.raises(ServiceFailed, match="refused with status 502"):
        ask(2)
    assert len(server.asked) <= 3 + 4


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ((401, error()), r"status 401 \(it wants a key"),
        ((404, error()), r"status 404 \(no such model"),
        ((400, error("context_length")), r"status 400, asked 'Question 0\?'"),
        ((307, {}, {"Location": "http://127.0.0.1:9/stolen"}), "status 307"),
    ],
)
def test_what_stays_is_refused_at_once_and_nothing_of_it_is_quoted(
    server: FakeServer, ask: Callable[..., list[Given]], said: Said, problem: str
) -> None:
    told(server, said)
    with pytest.raises(ServiceFailed, match=problem) as refusal:
        ask(1, key="sk-secret")
    assert "secret" not in str(refusal.value)
    assert len(server.asked) == 1


def test_pauses_grow(
    server: FakeServer, ask: Callable[..., list[Given]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(Pace, "rest", lambda _, seconds: rests.append(seconds))
    monkeypatch.setattr("app.endpoints.LONGEST_PAUSE", 5.0)
    told(server, *[(500, {})] * 4)
    ask(1, Asking(concurrency=1, retries=4))
    assert [one for one in rests if one] == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
        ({"Retry-After": "in a while"}, 1),
        # Collecting the tests of all files may be long ago when this one runs.
        ({"Retry-After": "in 500 seconds, as a date"}, 500),
    ],
)
def test_a_busy_server_says_when_and_everybody_waits(
    server: FakeServer,
    ask: Callable[..., list[Given]],
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    seconds: float,
) -> None:
    holds: list[float] = []
    monkeypatch.setattr(Pace, "hold", lambda _, seconds: holds.append(seconds))
    if seconds == 500:
        headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=500))}
    told(server, (429, {}, headers))
    ask(1, Asking(concurrency=1, retries=1))
    assert holds == [pytest.approx(seconds, abs=120 if seconds == 500 else 0)]


def test_nobody_waits_for_hours(server: FakeServer, ask: Callable[..., list[Given]]) -> None:
    told(server, (429, {}, {"Retry-After": "7200"}))
    with pytest.raises(ServiceFailed, match="asks to come back in 120 minutes"):
        ask(1)
    assert len(server.asked) == 1


def test_nobody_at_the_address_is_said(ask: Callable[..., list[Given]]) -> None:
    with pytest.raises(ServiceFailed, match=r"served-1 at .* cannot be reached.* 0 of 1 answers"):
        ask(1, ONE, address="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    "said", [{"choices": []}, {"error": "no"}, {"choices": [{}]}, {}, b"{", "<html>Hello</html>"]
)
def test_a_reply_that_is_no_completion_is_refused(
    server: FakeServer, ask: Callable[..., list[Given]], said: Any
) -> None:
    told(server, (200, said))
    with pytest.raises(ServiceFailed, match="something else than a chat completion"):
        ask(1)


def test_after_a_cancel_no_more_is_asked(
    server: FakeServer, ask: Callable[..., list[Given]]
) -> None:
    class Impatient(Silent):
        def report(self, step: int, *_: object, **__: object) -> None:
            if step:
                raise JobCancelled("The job was cancelled.")

    with pytest.raises(JobCancelled):
        ask(9, ONE, progress=Impatient())
    assert len(server.asked) <= 2


# --- The pace ---


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.mark.parametrize("per_minute", [1, 30, 600])
def test_no_minute_has_more_than_was_agreed_and_one(per_minute: int) -> None:
    moments, passing = [], Time()
    pace = Pace(per_minute, clock=lambda: passing.now, wait=passing.wait)
    for _ in range(3 * per_minute):
        pace.take()
        moments.append(passing.now)
        passing.now += 0.01  # the request itself
    fullest = max(sum(start <= one < start + 60 for one in moments) for start in moments)
    assert fullest <= per_minute + 1
    assert moments[-1] == pytest.approx(60.0 / per_minute * (3 * per_minute - 1), rel=0.05)


def test_a_rest_of_the_server_holds_everybody_and_a_stop_sends_all_home() -> None:
    passing = Time()
    pace = Pace(None, clock=lambda: passing.now, wait=passing.wait)
    pace.take()
    assert passing.now == 0
    pace.hold(30)
    pace.hold(10)  # a shorter one does not shorten the longer
    pace.take()
    assert passing.now == 30
    pace.stop()
    with pytest.raises(Stopped):
        pace.take()


def test_tries_count_in_the_pace(server: FakeServer, ask: Callable[..., list[Given]]) -> None:
    told(server, (500, {}), (500, {}))
    began = time.monotonic()
    ask(3, Asking(concurrency=3, retries=2, per_minute=1200, first_pause=0.001))
    assert len(server.asked) == 5
    assert time.monotonic() - began >= 4 * 60 / 1200


# --- On the disk at once ---


def test_what_came_before_a_failure_is_kept_and_only_the_rest_is_asked_later(
    server: FakeServer, ask: Callable[..., list[Given]]
) -> None:
    def down(asked: Mapping[str, Any]) -> Said:
        return echo(asked) if len(server.asked) <= 4 else (503, {})

    server.say = down
    with pytest.raises(ServiceFailed, match=r"refused with status 503\. 4 of 9 answers are kept"):
        ask(9, ONE)
    before = server.questions[:4]
    server.asked.clear()
    server.say = echo
    assert [one.text for one in ask(9)] == [f"Answer to Question {n}?" for n in range(9)]
    assert sorted([*before, *server.questions]) == [f"Question {n}?" for n in range(9)]


def test_an_answer_is_on_the_disk_before_the_next_question_goes_out(
    server: FakeServer, settings: Settings, ask: Callable[..., list[Given]]
) -> None:
    place, seen = place_of(settings, the_arm(server), CONFIG), []

    def say(asked: Mapping[str, Any]) -> Said:
        seen.append(len(place.read_text().splitlines()))
        return echo(asked)

    server.say = say
    ask(4, ONE)
    assert seen == [0, 1, 2, 3]


def test_half_a_line_of_a_killed_process_is_asked_for_again(
    server: FakeServer, settings: Settings, ask: Callable[..., list[Given]]
) -> None:
    ask(3, ONE)
    place = place_of(settings, the_arm(server), CONFIG)
    whole = place.read_bytes()
    for cut in (1, 30, len(whole.splitlines()[2])):
        place.write_bytes(whole[:-cut])
        server.asked.clear()
        assert [one.text for one in ask(3, ONE)] == [f"Answer to Question {n}?" for n in range(3)]
        assert server.questions == ["Question 2?"]
        assert place.read_bytes() == whole


def test_a_full_disk_is_said_and_leaves_no_half_line(
    server: FakeServer,
    settings: Settings,
    ask: Callable[..., list[Given]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask(1, ONE)
    place = place_of(settings, the_arm(server), CONFIG)
    whole = place.read_bytes()
    with monkeypatch.context() as full:

        def refuse(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr("app.kept_answers.os.fsync", refuse)
        full.setattr("app.kept_answers.bring_to_disk", lambda _: None)
        with pytest.raises(StorageFailed, match="could not be kept: No space left"):
            ask(2, ONE)
    assert place.read_bytes() == whole
    assert len(ask(2, ONE)) == 2


def test_a_file_that_holds_something_else_is_refused_with_its_line(
    server: FakeServer, settings: Settings, ask: Callable[..., list[Given]]
) -> None:
    ask(1, ONE)
    place = place_of(settings, the_arm(server), CONFIG)
    place.write_bytes(place.read_bytes() + b'{"text": "whose?"}\n')
    with pytest.raises(InvalidData, match=r"line 2: this is no answer"):
        ask(2, ONE)
    assert len(server.asked) == 1


def test_two_jobs_do_not_ask_for_the_same_at_once(
    server: FakeServer, settings: Settings, ask: Callable[..., list[Given]]
) -> None:
    with (
        kept_answers(settings, the_arm(server), CONFIG),
        pytest.raises(InvalidOption, match="another job asks it for the same answers now"),
    ):
        ask(1)
    assert server.asked == []
    assert len(ask(1)) == 1


def test_another_way_of_asking_is_asked_anew(settings: Settings, server: FakeServer) -> None:
    arm = the_arm(server)
    other = EndpointArm(label=arm.label, address="http://elsewhere/v1")
    places = {place_of(settings, arm, CONFIG), place_of(settings, other, CONFIG)}
    for change in ({"seed": 6}, {"temperature": 1}, {"top_p": 1}, {"max_new_tokens": 34}):
        places.add(place_of(settings, arm, CONFIG.model_copy(update=change)))
    assert len(places) == 6
    # How many a model here answers at a time says nothing about the answers.
    assert place_of(settings, arm, CONFIG.model_copy(update={"batch_size": 2})) in places


def test_the_same_question_twice_is_asked_once(
    server: FakeServer, ask: Callable[..., list[Given]]
) -> None:
    asked = questions(2)
    given = ask([asked[0], asked[1], asked[0]])
    assert given[0] == given[2] != given[1]
    assert len(server.asked) == 2
