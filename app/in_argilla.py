"""Projects that are judged in Argilla: bringing tasks there, and what people said back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.recipes import Progress

if TYPE_CHECKING:
    from feedback.argilla.pushing import Suggesting
    from storage.database import Database
    from storage.records import Project
    from storage.settings import Settings


def push_project(
    database: Database,
    settings: Settings,
    project: Project,
    *,
    workspace: str,
    suggest: str,
    environment: Mapping[str, str],
    progress: Progress,
) -> dict[str, Any]:
    """Bring a project's tasks to Argilla.

    Args:
        database: Where the project is kept.
        settings: Where models lie.
        project: Whose tasks.
        workspace: Where to; empty for where it was pushed before, else for "tandem".
        suggest: A reward model that suggests preferences; empty for none.
        environment: Holds the server's address and key.
        progress: Told the records sent.

    Returns:
        {"project", "url", "workspace", "datasets": [{"dataset", "added", "known"}]}

    Raises:
        As `feedback.argilla.pushing.push` and `Server.open`; NotFound where there is no such model.
    """
    from dataclasses import asdict

    from feedback.argilla.pushing import push
    from feedback.argilla.server import Server

    place = workspace or project.collecting.argilla_workspace or WORKSPACE
    server = Server.open(environment)
    suggesting = _suggesting(database, settings, suggest) if suggest else None
    found = push(
        database, server, project, workspace=place, suggesting=suggesting, progress=progress
    )
    return {
        "project": project.name,
        "url": server.url,
        "workspace": place,
        "datasets": [asdict(one) for one in found],
    }


WORKSPACE = "tandem"


def pull_project(
    database: Database,
    project: Project,
    *,
    environment: Mapping[str, str],
    now: datetime,
    progress: Progress,
    file: Path | None = None,
) -> dict[str, Any]:
    """Bring back what people said in Argilla.

    Args:
        database: Where the project is kept.
        project: One that was pushed.
        environment: Holds the server's address and key.
        now: For what does not say when it was answered.
        progress: Told the records read.
        file: Read this file that was exported from Argilla, and ask no server.

    Returns:
        The fields of `feedback.argilla.pulling.Pulled`, "project" and "summary".

    Raises:
        As `feedback.argilla.pulling.pull` and `read_export`.
    """
    from feedback.argilla.pulling import pull, pull_file
    from feedback.argilla.server import Server

    if file is not None:
        report = pull_file(database, file, project, now=now, progress=progress)
    else:
        server = Server.open(environment)
        report = pull(database, server, project, now=now, progress=progress)
    return {"project": project.name, **report.as_json(), "summary": report.sentence()}


def _suggesting(database: Database, settings: Settings, name: str) -> Suggesting:
    from app.sources import reward_folder
    from feedback.argilla.pushing import Suggesting
    from training.rewards.comparing import open_comparer

    with database.read() as connection:
        folder = reward_folder(connection, settings, name)
    comparer = open_comparer(folder, device=settings.device)
    return Suggesting(model=Path(name).name, gaps=lambda pairs: comparer.gaps(pairs).tolist())
