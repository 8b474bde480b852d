"""Exclusions: annotators whose judgements stay out of what models learn from. Nothing is deleted.

A snapshot that was frozen before is not touched; the next one leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select, update
from sqlalchemy.exc import IntegrityError

from storage import tables
from storage.errors import InvalidOption, NotFound
from storage.records import AnnotatorId, ProjectId
from storage.rows import checked

_exclusions = tables.exclusions


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Somebody's judgements stay out of a project's next snapshots, until it is lifted."""

    annotator: AnnotatorId
    pseudonym: str
    reason: str
    by: AnnotatorId
    at: datetime
    lifted: datetime | None


def exclude(
    connection: Connection,
    project: ProjectId,
    annotator: AnnotatorId,
    *,
    reason: str,
    by: AnnotatorId,
    now: datetime,
) -> bool:
    """Leave an annotator's judgements out of the project's next snapshots and exports.

    Returns:
        True if it was new, False if the annotator was excluded already; the first reason stays.

    Raises:
        InvalidOption: The reason is empty.
        NotFound: The annotator or the project is not stored.
    """
    if not reason.strip():
        raise InvalidOption("reason", "an exclusion needs one", reason)
    if annotator in set(connection.scalars(excluded(project))):
        return False
    row = {"project": project, "annotator": annotator, "reason": reason, "by": by, "at": now}
    try:
        connection.execute(_exclusions.insert().values(checked(_exclusions, row)))
    except IntegrityError as error:
        raise NotFound("annotator", annotator) from error
    return True


def lift(
    connection: Connection, project: ProjectId, annotator: AnnotatorId, *, now: datetime
) -> bool:
    """Let an annotator's judgements count again; False when they were not excluded."""
    in_force = _exclusions.c.lifted.is_(None)
    theirs = (_exclusions.c.project == project) & (_exclusions.c.annotator == annotator)
    lifted = update(_exclusions).where(in_force, theirs).values(lifted=now)
    return connection.execute(lifted).rowcount > 0


def exclusions(connection: Connection, project: ProjectId) -> list[Exclusion]:
    """Every exclusion of a project, lifted ones too, the newest first."""
    annotators = tables.annotators
    statement = (
        select(_exclusions, annotators.c.pseudonym)
        .join(annotators, _exclusions.c.annotator == annotators.c.id)
        .where(_exclusions.c.project == project)
        .order_by(_exclusions.c.at.desc(), _exclusions.c.id.desc())
    )
    return [
        Exclusion(
            annotator=row.annotator,
            pseudonym=row.pseudonym,
            reason=row.reason,
            by=row.by,
            at=row.at,
            lifted=row.lifted,
        )
        for row in connection.execute(statement)
    ]


def excluded(project: ProjectId) -> Select[Any]:
    """The annotators excluded from a project now, as a query to select or filter with."""
    in_force = _exclusions.c.lifted.is_(None)
    return select(_exclusions.c.annotator).where(in_force, _exclusions.c.project == project)
