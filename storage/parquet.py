"""Parquet files, read and written as a stream of plain rows; and Arrow files, read alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import SEEK_END
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa
from pyarrow import parquet

from storage.errors import InvalidData

ROWS_AT_ONCE = 1000

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""How an Arrow stream ends. Readers do without, and would take a part for the whole."""

Column = type[str] | type[int] | type[float] | type[bool] | list["Column"] | dict[str, "Column"]
"""What a column holds: str, int, float, bool, [column] for a list, {name: column} for a record.
Every value may be None."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Stream the rows of a file. A value that is None is left out of its row.

    Args:
        path: A Parquet file, or an Arrow stream (`.arrow`) as `datasets` saves it.

    Raises:
        InvalidData: It is no such file, or only a part of one.
    """
    kind = "Arrow" if path.suffix == ".arrow" else "Parquet"
    with path.open("rb") as source:
        try:
            for batch in _batches(source, kind):
                for row in batch.to_pylist():
                    yield _without_none(row)
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None):
                raise  # the disk's fault, not the file's
            raise InvalidData(
                f"{path} is not a whole {kind} file ({error}); copy or download it again."
            ) from error


class RowWriter:
    """A file that takes one row after the other. Memory does not grow with their number."""

    def __init__(self, path: Path, columns: Mapping[str, Column] | pa.Schema) -> None:
        """Begin a file with columns of these names and types, in this order."""
        self._schema = (
            pa.schema([(name, _arrow(column)) for name, column in columns.items()])
            if isinstance(columns, Mapping)
            else columns
        )
        self._file = parquet.ParquetWriter(path, self._schema)
        self._waiting: list[dict[str, Any]] = []
        self.size = 0
        """Bytes of the rows written so far, as they are in memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row with values for some of the columns; a missing value is None."""
        self._waiting.append(dict(row))
        if len(self._waiting) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_pylist(self._waiting, schema=self._schema)
            self._file.write_table(table)
            self.size += table.nbytes
            self._waiting.clear()


def columns_of(path: Path) -> pa.Schema:
    """The columns of a Parquet file, or of an Arrow stream (`.arrow`).

    Raises:
        InvalidData: It is no such file.
    """
    try:
        if path.suffix == ".arrow":
            with path.open("rb") as source, pa.ipc.open_stream(source) as stream:
                return stream.schema
        return parquet.read_schema(path)
    except pa.ArrowException as error:
        raise InvalidData(
            f"{path} holds no columns that can be read ({error}); copy or download it again."
        ) from error


def no_columns() -> pa.Schema:
    """Of a table that is still to be known."""
    return pa.schema([])


def columns_with(columns: pa.Schema, more: pa.Schema) -> pa.Schema:
    """Columns, and more of them; of two with one name, the latter in the place of the former."""
    for field in more:
        place = columns.get_field_index(field.name)
        columns = columns.append(field) if place < 0 else columns.set(place, field)
    return columns


def widened(columns: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """The columns that hold these rows as well.

    A whole number becomes a fraction where the other is one; a column known of nulls alone takes
    any type.

    Raises:
        InvalidData: Some column would have to hold two types, or what Parquet has none for.
    """
    try:
        # Not Table.from_pylist, which sees no fields but those of the first row.
        told = pa.schema(list(pa.array(rows).type))
        wide = pa.unify_schemas([columns, told], promote_options="permissive")
        parquet.ParquetWriter(pa.BufferOutputStream(), wide).close()
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise InvalidData(
            f"These rows do not fit into columns ({error}); write JSON lines instead."
        ) from error
    return wide


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Column]) -> int:
    """Stream rows into a new file, as `RowWriter` does, and tell how many there were."""
    number = 0
    with RowWriter(path, columns) as file:
        for row in rows:
            file.add(row)
            number += 1
    return number


def _batches(source: IO[bytes], kind: str) -> Iterator[Any]:
    if kind == "Parquet":
        yield from parquet.ParquetFile(source).iter_batches(batch_size=ROWS_AT_ONCE)
        return
    size = source.seek(0, SEEK_END)
    source.seek(max(0, size - len(_END)))
    if source.read() != _END:
        raise pa.ArrowInvalid(f"it breaks off after {size} bytes")
    source.seek(0)
    with pa.ipc.open_stream(source) as stream:
        for batch in stream:
            # A batch is as large as its writer made it.
            for start in range(0, len(batch), ROWS_AT_ONCE):
                yield batch.slice(start, ROWS_AT_ONCE)


def _arrow(column: Column) -> Any:
    if isinstance(column, list):
        return pa.list_(_arrow(column[0]))
    if isinstance(column, dict):
        return pa.struct([(name, _arrow(inner)) for name, inner in column.items()])
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[column]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value]
    return value
