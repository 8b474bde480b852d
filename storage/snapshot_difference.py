"""What changed from one snapshot to another: rows added, superseded and withdrawn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.dataset import BACKGROUND, TABLES, SnapshotData
from storage.records import Split
from storage.rows import in_batches
from storage.sorting import row_digest

_SAID = ("left_id", "right_id", "choice", "graded", "both_bad", "value", "left", "right", "split")
"""Fields of a row that are not what was asked of whom. Sides are one pair in either order."""
_COUNTED = """
    WITH same AS (
        SELECT asked, sum(min(one, other)) AS same FROM (
            SELECT asked, said, sum(side = 0) AS one, sum(side = 1) AS other
            FROM rows GROUP BY asked, said
        ) GROUP BY asked
    ), rest AS (
        SELECT same,
               sum(side = 0) - same AS one,
               sum(side = 1) - same AS other
        FROM rows JOIN same USING (asked) GROUP BY asked
    )
    SELECT coalesce(sum(max(other - one, 0)), 0),
           coalesce(sum(min(one, other)), 0),
           coalesce(sum(max(one - other, 0)), 0),
           coalesce(sum(same), 0)
    FROM rest
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How many rows of a table changed from one snapshot to another."""

    added: int
    """Only in the second."""
    superseded: int
    """The same annotator said something else of the same answers in the second."""
    withdrawn: int
    """Only in the first: taken back, or its annotator was excluded."""
    unchanged: int


def difference(first: Path, second: Path) -> dict[str, Changes]:
    """What changed of what was said, whatever is known of its background.

    What was asked is told by prompt, answers (in either order), aspect and annotator. Of rows that
    ask the same, those that say the same are unchanged; of the others, as many as both snapshots
    have are superseded. The rows are compared on the disk, so memory does not grow with their
    number.

    Args:
        first: Folder of the earlier snapshot.
        second: Folder of the later one.

    Returns:
        {"comparisons": changes, "ratings": changes}.

    Raises:
        InvalidData: One of the folders is not a whole snapshot.
    """
    opened = SnapshotData.open(first), SnapshotData.open(second)
    return {table: _changes(table, opened) for table in TABLES}


def as_json(found: Mapping[str, Changes]) -> dict[str, dict[str, int]]:
    """The form in which commands carry a difference."""
    return {table: asdict(changes) for table, changes in found.items()}


def _changes(table: str, opened: tuple[SnapshotData, SnapshotData]) -> Changes:
    # Without a name, SQLite keeps the database in a temporary file and removes that in the end.
    with closing(sqlite3.connect("", isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = OFF")
        file.execute("CREATE TABLE rows (side INTEGER, asked BLOB, said BLOB)")
        for side, data in enumerate(opened):
            for batch in in_batches(_told(data, table)):
                file.execute("BEGIN")
                file.executemany(
                    "INSERT INTO rows VALUES (?, ?, ?)", ((side, *one) for one in batch)
                )
                file.execute("COMMIT")
        added, superseded, withdrawn, unchanged = file.execute(_COUNTED).fetchone()
    return Changes(added=added, superseded=superseded, withdrawn=withdrawn, unchanged=unchanged)


def _told(data: SnapshotData, table: str) -> Iterator[tuple[bytes, bytes]]:
    """Of each row the digests of what was asked of whom, and of all that was said."""
    for split in Split:
        for row in data.stream(table, split):
            known = {name: value for name, value in row.items() if name not in BACKGROUND}
            asked = {name: value for name, value in known.items() if name not in _SAID}
            if table == "comparisons":
                asked["pair"] = sorted((row["left_id"], row["right_id"]))
            yield row_digest(asked), row_digest(known)
