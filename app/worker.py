"""The process that works the jobs off: one at a time per device, and again where it stopped.

The jobs table is what everybody sees and writes; DBOS is the durable queue behind it. A short loop
hands every open row to DBOS under the row's own id, so nothing is lost or doubled: a row whose
workflow was never made, or was lost with its file, is handed over (again); a row whose workflow is
over although the row is not becomes a failure with a reason. Because of that loop the web process
needs no DBOS: it enqueues by adding a row, in one transaction.

Killed at any moment and started again, the worker finds its unfinished workflows (DBOS), starts
their processes again, and these go on from their last checkpoint.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from app.launchers import LAUNCHERS, how_it_ended
from app.processes import own_environment, own_module
from app.progress import utc_now
from storage import jobs
from storage.errors import StorageFailed
from storage.records import Job, JobId, JobState

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings

logger = logging.getLogger(__name__)

QUEUE = "jobs"
WORKFLOW = "perform"
APPLICATION_VERSION = "1"
"""Fixed: DBOS recovers only workflows of the version that runs, and each of ours can resume."""
LOOP_EVERY = 0.5
"""Seconds between two looks at the jobs table."""
LOOK_EVERY = 1.0
"""Seconds between two looks at whether a running job is to stop; also its sign of life."""
LOST_AFTER = timedelta(minutes=2)
"""Without a sign of life for so long, another machine's job counts as lost and is taken over."""
CANCEL_PATIENCE = 10.0
"""Seconds that a job has to leave by itself (at its next progress report) before it is ended."""


class Worker:
    """Takes jobs from the queue and runs each in a process of its own.

    Args:
        settings: Where everything is kept.
        database: The open database.
        devices: One job runs on each at a time, for example ("cuda:0", "cuda:1"); ("auto",) is one.
        launcher: Name of an entry of `LAUNCHERS`.
        now: Clock for the record.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        devices: Sequence[str] = ("auto",),
        launcher: str = "local",
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._database = database
        self._launch = LAUNCHERS[launcher]
        self._now = now
        self._stopping = threading.Event()
        self._devices: queue.SimpleQueue[str] = queue.SimpleQueue()
        for device in devices:
            self._devices.put(device)
        self._concurrency = len(devices)

    def run(self) -> None:
        """Work until `stop` is called."""
        with _only_worker(self._settings, self._stopping):
            if self._stopping.is_set():
                return
            self._start_queue()
            logger.info("The worker is ready; jobs run one at a time per device.")
            while not self._stopping.is_set():
                try:
                    self._hand_over()
                except StorageFailed as error:
                    logger.warning("%s", error)
                self._stopping.wait(LOOP_EVERY)
            # Processes were asked to end through `patience`; what they did is in their checkpoints.
            while self._devices.qsize() < self._concurrency:
                time.sleep(0.05)

    def stop(self) -> None:
        """End the running processes; their jobs go on when a worker starts again."""
        self._stopping.set()

    def _start_queue(self) -> None:
        """Start DBOS: its tables, the recovery of what was interrupted, and its queue."""
        from dbos import DBOS

        DBOS(
            config={
                "name": "tandem",
                "system_database_url": system_database(self._settings),
                "application_version": APPLICATION_VERSION,
                "executor_id": _executor(self._settings),
                "log_level": "WARNING",
                "enable_otlp": False,
            }
        )

        # Closures, so that importing this module registers nothing. The names are what DBOS keeps.
        @DBOS.step(name="run_process")
        def run_process(job: str) -> str:
            return str(self.perform(JobId(job)))

        @DBOS.workflow(name=WORKFLOW)
        def perform(job: str) -> str:
            return run_process(job)

        self._workflow = perform
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self._concurrency,
            polling_interval_sec=LOOP_EVERY,
            on_conflict="always_update",
        )

    def _hand_over(self) -> None:
        """Make sure that every open job has a live workflow, or is marked as failed."""
        from dbos import DBOS, SetWorkflowID

        with self._database.read() as connection:
            open_jobs = jobs.open_jobs(connection)
        for job in open_jobs:
            status = DBOS.get_workflow_status(job.id)
            if status is None:
                with SetWorkflowID(job.id):
                    DBOS.enqueue_workflow(QUEUE, self._workflow, job.id)
            elif status.status == "PENDING":
                if self._is_lost(job, status.executor_id, status.updated_at):
                    logger.warning(
                        "Job %s was lost by %s; taking over.", job.id, status.executor_id
                    )
                    DBOS.resume_workflow(job.id, queue_name=QUEUE)
            elif status.status not in ("ENQUEUED", "DELAYED"):
                self._close(job.id, "The queue ended this job without a result; start it again.")

    def _is_lost(self, job: Job, executor: str | None, updated: int | None) -> bool:
        """True when another machine took the job and has given no sign of life since.

        This machine's own jobs are recovered by DBOS at start.
        """
        if executor == _executor(self._settings):
            return False
        taken = datetime.fromtimestamp((updated or 0) / 1000, tz=job.created.tzinfo)
        return self._now() - max(job.beat or job.created, taken) > LOST_AFTER

    def perform(self, job: JobId) -> JobState:
        """Run one job in a process and see to it that its row is over afterwards."""
        with self._database.write() as connection:
            row = jobs.job(connection, job)
            if row.state.is_over:
                return row.state
            if row.cancel_asked:
                jobs.finish(connection, job, JobState.CANCELLED, now=self._now())
                return JobState.CANCELLED
            jobs.mark_running(connection, job, now=self._now())
        device = self._devices.get()
        try:
            code = self._launch(
                own_module("app.child", job, "--parent", str(os.getpid())),
                log=log_file(self._settings, job),
                environment=_environment(self._settings, device),
                patience=self._patience(job),
            )
        finally:
            self._devices.put(device)
        if self._stopping.is_set():
            # Returning would tell DBOS that the job is done. The process is about to end, and the
            # next worker finds the workflow unfinished, as after a crash.
            threading.Event().wait()
        return self._close(job, how_it_ended(code))

    def _patience(self, job: JobId) -> Callable[[], float | None]:
        """Look at the row now and then: a sign of life, and whether a person wants it stopped."""
        looked, cancelled = float("-inf"), False

        def patience() -> float | None:
            nonlocal looked, cancelled
            if self._stopping.is_set():
                return 0.0
            if time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                try:
                    with self._database.write() as connection:
                        cancelled = jobs.beat(connection, job, now=self._now())
                except StorageFailed as error:
                    logger.warning("%s", error)
            return CANCEL_PATIENCE if cancelled else None

        return patience

    def _close(self, job: JobId, reason: str) -> JobState:
        """Finish the row if its process did not; says so in the row, never in a stack trace."""
        with self._database.write() as connection:
            row = jobs.job(connection, job)
            if row.state.is_over:
                return row.state
            state = JobState.CANCELLED if row.cancel_asked else JobState.FAILED
            error = "" if row.cancel_asked else f"{reason} See its log: tandem jobs log {job}."
            jobs.finish(connection, job, state, error=error, now=self._now())
        return state


def run(settings: Settings, *, devices: Sequence[str] = (), parent: int | None = None) -> None:
    """The `tandem worker` command: work until SIGTERM or Ctrl-C.

    Args:
        settings: Where everything is kept.
        devices: See `Worker`; empty means the device of the settings.
        parent: End with this process; None means run alone.
    """
    from app.child import die_with
    from storage.database import Database

    database = Database(settings.database)
    database.migrate()
    worker = Worker(settings, database, devices=devices or (settings.device,))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    if parent is not None:
        die_with(parent, signal.SIGTERM)
    worker.run()
    logging.shutdown()
    # DBOS' threads may still wait inside `perform`; leaving at once is what a crash would do, and
    # recovery is made for that.
    os._exit(0)


def system_database(settings: Settings) -> str:
    """Where DBOS keeps its queue: a SQLite file of its own, or a schema in the same PostgreSQL."""
    if settings.database.startswith("sqlite"):
        return f"sqlite:///{quote(str(settings.folder() / 'queue.sqlite'))}"
    return settings.database


def log_file(settings: Settings, job: JobId) -> Path:
    """The file with everything that a job's process wrote."""
    return settings.folder("jobs", job) / "log.txt"


def _executor(settings: Settings) -> str:
    """The name under which DBOS recovers; a SQLite file belongs to one machine, however called."""
    return "local" if settings.database.startswith("sqlite") else platform.node()


def _environment(settings: Settings, device: str) -> dict[str, str]:
    return {
        # The C library of Linux gives the memory of large tensors back after each use and asks for
        # it again, page by page; keeping it saved 13 % of the processor time of a training step.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0"
        ":glibc.malloc.trim_threshold=34359738368",
        **own_environment(settings, TANDEM_DEVICE=device, PYTHONUNBUFFERED="1"),
    }


@contextmanager
def _only_worker(settings: Settings, stopping: threading.Event) -> Iterator[None]:
    """Let one worker per machine and data directory work; a second one waits for the first to end.

    Two workers under one name would each recover, and run, the other's jobs.
    """
    with (settings.folder() / f"worker-{_executor(settings)}.lock").open("w") as lock:
        waiting = False
        while not stopping.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    logger.warning("Another worker is at work here; this one waits for it to end.")
                waiting = True
                stopping.wait(LOOP_EVERY)
        yield
