"""A connection to an Argilla server, and the few things that are asked of it.

Its SDK is used for what it does well: data sets, their questions, records. What people answered is
read from the server's list of records instead: the SDK leaves out whoever discarded a record
without answering, and its search asks an index that may lag behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from argilla import Argilla, Dataset, Workspace
from argilla._exceptions import ArgillaAPIError, ArgillaCredentialsError, ArgillaError

from storage.errors import InvalidOption, NotFound, ServiceFailed

URL, KEY = "ARGILLA_API_URL", "ARGILLA_API_KEY"
"""Variables of the environment, as Argilla's own SDK calls them."""
RECORDS_AT_ONCE = 100
TRIES = 4
"""After an error the server closes connections, and the next request on one of them fails."""
PAUSE = 0.5
"""Seconds before the second try; each further one waits twice as long."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one person has made of one record."""

    record: str
    """The record's id of ours: the task's."""
    shown: tuple[str, ...] | None
    """Our ids of the responses in the order of its fields; None where it does not say."""
    user: str
    """Argilla's id of the person."""
    status: str
    """submitted, draft or discarded; pending once a response was deleted."""
    values: Mapping[str, Any]
    """By question, what was answered."""
    at: datetime | None
    """When it was last changed; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records of a data set with everything that was answered."""

    records: tuple[str, ...]
    """Ids of ours."""
    answers: tuple[Answered, ...]
    mute: tuple[tuple[str, str], ...] = ()
    """The server's ids and states of responses that it saved without values, with an error 500."""
    done: int
    """Records read so far, with these."""
    total: int
    """Records that the data set holds."""


class Server:
    """An Argilla server that was signed in to."""

    def __init__(self, client: Argilla) -> None:
        self.client = client

    @classmethod
    def open(cls, environment: Mapping[str, str], *, timeout: int = 60) -> Server:
        """Sign in with the key of an owner or an admin.

        Args:
            environment: Holds ARGILLA_API_URL and ARGILLA_API_KEY.
            timeout: Seconds that the server may take to answer.

        Raises:
            InvalidOption: A variable is missing.
            ServiceFailed: The server does not answer, or refuses the key.
        """
        for name in (URL, KEY):
            if not environment.get(name, "").strip():
                raise InvalidOption(
                    name, "set this variable to the address and the key of Argilla", None
                )
        url = environment[URL].strip().rstrip("/")
        with telling(url):
            return cls(Argilla(api_url=url, api_key=environment[KEY].strip(), timeout=timeout))

    @property
    def url(self) -> str:
        """Its address."""
        return str(self.client.api_url)

    def workspace(self, name: str, *, make: bool = False) -> Workspace:
        """The workspace of that name.

        Args:
            name: Its name.
            make: Make it when there is none.

        Raises:
            NotFound: There is none.
            ServiceFailed: The server refused.
        """
        with telling(self.url):
            known = {one.name: one for one in self.client.workspaces}
            if name in known:
                return known[name]
            if not make:
                raise NotFound("Argilla workspace", name, known)
            return Workspace(name=name, client=self.client).create()

    def datasets(self, workspace: Workspace) -> dict[str, Dataset]:
        """The data sets of a workspace, by name."""
        with telling(self.url):
            return {one.name: one for one in workspace.datasets}

    def pages(self, dataset: Dataset) -> Iterator[Page]:
        """All records of a data set with everybody's responses, in the order in which they came.

        Raises:
            ServiceFailed: The server does not answer.
        """
        done = 0
        while True:
            found = self.read(
                f"/api/v1/datasets/{dataset.id}/records",
                {"offset": done, "limit": RECORDS_AT_ONCE, "include": "responses"},
            )
            items = found["items"]
            if not items:
                return
            done += len(items)
            yield Page(
                records=tuple(str(one["external_id"]) for one in items),
                answers=tuple(
                    answered(record, response)
                    for record in items
                    for response in record.get("responses") or ()
                ),
                mute=tuple(
                    (str(response["id"]), str(response["status"]))
                    for record in items
                    for response in record.get("responses") or ()
                    if response.get("values") is None
                ),
                done=done,
                total=int(found.get("total", done)),
            )

    def mend(self, response: str, status: str) -> None:
        """Give a response that was saved without values an empty set of them.

        Until then the server cannot write its record again, nor build its index anew.

        Raises:
            ServiceFailed: It refuses, or does not answer.
        """
        said = {"status": status, "values": {}}
        with telling(self.url):
            path = f"/api/v1/responses/{response}"
            patiently(lambda: _json(self.client.http_client.put(path, json=said)))

    def read(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """What the server has under an address of its interface.

        Raises:
            ServiceFailed: It refuses, or does not answer.
        """
        with telling(self.url):
            return patiently(lambda: _json(self.client.http_client.get(path, params=params)))

    def post(self, path: str, said: Mapping[str, Any]) -> Any:
        """Let the server make something; it is asked once, whatever becomes of it.

        Raises:
            ServiceFailed: It refuses, or does not answer.
        """
        with telling(self.url):
            return _json(self.client.http_client.post(path, json=dict(said)))

    def delete(self, path: str) -> None:
        """Let the server delete something; what is gone already is as good.

        Raises:
            ServiceFailed: It refuses, or does not answer.
        """
        with telling(self.url):
            reply = patiently(lambda: self.client.http_client.delete(path))
            if reply.status_code != httpx.codes.NOT_FOUND:
                reply.raise_for_status()


def _json(reply: httpx.Response) -> Any:
    reply.raise_for_status()
    return reply.json()


def answered(record: Mapping[str, Any], response: Mapping[str, Any]) -> Answered:
    """A response as the server writes it, in its lists and in its events."""
    shown = (record.get("metadata") or {}).get(SHOWN)
    at = response.get("updated_at") or response.get("inserted_at")
    user = response.get("user_id") or (response.get("user") or {}).get("id")
    return Answered(
        record=str(record["external_id"]),
        shown=tuple(str(shown).split(",")) if shown else None,
        user=str(user),
        status=str(response["status"]),
        values={
            name: one.get("value") if isinstance(one, dict) else one
            for name, one in (response.get("values") or {}).items()
        },
        at=None if at is None else _moment(str(at)),
    )


OWNER = f"Put the API key of an owner into {KEY}; Argilla shows it under My settings."
SHOWN = "tandem_shown"
"""The piece of metadata with our ids of the responses, in the order of the fields."""


def patiently(ask: Callable[[], Result]) -> Result:
    """Ask again when the connection broke or the server stumbled; what is asked must not add up."""
    for attempt in range(TRIES):
        try:
            return ask()
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500 or attempt == TRIES - 1:
                raise
        except httpx.TransportError:
            if attempt == TRIES - 1:
                raise
        time.sleep(PAUSE * 2**attempt)
    raise AssertionError("the last try returns or raises")


@contextmanager
def telling(url: str) -> Iterator[None]:
    """Turn what the SDK and the network raise into one sentence.

    Raises:
        ServiceFailed: Always, when one of theirs was raised.
    """
    try:
        yield
    except ArgillaCredentialsError as error:
        raise ServiceFailed(f"Argilla at {url} does not know the key. {OWNER}") from error
    except ArgillaAPIError as error:
        what = {401: "does not know the key", 403: "does not let the key's owner do this"}
        said = what.get(error.status_code, f"answered {error.status_code}: {error}")
        raise ServiceFailed(
            f"Argilla at {url} {said}. {OWNER}"
            if error.status_code in what
            else f"Argilla at {url} {said:.500}"
        ) from error
    except httpx.HTTPStatusError as error:
        raise ServiceFailed(
            f"Argilla at {url} answered {error.response.status_code} to"
            f" {error.request.method} {error.request.url.path}: {error.response.text:.300}"
        ) from error
    except httpx.TransportError as error:
        raise ServiceFailed(
            f"Argilla at {url} cannot be reached ({type(error).__name__}: {error}). Start it, or"
            f" mend {URL}; what came before is kept."
        ) from error
    except ArgillaError as error:
        raise ServiceFailed(f"Argilla at {url}: {error}") from error


def _moment(text: str) -> datetime:
    """A moment as the server writes it, which is UTC where it does not say."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
