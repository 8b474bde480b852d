"""A listener on this machine for the webhooks of an Argilla server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

PATIENCE = 60.0
"""Seconds an event may take; the worker starts a process for each."""


@dataclass(frozen=True)
class Delivery:
    """One event as it arrived."""

    headers: dict[str, str]
    body: bytes

    def read(self, secret: str) -> dict[str, Any]:
        """What it says.

        Raises:
            WebhookVerificationError: Somebody else signed it.
        """
        said: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return said


@dataclass
class Listener:
    """Keeps what arrives, in the order it arrives."""

    address: str
    refusing: bool = False
    """Whether to say that it could not be taken; it is kept all the same."""
    deliveries: list[Delivery] = field(default_factory=list)

    def wait_for(self, count: int) -> list[Delivery]:
        """The first `count` deliveries, as soon as they are there."""
        deadline = time.monotonic() + PATIENCE
        while len(self.deliveries) < count:
            assert time.monotonic() < deadline, f"{len(self.deliveries)} of {count} events came"
            time.sleep(0.05)
        return self.deliveries[:count]


@contextmanager
def listening() -> Iterator[Listener]:
    """A server in a thread that takes whatever is posted to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = 500 if listener.refusing else 200
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            listener.deliveries.append(Delivery(headers, body))
            self.send_response(answer)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(f"http://127.0.0.1:{server.server_port}/argilla")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
