"""Rewards over HTTP from a real little server: what is asked, what is believed, what is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from lively import PROMPTS
from reward_server import Reply, Service, reward_service, rewards

from storage.errors import InvalidOption, TrainingFailed
from storage.records import Message
from training.policies.measured import Measured
from training.policies.mixer import RewardMixer
from training.policies.service import (
    MOST_BYTES,
    MOST_CONVERSATIONS,
    PAUSES,
    RewardService,
    token_for,
)

CONVERSATIONS = [
    (PROMPTS[0], "Hello you."),
    (PROMPTS[1], "Ünd so 😀?"),
    (PROMPTS[2], ""),
]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with reward_service() as running:
        yield running


def score(service: Service, **options: Any) -> list[float]:
    options = {"pauses": ()} | options
    return RewardService(service.address, **options).score(CONVERSATIONS).tolist()


def test_a_service_is_asked_for_conversations_and_gives_rewards(service: Service) -> None:
    assert score(service) == [2, 3, 0]
    assert service.asked == [
        {
            "path": "/score",
            "conversations": [
                {"prompt": [{"role": "user", "content": "hello"}], "response": "Hello you."},
                {
                    "prompt": [{"role": "user", "content": "what now"}],
                    "response": CONVERSATIONS[1][1],
                },
                {"prompt": [{"role": "user", "content": "yes " * 5}], "response": ""},
            ],
        }
    ]
    assert "Authorization" not in service.headers[0]


def test_the_model_stands_behind_the_address_and_the_token_in_a_header(service: Service) -> None:
    address = f"{service.address}?fast=1#helpful"
    RewardService(address, token="s3cret", pauses=()).score(CONVERSATIONS[:1])
    assert (service.asked[0]["path"], service.asked[0]["model"]) == ("/score?fast=1", "helpful")
    assert service.headers[0]["Authorization"] == "Bearer s3cret"


def test_many_conversations_go_in_several_requests_and_come_back_in_order(
    service: Service,
) -> None:
    long = (Message(role="user", content="x" * 120_000),)
    asked = [(PROMPTS[0], "a " * place) for place in range(2 * MOST_CONVERSATIONS + 1)]
    asked += [(long, "a"), (long, "a b")]
    found = RewardService(service.address, pauses=()).score(asked)
    assert found.tolist() == [*range(2 * MOST_CONVERSATIONS + 1), 1, 2]
    assert [len(one["conversations"]) for one in service.asked] == [64, 64, 2, 1]
    assert RewardService(service.address).score([]).tolist() == []


def test_it_is_tried_again_after_growing_pauses_until_it_answers(service: Service) -> None:
    replies: Iterator[Reply] = iter([(503, b"busy"), (429, b""), (500, b"oh")])
    plain = service.say
    service.say = lambda asked: next(replies, None) or plain(asked)
    slept: list[float] = []
    assert score(service, pauses=PAUSES, sleep=slept.append) == [2, 3, 0]
    assert slept == [1, 2, 4]


@pytest.mark.parametrize(
    ("reply", "complaint", "tries"),
    [
        ((503, b"busy"), r"answered 503, saying 'busy'\. The last checkpoint stays\.", 3),
        ((404, b'{"error": "No such model"}'), r"answered 404, saying 'No such model'\. The", 1),
        ((404, b'{"error": '), r"answered 404, saying '{\"error\":'\. The", 1),
        ((401, b"who?"), r"answered 401 \(a token for it .*TANDEM_REWARD_TOKENS=HOST=TOKEN\)", 1),
        ((307, b""), r"answered 307 \(it leads elsewhere", 1),
        ((200, b"Good answers!"), "something else than rewards .* saying 'Good answers!'", 1),
        ((200, b""), "something else than rewards", 1),
        ((200, b"[1, 2, 3]"), "something else than rewards", 1),
        ((200, b'{"rewards": [1, 2, 3]}'), r"something else than rewards \(scores: Field req", 1),
        (rewards([1, "2", 3]), r"rewards \(scores.1.reward: Input should be a valid number", 1),
        (rewards([1, None, 3]), r"scores.1.reward: Input should be a valid number", 1),
        (rewards([True, 1, 1]), r"scores.0.reward: Input should be a valid number", 1),
        (rewards([1, 2]), "gave 2 rewards for 3 answers", 1),
        (rewards([1, 2, 3, 4]), "gave 4 rewards for 3 answers", 1),
        ((200, b" " * (MOST_BYTES + 1)), "answered with more than 1,048,576 bytes", 1),
        ((200, "é€".encode()[:-1]), "saying 'é�'", 1),
    ],
)
def test_whatever_is_no_list_of_rewards_ends_the_run_with_a_sentence(
    service: Service, reply: Reply, complaint: str, tries: int
) -> None:
    service.say = lambda _: reply
    with pytest.raises(TrainingFailed, match=f"The reward service {service.address} .*{complaint}"):
        score(service, pauses=(0, 0))
    assert len(service.asked) == tries


def test_a_service_that_is_not_there_is_named_after_all_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/score"
        slept: list[float] = []
        nowhere = RewardService(address, sleep=slept.append)
        with pytest.raises(
            TrainingFailed, match=rf"{address} cannot be reached \(.+\)\. The last checkpoint stays"
        ):
            nowhere.score(CONVERSATIONS)
    assert slept == list(PAUSES)
    assert 60 < sum(PAUSES) < 300


def test_a_service_that_does_not_answer_in_time_is_given_up(service: Service) -> None:
    def late(asked: Mapping[str, Any]) -> Reply:
        time.sleep(0.5)
        return rewards([0, 0, 0])

    service.say = late
    with pytest.raises(TrainingFailed, match=r"cannot be reached \(timed out\)"):
        score(service, patience=0.1)


def test_a_reply_that_drips_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                try:
                    for _ in range(1000):
                        connection.sendall(b" ")
                        time.sleep(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/score"
        began = time.monotonic()
        with pytest.raises(TrainingFailed, match="timed out"):
            RewardService(address, patience=0.3, pauses=()).score(CONVERSATIONS)
        assert time.monotonic() - began < 5
        thread.join()


def test_a_service_that_gives_nan_is_named_with_the_answer(service: Service) -> None:
    service.say = lambda _: rewards([1, float("nan"), 2])  # Python's json reads and writes it
    name = service.address
    mixer = RewardMixer({name: Measured(RewardService(name))}, {name: 1.0})
    with pytest.raises(TrainingFailed, match=r"service .* gave nan for the answer 'Ünd"):
        mixer.measure(CONVERSATIONS)


def test_a_token_goes_to_its_own_host_alone() -> None:
    environment = {"TANDEM_REWARD_TOKENS": "a.example=one  a.example:8443=two B.example=three=="}
    assert token_for("https://a.example/score", environment) == "one"
    assert token_for("https://A.example:8443/score#m", environment) == "two"
    assert token_for("https://b.example/", environment) == "three=="
    for other in (
        "https://a.example.evil/",
        "https://c/?a.example=one",
        "http://a.example:80:1@c/",
    ):
        assert token_for(other, environment) is None
    assert token_for("https://a.example/", {}) is None


@pytest.mark.parametrize("said", ["s3cret", "host=", "=s3cret", "host=s3crét"])
def test_a_token_written_wrongly_is_not_repeated(said: str) -> None:
    with pytest.raises(
        InvalidOption, match="TANDEM_REWARD_TOKENS: it is written HOST=TOKEN"
    ) as told:
        token_for("http://host/", {"TANDEM_REWARD_TOKENS": said})
    assert "s3cr" not in str(told.value)
