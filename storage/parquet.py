"""Parquet files, read and written as a stream of plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from storage.errors import InvalidData

ROWS_AT_ONCE = 1000

Column = type[str] | type[int] | type[float] | type[bool] | list["Column"] | dict[str, "Column"]
"""What a column holds: str, int, float, bool, [column] for a list, {name: column} for a record.
Every value may be None."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Stream the rows of a file. A value that is None is left out of its row.

    Raises:
        InvalidData: It is no Parquet file, or only a part of one.
    """
    with path.open("rb") as source:
        try:
            for batch in parquet.ParquetFile(source).iter_batches(batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    yield _without_none(row)
        except pa.ArrowException as error:
            raise InvalidData(
                f"{path} is not a whole Parquet file ({error}); copy or download it again."
            ) from error


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Column]) -> int:
    """Stream rows into a file, and tell how many there were; memory does not grow with them.

    Args:
        path: The file to make.
        rows: Each with values for some of the columns; a missing value is None.
        columns: Name and type of every column, in order.
    """
    schema = pa.schema([(name, _arrow(column)) for name, column in columns.items()])
    written = 0
    stream = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(stream, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist([dict(row) for row in chunk], schema=schema))
            written += len(chunk)
    return written


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
