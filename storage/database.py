"""The database: SQLite in one file by default, PostgreSQL for several machines.

Both behave alike here: `read` sees one moment of the database and cannot write; `write` is one
transaction that is on the disk when the block has ended, and undone when the block fails.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.errors import InvalidOption, StorageFailed
from storage.files import make_folder
from storage.flush import SharedFlush

# Other packages name the connection's type through this door.
__all__ = ["Connection", "Database"]

PATIENCE = 30.0
"""How long a writer waits for its turn, in seconds."""


class Database:
    """An open database. Threads may share it."""

    def __init__(self, url: str) -> None:
        """Prepare connections; nothing is opened before the first use.

        Raises:
            InvalidOption: The URL names neither SQLite nor PostgreSQL.
            StorageFailed: The driver for PostgreSQL is not installed.
        """
        self._url = _checked(url)
        self._engine = _engine(self._url)
        # On SQLite all that is written goes through one connection. It knows what it wrote, while
        # every other connection forgets what it has read whenever somebody else writes.
        self._writer = _engine(self._url, writes=True) if self._is_sqlite else self._engine
        # SQLite lets one writer in at a time and makes the others poll; inside this process they
        # stand in line instead, which is fair and quicker.
        self._turn = threading.Lock() if self._is_sqlite else None
        self._log = SharedFlush(Path(f"{self._url.database}-wal")) if self._is_file else None

    @property
    def name(self) -> str:
        """Where it is, without a password, for messages and logs."""
        return self._url.database or "" if self._is_sqlite else self._url.render_as_string()

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @property
    def _is_file(self) -> bool:
        return self._is_sqlite and self._url.database not in (None, "", ":memory:")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database, and may not write.

        Raises:
            StorageFailed: The database cannot be reached or read.
        """
        with self._sentences(), self._engine.connect() as connection:
            if not self._is_sqlite:
                connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection whose changes are all kept when the block ends, or all undone if it fails.

        Raises:
            StorageFailed: The database cannot be reached or written, or others kept it too long.
        """
        with self._transaction(self._writer) as connection:
            yield connection

    def write_together(
        self, jobs: Sequence[Callable[[Connection], Any]]
    ) -> list[tuple[Any, Exception | None]]:
        """Do several jobs in one transaction, as if each had one of its own.

        What one raises undoes its own changes only. Where the transaction as a whole fails, each
        job is done again in one of its own; on PostgreSQL that is so from the start, because there
        transactions run side by side, and those that hold several rows could block each other.

        Returns:
            Of each job what it gave, or what it raised. All that succeeded is on the disk.
        """
        if self._is_sqlite and len(jobs) > 1:
            with suppress(StorageFailed, DatabaseError):
                return self._in_one(jobs)
        return [self._alone(job) for job in jobs]

    def _in_one(
        self, jobs: Sequence[Callable[[Connection], Any]]
    ) -> list[tuple[Any, Exception | None]]:
        done: list[tuple[Any, Exception | None]] = []
        with self.write() as connection:
            for job in jobs:
                try:
                    with connection.begin_nested():
                        done.append((job(connection), None))
                except (StorageFailed, DatabaseError):
                    raise  # nobody knows what is left of the transaction
                except Exception as error:  # noqa: BLE001, given to whoever asked
                    done.append((None, error))
        return done

    def _alone(self, job: Callable[[Connection], Any]) -> tuple[Any, Exception | None]:
        try:
            with self.write() as connection:
                result = job(connection)
        except Exception as error:  # noqa: BLE001, given to whoever asked
            return None, error
        return result, None

    def migrate(self, *, revision: str = "head") -> None:
        """Bring the tables to a revision, the newest by default, from nothing or an earlier one.

        Raises:
            StorageFailed: The database was written by a newer Tandem, or cannot be reached.
        """
        from alembic import command  # noqa: PLC0415, only the first start needs it
        from alembic.config import Config  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415

        if self._is_sqlite and self._url.database:
            make_folder(Path(self._url.database).absolute().parent)
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        # SQLite changes a table by building it anew, which foreign keys would forbid; they are
        # checked before the end instead.
        engine = _engine(self._url, writes=True, foreign_keys=False)
        try:
            with self._transaction(engine) as connection:
                if not self._is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(7860)"))
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                self._check_foreign_keys(connection)
        except CommandError as error:
            raise StorageFailed(
                f"The database {self.name} was written by a newer version of Tandem ({error});"
                " install that version."
            ) from error
        finally:
            engine.dispose()

    def close(self) -> None:
        """Give every connection back. The next use would open new ones."""
        self._engine.dispose()
        self._writer.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        with (
            self._my_turn(),
            self._sentences(),
            engine.connect() as connection,
            connection.begin(),
        ):
            yield connection
        self._wait_for_disk()

    def _wait_for_disk(self) -> None:
        """Return when what was committed would survive a power cut; others may write meanwhile."""
        if self._log is None:
            return
        try:
            self._log.wait()
        except FileNotFoundError:
            pass  # the log was carried over into the database, and that is on the disk
        except OSError as error:
            raise StorageFailed(
                f"The database {self.name} cannot be kept: {error.strerror or error}."
            ) from error

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=PATIENCE):
            raise StorageFailed(
                f"The database {self.name} was busy for {PATIENCE:.0f} seconds; nothing was kept,"
                " try again."
            )
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what the database says when it cannot work into one sentence."""
        try:
            yield
        except PoolTimeout as error:
            raise StorageFailed(
                f"Every connection to the database {self.name} is in use; try again."
            ) from error
        except DatabaseError as error:
            # The other subclasses tell of mistakes in this program, which deserve a trace.
            is_missing = isinstance(error, ProgrammingError) and "does not exist" in str(error.orig)
            if isinstance(error, OperationalError) or type(error) is DatabaseError or is_missing:
                raise StorageFailed(self._sentence(error)) from error
            raise

    def _sentence(self, error: DatabaseError) -> str:
        said = " ".join(str(error.orig).split())
        for words, meaning in _MEANINGS:
            if any(word in said.lower() for word in words):
                return f"The database {self.name} {meaning}."
        return f"The database {self.name} cannot be used: {said}."

    def _check_foreign_keys(self, connection: Connection) -> None:
        if not self._is_sqlite:
            return
        broken = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
        if broken:
            raise StorageFailed(
                f"The database {self.name} has {len(broken)} rows that point nowhere (first:"
                f" table {broken[0][0]}, row {broken[0][1]}); it was left as it was."
            )


_MIGRATIONS = Path(__file__).parent / "migrations"

_MEANINGS = (
    (("disk is full", "no space left", "disk full"), "has no room left: free some disk space"),
    (("is locked",), "was busy for too long: nothing was kept, try again"),
    (("deadlock", "could not serialize"), "was busy: nothing was kept, try again"),
    (("not a database",), "is a file of another kind: name another or move it away"),
    (("malformed",), "is damaged: restore it from a backup"),
    (("readonly", "read-only"), "may not be written here: check who owns the file and its folder"),
    (("unable to open",), "cannot be opened: check that the folder exists and is yours"),
    (
        ("no such table", "no such column", "relation"),
        "is not ready for this version: migrate it first",
    ),
    (("disk i/o error",), "cannot be read or written: the disk reports a fault"),
    (
        ("connection refused", "connection failed", "could not translate", "failed to resolve"),
        "does not answer: check that the server runs and that the address is right",
    ),
)
"""What a database says in its own words, and what that means for the person reading."""


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidOption(
            "database_url", "it is not a URL like sqlite:///file or postgresql://host/name", url
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidOption(
        "database_url", "only SQLite and PostgreSQL are known", parsed.render_as_string()
    )


def _engine(url: URL, *, writes: bool = False, foreign_keys: bool = True) -> Engine:
    if url.get_backend_name() != "sqlite":
        try:
            return create_engine(url, pool_size=10, max_overflow=30, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise StorageFailed(
                "PostgreSQL needs a driver that is not installed: run"
                " pip install 'psycopg[binary]'."
            ) from error
    size = {"pool_size": 1, "max_overflow": 0} if writes else {"pool_size": 10, "max_overflow": 30}
    engine = create_engine(url, connect_args={"timeout": PATIENCE}, **size)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # The driver's own idea of when transactions begin gets in the way of ours; see
        # "Serializable isolation / Savepoints / Transactional DDL" in SQLAlchemy's SQLite pages.
        connection.isolation_level = None
        _keep_log(connection)
        # SQLite itself waits for the disk only when it carries the log over into the database. That
        # what was committed survives a power cut is `Database._wait_for_disk`'s doing, outside of
        # the transaction, for several at once.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        connection.execute(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the one writing place at once. A transaction that read first and asked
        # for it later would fail whenever another wrote in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _keep_log(connection: Any) -> None:
    """Let readers and the writer work side by side (write-ahead log).

    Of several that open a new database at once, all but one are told at once that it is locked,
    whatever patience was asked for: each holds what the others need.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "is locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
