"""A browser and a running server, started once for all tests that drive the screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browsing import PATIENCE, WIDE, Open
from invented import Invented, fill, people
from pages_desk import HERE, Desk, open_desk
from served import Web
from serving import Served, serving
from workshop import small_reward_model

from storage.database import Database
from storage.records import Annotator, Project
from storage.settings import Settings


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reward model on the tiny base, an adapter, with an opinion of its own."""
    return small_reward_model(tmp_path_factory.mktemp("reward"), rank=2, layers=1)


@pytest.fixture(scope="session")
def running_web(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """What the running server keeps its data in."""
    folder = tmp_path_factory.mktemp("browser")
    shutil.copy(sqlite_template, folder / "tandem.sqlite")
    database = Database(f"sqlite:///{folder / 'tandem.sqlite'}")
    yield Web(Settings(data_dir=folder), database, datetime.now(UTC))
    database.close()


@pytest.fixture(scope="session")
def server(running_web: Web, chromium: Any) -> Iterator[Served]:
    url = f"sqlite:///{running_web.settings.data_dir / 'tandem.sqlite'}"
    with serving(running_web.settings.data_dir, url, pages="annotate") as served:
        yield served


@pytest.fixture
def visit(chromium: Any, server: Served) -> Iterator[Open]:
    """Open a page. In the end, no script may have failed and nothing asked for elsewhere."""
    contexts, failed, elsewhere = [], [], []

    def watch(asked: Any) -> None:
        if not asked.url.startswith((server.address, "data:", "blob:")):
            elsewhere.append(asked.url)

    def open_page(**options: Any) -> Any:
        context = chromium.new_context(base_url=server.address, **(options or WIDE))
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on("request", watch)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert failed == []
    assert elsewhere == []


@pytest.fixture
def unserved(chromium: Any) -> Iterator[Open]:
    """Open a page that no server stands behind; `mocked.Mocked` answers."""
    contexts, failed = [], []

    def open_page(**options: Any) -> Any:
        context = chromium.new_context(**(options or WIDE))
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failed.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert failed == []


@pytest.fixture
def own_project(running_web: Web, request: pytest.FixtureRequest) -> Project:
    """A project for this test alone."""
    return running_web.project(request.node.name, prompts=6)


# Drawing the pages takes seconds, so each installation is made once; tests leave one another alone.


@pytest.fixture(scope="module")
def empty_desk(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, tuple[Annotator, Annotator, Annotator]]]:
    """Nothing but an administrator, a researcher and an annotator."""
    for desk in open_desk(sqlite_template, tmp_path_factory.mktemp("empty")):
        yield desk, people(desk.database, datetime.now(UTC))


@pytest.fixture(scope="module")
def filled(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, Invented]]:
    for desk in open_desk(sqlite_template, tmp_path_factory.mktemp("full")):
        desk.home = HERE
        yield desk, fill(desk.database, desk.settings, datetime.now(UTC), prompts=40)


@pytest.fixture
def full_desk(filled: tuple[Desk, Invented]) -> tuple[Desk, Invented]:
    """A whole installation, with its administrator at the desk."""
    desk, invented = filled
    return desk.sit(invented.administrator), invented
