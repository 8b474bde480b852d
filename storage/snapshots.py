"""Snapshots of projects: freezing what was said, and finding what was frozen.

How a snapshot looks on the disk is told in `storage.dataset`, whose nouns are offered here too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select

from storage import tables
from storage.database import Database
from storage.dataset import (
    ComparisonRow,
    LeftOut,
    RatingRow,
    SnapshotData,
    fill,
    place,
    write_snapshot,
)
from storage.errors import InvalidData, TooLittleData
from storage.exclusions import excluded
from storage.files import write_folder
from storage.judgements import Judgement, judgements
from storage.prompts import prompts_by_id, responses_by_id
from storage.records import ProjectId, Prompt, Purpose, Response, Snapshot, SnapshotId
from storage.rows import as_row, count_new, in_batches, only_one
from storage.snapshot_difference import Changes, as_json, difference
from storage.sorting import sorting

__all__ = [
    "Changes",
    "ComparisonRow",
    "LeftOut",
    "RatingRow",
    "SnapshotData",
    "as_json",
    "difference",
    "freeze",
    "rows_to_freeze",
    "snapshot",
    "snapshots",
    "write_snapshot",
]

_snapshots = tables.snapshots


def freeze(database: Database, project: ProjectId, *, data_dir: Path, now: datetime) -> Snapshot:
    """Write everything said in a project as a snapshot, leaving the votes of studies out.

    Known items, repeats and what was taken back stay out too, and so do the judgements of excluded
    annotators; the card says how many of these.

    It takes the database and not a connection, because writing many rows takes a while and nobody
    who judges should wait for it: one moment of the database is read, and only the last line, the
    registration, is a transaction that writes. What was frozen before is found, not written again.

    Raises:
        TooLittleData: Nothing was said yet.
        StorageFailed: The disk or the database refused.
    """
    home = data_dir / "snapshots"
    with sorting(home) as rows:
        with database.read() as connection:
            rows.add(map(place, rows_to_freeze(connection, project)))
            left_out = _left_out(connection, project)
        if not rows.counts():
            but = " but those of excluded annotators" if left_out else " yet"
            raise TooLittleData(
                f"There is nothing to freeze: the project has no judgements{but}. Annotate some"
                " tasks or import some judgements first."
            )
        name = SnapshotId(rows.digest())
        folder = home / name[:16]
        if not _is_whole(folder):
            with write_folder(folder, replace=True) as partial:
                fill(partial, rows, left_out=left_out)
    frozen = SnapshotData.open(folder)
    with database.write() as connection:
        parents = [one.id for one in snapshots(connection, project) if one.id != name]
        fresh = Snapshot(
            id=name,
            project=project,
            parent=parents[0] if parents else None,
            folder=folder.relative_to(data_dir).as_posix(),
            rows=frozen.rows,
            simulated=frozen.simulated,
            created=now,
        )
        count_new(connection, _snapshots, [as_row(_snapshots, fresh)])
        return snapshot(connection, name)


def snapshots(connection: Connection, project: ProjectId | None = None) -> list[Snapshot]:
    """The snapshots of a project, or all of them, the newest first."""
    statement = select(_snapshots).order_by(_snapshots.c.created.desc(), _snapshots.c.id)
    if project is not None:
        statement = statement.where(_snapshots.c.project == project)
    return [_snapshot(row) for row in connection.execute(statement)]


def snapshot(connection: Connection, id_or_prefix: str) -> Snapshot:
    """Look a snapshot up by its identifier or by the beginning of it.

    Raises:
        NotFound: No snapshot has it, or several begin with it.
    """
    return _snapshot(only_one(connection, _snapshots, "snapshot", id_or_prefix))


def rows_to_freeze(
    connection: Connection, project: ProjectId
) -> Generator[ComparisonRow | RatingRow, None, None]:
    """Everything that `freeze` would write now, streamed."""
    for batch in in_batches(judgements(connection, project, without_excluded=True)):
        prompts = prompts_by_id(connection, (one.prompt for one in batch))
        said_of = [part.left for one in batch for part in one.comparisons]
        said_of += [part.right for one in batch for part in one.comparisons]
        said_of += [part.response for one in batch for part in one.ratings]
        responses = responses_by_id(connection, said_of)
        for judgement in batch:
            yield from _rows_of(judgement, prompts[judgement.prompt], responses)


def _left_out(connection: Connection, project: ProjectId) -> LeftOut | None:
    """What would be frozen too, if nobody were excluded; None for nothing."""
    said, prompts = tables.submissions, tables.prompts
    theirs = (
        said.c.annotator.in_(excluded(project))
        & (prompts.c.project == project)
        & said.c.study.is_(None)
        & (said.c.purpose == str(Purpose.FEEDBACK))
        & said.c.retracted.is_(None)
    )
    of_them = said.join(prompts)
    rows = sum(
        connection.scalar(select(func.count()).select_from(of_them.join(table)).where(theirs)) or 0
        for table in (tables.comparisons, tables.ratings)
    )
    people = select(func.count(said.c.annotator.distinct())).select_from(of_them).where(theirs)
    return LeftOut(annotators=connection.scalar(people) or 0, rows=rows) if rows else None


def _rows_of(
    judgement: Judgement, prompt: Prompt, responses: dict[Any, Response]
) -> Iterator[ComparisonRow | RatingRow]:
    for one in judgement.comparisons:
        yield ComparisonRow(
            prompt_id=prompt.id,
            prompt=prompt.messages,
            left_id=one.left,
            left=responses[one.left].text,
            right_id=one.right,
            right=responses[one.right].text,
            choice=one.choice,
            graded=one.graded,
            both_bad=one.both_bad,
            annotator=judgement.annotator,
            kind=str(judgement.kind),
            left_policy=responses[one.left].policy,
            right_policy=responses[one.right].policy,
            tags=prompt.tags,
        )
    for rating in judgement.ratings:
        yield RatingRow(
            prompt_id=prompt.id,
            prompt=prompt.messages,
            response_id=rating.response,
            response=responses[rating.response].text,
            aspect=rating.aspect,
            value=rating.value,
            annotator=judgement.annotator,
            kind=str(judgement.kind),
            policy=responses[rating.response].policy,
            tags=prompt.tags,
        )


def _is_whole(folder: Path) -> bool:
    try:
        SnapshotData.open(folder)
    except InvalidData:
        return False
    return True


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(**row._asdict())
