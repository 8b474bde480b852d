"""Bringing back what people said in Argilla, from its server or from a file of its exports."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from feedback.argilla.export_files import read_export
from feedback.argilla.pushing import group_of
from feedback.argilla.report import Pulled
from feedback.argilla.server import RECORDS_AT_ONCE
from feedback.argilla.taking import Desk
from storage.errors import InvalidData, NotFound
from storage.rows import in_batches
from storage.tasks import tasks

if TYPE_CHECKING:
    from pathlib import Path

    from argilla import Dataset

    from feedback.argilla.server import Server
    from storage.database import Database
    from storage.recipes import Progress
    from storage.records import Project


def pull(
    database: Database,
    server: Server,
    project: Project,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Pulled:
    """Bring back everything that was answered in a project's data sets.

    Each page of records is kept by itself, so that a pull that was cut off goes on when it is
    asked for again.

    Args:
        database: Where the project is kept.
        server: Signed in as an owner, or as an admin of the workspace.
        project: One that was pushed.
        now: For what does not say when it was answered.
        progress: Told the records read.

    Raises:
        InvalidData: The project collects in Tandem.
        NotFound: Its workspace, or every data set in it, is gone.
        ServiceFailed: The server does not answer.
    """
    report = Pulled()
    found = project_datasets(database, server, project)
    desk = Desk(database, project, report)
    before = 0
    for dataset in found:
        seen: set[str] = set()
        there = 0
        for page in server.pages(dataset):
            desk.take_page(page, now=now)
            for response, status in page.mute:
                server.mend(response, status)
            report.mended += len(page.mute)
            seen |= set(page.records)
            there = page.total
            if progress is not None:
                progress.report(before + page.done, total=before + there, message=str(dataset.name))
        report.missed += max(0, there - len(seen))
        before += there
    return report


def pull_file(
    database: Database,
    path: Path,
    project: Project,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Pulled:
    """Take what people said from a file that was exported from Argilla; no server is asked.

    Files do not say when an answer was given, so one that differs from what stands here already is
    counted and left out.

    Args:
        database: Where the project is kept.
        path: As `records.to_json` or `to_datasets` writes it.
        project: Whose tasks the records are.
        now: Kept as the moment when the judgements were received.
        progress: Told the records read.

    Raises:
        InvalidData: It cannot be read, or holds no answer to a task of the project.
    """
    report = Pulled()
    desk = Desk(database, project, report)
    for batch in in_batches(read_export(path), RECORDS_AT_ONCE):
        report.records += len(batch)
        desk.take([answer for _, answers in batch for answer in answers], now=now)
        if progress is not None:
            progress.report(report.records, message=path.name)
    if not report.responses:
        raise InvalidData(
            f"{path.name} holds no answer to a task of project {project.name!r}; a file of another"
            " origin is read by: tandem import FILE --format argilla"
        )
    return report


def project_datasets(database: Database, server: Server, project: Project) -> list[Dataset]:
    """The data sets of a project on a server.

    Raises:
        InvalidData: The project collects in Tandem.
        NotFound: Its workspace, or every data set in it, is gone.
        ServiceFailed: The server does not answer.
    """
    workspace = project.collecting.argilla_workspace
    if not workspace:
        raise InvalidData(f"Project {project.name!r} collects in Tandem; push it to Argilla first.")
    with database.read() as connection:
        every = tasks(connection, project.id, everything=True)
    names = sorted({group_of(project, one).dataset for one in every})
    there = server.datasets(server.workspace(workspace))
    found = [there[name] for name in names if name in there]
    if not found:
        raise NotFound("Argilla data set", names[0] if names else project.name, there)
    return found
