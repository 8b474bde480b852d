"""One job in a process of its own: the worker runs `python -m app.child JOB --parent PID`."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import resource
import signal
import sys
import time
from typing import Any

from storage.errors import JobCancelled, TandemError
from storage.records import JobId, JobState

logger = logging.getLogger("tandem.job")

NICENESS = 10
"""Web pages of the same machine come first."""
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the signal that this process gets when its parent dies."""


def main(arguments: list[str] | None = None) -> int:
    """Perform the job and write how it ended into its row."""
    parser = argparse.ArgumentParser(prog="python -m app.child", description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--parent", type=int, help="process that this one must not outlive")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with(options.parent, signal.SIGKILL)
    os.nice(NICENESS)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return _perform(JobId(options.job), parent=options.parent)


def die_with(parent: int, number: signal.Signals) -> None:
    """Get a signal when the parent dies, and leave if it is dead already.

    Linux does it in the kernel; elsewhere progress reports look whether the parent still lives.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("The process that started this one is gone.")


def _perform(identifier: JobId, *, parent: int | None) -> int:
    from app.progress import DatabaseProgress, utc_now
    from app.work import forget, perform
    from storage import jobs
    from storage.database import Database
    from storage.settings import Settings

    settings = Settings()
    database = Database(settings.database)
    with database.write() as connection:
        job = jobs.job(connection, identifier)
        if job.state is not JobState.RUNNING:
            jobs.mark_running(connection, identifier, now=utc_now())
    logger.info("%s %s: %s", job.kind, job.recipe, dict(job.config))
    state, error = JobState.DONE, ""
    result: dict[str, Any] = {}
    began = time.monotonic()
    try:
        with DatabaseProgress(database, identifier, parent=parent) as progress:
            result = perform(job, database=database, settings=settings, progress=progress)
    except JobCancelled as stopped:
        state, error = JobState.CANCELLED, str(stopped)
    except TandemError as refused:
        state, error = JobState.FAILED, str(refused)
    except MemoryError:
        state, error = JobState.FAILED, "Memory ran out; try a smaller batch or a smaller model."
    except Exception as bug:
        logger.exception("This should not have happened.")
        state, error = (
            JobState.FAILED,
            f"This should not have happened: {type(bug).__name__}: {bug}",
        )
    with database.write() as connection:
        result |= {"cost": _cost(time.monotonic() - began)}
        jobs.finish(connection, identifier, state, result=result, error=error, now=utc_now())
    logger.info("%s. %s", state.value.capitalize(), error)
    if state is JobState.DONE:
        forget(job, settings)
    database.close()
    return 0 if state is JobState.DONE else 1


def _cost(seconds: float) -> dict[str, float]:
    """What the job took since it was (re)started, this process alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Linux counts the peak in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_memory_bytes": float(used.ru_maxrss * unit),
    }


if __name__ == "__main__":
    sys.exit(main())
