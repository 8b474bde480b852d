"""`tandem serve`: the web server in this process, the worker beside it, a link to sign in."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from app.child import die_with
from app.importing import add_starter_project
from app.processes import own_environment, own_module
from app.progress import utc_now
from storage.errors import StorageFailed

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
"""Seconds before a worker that keeps dying is started once more."""
WORKER_PATIENCE = 15.0
"""Seconds that the worker has to end its jobs' processes before it is killed."""
GRACE = 5
"""Seconds that open requests have to finish when the server stops."""


def serve(settings: Settings, *, parent: int | None = None) -> None:
    """Run until Ctrl-C or SIGTERM, then stop server and worker cleanly.

    Args:
        settings: Where everything is kept and where to listen.
        parent: End with this process; None means run alone.

    Raises:
        StorageFailed: The port is taken, or the database cannot be used.
    """
    import uvicorn

    from storage.database import Database

    listener = listen(settings.host, settings.port)
    if settings.port == 0:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    settings.folder()
    database = Database(settings.database)
    database.migrate()
    _first_run(database)
    from app.server import create_app

    config = uvicorn.Config(
        create_app(settings, database),
        log_level="warning",
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    # uvicorn stops in good order and then raises the signal that stopped it once more. For SIGTERM
    # too this is to be an exception, so that the worker is stopped by us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if parent is not None:
        die_with(parent, signal.SIGTERM)
    worker = WorkerProcess(settings)
    worker.start()
    try:
        sys.stdout.write(
            f"\n  Tandem is at {settings.address}\n"
            f"  {_way_in(database, settings)}\n"
            f"  Everything is kept in {settings.data_dir}. Stop with Ctrl-C.\n\n"
        )
        sys.stdout.flush()
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        logger.info("Stopping.")
    finally:
        worker.stop()
        database.close()


class WorkerProcess:
    """The worker in a process of its own, started again whenever it dies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        # The process gets a signal when the thread that started it ends, so this thread lives on.
        self._thread = threading.Thread(target=self._keep_alive, name="worker", daemon=True)

    def start(self) -> None:
        """Start it in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End it; running jobs go on when it starts again."""
        self._stopping.set()
        self._thread.join(WORKER_PATIENCE + 5)

    def _keep_alive(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            began = time.monotonic()
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                own_module("app.cli", "worker", "--parent", str(os.getpid())),
                env=own_environment(self._settings),
                # Ctrl-C reaches a whole terminal group; the worker is to hear of it from us alone.
                start_new_session=True,
            )
            while process.poll() is None:
                if self._stopping.wait(0.2):
                    _end(process)
                    return
            pause = 1.0 if time.monotonic() - began > 60 else min(2 * pause, LONGEST_PAUSE)
            logger.error(
                "The worker ended with code %s; it starts again in %.0f seconds.",
                process.returncode,
                pause,
            )
            self._stopping.wait(pause)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(WORKER_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything else is done.

    Raises:
        StorageFailed: Another program has it, or the address is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StorageFailed(
                f"Port {port} on {host} is taken, perhaps by another Tandem; stop that one or"
                f" choose another port: tandem serve --port {port + 1}."
            ) from error
        raise StorageFailed(
            f"Cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or"
            " --port."
        ) from error
    return listener


def _way_in(database: Database, settings: Settings) -> str:
    """How to sign in: a fresh link until an administrator has used one, then how to get another.

    Once somebody is in, a link at every start would be a way in for whoever reads the logs.
    """
    from app.access import first_link
    from storage import annotators
    from storage.records import Role

    with database.read() as connection:
        for person in annotators.annotators(connection):
            if person.role is not Role.ADMINISTRATOR or not person.active:
                continue
            if annotators.has_signed_in(connection, person.id):
                return f"For a new sign-in link: tandem users link {shlex.quote(person.name)}"
    return f"Sign in (the link works once): {first_link(database, settings, utc_now())}"


def _first_run(database: Database) -> None:
    """Give an empty installation its starter project."""
    from storage import projects

    with database.read() as connection:
        if projects.projects(connection):
            return
    if add_starter_project(database, now=utc_now()) is None:
        logger.warning("The starter project's data is not installed; make a project by importing.")
