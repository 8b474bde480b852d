"""The files of an export, written row by row: JSON lines, a JSON array, CSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from feedback.exporters.table import Row

if TYPE_CHECKING:
    from storage.parquet import Column


class Writer(Protocol):
    """What takes one row after the other."""

    def add(self, row: Row) -> None:
        """Write a row; a missing value is null."""


@contextmanager
def row_file(path: Path, columns: Mapping[str, Column]) -> Iterator[Writer]:
    """Open a new file, of the type that its name ends in. Memory does not grow with its rows."""
    if path.suffix == ".parquet":
        from storage.parquet import RowWriter  # noqa: PLC0415, loads pyarrow

        with RowWriter(path, columns) as table:
            yield table
        return
    with _text(path) as file:
        if path.suffix == ".csv":
            yield _Csv(file, columns)
        elif path.suffix == ".json":
            array = _Array(file, columns)
            yield array
            array.end()
        else:
            yield _Lines(file, columns)


def flat(columns: Mapping[str, Column], path: str) -> Mapping[str, Column]:
    """The columns as a file of this name has them: CSV keeps lists and records as JSON text."""
    if not path.endswith(".csv"):
        return columns
    return {
        name: str if isinstance(column, list | dict) else column for name, column in columns.items()
    }


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    with ExitStack() as files:
        plain: IO[bytes] = files.enter_context(path.open("wb"))
        if path.suffix == ".gz":
            # Without name and time, so that the same rows make the same file.
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=plain, mtime=0)
            plain = cast("IO[bytes]", files.enter_context(packed))
        yield files.enter_context(io.TextIOWrapper(plain, encoding="utf-8", newline=""))


class _Lines:
    """One JSON object a line, with the same fields in each."""

    def __init__(self, file: IO[str], columns: Mapping[str, Column]) -> None:
        self._file, self._names = file, list(columns)

    def add(self, row: Row) -> None:
        fields = {name: row.get(name) for name in self._names}
        self._file.write(_json(fields) + "\n")


class _Array:
    """One JSON array, an object a line."""

    def __init__(self, file: IO[str], columns: Mapping[str, Column]) -> None:
        self._file, self._names, self._between = file, list(columns), "[\n"

    def add(self, row: Row) -> None:
        fields = {name: row.get(name) for name in self._names}
        self._file.write(self._between + _json(fields))
        self._between = ",\n"

    def end(self) -> None:
        self._file.write("\n]\n")


class _Csv:
    """Comma-separated values with a head; lists and records as JSON text, null as nothing."""

    def __init__(self, file: IO[str], columns: Mapping[str, Column]) -> None:
        self._file = csv.writer(file, lineterminator="\n")
        self._columns = columns
        self._file.writerow(columns)

    def add(self, row: Row) -> None:
        self._file.writerow([_cell(row.get(name)) for name in self._columns])


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | tuple | dict) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
