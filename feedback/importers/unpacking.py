"""Rows of CSV files that we exported: cells that hold JSON text, because CSV has no lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_CONVERSATIONS = ("prompt", "input", "chosen")
_LISTS = {
    *(*_CONVERSATIONS, "rejected", "completion", "conversations"),
    *("tags", "responses", "preferences", "shown", "comparisons", "ratings"),
}
_NUMBERS = {"margin", "strength", "rating", "scale_min", "scale_max", "wins"}
_TRUTH = {"True": True, "False": False}


def unpacked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row as the other file types have it, where it is one of ours; else as it is.

    It is ours where a prompt or a chosen answer is a list of messages. What cannot be read so stays
    the text that it is, for whoever reads it to refuse.
    """
    if not any(_is_conversation(row.get(name)) for name in _CONVERSATIONS):
        return row
    return {name: _cell(name, cell) for name, cell in row.items() if cell != ""}


def _is_conversation(cell: object) -> bool:
    return isinstance(cell, str) and cell.startswith('[{"role": ') and cell.endswith("}]")


def _cell(name: str, cell: Any) -> Any:
    if name == "label":
        return _TRUTH.get(cell, cell)
    if name in _LISTS or name in _NUMBERS:
        with suppress(ValueError):
            return json.loads(cell)
    return cell
