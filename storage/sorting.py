"""Sorting more rows than memory holds, and naming a set of rows by its digest."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from storage.errors import InvalidData, StorageFailed
from storage.files import make_folder
from storage.rows import in_batches


def row_digest(row: Mapping[str, Any]) -> bytes:
    """SHA-256 of a row as canonical JSON: fields in alphabetical order, no spaces, UTF-8."""
    return _digest(_canonical(row))


@contextmanager
def sorting(folder: Path) -> Iterator[RowSorter]:
    """Give a sorter that keeps its rows in a temporary file in `folder`.

    Raises:
        StorageFailed: The disk is full, or the folder is not ours to write to.
    """
    path = make_folder(folder) / f".sorting-{secrets.token_hex(4)}.sqlite"
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            yield RowSorter(file)
    except sqlite3.OperationalError as error:
        raise StorageFailed(
            f"The rows could not be sorted in {folder}: {error}. Free some disk space, or choose"
            " another folder."
        ) from error
    finally:
        path.unlink(missing_ok=True)


class RowSorter:
    """Takes rows in any order and gives them back in the order of their digests."""

    def __init__(self, file: sqlite3.Connection) -> None:
        """Use an empty SQLite file, which nobody needs after a crash."""
        self._file = file
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("CREATE TABLE rows (part TEXT, digest BLOB, row TEXT)")

    def add(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Take rows, each with the name of the part that it belongs to.

        Raises:
            InvalidData: A text in a row is not Unicode.
        """
        for batch in in_batches(rows):
            self._file.execute("BEGIN")
            self._file.executemany(
                "INSERT INTO rows VALUES (?, ?, ?)", (_entry(part, row) for part, row in batch)
            )
            self._file.execute("COMMIT")

    def counts(self) -> dict[str, int]:
        """How many rows each part has."""
        return dict(self._file.execute("SELECT part, count(*) FROM rows GROUP BY part"))

    def digest(self) -> str:
        """SHA-256 of the parts and digests of all rows in order: the same rows, the same digest."""
        whole = hashlib.sha256()
        ordered = "SELECT part, digest FROM rows ORDER BY digest, part"
        for part, digest in self._file.execute(ordered):
            whole.update(part.encode() + b"\0" + digest)
        return whole.hexdigest()

    def rows(self, part: str) -> Iterator[dict[str, Any]]:
        """The rows of one part, in the order of their digests."""
        ordered = "SELECT row FROM rows WHERE part = ? ORDER BY digest"
        for (row,) in self._file.execute(ordered, (part,)):
            yield json.loads(row)


def _entry(part: str, row: Mapping[str, Any]) -> tuple[str, bytes, str]:
    text = _canonical(row)
    return part, _digest(text), text


def _canonical(row: Mapping[str, Any]) -> str:
    return json.dumps(
        row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def _digest(text: str) -> bytes:
    try:
        return hashlib.sha256(text.encode()).digest()
    except UnicodeEncodeError as error:
        raise InvalidData(
            f"A row holds a character that is not Unicode text: {text[error.start : error.end]!r}."
        ) from error
