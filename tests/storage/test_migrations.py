"""The tables can be made from nothing, and from every earlier revision with what it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)

from storage import migrations, tables
from storage.database import Connection, Database
from storage.errors import StorageFailed


def revisions() -> list[str]:
    """Every revision, the first one first."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    walked = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in walked][::-1]


def value(table: Table, name: str) -> Any:
    """Something that fits a column: the same for a key and for what points at it."""
    column = table.columns[name]
    if column.foreign_keys:
        (key,) = column.foreign_keys
        return value(key.column.table, key.column.name)
    match column.type:
        case Boolean():
            return True
        case Integer() | Float():
            return 1
        case DateTime():
            return datetime(2026, 1, 1, tzinfo=UTC)
        case String():
            return f"{table.name}.{name}"[: column.type.length]
        case _:
            return [{"role": "user", "content": "Grüße, 世界"}]


def fill(connection: Connection) -> set[str]:
    """Put one row into every table that is there, and name them."""
    found = MetaData()
    found.reflect(connection)
    there = [table for table in found.sorted_tables if table.name != "alembic_version"]
    for table in there:
        row = {column.name: value(table, column.name) for column in table.columns}
        connection.execute(insert(table).values(row))
    return {table.name for table in there}


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", [None, *revisions()])
def test_every_revision_leads_to_the_tables_of_today(
    revision: str | None, backend: str, bare_url: Callable[[str], str]
) -> None:
    database = Database(bare_url(backend))
    filled: set[str] = set()
    if revision is not None:
        database.migrate(revision=revision)
        with database.write() as connection:
            filled = fill(connection)
    database.migrate()
    database.migrate()  # a second time changes nothing
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, tables.metadata) == []
        for table in tables.metadata.sorted_tables:
            rows = connection.execute(select(table)).all()
            assert len(rows) == (table.name in filled), table.name
    database.close()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_the_checks_are_those_of_the_tables(backend: str, bare_url: Callable[[str], str]) -> None:
    # Alembic compares everything but these.
    migrated, made = Database(bare_url(backend)), Database(bare_url(backend))
    migrated.migrate()
    with made.write() as connection:
        tables.metadata.create_all(connection)
    assert checks(migrated) == checks(made)
    assert len(checks(made)) == 5
    migrated.close()
    made.close()


def checks(database: Database) -> set[tuple[str, str]]:
    with database.read() as connection:
        return {
            (check["name"], check["sqltext"])
            for table in tables.metadata.sorted_tables
            for check in inspect(connection).get_check_constraints(table.name)
        }


def test_rows_that_point_nowhere_stop_a_migration(sqlite_url: str) -> None:
    raw = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    raw.execute("INSERT INTO prompts VALUES ('p', 'nowhere', '[]', '[]', '')")
    raw.commit()
    raw.close()
    with pytest.raises(StorageFailed, match=r"1 rows that point nowhere .*table prompts"):
        Database(sqlite_url).migrate()
