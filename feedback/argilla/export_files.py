"""What people said of Tandem's records, from a file that was exported from Argilla."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feedback.argilla.server import SHOWN, Answered
from feedback.importers.argilla_files import parts
from feedback.importers.lines import lines_of


def read_export(path: Path) -> Iterator[tuple[str, list[Answered]]]:
    """The records of a file, by their id, each with what everybody answered.

    Args:
        path: As `records.to_json`, `to_list` or `to_datasets` writes it. The first says of no
            answer whether it was submitted; all of its answers count as submitted.

    Raises:
        InvalidData: It cannot be read; says where.
    """
    for line in lines_of(path):
        _, answers = parts(line)
        record = line.fields.get("id")
        if not isinstance(record, str) or not record:
            line.refuse("a record of Tandem's has its task's id as 'id'")
        metadata = line.fields.get("metadata")
        shown = (metadata if isinstance(metadata, dict) else line.fields).get(SHOWN)
        values: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        status: dict[str, str] = {}
        for one in answers:
            values[one.user][one.question] = _plain(one.value)
            status[one.user] = one.status or status.get(one.user, "")
        yield (
            record,
            [
                Answered(
                    record=record,
                    shown=tuple(str(shown).split(",")) if shown else None,
                    user=user,
                    status=status[user] or "submitted",
                    values=given,
                    at=None,
                )
                for user, given in values.items()
            ],
        )


def _plain(value: Any) -> Any:
    """A ranking as the server writes it, where a table holds two lists of it."""
    if isinstance(value, dict) and isinstance(value.get("value"), list):
        return [
            {"value": option, "rank": rank}
            for option, rank in zip(value["value"], value.get("rank") or [], strict=False)
        ]
    return value
