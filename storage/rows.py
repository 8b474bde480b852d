"""Records as table rows: what every database can keep, and each row only once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, Connection, String, Table
from sqlalchemy.dialects import postgresql, sqlite

from storage.errors import InvalidData
from storage.records import check_text

T = TypeVar("T")

BATCH = 500
"""Rows or identifiers in one statement; SQLite allows 32,766 values."""


def as_row(table: Table, record: object, **more: Any) -> dict[str, Any]:
    """The columns of `table` filled from the fields of `record`, and from `more`.

    Raises:
        InvalidData: A text is too long for its column or holds what no database keeps; says which.
    """
    return {
        column.name: _value(
            table,
            column,
            more[column.name] if column.name in more else getattr(record, column.name),
        )
        for column in table.columns
        if column.name in more or hasattr(record, column.name)
    }


def insert_new(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], *, key: str = "id"
) -> Iterator[Any]:
    """Insert the rows whose `key` is not there yet, while the keys of those inserted are read."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing(index_elements=[key])
    for batch in in_batches(rows):
        yield from connection.scalars(
            statement.returning(table.c[key]), [dict(row) for row in batch]
        )


def count_new(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], *, key: str = "id"
) -> int:
    """Insert the rows whose `key` is not there yet, and say how many that were."""
    return sum(1 for _ in insert_new(connection, table, rows, key=key))


def in_batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _value(table: Table, column: Column[Any], value: Any) -> Any:
    what = f"The {column.name} of one of the {table.name}"
    if isinstance(value, str):
        value = str(value)  # also when it is a member of an enumeration
        check_text(value, what)
        limit = column.type.length if isinstance(column.type, String) else None
        if limit is not None and len(value) > limit:
            raise InvalidData(
                f"{what} has {len(value)} characters, at most {limit} can be kept;"
                f" it begins {value[:40]!r}."
            )
    elif isinstance(column.type, JSON):
        value = _plain(value)
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise InvalidData(f"{what} cannot be kept as JSON: {error}.") from error
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
