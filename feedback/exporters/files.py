"""The files of an export, written row by row: JSON lines, a JSON array, CSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self, cast

from feedback.exporters.table import Row

if TYPE_CHECKING:
    from storage.parquet import Column


class Writer(Protocol):
    """What takes one row after the other."""

    size: int
    """Bytes of the rows so far, as they are in memory; 0 where nobody counts them."""

    def add(self, row: Row) -> None:
        """Write a row; a missing value is null."""


LARGEST_FILE = 32 * 2**20
"""Bytes of rows, as they are in memory, from which on a Parquet file is followed by another.
Whoever streams a file fetches and unpacks it ahead, so the memory of readers grows with the largest
one. Measured with `datasets` 5.2 and 300,000 rows: 884 MiB for one file of 239 MB, 441 MiB for ten
files, as for one of the ten alone."""


class Files:
    """The files of one part of the data: one, and where Parquet grows large, several."""

    def __init__(
        self, folder: Path, name: str, columns: Mapping[str, Column], *, may_be_several: bool
    ) -> None:
        """Begin the first file.

        Args:
            folder: Where.
            name: Of the first file; the further ones have a number behind its stem.
            columns: Of each.
            may_be_several: False where the name of a single file is all that readers get.
        """
        self.names: list[str] = []
        self._first = Path(name)
        self._folder, self._columns = folder, columns
        self._several = may_be_several and self._first.suffix == ".parquet"
        self._open = ExitStack()
        self._next()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, row: Row) -> None:
        """Write a row; a missing value is null."""
        if self._several and self._writer.size >= LARGEST_FILE:
            self._open.close()
            self._next()
        self._writer.add(row)

    def _next(self) -> None:
        number = f"-{len(self.names) + 1}" if self.names else ""
        self.names.append(f"{self._first.stem}{number}.parquet" if number else str(self._first))
        file = row_file(self._folder / self.names[-1], self._columns)
        self._writer: Writer = self._open.enter_context(file)


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

    size = 0

    def __init__(self, file: IO[str], columns: Mapping[str, Column]) -> None:
        self._file, self._names = file, list(columns)

    def add(self, row: Row) -> None:
        fields = {name: row.get(name) for name in self._names}
        self._file.write(_json(fields) + "\n")


class _Array:
    """One JSON array, an object a line."""

    size = 0

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

    size = 0

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
