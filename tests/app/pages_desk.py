"""The researcher's pages without a browser: their handlers, asked as a browser would ask them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.forms import label
from storage import snapshots
from storage.database import Database
from storage.records import (
    Annotator,
    ProjectId,
    Snapshot,
)
from storage.settings import Settings

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
HERE = "?project=everyday+questions"
PAGES = ("", "data", "check", "quality", "train", "models", "studies", "people")


@dataclass
class Desk:
    """The pages, mounted behind a gate that lets whoever is named here pass."""

    settings: Settings
    database: Database
    pages: Any
    client: TestClient
    seated: list[Annotator]
    home: str = ""
    """What the address bar says, where a test does not say otherwise."""

    def sit(self, person: Annotator) -> Desk:
        self.seated[:] = [person]
        return self

    def handlers(self, path: str, event: str) -> list[Any]:
        """The handlers of a page that an event starts, in the order in which they were bound."""
        return [
            one
            for one in self.pages.fns.values()
            if one.fn is not None and one.page == path and any(t[1] == event for t in one.targets)
        ]

    def handler(self, path: str, name: str) -> Any:
        found = [
            one
            for one in self.pages.fns.values()
            if one.fn is not None and one.page == path and one.fn.__name__ == name
        ]
        assert found, f"no handler {name!r} on page {path!r}"
        return found[0]

    def form(self, having: str, name: str = "start") -> tuple[Any, dict[str, Any]]:
        """The first handler on Train with this name and input, and its inputs by their labels."""
        found = next(
            one
            for one in self.handlers("train", "click")
            if one.fn.__name__ == name and having in [shown.label for shown in one.inputs]
        )
        return found, {shown.label: shown.value for shown in found.inputs}

    def newest_snapshot(self, project: ProjectId) -> Snapshot:
        with self.database.read() as connection:
            return snapshots.snapshots(connection, project)[0]

    def call(self, handler: Any, *values: Any, address: str | None = None) -> list[Any]:
        """What the browser would get; inputs that are not given hold what the page shows first."""
        address = self.home if address is None else address
        shown = [component.value for component in handler.inputs]
        reply = self.client.post(
            f"/research/gradio_api/run/predict{address}",
            json={
                "data": [*values, *shown[len(values) :]],
                "fn_index": handler._id,
                "session_hash": "desk",
            },
        )
        assert reply.status_code == 200, reply.text
        return list(reply.json()["data"])

    def opened(self, path: str, address: str | None = None) -> str:
        """Everything that opening a page draws, as text."""
        drawn = [self.call(one, address=address) for one in self.handlers(path, "load")]
        assert drawn, f"page {path!r} draws nothing when it is opened"
        refused = [data[-1] for data in drawn if isinstance(data[-1], str) and data[-1]]
        assert not refused, refused
        return json.dumps(drawn, ensure_ascii=False)


def open_desk(template: Path, data_dir: Path) -> Iterator[Desk]:
    import gradio as gr

    from app.pages.research import research_page

    settings = Settings(data_dir=data_dir)
    shutil.copy(template, data_dir / "tandem.sqlite")
    database = Database(settings.database)
    pages = research_page(settings, database)
    seated: list[Annotator] = []
    app = gr.mount_gradio_app(
        FastAPI(),
        pages,
        "/research",
        auth_dependency=lambda request: seated[0].id,
        show_error=False,
    )
    yield Desk(settings, database, pages, TestClient(app), seated)
    database.close()


def refusal_of(data: list[Any]) -> str:
    """The sentence of a refusal, after a look that nothing else was drawn with it."""
    for one in data[:-1]:
        assert one["__type__"] == "update"
        assert set(one.get("props", one)) == {"__type__"}, one
    assert 'role="alert"' in data[-1]
    return str(data[-1])


def uploaded(desk: Desk, file: Path) -> dict[str, Any]:
    """A file as the browser hands it to a handler."""
    reply = desk.client.post(
        "/research/gradio_api/upload", files={"files": (file.name, file.read_bytes())}
    )
    assert reply.status_code == 200, reply.text
    return {"path": reply.json()[0], "meta": {"_type": "gradio.FileData"}}


def open_study(
    desk: Desk, policy: str | None, others: list[str], files: Any = None, **typed: Any
) -> list[Any]:
    """Fill the form of the Studies page in and send it; options go by their names."""
    handler = desk.handler("studies", "open_study")
    values = {shown.label: shown.value for shown in handler.inputs}
    asked, against, drop = list(values)[:3]
    named = {label(name): value for name, value in {"title": "Strangers", **typed}.items()}
    assert named.keys() <= values.keys(), f"no such option: {named.keys() - values.keys()}"
    return desk.call(
        handler, *(values | named | {asked: policy, against: others, drop: files}).values()
    )
