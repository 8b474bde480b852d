"""People at an Argilla server, who speak to it as its own screens do.

Connections are not kept: after each 500 the server closes the one that it came on, and it may have
been started anew meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from genuine_server import GenuineServer

PASSWORD = "a password of eight or more"
ALONE = httpx.Limits(max_keepalive_connections=0)
PENDING = {
    "filters": {
        "and": [
            {
                "type": "terms",
                "scope": {"entity": entity, "property": "status"},
                "values": ["pending"],
            }
            for entity in ("record", "response")
        ]
    }
}


class Person:
    """Somebody who is signed in, and answers records."""

    def __init__(self, url: str, username: str) -> None:
        self.username = username
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=60, limits=ALONE)
        given = self.http.post("/token", data={"username": username, "password": PASSWORD})
        self.http.headers["Authorization"] = f"Bearer {self._said(given)['access_token']}"
        self.id = str(self._said(self.http.get("/me"))["id"])

    def pending(self, dataset: str, *, limit: int = 10) -> list[dict[str, Any]]:
        """The next records of this person's queue, in an order of their own."""
        page = self.http.post(
            f"/me/datasets/{dataset}/records/search",
            params={"limit": limit, "include": "responses,suggestions"},
            json=PENDING,
        )
        return [item["record"] for item in self._said(page)["items"]]

    def submit(self, record: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Answer all that is asked."""
        return self._said(self.respond(record, "submitted", values))

    def draft(self, record: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keep an answer that is not finished."""
        return self._said(self.respond(record, "draft", values))

    def discard(self, record: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Pass the record by."""
        return self._said(self.respond(record, "discarded", values or {}))

    def edit(
        self, response: str, values: Mapping[str, Any], *, status: str = "submitted"
    ) -> dict[str, Any]:
        """Say something else than before."""
        body = {"status": status, "values": wrapped(values)}
        return self._said(self.http.put(f"/responses/{response}", json=body))

    def delete(self, response: str) -> dict[str, Any]:
        """Take an answer back. What it was comes back."""
        return self._said(self.http.delete(f"/responses/{response}"))

    def respond(self, record: str, status: str, values: Mapping[str, Any] | None) -> httpx.Response:
        """Whatever the server says to it; with no `values` at all, it says 500 and keeps it."""
        body = {"status": status} | ({} if values is None else {"values": wrapped(values)})
        return self.http.post(f"/records/{record}/responses", json=body)

    @staticmethod
    def _said(reply: httpx.Response) -> dict[str, Any]:
        if reply.is_error:
            raise AssertionError(f"Argilla refused {reply.request.url}: {reply.text[:500]}")
        said: dict[str, Any] = reply.json()
        return said


@dataclass
class Team:
    """A workspace with the people in it, under names that nobody else has."""

    server: GenuineServer
    name: str
    id: str
    owner: httpx.Client

    def join(self, name: str = "person") -> Person:
        """Make an annotator, who belongs to this workspace, and sign them in."""
        made = self.post(
            "/users",
            username=f"{name}-{secrets.token_hex(4)}",
            first_name=name,
            role="annotator",
            password=PASSWORD,
        )
        person = Person(self.server.url, made["username"])
        self.add(person)
        return person

    def add(self, person: Person) -> None:
        """Let somebody from elsewhere work here, too."""
        self.post(f"/workspaces/{self.id}/users", user_id=person.id)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Make something as the owner."""
        reply = self.owner.post(path, json=body)
        if reply.is_error:
            raise AssertionError(f"Argilla refused {path}: {reply.text[:500]}")
        made: dict[str, Any] = reply.json()
        return made

    def get(self, path: str, **asked: str | int) -> dict[str, Any]:
        """Read something as the owner."""
        said: dict[str, Any] = self.owner.get(path, params=asked).raise_for_status().json()
        return said

    def records(self, dataset: str, *, limit: int = 1000, offset: int = 0) -> list[dict[str, Any]]:
        """Records with everybody's responses, oldest first."""
        page = self.get(
            f"/datasets/{dataset}/records",
            include="responses,suggestions",
            limit=limit,
            offset=offset,
        )
        items: list[dict[str, Any]] = page["items"]
        return items


def wrapped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Answers as Argilla writes them."""
    return {question: {"value": value} for question, value in values.items()}


def gather(server: GenuineServer) -> Team:
    """A new workspace."""
    owner = httpx.Client(
        base_url=f"{server.url}/api/v1",
        headers={"X-Argilla-Api-Key": server.owner_key},
        timeout=60,
        limits=ALONE,
    )
    made = owner.post("/workspaces", json={"name": f"team-{secrets.token_hex(4)}"})
    workspace = made.raise_for_status().json()
    return Team(server, workspace["name"], workspace["id"], owner)
