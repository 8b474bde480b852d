"""The rows of an export, whatever its file type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feedback.exporters import ExportReport
from storage.parquet import read_rows


def rows(report: ExportReport) -> list[dict[str, Any]]:
    """All of them. What is None is null in lines, and left out of the rows of Parquet."""
    data = [path for path in report.files if path.name not in ("README.md", "dataset_info.json")]
    return [row for path in data for row in rows_of(path)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Those of one file."""
    if path.suffix == ".parquet":
        return list(read_rows(path))
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        return list(json.loads(text))
    assert path.suffix == ".jsonl", path
    # Not splitlines, which also ends a line where a text has one of Unicode's other ends of lines.
    return [json.loads(line) for line in text.split("\n") if line]
