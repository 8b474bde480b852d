"""Following what people say in Argilla: its messages as they come, and a pull now and then.

A message is acknowledged when its answer is on disk; one that is not is sent again by Argilla, and
the next pull finds what never came. Either side may be restarted at any time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from socket import socket
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from feedback.argilla.events import Subscription, read_event, subscribe, unsubscribe
from feedback.argilla.pulling import project_datasets, pull
from feedback.argilla.report import Pulled
from feedback.argilla.taking import Desk
from storage.errors import InvalidData, NotAllowed, NotFound, ServiceFailed
from storage.projects import project_named

if TYPE_CHECKING:
    from feedback.argilla.server import Server
    from storage.database import Database
    from storage.records import Project

PATH = "/argilla"
"""Where Argilla's messages are taken."""
LONGEST_MESSAGE = 16 * 2**20
"""Bytes; a message holds a whole record."""
PATIENCE = 5.0
"""Seconds until a server that did not answer is asked again; each time twice as long."""

Tell = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Following:
    """One project that is followed."""

    database: Database
    server: Server
    project: Project
    now: Callable[[], datetime]
    tell: Tell
    """Told each thing that happened, in a sentence."""
    datasets: set[str] = field(default_factory=set)
    """Ids of the project's data sets on the server."""
    subscription: Subscription | None = None
    _taking: threading.Lock = field(default_factory=threading.Lock)

    def catch_up(self) -> Pulled:
        """Pull everything that was answered.

        Raises:
            NotFound: The project's workspace, or every data set in it, is gone.
            ServiceFailed: The server does not answer.
        """
        found = project_datasets(self.database, self.server, self.project)
        self.datasets = {str(one.id) for one in found}
        with self._taking:
            report = pull(self.database, self.server, self._as_it_is(), now=self.now())
        self._say(report)
        return report

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Take one message; when this returns, it is on disk or nothing that concerns us.

        Raises:
            NotAllowed: It is not signed, or nothing was subscribed to yet.
            InvalidData: It cannot be read.
        """
        if self.subscription is None:
            raise NotAllowed("Nothing was asked of an Argilla server yet.")
        said = read_event(self.subscription, body, headers)
        if said is None or said[0] not in self.datasets:
            return
        with self._taking:
            report = Pulled()
            Desk(self.database, self._as_it_is(), report).take([said[1]], now=self.now())
        self._say(report)

    @contextmanager
    def subscribed(self, address: str) -> Iterator[None]:
        """Let the server send its messages to an address meanwhile.

        Raises:
            ServiceFailed: The server refused, or does not answer.
        """
        self.subscription = subscribe(
            self.server, address, f"Tandem, project {self.project.name}"[:1000]
        )
        try:
            yield
        finally:
            # It ends without our leave as well: the address does not answer any more.
            with suppress(ServiceFailed):
                unsubscribe(self.server, self.subscription)

    def _as_it_is(self) -> Project:
        with self.database.read() as connection:
            return project_named(connection, self.project.id)

    def _say(self, report: Pulled) -> None:
        if (sentence := report.sentence()) != Pulled().sentence():
            self.tell(sentence)


def follow(
    following: Following,
    *,
    every: float,
    stopping: threading.Event,
    listener: socket | None = None,
    address: str = "",
) -> None:
    """Follow a project until it is to stop.

    Args:
        following: What to follow.
        every: Seconds between two pulls.
        stopping: Set when it is to stop.
        listener: Where Argilla's messages come in; None pulls alone.
        address: How Argilla reaches the listener, without a path.

    Raises:
        InvalidData, NotFound: The project is not in Argilla, when following begins.
    """
    pause = PATIENCE
    with _served(following, listener):
        while not stopping.is_set():
            try:
                following.catch_up()
                if listener is None:
                    stopping.wait(every)
                    continue
                with following.subscribed(f"{address.rstrip('/')}{PATH}"):
                    # What came before the subscription, and now and then what was never told.
                    while not stopping.is_set():
                        following.catch_up()
                        pause = PATIENCE
                        stopping.wait(every)
            except ServiceFailed as error:
                following.tell(f"{error} Trying again in {pause:.0f} s.")
                stopping.wait(pause)
                pause = min(2 * pause, max(every, PATIENCE))


def receiver(following: Following) -> FastAPI:
    """The web server that takes Argilla's messages, and nothing else."""
    server = FastAPI(title="Tandem, for Argilla", openapi_url=None)

    @server.post(PATH)
    async def message(request: Request) -> dict[str, bool]:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_MESSAGE:
                raise HTTPException(413, "The message is too long.")
        try:
            await run_in_threadpool(following.take, bytes(body), dict(request.headers))
        except NotAllowed as error:
            raise HTTPException(403, str(error)) from error
        except (InvalidData, NotFound) as error:
            raise HTTPException(422, str(error)) from error
        return {"taken": True}

    return server


@contextmanager
def _served(following: Following, listener: socket | None) -> Iterator[None]:
    """Take messages in a thread of its own meanwhile."""
    if listener is None:
        yield
        return
    import uvicorn

    config = uvicorn.Config(receiver(following), log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="argilla", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)
