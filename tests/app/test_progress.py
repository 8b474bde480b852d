"""Progress of a job: no point of a curve is lost, and a wish to stop is heard."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

import pytest

from app.progress import WRITE_EVERY, ConsoleProgress, DatabaseProgress
from storage import jobs
from storage.database import Database
from storage.errors import JobCancelled, StorageFailed, TrainingFailed
from storage.records import Job, JobState


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def job(database: Database, now: datetime) -> Job:
    with database.write() as connection:
        fresh = jobs.add_job(
            connection, kind="reward", recipe="combined", config={}, project=None, now=now
        )
        return jobs.mark_running(connection, fresh.id, now=now)


def reporting(database: Database, job: Job, now: datetime, clock: Clock) -> DatabaseProgress:
    return DatabaseProgress(database, job.id, now=lambda: now, clock=clock)


def curve(database: Database, job: Job) -> list[tuple[int, str, float]]:
    with database.read() as connection:
        return jobs.metrics(connection, job.id)


def test_quick_reports_are_written_together_and_none_is_lost(
    database: Database, job: Job, now: datetime
) -> None:
    clock = Clock()
    with reporting(database, job, now, clock) as progress:
        for step in range(1, 101):
            progress.report(step, {"loss": 1 / step}, total=100)
        assert curve(database, job) == [(1, "loss", 1.0)]
    assert curve(database, job) == [(step, "loss", 1 / step) for step in range(1, 101)]


def test_a_report_after_the_limit_brings_along_what_waited(
    database: Database, job: Job, now: datetime
) -> None:
    clock = Clock()
    with reporting(database, job, now, clock) as progress:
        progress.report(1, {"loss": 3.0}, total=9, message="first")
        progress.report(2, {"loss": 2.0})
        clock.seconds = WRITE_EVERY
        progress.report(3)
        assert curve(database, job) == [(1, "loss", 3.0), (2, "loss", 2.0)]
        with database.read() as connection:
            seen = jobs.job(connection, job.id)
        assert (seen.step, seen.total, seen.message) == (3, 9, "first")


def test_the_last_step_is_kept_also_when_it_comes_without_metrics(
    database: Database, job: Job, now: datetime
) -> None:
    with reporting(database, job, now, Clock()) as progress:
        progress.report(0, total=18, message="tiny answers")
        progress.report(16)
        progress.report(18)
    with database.read() as connection:
        assert jobs.job(connection, job.id).step == 18


def test_a_wish_to_stop_is_heard_at_the_next_write(
    database: Database, job: Job, now: datetime
) -> None:
    clock = Clock()
    progress = reporting(database, job, now, clock)
    progress.report(1, {"loss": 1.0})
    with database.write() as connection:
        jobs.ask_cancel(connection, job.id)
    progress.report(2, {"loss": 0.5})
    clock.seconds = 1.0
    with pytest.raises(JobCancelled):
        progress.report(3, {"loss": 0.2})
    assert [value for _, _, value in curve(database, job)] == [1.0, 0.5, 0.2]


def test_a_wish_that_comes_after_the_last_step_does_not_undo_the_work(
    database: Database, job: Job, now: datetime
) -> None:
    with reporting(database, job, now, Clock()) as progress:
        progress.report(1)
        progress.report(2, {"loss": 0.5})
        with database.write() as connection:
            jobs.ask_cancel(connection, job.id)
    assert curve(database, job) == [(2, "loss", 0.5)]


def test_a_busy_database_costs_no_work_and_no_point(
    database: Database, job: Job, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with reporting(database, job, now, clock) as progress:
        with monkeypatch.context() as patched:
            patched.setattr(database, "write", busy)
            progress.report(1, {"loss": 3.0})
        clock.seconds = WRITE_EVERY
        progress.report(2, {"loss": 2.0})
    assert curve(database, job) == [(1, "loss", 3.0), (2, "loss", 2.0)]


def busy() -> Any:
    raise StorageFailed("The database was busy for too long.")


def test_a_number_that_is_none_fails_the_job(database: Database, job: Job, now: datetime) -> None:
    with pytest.raises(TrainingFailed, match="loss became nan at step 1"):
        reporting(database, job, now, Clock()).report(1, {"loss": float("nan")})


def test_work_ends_when_the_process_that_started_it_is_gone(
    database: Database, job: Job, now: datetime
) -> None:
    orphan = DatabaseProgress(database, job.id, parent=os.getppid() + 1, now=lambda: now)
    with pytest.raises(SystemExit):
        orphan.report(1)
    with database.read() as connection:
        assert jobs.job(connection, job.id).state is JobState.RUNNING


def test_the_terminal_shows_a_bar_on_standard_error_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ConsoleProgress("combined") as progress:
        progress.report(1, {"loss": 0.5}, total=2)
        progress.log("[half] done")
        progress.report(2, total=2, message="last")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "[half] done" in printed.err
    assert "2/2" in printed.err


def test_the_time_left_is_told_once_it_can_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    with ConsoleProgress("score") as progress:
        progress.report(1)
        progress.report(2)
    assert "left" not in capsys.readouterr().err
    with ConsoleProgress("score") as progress:
        for step in (1, 2, 3):
            progress.report(step, total=1000)
            time.sleep(0.01)
    assert " left" in capsys.readouterr().err


def test_a_command_that_refuses_at_once_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with ConsoleProgress("combined"):
        pass
    assert capsys.readouterr().err == ""
