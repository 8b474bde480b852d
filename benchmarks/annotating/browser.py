"""What stands for an annotator's browser: one kept-open connection, one request at a time.

A full HTTP client spends as much processor time on a request as the server does, on the same two
cores, and would measure itself. This one knows only what both servers answer: HTTP/1.1, read by the
parser that uvicorn uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httptools

PATIENCE = 120.0
"""Seconds that one reply may take."""


class Unanswered(Exception):
    """The server refused with a status, or did not answer."""


class Browser(asyncio.Protocol):
    """One connection to a server of this machine, opened anew when the server closed it."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._port = port
        fixed = {"Host": f"127.0.0.1:{port}", "Accept": "application/json", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send one request and wait for the body of its reply.

        Raises:
            Unanswered: The status says no, or nothing came.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            try:
                self._transport, _ = await loop.create_connection(
                    lambda: self, "127.0.0.1", self._port
                )
            except OSError as error:
                raise Unanswered(f"{method}: {error.strerror}") from error
        self._parser = httptools.HttpResponseParser(self)
        self._body = []
        self._reply = loop.create_future()
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(
            f"{method} {path} HTTP/1.1\r\n{self._head}{length if body else ''}\r\n".encode() + body
        )
        try:
            said = await asyncio.wait_for(self._reply, PATIENCE)
        except (TimeoutError, ConnectionError) as error:
            self.close()
            raise Unanswered(f"{method}: {type(error).__name__}") from error
        status = self._parser.get_status_code()
        if status >= 400:
            raise Unanswered(f"{method} {status}: {said[:120].decode(errors='replace')}")
        return said

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take a piece of the reply."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that no more will come."""
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("closed by the server"))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the whole body over."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(b"".join(self._body))
