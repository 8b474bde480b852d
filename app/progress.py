"""Where slow work tells how far it is: a job into the database, a command onto the terminal."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from storage import jobs
from storage.errors import JobCancelled, StorageFailed
from storage.records import JobId

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from storage.database import Database
    from storage.recipes import Progress

logger = logging.getLogger(__name__)

LONG_STEPS = 600.0
"""Seconds of steps from which the time left is told: a step can take a minute."""
WRITE_EVERY = 0.5
"""Seconds between two writes: twice a second is live for a reader and little for SQLite."""


def utc_now() -> datetime:
    """The present moment, with its time zone."""
    return datetime.now(UTC)


class DatabaseProgress:
    """Writes steps, metrics and signs of life of one job, and hears when it is to stop.

    Writing is limited to one transaction per `WRITE_EVERY` seconds. Metrics reported in between
    wait in memory and go with the next write, so a curve never loses a point; leaving the `with`
    block writes what is left.

    Args:
        database: Where the job is kept.
        job: Whose progress this is.
        parent: Process that must stay alive, else the work ends; None where nobody started us.
        now: Clock for the record.
        clock: Seconds that only grow, for the limit.
    """

    def __init__(
        self,
        database: Database,
        job: JobId,
        *,
        parent: int | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._job = job
        self._parent = parent
        self._now = now
        self._clock = clock
        self._waiting: list[tuple[int, dict[str, float]]] = []
        self._step = 0
        self._total: int | None = None
        self._message: str | None = None
        self._written = float("-inf")
        self._is_news = False

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Keep the step and its metrics.

        Raises:
            JobCancelled: A person stopped the job.
            SystemExit: The worker that started this process is gone; its successor starts the job
                again from the last checkpoint, and two processes must not write the same one.
        """
        if self._parent is not None and os.getppid() != self._parent:
            raise SystemExit("The worker that started this job is gone, so it stops here.")
        self._step = step
        self._total = total if total is not None else self._total
        self._message = message if message is not None else self._message
        if metrics:
            self._waiting.append((step, {name: float(value) for name, value in metrics.items()}))
        self._is_news = True
        if self._clock() - self._written >= WRITE_EVERY:
            try:
                self.flush()
            except StorageFailed as error:
                # Hours of work are not given up for a database that is busy: what waits goes with a
                # later write, at the latest with the last one, which may fail.
                logger.warning("%s", error)
                self._written = self._clock()

    def log(self, line: str) -> None:
        """Write one line into the job's log: what the child process writes goes there."""
        logger.info("%s", line)

    def flush(self) -> None:
        """Write everything that waits.

        Raises:
            JobCancelled: A person stopped the job.
        """
        points = list(self._waiting)
        if not points or points[-1][0] != self._step:
            points.append((self._step, {}))
        with self._database.write() as connection:
            cancel_asked = False
            for step, metrics in points:
                cancel_asked = jobs.record_progress(
                    connection,
                    self._job,
                    step=step,
                    total=self._total,
                    message=self._message,
                    metrics=metrics,
                    now=self._now(),
                )
        self._waiting = []
        self._is_news = False
        self._written = self._clock()
        if cancel_asked:
            raise JobCancelled("A person stopped this job; its last checkpoint is kept.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_news:
            try:
                self.flush()
            except JobCancelled:
                # Whoever is leaving has a reason already, or finished before hearing of the wish.
                logger.info("The wish to stop came after the last step.")


@dataclass(frozen=True, slots=True)
class OfMany:
    """Progress of one of several runs that follow each other, as that of all."""

    progress: Progress
    name: str
    number: int
    """Of the run, from 0."""
    runs: int

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Say it with the steps of the runs before."""
        before = self.number * total if total else 0
        self.progress.report(
            before + step,
            metrics,
            total=self.runs * total if total else None,
            message=f"{self.name}: {message}" if message else self.name,
        )

    def log(self, line: str) -> None:
        """Say it with the name of the run."""
        self.progress.log(f"{self.name}: {line}")


class ConsoleProgress:
    """A bar with the latest metrics on stderr, for commands that run in the foreground."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        self._bar: Bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[metrics]}"),
            console=Console(stderr=True),
            speed_estimate_period=LONG_STEPS,
        )
        self._task = self._bar.add_task(title, total=None, metrics="", left="")

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Move the bar. It appears with the first report, so that a refusal stands alone."""
        self._bar.start()
        self._bar.update(self._task, completed=step)
        if total is not None:
            self._bar.update(self._task, total=total)
        seconds = self._bar.tasks[self._task].time_remaining
        left = f"{timedelta(seconds=seconds)} left" if seconds else ""
        self._bar.update(self._task, left=left)
        if message:
            self._bar.update(self._task, description=message)
        if metrics:
            # A terminal line holds about four numbers; the rest is in the job's curves.
            shown = "  ".join(f"{name} {value:.4g}" for name, value in list(metrics.items())[:4])
            self._bar.update(self._task, metrics=shown)

    def log(self, line: str) -> None:
        """Print one line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()
