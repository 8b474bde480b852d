"""An export as one file, with its card beside it."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from feedback.exporters.card import Background
from feedback.exporters.table import ExportConfig
from feedback.exporters.writing import CARD, ExportReport, write_export
from storage.database import Database
from storage.errors import InvalidOption
from storage.files import write_file
from storage.recipes import Recipe
from storage.records import Project

FILE_TYPES = ("jsonl.gz", "jsonl", "json", "csv", "parquet")


def file_type_of(name: str) -> str | None:
    """The type of file that a name ends in; None for that of a folder."""
    return next((kind for kind in FILE_TYPES if name.endswith(f".{kind}")), None)


def write_single(
    database: Database,
    project: Project,
    recipe: Recipe,
    config: ExportConfig,
    *,
    path: Path,
    background: Background,
    now: datetime,
) -> ExportReport:
    """Write one export into a new file, and its card into NAME.md beside it.

    Raises:
        InvalidOption: There is such a file; or the rows belong to several parts of the data and
            none of them was named; or the format consists of several files.
        TooLittleData, StorageFailed: As `write_export`.
    """
    card = path.with_name(f"{path.name}.md")
    for place in (path, card):
        if place.exists():
            raise InvalidOption(
                "output", "there is a file of that name; name another or remove it", str(place)
            )
    scratch = path.absolute().with_name(f".{path.name}.export-{secrets.token_hex(4)}")
    try:
        report = write_export(
            database,
            project,
            recipe,
            config,
            folder=scratch,
            only_file=path.name,
            background=background,
            now=now,
        )
        for source, target in ((CARD, card), (path.name, path)):
            with write_file(target) as partial:
                (scratch / source).rename(partial)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return replace(report, folder=path.parent, files=(path, card))
