"""The models that were made, and where each came from."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import IntegrityError

from storage import tables
from storage.errors import InvalidData, InvalidOption, NotFound
from storage.records import Model
from storage.rows import as_row, count_new

_models = tables.models


def add_model(connection: Connection, model: Model) -> Model:
    """Register a model.

    Raises:
        InvalidOption: The name is empty or taken.
        InvalidData: It names a snapshot or a job that is not stored.
    """
    if not model.name.strip():
        raise InvalidOption("name", "a model needs a name", model.name)
    try:
        if not count_new(connection, _models, [as_row(_models, model)], key="name"):
            raise InvalidOption("name", "there is already a model of that name", model.name)
    except IntegrityError as error:
        raise InvalidData(
            f"Model {model.name!r} is registered already, or was made from snapshot"
            f" {model.snapshot!r} by job {model.job!r} which are not stored."
        ) from error
    return model


def model(connection: Connection, name_or_id: str) -> Model:
    """Look a model up.

    Raises:
        NotFound: With the nearest known name.
    """
    called = (_models.c.name == name_or_id) | (_models.c.id == name_or_id)
    row = connection.execute(select(_models).where(called)).first()
    if row is None:
        raise NotFound("model", name_or_id, [known.name for known in models(connection)])
    return _model(row)


def models(
    connection: Connection, purpose: Literal["reward", "policy"] | None = None
) -> list[Model]:
    """Every model, or those of one purpose, the newest first."""
    statement = select(_models).order_by(_models.c.created.desc(), _models.c.name)
    if purpose is not None:
        statement = statement.where(_models.c.purpose == purpose)
    return [_model(row) for row in connection.execute(statement)]


def _model(row: Row[Any]) -> Model:
    return Model(**row._asdict() | {"parents": tuple(row.parents)})
