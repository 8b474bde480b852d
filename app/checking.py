"""Looking through what is stored: a project's judgements, or a snapshot of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from storage.database import Database
from storage.errors import TooLittleData
from storage.records import Message, Split
from storage.settings import Settings
from storage.snapshots import SnapshotData, rows_to_freeze, snapshot

if TYPE_CHECKING:
    from evaluation.linting.check import CheckReport

Sets = Mapping[str, Sequence[tuple[Message, ...]]]
"""Name of each evaluation set, and its prompts."""


Report = Callable[[int], None]
"""Told now and then how many rows were seen."""


def check_snapshot(
    database: Database,
    settings: Settings,
    name: str,
    *,
    against: Sets | None = None,
    report: Report | None = None,
) -> CheckReport:
    """Look through a snapshot, named by its id or the beginning of it.

    Raises:
        NotFound: No snapshot has it.
        InvalidData: Its folder is not whole.
    """
    from evaluation.linting.check import check
    from evaluation.linting.sources import entries_of_snapshot

    with database.read() as connection:
        frozen = snapshot(connection, name)
    data = SnapshotData.open(settings.data_dir / frozen.folder)
    return check(
        entries_of_snapshot(data),
        name=f"snapshot {frozen.id[:10]}",
        against=against,
        report=report,
    )


def check_project(
    database: Database,
    name: str,
    *,
    against: Sets | None = None,
    report: Report | None = None,
) -> CheckReport:
    """Look through what a project would freeze now.

    Raises:
        NotFound: There is no project of that name.
        TooLittleData: It has no judgements.
    """
    from evaluation.linting.check import check
    from evaluation.linting.sources import entries_of_rows
    from storage.projects import project_named

    with database.read() as connection:
        project = project_named(connection, name)
        with closing(rows_to_freeze(connection, project.id)) as rows:
            try:
                return check(
                    entries_of_rows(rows),
                    name=f"project {name}",
                    against=against,
                    report=report,
                )
            except TooLittleData:
                raise TooLittleData(
                    f"The project {name!r} has no judgements yet. Import or collect some first."
                ) from None


def check_file(
    path: Path,
    format_name: str | None = None,
    *,
    against: Sets | None = None,
    report: Report | None = None,
) -> CheckReport:
    """Look through a file, or a folder with a dataset, in any format that can be imported.

    Raises:
        InvalidData: It cannot be read at all.
        NotFound: There is no format of that name.
    """
    from evaluation.linting.check import check
    from evaluation.linting.sources import entries_of_file

    return check(entries_of_file(path, format_name), name=path.name, against=against, report=report)


def evaluation_sets(paths: Iterable[Path]) -> Sets:
    """The prompts of files or folders, by their names. Those of one name are one set.

    Raises:
        InvalidData: One of them cannot be read, or holds no prompts.
    """
    from evaluation.linting.sources import prompts_of_file

    found: dict[str, list[tuple[Message, ...]]] = {}
    for path in paths:
        found.setdefault(path.name, []).extend(prompts_of_file(path))
    return found


def doubts_before_training(data: SnapshotData) -> list[str]:
    """What a person should read before a reward model learns from a snapshot, in words.

    Only what takes one quick pass: answers compared with themselves, and prompts of the training
    part that are held out as well.
    """
    from evaluation.linting.findings import Severity
    from evaluation.linting.leaks import Leaks
    from evaluation.linting.sources import entries_of_snapshot
    from evaluation.linting.verdicts import Verdicts

    leaks, verdicts = Leaks(), Verdicts()
    if not any(data.rows.get(f"{table}/{Split.TRAIN}") for table in ("comparisons", "ratings")):
        return []
    for entry in entries_of_snapshot(data):
        leaks.look(entry)
        verdicts.look(0, entry)
    found = [*verdicts.findings({}), *leaks.findings({})]
    return [
        f"Warning: {one.sentence} {one.advice}" for one in found if one.severity is Severity.ERROR
    ]
