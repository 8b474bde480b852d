"""Rewards from another program, over HTTP: another Tandem, or anything that speaks as it does.

The address is an http or https URL; what stands behind a `#` is the model's name there. One request
holds at most 64 conversations, with 200,000 characters together unless one alone has more:

    POST /api/v1/score
    Authorization: Bearer TOKEN                           (where there is a token, see below)

    {"model": "helpful",                                  (where the address names one)
     "conversations": [{"prompt": [{"role": "user", "content": "Hello?"}], "response": "Hi."}]}

and the reply, in the same order, whatever else it may hold:

    {"scores": [{"reward": 0.25}]}

That is what Tandem's own `/api/v1/score` takes and gives, so with an address such as
`https://tandem.example/api/v1/score#helpful` one Tandem rewards for another.

Tokens come from the environment variable TANDEM_REWARD_TOKENS alone, as `HOST=TOKEN` or
`HOST:PORT=TOKEN` with spaces between, and each goes to its own host and to no other: whoever may
start a run may name any address.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from json import dumps, loads
from typing import Annotated

import httpx
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import InvalidOption, TrainingFailed
from storage.records import Message

TOKENS = "TANDEM_REWARD_TOKENS"
MOST_CONVERSATIONS = 64
MOST_CHARACTERS = 200_000
"""In one request, prompts and answers together."""
MOST_BYTES = 2**20
"""Of a reply; 64 rewards take a hundredth of it."""
PATIENCE = 120.0
"""Seconds until a whole reply is there."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Seconds between one try and the next: a restart of the service takes less than all together."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Replies after which to try again."""

log = logging.getLogger(__name__)

Conversation = tuple[Sequence[Message], str]


class _Score(BaseModel):
    reward: Annotated[float, Field(strict=True)]


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True)

    scores: list[_Score]


class RewardService:
    """A program at an address, as a source of rewards."""

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        patience: float = PATIENCE,
        pauses: Sequence[float] = PAUSES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask at `address`, and show the token there if there is one.

        Args:
            address: As it stands in the configuration.
            token: What to show.
            patience: Seconds until a whole reply is there.
            pauses: Seconds to wait between one try and the next; without any there is one try.
            sleep: Does the waiting.
        """
        self.address = address
        self._url, _, self._model = address.partition("#")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._patience = patience
        self._pauses = tuple(pauses)
        self._sleep = sleep

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """Rewards in the service's own unit, shape (N,).

        Raises:
            TrainingFailed: It cannot be reached, refuses, or replies with something else than a
                number for each answer; says which.
        """
        rewards: list[float] = []
        with httpx.Client(headers=self._headers, timeout=self._patience) as client:
            for batch in _batches(conversations):
                rewards += self._read(self._ask(client, _body(self._model, batch)), len(batch))
        return np.array(rewards, dtype=float)

    def _ask(self, client: httpx.Client, body: bytes) -> bytes:
        """The service's reply to a request, after as many tries as it takes."""
        for pause in (*self._pauses, None):
            try:
                status, reply = self._send(client, body)
            except httpx.HTTPError as error:
                problem = f"cannot be reached ({error or type(error).__name__})"
            else:
                if status == httpx.codes.OK:
                    return reply
                problem = f"answered {status}{_hint(status)}{_quoted(reply)}"
                if status not in PASSING:
                    break
            if pause is not None:
                log.warning("%s %s; next try in %g s", self.address, problem, pause)
                self._sleep(pause)
        raise self._failed(problem)

    def _send(self, client: httpx.Client, body: bytes) -> tuple[int, bytes]:
        # Bounded in time and size as a whole; httpx itself bounds each piece alone.
        until = time.monotonic() + self._patience
        with client.stream("POST", self._url, content=body) as reply:
            read = b""
            for piece in reply.iter_bytes():
                read += piece
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("timed out")
                if len(read) > MOST_BYTES:
                    raise self._failed(f"answered with more than {MOST_BYTES:,} bytes")
            return reply.status_code, read

    def _read(self, reply: bytes, answers: int) -> list[float]:
        try:
            scores = _Reply.model_validate_json(reply).scores
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            problem = f"{place}: {first['msg']}" if place else first["msg"]
            raise self._failed(
                f"answered with something else than rewards ({problem}){_quoted(reply)}"
            ) from error
        if len(scores) != answers:
            raise self._failed(f"gave {len(scores)} rewards for {answers} answers")
        return [score.reward for score in scores]

    def _failed(self, problem: str) -> TrainingFailed:
        return TrainingFailed(
            f"The reward service {self.address} {problem}. The last checkpoint stays."
        )


def _hint(status: int) -> str:
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f" (a token for it stands in the worker's environment as {TOKENS}=HOST=TOKEN)"
    if httpx.codes.is_redirect(status):
        return " (it leads elsewhere; name the address where it leads to)"
    return ""


def _quoted(reply: bytes) -> str:
    """The beginning of what a service says; of what Tandem says when it refuses, the sentence."""
    text = reply.decode("utf-8", errors="replace")
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        text = str(loads(text)["error"])
    said = " ".join(text.split())
    return f", saying {said[:300]!r}" if said else ""


def token_for(address: str, environment: Mapping[str, str]) -> str | None:
    """What the environment says to show at this address; None where it says nothing.

    Raises:
        InvalidOption: The variable is not written `HOST=TOKEN`. No part of it is told.
    """
    host = httpx.URL(address).netloc.decode("ascii").lower()
    for part in environment.get(TOKENS, "").split():
        place, equals, token = part.partition("=")
        if not (place and equals and token and token.isascii() and token.isprintable()):
            raise InvalidOption(
                TOKENS, "it is written HOST=TOKEN, with spaces between several", "something else"
            )
        if place.lower() == host:
            return token
    return None


def _batches(conversations: Sequence[Conversation]) -> Iterator[list[Conversation]]:
    batch: list[Conversation] = []
    characters = 0
    for messages, answer in conversations:
        size = len(answer) + sum(len(message["content"]) for message in messages)
        if batch and (len(batch) == MOST_CONVERSATIONS or characters + size > MOST_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append((messages, answer))
        characters += size
    if batch:
        yield batch


def _body(model: str, batch: Sequence[Conversation]) -> bytes:
    named = {"model": model} if model else {}
    asked = [
        {
            "prompt": [{"role": turn["role"], "content": turn["content"]} for turn in messages],
            "response": answer,
        }
        for messages, answer in batch
    ]
    return dumps({**named, "conversations": asked}).encode()
