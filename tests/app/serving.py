"""The server in a process of its own, as it runs for people: to be driven, cut off and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
from ports import free_port

PATIENCE = 200.0
"""Seconds to start; a busy machine takes 30 to import gradio."""
ROOT = Path(__file__).parents[2]

Pages = Literal["all", "annotate", "none"]

_SERVE = """
import sys
import types
from pathlib import Path
import uvicorn
import app.server
from storage.database import Database
from storage.settings import Settings

data_dir, url, port, pages = sys.argv[1:]
if pages == "annotate":
    # The researcher's pages take most of the start and have tests of their own.
    import gradio

    research = types.ModuleType("app.pages.research")
    research.research_page = lambda *_: gradio.Blocks()
    sys.modules[research.__name__] = research
settings = Settings(data_dir=Path(data_dir), database_url=url, port=int(port))
database = Database(settings.database)
database.migrate()
if pages == "none":
    app.server._mount_pages = lambda *_: None
uvicorn.run(
    app.server.create_app(settings, database),
    host="127.0.0.1",
    port=settings.port,
    log_level="warning",
)
"""


class Served:
    """A server that can be started, killed and started again at the same address.

    `pages` says how much of Gradio it carries: "all", "annotate" (starts faster) or "none".
    """

    def __init__(self, data_dir: Path, database_url: str, *, pages: Pages) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._arguments = [
            str(data_dir),
            database_url,
            str(self.port),
            pages,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *self._arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the server ended while it started"
            try:
                if httpx.get(f"{self.address}/api/v1/health").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not start in time")

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def serving(data_dir: Path, database_url: str, *, pages: Pages) -> Iterator[Served]:
    """A running server; killed in the end."""
    served = Served(data_dir, database_url, pages=pages)
    try:
        served.start()
        yield served
    finally:
        served.kill()
