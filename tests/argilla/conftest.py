"""One genuine Argilla server for all tests of a process; each test gets a workspace of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from argilla_people import Team, gather
from genuine_server import GenuineServer, running

PYTHON = os.environ.get("TANDEM_TEST_ARGILLA", "")


@pytest.fixture(scope="session")
def argilla_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GenuineServer]:
    """Started once, with a worker; a test that stops it starts it again."""
    if not PYTHON:
        pytest.skip("TANDEM_TEST_ARGILLA is not set; see .ci/argilla.")
    with running(Path(PYTHON), tmp_path_factory.mktemp("argilla")) as server:
        yield server


@pytest.fixture
def team(argilla_server: GenuineServer) -> Iterator[Team]:
    """A workspace with throw-away names and nobody in it but the owner."""
    fresh = gather(argilla_server)
    yield fresh
    fresh.owner.close()
