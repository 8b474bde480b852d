"""A reward service on this machine, that says what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, bytes]


def words(asked: Mapping[str, Any]) -> Reply:
    """Rewards each word of an answer."""
    return rewards([len(one["response"].split()) for one in asked["conversations"]])


def rewards(values: list[Any]) -> Reply:
    return 200, json.dumps({"scores": [{"reward": value} for value in values]}).encode()


@dataclass
class Service:
    """What was asked of a service, and with which headers."""

    address: str
    say: Callable[[Mapping[str, Any]], Reply]
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


@contextmanager
def reward_service(say: Callable[[Mapping[str, Any]], Reply] = words) -> Iterator[Service]:
    """A server in a thread; `service.say` may be changed while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.headers.append(dict(self.headers))
            service.asked.append({"path": self.path, **json.loads(body)})
            status, reply = service.say(service.asked[-1])
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            with suppress(ConnectionError):  # who asked may have gone
                self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_port}/score", say)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
