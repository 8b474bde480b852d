"""What is acknowledged is on the disk, and many wait for the disk together."""

from __future__ import annotations

import errno
import threading
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from storage import flush, tables
from storage.database import Database
from storage.errors import StorageFailed
from storage.flush import SharedFlush


def add(database: Database, name: str, now: datetime) -> None:
    with database.write() as connection:
        connection.execute(
            insert(tables.projects).values(
                id=name, name=name, guidelines="", collecting={}, overlap=1, simulated=False,
                created=now,
            )
        )  # fmt: skip


@pytest.fixture
def ready(sqlite_url: str) -> Database:
    database = Database(sqlite_url)
    database.migrate()
    return database


def test_a_write_ends_when_its_log_is_on_the_disk(
    ready: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    real = flush._flush

    def noticed(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(flush, "_flush", noticed)
    with ready.write():
        assert flushed == []
    assert len(flushed) == 1
    assert flushed[0].endswith("-wal")
    add(ready, "second", now)
    assert len(flushed) == 2


def test_nothing_is_acknowledged_when_the_disk_says_no(
    ready: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(flush, "_flush", refuse)
    with pytest.raises(StorageFailed, match="cannot be kept: Input/output error"):
        add(ready, "first", now)


def test_a_flush_that_began_too_early_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first flush stands still. Five more come meanwhile: none may be content with the first,
    # and one flush serves them all.
    file = tmp_path / "log"
    file.touch()
    shared = SharedFlush(file)
    began, goes_on = threading.Event(), threading.Event()
    flushes = []

    def slow(_: int) -> None:
        flushes.append(len(flushes))
        if len(flushes) == 1:
            began.set()
            assert goes_on.wait(10)

    monkeypatch.setattr(flush, "_flush", slow)
    threads = [threading.Thread(target=shared.wait) for _ in range(6)]
    threads[0].start()
    assert began.wait(10)
    for thread in threads[1:]:
        thread.start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    goes_on.set()
    for thread in threads:
        thread.join(10)
    assert flushes == [0, 1]
