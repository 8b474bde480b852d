"""Writing judgements as training data: one table of formats.

A new format is one more file with a function that makes a `Table`, and one more entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from feedback.exporters.both import both
from feedback.exporters.preference import preference
from feedback.exporters.ratings import ratings
from feedback.exporters.raw import raw
from feedback.exporters.table import ExportConfig
from feedback.exporters.unpaired import unpaired
from feedback.exporters.writing import ExportReport, write_export
from storage.database import Database
from storage.recipes import Recipe, find
from storage.records import Project

# `run(source)` gives a Table.
EXPORTERS: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="preference",
            summary="Prompt, chosen and rejected response, for reward models and DPO in TRL",
            config=ExportConfig,
            run=preference,
        ),
        Recipe(
            name="ratings",
            summary="Prompt, response and its rating from 1 to 7",
            config=ExportConfig,
            run=ratings,
        ),
        Recipe(
            name="unpaired",
            summary="Prompt, completion and whether it is good, for KTO in TRL",
            config=ExportConfig,
            run=unpaired,
        ),
        Recipe(
            name="both",
            summary="Prompts with responses, ratings and preferences, to be imported again",
            config=ExportConfig,
            run=both,
        ),
        Recipe(
            name="raw",
            summary="Every judgement with everything that was kept about it",
            config=ExportConfig,
            run=raw,
        ),
    )
}


def export(
    database: Database,
    project: Project,
    format_name: str,
    *,
    folder: Path,
    file_type: str = "jsonl",
    now: datetime,
) -> ExportReport:
    """Write a project's judgements, without the votes of studies, into a new folder.

    The folder holds train, validation and test as far as they have rows, and a dataset card, so
    that `datasets.load_dataset(folder)` opens it.

    Args:
        database: Where the project is kept.
        project: What to export.
        format_name: Name of an entry of `EXPORTERS`.
        folder: A folder that does not exist or is empty.
        file_type: "jsonl" or "parquet".
        now: For the card.

    Raises:
        NotFound: There is no format of that name.
        InvalidOption: Another file type, or a folder that already holds something.
        TooLittleData: The project holds nothing that this format has a place for.
        StorageFailed: The disk or the database refused.
    """
    recipe = find(EXPORTERS, "export format", format_name)
    config = ExportConfig.read({"file_type": file_type})
    return write_export(database, project, recipe, config, folder=folder, now=now)
