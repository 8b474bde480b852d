"""Argilla's side: a genuine server 2.8, and browsers that do as its own screen.

The server is that of the tests. Like its screen, an annotator reads pages of ten pending records;
the counts that the screen also asks for after each judgement are left out, in the peer's favour.
"""

from __future__ import annotations

import json
import random
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
from argilla_people import PENDING
from genuine_server import running

from annotating.browser import Browser, Unanswered
from annotating.side import OVERLAP, Asked, Kept, Side

PAGE = 10
GRADES = (
    *("left much better", "left better", "left slightly better", "tie"),
    *("right slightly better", "right better", "right much better"),
)


@contextmanager
def argilla(python: Path, folder: Path, people: int) -> Iterator[Argilla]:
    """Run a server on a fresh SQLite database in `folder`, with `people` in one workspace."""
    with (
        running(Path(python), folder, worker=False) as genuine,
        httpx.Client(
            base_url=f"{genuine.url}/api/v1",
            headers={"X-Argilla-Api-Key": genuine.owner_key},
            timeout=120,
        ) as owner,
    ):
        ours = psutil.Process().children()
        (server,) = (one for one in ours if {"argilla_server", "start"} <= set(one.cmdline()))
        helpers = [one for one in ours if _is_helper(one)]
        workspace = _post(owner, "/workspaces", name="load")["id"]
        keys = [_add_person(owner, workspace, number) for number in range(people)]
        side = Side("argilla", server, helpers)
        yield Argilla(side, owner, workspace, genuine.port, keys)


class Argilla:
    """The running server."""

    def __init__(
        self, side: Side, owner: httpx.Client, workspace: str, port: int, keys: Sequence[str]
    ) -> None:
        self.side = side
        self._owner = owner
        self._workspace = workspace
        self._port = port
        self._keys = keys

    def begin(self, name: str, asked: Sequence[Asked]) -> str:
        """Make a dataset that asks what Tandem asks: a grade of seven steps and two ratings."""
        dataset: str = _post(
            self._owner,
            "/datasets",
            name=name,
            workspace_id=self._workspace,
            distribution={"strategy": "overlap", "min_submitted": OVERLAP},
        )["id"]
        here = f"/datasets/{dataset}"
        for field in ("prompt", "left", "right"):
            text = {"type": "text", "use_markdown": True}
            _post(self._owner, f"{here}/fields", name=field, title=field, settings=text)
        grades = [{"value": grade, "text": grade} for grade in GRADES]
        ratings = [{"value": value} for value in range(1, 8)]
        for question, settings in (
            ("grade", {"type": "label_selection", "options": grades}),
            ("left", {"type": "rating", "options": ratings}),
            ("right", {"type": "rating", "options": ratings}),
        ):
            _post(
                self._owner,
                f"{here}/questions",
                name=question,
                title=question,
                required=True,
                settings=settings,
            )
        self._owner.put(f"{here}/publish").raise_for_status()
        records = [
            {"fields": {"prompt": one.prompt, "left": left, "right": right}}
            for one in asked
            for left, right in one.pairs
        ]
        for start in range(0, len(records), 200):
            _post(self._owner, f"{here}/records/bulk", items=records[start : start + 200])
        return dataset

    def desk(self, number: int, project: str, rng: random.Random) -> ArgillaDesk:
        """A browser with that annotator's key."""
        browser = Browser(self._port, {"X-Argilla-Api-Key": self._keys[number]})
        return ArgillaDesk(browser, project, rng)

    def stored(self, project: str) -> list[Kept]:
        """Ask for every record; this reads the database, not the search engine."""
        kept: list[Kept] = []
        for offset in range(0, 1_000_000, 500):
            page: dict[str, str | int] = {"include": "responses", "limit": 500, "offset": offset}
            reply = self._owner.get(f"/datasets/{project}/records", params=page).raise_for_status()
            records = reply.json()["items"]
            for record in records:
                kept += [
                    Kept(one["id"], record["id"], one["user_id"])
                    for one in record["responses"]
                    if one["status"] == "submitted"
                ]
            if len(records) < 500:
                return kept
        raise AssertionError("more records than were logged")


class ArgillaDesk:
    """One annotator's screen."""

    def __init__(self, browser: Browser, dataset: str, rng: random.Random) -> None:
        self._browser = browser
        self._search = f"/api/v1/me/datasets/{dataset}/records/search?limit={PAGE}"
        self._rng = rng
        self._held: deque[str] = deque()
        self._sent = ("", b"")

    async def fetch(self) -> bool:
        """Turn to the next page when this one is done."""
        if not self._held:
            page = await self._browser.ask("POST", self._search, json.dumps(PENDING).encode())
            self._held.extend(item["record"]["id"] for item in json.loads(page)["items"])
        return bool(self._held)

    async def submit(self) -> str:
        """Grade and rate at random."""
        draw = self._rng.randint
        values: dict[str, Any] = {
            "grade": {"value": self._rng.choice(GRADES)},
            "left": {"value": draw(1, 7)},
            "right": {"value": draw(1, 7)},
        }
        body = json.dumps({"status": "submitted", "values": values}).encode()
        self._sent = (f"/api/v1/records/{self._held.popleft()}/responses", body)
        kept: str = json.loads(await self._browser.ask("POST", *self._sent))["id"]
        return kept

    async def resend(self) -> None:
        """Argilla refuses a second response to the same record, which is as good."""
        try:
            await self._browser.ask("POST", *self._sent)
        except Unanswered as refusal:
            if " 409:" not in str(refusal) and " 422:" not in str(refusal):
                raise

    def leave(self) -> None:
        """Close the connection."""
        self._browser.close()


def _post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json=body)
    if reply.is_error:
        raise RuntimeError(f"Argilla refused {path}: {reply.text[:300]}")
    answer: dict[str, Any] = reply.json() if reply.content else {}
    return answer


def _add_person(owner: httpx.Client, workspace: str, number: int) -> str:
    person = _post(
        owner,
        "/users",
        username=f"person{number}",
        first_name="person",
        role="annotator",
        password=secrets.token_hex(8),
    )
    _post(owner, f"/workspaces/{workspace}/users", user_id=person["id"])
    return str(person["api_key"])


def _is_helper(process: psutil.Process) -> bool:
    command = " ".join(process.cmdline())
    return "osmem" in command or "search_shim" in command
