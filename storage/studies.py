"""Blinded studies, and the sealed key that says which policy wrote what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import IntegrityError

from storage import tables
from storage.errors import InvalidData, InvalidOption, NotAllowed, NotFound
from storage.records import ResponseId, Study, StudyId
from storage.rows import as_row, count_new

_studies = tables.studies


def add_study(connection: Connection, study: Study, *, key: Mapping[ResponseId, str]) -> Study:
    """Keep a study together with its sealed key.

    Args:
        connection: Of the caller's transaction.
        study: The study, with its plan.
        key: The arm that wrote each response. Nobody reads it before the study is closed.

    Raises:
        InvalidOption: There are less than two arms, or the key names an arm that does not exist.
        InvalidData: The project is not stored, or the study is known already.
    """
    if len(set(study.arms)) < 2 or len(set(study.arms)) < len(study.arms):
        raise InvalidOption("arms", "a study compares at least two policies", list(study.arms))
    unknown = set(key.values()) - set(study.arms)
    if unknown:
        raise InvalidOption("key", f"arms are {', '.join(study.arms)}", sorted(unknown))
    row = as_row(_studies, study, sealed_key=key)
    try:
        new = count_new(connection, _studies, [row], key="code")
    except IntegrityError as error:
        raise InvalidData(
            f"Study {study.name!r} is known already, or its project is not stored."
        ) from error
    if not new:
        raise InvalidData("There is already a study with this code; draw another.")
    return study


def study(connection: Connection, code_or_id: str) -> Study:
    """Look a study up by the end of its link, or by its identifier.

    Raises:
        NotFound: Names no other code, because codes are secrets.
    """
    called = (_studies.c.code == code_or_id) | (_studies.c.id == code_or_id)
    row = connection.execute(_select().where(called)).first()
    if row is None:
        raise NotFound("study", code_or_id)
    return _study(row)


def studies(connection: Connection) -> list[Study]:
    """Every study, the newest first."""
    order = _studies.c.opened.desc(), _studies.c.name
    return [_study(row) for row in connection.execute(_select().order_by(*order))]


def close_study(connection: Connection, study_id: StudyId, now: datetime) -> Study:
    """End a study: it takes no more votes and its key may be read. Closing twice changes nothing.

    Raises:
        NotFound: It is not stored.
    """
    still_open = (_studies.c.id == study_id) & _studies.c.closed.is_(None)
    connection.execute(update(_studies).where(still_open).values(closed=now))
    return study(connection, study_id)


def study_key(
    connection: Connection, study_id: StudyId, *, for_totals: bool = False
) -> Mapping[ResponseId, str]:
    """Which arm wrote each response.

    Args:
        connection: Open for reading.
        study_id: The study.
        for_totals: Count the votes of an open study with it. Whoever asks so shows nothing but
            totals, and says that they are an early look.

    Raises:
        NotAllowed: The study is still open.
        NotFound: It is not stored.
    """
    if study(connection, study_id).closed is None and not for_totals:
        raise NotAllowed(
            "The key of a study stays sealed until the study is closed; close it first."
        )
    statement = select(_studies.c.sealed_key).where(_studies.c.id == study_id)
    return {ResponseId(key): arm for key, arm in connection.scalars(statement).one().items()}


def _select() -> Any:
    """Everything but the key, so that it does not even travel."""
    return select(*(column for column in _studies.c if column.name != "sealed_key"))


def _study(row: Row[Any]) -> Study:
    return Study(**row._asdict() | {"arms": tuple(row.arms)})
