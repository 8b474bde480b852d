"""Bringing files into projects, with tasks for what nobody has judged; the starter project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from storage.recipes import Progress

if TYPE_CHECKING:
    from storage.database import Database
    from storage.records import Project

FILE_TYPES = [".jsonl", ".json", ".csv", ".tsv", ".gz", ".parquet"]
"""Ends of the names of files that can be read."""
STARTER = Path(__file__).parent / "starter" / "answers.jsonl.gz"
STARTER_PROJECT = "starter"
STARTER_GUIDELINES = (
    "Which answer would you rather have been given? Look first at whether it does what was asked,"
    " then at whether it is true, then at how clear and how long it is."
)
PAIRS_PER_PROMPT = 6
"""All pairs of four responses. With many more responses per prompt, pairs would multiply."""


def import_into(
    database: Database,
    path: Path,
    *,
    project: str,
    now: datetime,
    format_name: str | None = None,
    options: Mapping[str, Any] | None = None,
    broken: Literal["refuse", "skip"] = "refuse",
    pairs_per_prompt: int = PAIRS_PER_PROMPT,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Import a file; responses that came without judgements become tasks for annotators.

    Returns:
        What was added: the fields of `feedback.importers.store.ImportReport`, and `tasks`.

    Raises:
        InvalidData: Something in the file is wrong; nothing was added. With `broken` skip, a wrong
            line is left out instead and told in the report.
        NotFound: There is no format of that name.
        InvalidOption: An option is unknown to the format or out of bounds.
    """
    from feedback.importers import WITHOUT_JUDGEMENTS
    from feedback.importers.store import import_file
    from feedback.pairing import make_tasks
    from storage import projects

    report = import_file(
        database,
        path,
        project=project,
        format_name=format_name,
        options=options,
        broken=broken,
        now=now,
        progress=progress,
    )
    tasks = 0
    if report.format in WITHOUT_JUDGEMENTS:
        with database.write() as connection:
            tasks = make_tasks(
                connection,
                projects.project_named(connection, project),
                rng=np.random.default_rng(0),
                pairs_per_prompt=pairs_per_prompt,
            )
    return {**asdict(report), "tasks": tasks}


def add_starter_project(
    database: Database,
    *,
    now: datetime,
    simulated: bool = False,
    overlap: int = 1,
    pairs_per_prompt: int = PAIRS_PER_PROMPT,
) -> Project | None:
    """Make the project that a new installation opens with: prompts and answers ready to be judged.

    Returns:
        The project, or None where the data file was not installed.
    """
    from storage import projects

    if not STARTER.is_file():
        return None
    with database.write() as connection:
        projects.ensure_project(
            connection,
            STARTER_PROJECT,
            now=now,
            simulated=simulated,
            overlap=overlap,
            guidelines=STARTER_GUIDELINES,
        )
    import_into(
        database,
        STARTER,
        project=STARTER_PROJECT,
        now=now,
        pairs_per_prompt=pairs_per_prompt,
    )
    with database.read() as connection:
        return projects.project_named(connection, STARTER_PROJECT)
