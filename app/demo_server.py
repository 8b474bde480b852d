"""A real server in a process of its own, for as long as the demonstration needs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.processes import own_environment, own_module
from storage.errors import StorageFailed

if TYPE_CHECKING:
    from storage.settings import Settings

START_PATIENCE = 120.0
"""Seconds until a server on a busy machine answers."""
STOP_PATIENCE = 30.0
LOG_TAIL = 600
"""Characters of the server's log to show when it does not start."""


@contextmanager
def running_server(settings: Settings) -> Iterator[str]:
    """Run `tandem serve` on a free port; gives its address, and stops it at the end.

    Raises:
        StorageFailed: It does not start; the end of its log says why.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = settings.folder() / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own module, no shell
            own_module(
                "app.cli",
                *("serve", "--host", "127.0.0.1", "--port", str(port)),
                *("--parent", str(os.getpid())),
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=own_environment(settings, TANDEM_PUBLIC_URL=address),
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(server, address, log)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    import httpx

    deadline = time.monotonic() + START_PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{address}/api/v1/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    tail = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    raise StorageFailed(f"The demo's server did not start. The end of its log: {tail}")
