"""How often each judgement came in a file so far, in memory that does not grow with the file."""

from __future__ import annotations

import sqlite3

_COUNT = (
    "INSERT INTO met VALUES (?, 1) ON CONFLICT (content) DO UPDATE SET times = times + 1"
    " RETURNING times"
)


class Occurrences:
    """Counts contents by their digests, on disk: a million would fill hundreds of MiB."""

    def __init__(self) -> None:
        # An empty name is a database of its own in a temporary file, which goes when it is closed.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE met (content BLOB PRIMARY KEY, times INT) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def before(self, content: str) -> int:
        """How often this content came before, from 0; it counts from now on.

        Args:
            content: A digest, in hexadecimal digits.
        """
        ((times,),) = self._connection.execute(_COUNT, (bytes.fromhex(content),)).fetchall()
        return int(times) - 1
