"""A server on this machine that answers as chat completions do, and says what a test wants."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Said = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
"""Status, and the body as JSON, of which a text or bytes are sent as they are; and headers."""

_ANSWERS = re.compile(
    r"\[The Start of Assistant (?P<who>[AB])'s Answer (?P<code>\w+)\]\n(?P<text>.*?)\n"
    r"\[The End of Assistant (?P=who)'s Answer (?P=code)\]",
    re.DOTALL,
)


def completion(text: str | None, **more: Any) -> Said:
    """A whole reply with 100 tokens read and 10 written."""
    return 200, {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": more.pop("finish_reason", "stop"),
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        **more,
    }


def echo(asked: Mapping[str, Any]) -> Said:
    """A policy whose answer says what it was asked."""
    return completion(f"Answer to {asked['messages'][-1]['content']}")


def answers(asked: Mapping[str, Any]) -> tuple[str, str]:
    """The two answers in a request for a verdict, A and B."""
    found = {one["who"]: one["text"] for one in _ANSWERS.finditer(asked["messages"][-1]["content"])}
    return found["A"], found["B"]


def longer(asked: Mapping[str, Any]) -> Said:
    """An honest judge that likes the longer answer."""
    first, second = map(len, answers(asked))
    mark = "C" if first == second else "A" if first > second else "B"
    return completion(f"Both were read.\n\n[[{mark}]]")


@dataclass
class FakeServer:
    """What was asked, with which headers, and how many requests were there at once."""

    base_url: str
    say: Callable[[Mapping[str, Any]], Said]
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0
    most_at_once: int = 0
    delay: float = 0.0
    """Seconds before each reply."""

    @property
    def host(self) -> str:
        return self.base_url.split("/")[2]

    @property
    def keys(self) -> set[str]:
        """What was shown, each once."""
        return {one["authorization"].removeprefix("Bearer ") for one in self.headers}

    @property
    def questions(self) -> list[str]:
        """The last turn of each request."""
        return [one["messages"][-1]["content"] for one in self.asked]

    def arm(self, model: str = "served-1") -> str:
        """A model here, as policies are named."""
        return f"openai:{model}@{self.base_url}"


@contextmanager
def openai_server(say: Callable[[Mapping[str, Any]], Said] = longer) -> Iterator[FakeServer]:
    """A server in a thread; `server.say` may be changed while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not body:
                return  # whoever asked has gone in the middle of it
            asked = {"path": self.path, **json.loads(body)}
            with server.lock:
                server.asked.append(asked)
                server.headers.append({name.lower(): text for name, text in self.headers.items()})
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            time.sleep(server.delay)
            status, reply, *headers = server.say(asked)
            with server.lock:
                server.at_once -= 1
            raw = reply if isinstance(reply, str | bytes) else json.dumps(reply)
            raw = raw.encode() if isinstance(raw, str) else raw
            with suppress(ConnectionError):  # who asked may have gone
                self.send_response(status)
                kind = "text/html" if isinstance(reply, str) else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(raw)))
                for name, text in dict(*headers).items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    running = Server(("127.0.0.1", 0), Handler)
    server = FakeServer(f"http://127.0.0.1:{running.server_port}/v1", say)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
