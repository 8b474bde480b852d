"""The card of an export: what it is, for people, and how to open it, for `datasets`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feedback.exporters.table import Table
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

_SIMULATED = """\
Some or all of these judgements are **simulated**: a program made them, not people. Where
`annotator_kind` is simulated, that is so."""
_NOT_SIMULATED = "None of these judgements is simulated."
_CARD = """\
---
{head}
---

# {title}

{summary}. Exported by Tandem on {now:%Y-%m-%d}. {who}

{meaning}
`annotator` is a pseudonym, and `annotator_kind` is person, program or simulated.

| train | validation | test |
|---|---|---|
| {rows} |
{left_out}
Parts are drawn by the text of the prompt, so no prompt is in two of them.
"""


def dataset_card(
    table: Table,
    *,
    title: str,
    summary: str,
    files: Mapping[Split, str],
    rows: Mapping[Split, int],
    left_out: Mapping[str, int],
    simulated: bool,
    now: datetime,
) -> str:
    """Describe an export. The head is YAML, written as the JSON that YAML also understands."""
    parts = [{"split": str(split), "path": name} for split, name in files.items()]
    head = {
        "configs": [{"config_name": "default", "data_files": parts}],
        # Without types, a column that is empty in one file would not fit the same in the next.
        "dataset_info": {"features": [_feature(*column) for column in table.columns.items()]},
        "tags": ["tandem", *(["simulated"] if simulated else [])],
    }
    return _CARD.format(
        head="\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items()),
        title=title,
        summary=summary,
        now=now,
        who=_SIMULATED if simulated else _NOT_SIMULATED,
        meaning=table.meaning,
        rows=" | ".join(str(rows[split]) for split in Split),
        left_out="".join(f"\nLeft out: {number} {what}.\n" for what, number in left_out.items()),
    )


def _feature(name: str, column: Column) -> dict[str, Any]:
    """A column as `datasets` describes it in a card."""
    kind = _kind(column)
    return {"name": name, **(kind if isinstance(kind, dict) else {"dtype": kind})}


def _kind(column: Column) -> Any:
    if isinstance(column, list):
        inner = _kind(column[0])
        return {"list": inner["struct"] if isinstance(column[0], dict) else inner}
    if isinstance(column, dict):
        return {"struct": [_feature(*field) for field in column.items()]}
    return {str: "string", int: "int64", float: "float64", bool: "bool"}[column]
