"""Slow work: what was asked for, how far it is, and the numbers it reported."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from storage import tables
from storage.errors import InvalidOption, TrainingFailed
from storage.records import Job, JobId, JobState, ProjectId
from storage.rows import as_row, checked, only_one, upsert

_jobs, _metrics = tables.jobs, tables.metrics
_OPEN = [str(state) for state in JobState if not state.is_over]


def add_job(
    connection: Connection,
    *,
    kind: str,
    recipe: str,
    config: Mapping[str, Any],
    project: ProjectId | None,
    now: datetime,
) -> Job:
    """Queue a job with its complete configuration."""
    fresh = Job(
        id=JobId(secrets.token_hex(8)),
        kind=kind,
        recipe=recipe,
        config=dict(config),
        state=JobState.QUEUED,
        project=project,
        created=now,
    )
    connection.execute(_jobs.insert().values(as_row(_jobs, fresh)))
    return fresh


def job(connection: Connection, id_or_prefix: str) -> Job:
    """Look a job up by its identifier or by the beginning of it.

    Raises:
        NotFound: No job has it, or several begin with it.
    """
    return _job(only_one(connection, _jobs, "job", id_or_prefix))


def jobs(connection: Connection, limit: int = 50) -> list[Job]:
    """The newest jobs first."""
    statement = select(_jobs).order_by(_jobs.c.created.desc(), _jobs.c.id).limit(limit)
    return [_job(row) for row in connection.execute(statement)]


def open_jobs(connection: Connection) -> list[Job]:
    """The jobs that wait or run, the oldest first."""
    unfinished = select(_jobs).where(_jobs.c.state.in_(_OPEN))
    ordered = unfinished.order_by(_jobs.c.created, _jobs.c.id)
    return [_job(row) for row in connection.execute(ordered)]


def mark_running(connection: Connection, job_id: JobId, *, now: datetime) -> Job:
    """Say that a job has started, or that it goes on after an interruption.

    Raises:
        InvalidOption: The job is over.
    """
    found = job(connection, job_id)
    if found.state.is_over:
        raise InvalidOption("job", "it is over; queue a new one", f"{job_id}, {found.state}")
    started = found.started or now
    _change(connection, job_id, state=str(JobState.RUNNING), started=started, beat=now)
    return job(connection, job_id)


def beat(connection: Connection, job_id: JobId, *, now: datetime) -> bool:
    """Give a sign of life.

    Returns:
        True when the work is to stop, because a person asked for it or the job is over.
    """
    _change(connection, job_id, beat=now)
    found = job(connection, job_id)
    return found.cancel_asked or found.state.is_over


def record_progress(
    connection: Connection,
    job_id: JobId,
    *,
    step: int,
    total: int | None = None,
    message: str | None = None,
    metrics: Mapping[str, float] | None = None,
    now: datetime,
) -> bool:
    """Keep how far a job is. A run that goes on from a checkpoint writes the same steps again.

    Args:
        connection: Of the caller's transaction.
        job_id: The job.
        step: How many of `total` are done.
        total: None leaves it as it was.
        message: One line for people; None leaves it as it was.
        metrics: Numbers of this step by name.
        now: When.

    Returns:
        True when the work is to stop, because a person asked for it or the job is over.

    Raises:
        TrainingFailed: A metric is not a finite number.
    """
    rows = []
    for name, value in (metrics or {}).items():
        if not math.isfinite(value):
            raise TrainingFailed(
                f"{name} became {value} at step {step}; what follows would mean nothing. Try a"
                " lower learning rate."
            )
        rows.append({"job": job_id, "step": step, "name": name, "value": float(value), "at": now})
    changes: dict[str, Any] = {"step": step}
    if total is not None:
        changes["total"] = total
    if message is not None:
        changes["message"] = message
    _change(connection, job_id, **changes)
    stop = beat(connection, job_id, now=now)
    upsert(connection, _metrics, rows, key=("job", "step", "name"))
    return stop


def ask_cancel(connection: Connection, job_id: JobId) -> None:
    """Ask a job to stop. It sees that at its next report; a job that is over stays as it is."""
    _change(connection, job_id, cancel_asked=True)


def finish(
    connection: Connection,
    job_id: JobId,
    state: JobState,
    *,
    result: Mapping[str, Any] | None = None,
    error: str = "",
    now: datetime,
) -> Job:
    """Say how a job ended. The first word counts: a job that is over stays as it is.

    Raises:
        InvalidOption: `state` is not an end.
    """
    if not state.is_over:
        raise InvalidOption("state", "a job ends done, failed or cancelled", str(state))
    _change(
        connection, job_id, state=str(state), result=dict(result or {}), error=error, finished=now
    )
    return job(connection, job_id)


def metrics(connection: Connection, job_id: JobId) -> list[tuple[int, str, float]]:
    """What a job reported: (step, name, value), in the order of steps and names."""
    columns = _metrics.c.step, _metrics.c.name, _metrics.c.value
    statement = select(*columns).where(_metrics.c.job == job_id)
    rows = connection.execute(statement.order_by(_metrics.c.step, _metrics.c.name))
    return [(row.step, row.name, row.value) for row in rows]


def _change(connection: Connection, job_id: JobId, **values: Any) -> None:
    """Change a job that is not over."""
    unfinished = (_jobs.c.id == job_id) & _jobs.c.state.in_(_OPEN)
    connection.execute(update(_jobs).where(unfinished).values(checked(_jobs, values)))


def _job(row: Row[Any]) -> Job:
    return Job(**row._asdict() | {"state": JobState(row.state)})
