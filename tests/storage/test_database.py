"""A database keeps a transaction whole or not at all, and says in one sentence why it cannot."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import InternalError, ProgrammingError

from storage import database as module
from storage import tables
from storage.database import Connection, Database
from storage.errors import InvalidOption, StorageFailed


def add(connection: Connection, name: str, now: datetime, guidelines: str = "") -> None:
    row = {"id": name, "name": name, "guidelines": guidelines, "collecting": {}, "overlap": 1}
    connection.execute(insert(tables.projects).values(**row, simulated=False, created=now))


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(tables.projects)) or 0


def test_what_was_written_is_there_when_it_is_opened_again(
    database: Database, now: datetime
) -> None:
    with database.write() as connection:
        add(connection, "first", now)
    database.close()
    with database.read() as connection:
        assert count(connection) == 1


def test_a_block_that_fails_leaves_nothing(database: Database, now: datetime) -> None:
    def add_and_fail() -> None:
        with database.write() as connection:
            add(connection, "first", now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    with database.read() as connection:
        assert count(connection) == 0


def test_who_reads_cannot_write(database: Database, now: datetime) -> None:
    with pytest.raises((StorageFailed, InternalError)), database.read() as connection:
        add(connection, "first", now)
    with database.write() as connection:
        add(connection, "second", now)
    with database.read() as connection:
        assert count(connection) == 1


def test_a_reader_sees_one_moment_while_others_write(database: Database, now: datetime) -> None:
    with database.read() as reader:
        assert count(reader) == 0
        with database.write() as writer:
            add(writer, "first", now)
        assert count(reader) == 0
    with database.read() as reader:
        assert count(reader) == 1


def test_writers_take_turns_and_none_is_lost(database: Database, now: datetime) -> None:
    with database.write() as connection:
        add(connection, "counter", now)

    def add_ten() -> None:
        for _ in range(10):
            with database.write() as connection:
                row = select(tables.projects.c.overlap).with_for_update()
                seen = connection.scalar(row)
                connection.execute(tables.projects.update().values(overlap=seen + 1))

    threads = [threading.Thread(target=add_ten) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.scalar(select(tables.projects.c.overlap)) == 81


def test_moments_come_back_in_utc_and_need_a_zone(database: Database, now: datetime) -> None:
    with database.write() as connection:
        add(connection, "first", now)
    with database.read() as connection:
        assert connection.scalar(select(tables.projects.c.created)) == now
    with pytest.raises(Exception, match="needs a time zone"), database.write() as connection:
        add(connection, "second", now.replace(tzinfo=None))


def test_sqlite_is_set_to_be_safe(sqlite_url: str) -> None:
    with Database(sqlite_url).read() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        found = [connection.scalar(text(f"PRAGMA {name}")) for name in pragmas]
    assert found == ["wal", 1, 1]  # 1 is NORMAL: `write` waits for the disk itself


WRITER = """
import sys
from datetime import datetime, timezone
from sqlalchemy import insert
from storage import tables
from storage.database import Database
database = Database(sys.argv[1])
for number in range(10**6):
    with database.write() as connection:
        connection.execute(insert(tables.projects).values(
            id=str(number), name=str(number), guidelines="", collecting={}, overlap=1,
            simulated=False, created=datetime(2026, 1, 1, tzinfo=timezone.utc)))
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_killed_process(
    database: Database, request: pytest.FixtureRequest
) -> None:
    url = database._url.render_as_string(hide_password=False)
    root = Path(module.__file__).parents[1]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.readlines()
    writer.wait()
    with database.read() as connection:
        kept = set(connection.scalars(select(tables.projects.c.id)))
    assert len(acknowledged) >= 20
    assert {line.strip() for line in acknowledged} <= kept


class TestSentences:
    """What a person reads when the database cannot work."""

    def test_a_file_of_another_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "letter.txt"
        path.write_text("Dear Sir or Madam, " * 100)
        with pytest.raises(StorageFailed, match=r"letter\.txt is a file of another kind"):
            Database(f"sqlite:///{path}").migrate()
        assert path.read_text() == "Dear Sir or Madam, " * 100

    def test_a_damaged_file(self, sqlite_url: str, now: datetime) -> None:
        database = Database(sqlite_url)
        with database.write() as connection:
            for number in range(200):
                add(connection, f"project {number}", now, guidelines="x" * 500)
        database.close()
        path = Path(sqlite_url.removeprefix("sqlite:///"))
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 4 :] = os.urandom(len(whole) - len(whole) // 4)
        path.write_bytes(whole)
        with pytest.raises(StorageFailed, match="is damaged"), database.read() as connection:
            connection.execute(select(tables.projects)).all()

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        database = Database(f"sqlite:///{tmp_path}/none/tandem.sqlite")
        with pytest.raises(StorageFailed, match="cannot be opened"), database.read():
            pass

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageFailed, match="cannot be made"):
            Database(f"sqlite:///{tmp_path}/file/tandem.sqlite").migrate()

    def test_a_full_disk_changes_nothing(self, sqlite_url: str, now: datetime) -> None:
        database = Database(sqlite_url)
        with database.write() as connection:
            add(connection, "first", now)

        def add_too_much() -> None:
            with database.write() as connection:
                # SQLite's own limit on pages fails with the same error as a disk without space.
                connection.execute(text("PRAGMA max_page_count = 1"))
                add(connection, "second", now, guidelines="x" * 10**6)

        with pytest.raises(StorageFailed, match="has no room left: free some disk space"):
            add_too_much()
        with database.read() as connection:
            assert count(connection) == 1

    def test_another_process_that_keeps_it_too_long(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PATIENCE", 0.05)
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailed, match="busy for too long"), Database(sqlite_url).write():
            pass
        other.close()

    def test_another_thread_that_keeps_it_too_long(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PATIENCE", 0.05)
        database = Database(sqlite_url)
        with database.write(), pytest.raises(StorageFailed, match="was busy"), database.write():
            pass

    def test_more_readers_than_connections(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(sqlite_url)
        monkeypatch.setattr(database._engine.pool, "_timeout", 0.01)
        with ExitStack() as readers:
            for _ in range(40):
                readers.enter_context(database.read())
            with pytest.raises(StorageFailed, match="Every connection"), database.read():
                pass

    @pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
    def test_tables_that_were_never_made(
        self, backend: str, bare_url: Callable[[str], str]
    ) -> None:
        database = Database(bare_url(backend))
        with pytest.raises(StorageFailed, match="migrate it first"), database.read() as connection:
            count(connection)
        database.close()

    def test_a_database_of_the_future(self, database: Database) -> None:
        with database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StorageFailed, match="newer version of Tandem"):
            database.migrate()

    def test_a_mistake_in_a_statement_keeps_its_trace(self, database: Database) -> None:
        with pytest.raises((ProgrammingError, StorageFailed)), database.read() as connection:
            connection.execute(text("SELEKT 1"))

    def test_a_server_that_does_not_answer(self) -> None:
        database = Database("postgresql://nobody:secret@127.0.0.1:1/none")
        with pytest.raises(StorageFailed, match="does not answer") as caught, database.read():
            pass
        assert "secret" not in str(caught.value)

    def test_a_driver_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(StorageFailed, match=r"pip install 'psycopg\[binary\]'"):
            Database("postgresql://127.0.0.1/none")

    @pytest.mark.parametrize("url", ["mysql://root:secret@host/x", "somewhere", ""])
    def test_an_address_that_is_none(self, url: str) -> None:
        with pytest.raises(InvalidOption, match="database_url") as caught:
            Database(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_way_to_write_postgresql_means_psycopg(scheme: str) -> None:
    database = Database(f"{scheme}://ann:secret@host/tandem")
    assert database.name == "postgresql+psycopg://ann:***@host/tandem"


def test_a_new_database_that_another_process_is_opening_is_waited_for(tmp_path: Path) -> None:
    # The other one has begun to write and not yet gone over to the write-ahead log.
    path = tmp_path / "new.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    lets_go = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    lets_go.start()
    with Database(f"sqlite:///{path}").write() as connection:
        connection.execute(text("CREATE TABLE said (word TEXT)"))
    lets_go.join()
    other.close()


def test_another_process_is_waited_for_as_long_as_another_thread(sqlite_url: str) -> None:
    with Database(sqlite_url).read() as connection:
        assert connection.scalar(text("PRAGMA busy_timeout")) == module.PATIENCE * 1000
