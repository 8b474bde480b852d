"""Prompts and the responses to them, kept under digests of their content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, bindparam, select
from sqlalchemy.exc import IntegrityError

from storage import tables
from storage.errors import InvalidData, NotFound
from storage.records import Message, ProjectId, Prompt, PromptId, Response, ResponseId
from storage.rows import BATCH, as_row, count_new, in_batches

# Asked for every task shown. Built once: to build a statement takes longer than to run it.
_BY_ID = {
    table: select(table).where(table.c.id.in_(bindparam("ids", expanding=True)))
    for table in (tables.prompts, tables.responses)
}


def add_prompts(connection: Connection, prompts: Iterable[Prompt]) -> int:
    """Keep prompts; those that are known already stay as they are.

    Returns:
        How many were new.

    Raises:
        InvalidData: A prompt names a project that is not stored.
    """
    rows = (as_row(tables.prompts, prompt) for prompt in prompts)
    try:
        return count_new(connection, tables.prompts, rows)
    except IntegrityError as error:
        raise InvalidData("A prompt names a project that is not stored; add it first.") from error


def add_responses(connection: Connection, responses: Iterable[Response]) -> int:
    """Keep responses; those that are known already stay as they are.

    Returns:
        How many were new.

    Raises:
        InvalidData: A response names a prompt that is not stored.
    """
    rows = (as_row(tables.responses, response) for response in responses)
    try:
        return count_new(connection, tables.responses, rows)
    except IntegrityError as error:
        raise InvalidData("A response names a prompt that is not stored; add it first.") from error


def prompts(connection: Connection, project: ProjectId) -> list[Prompt]:
    """Every prompt of a project, in an order that stays the same."""
    return list(stream_prompts(connection, project))


def stream_prompts(connection: Connection, project: ProjectId) -> Iterator[Prompt]:
    """Every prompt of a project, in the order of their identifiers, some at a time."""
    table = tables.prompts
    statement = select(table).where(table.c.project == project).order_by(table.c.id)
    for row in connection.execute(statement, execution_options={"yield_per": BATCH}):
        yield _prompt(row)


def answered(connection: Connection, project: ProjectId) -> Iterator[tuple[Message, ...]]:
    """Stream the messages of the prompts that have answers, but for those of studies."""
    table = tables.prompts.c
    having = select(tables.responses.c.prompt).where(written_for_no_study())
    statement = select(table.messages).where(table.project == project, table.id.in_(having))
    for row in connection.execute(statement, execution_options={"yield_per": BATCH}):
        yield tuple(row.messages)


def written_for_no_study() -> ColumnElement[bool]:
    """A response was not written for a study; see `Response.study`."""
    study: ColumnElement[str] = tables.responses.c.sampling["study"].as_string()
    return study.is_(None)


def prompt(connection: Connection, prompt_id: PromptId) -> Prompt:
    """One prompt.

    Raises:
        NotFound: It is not stored.
    """
    return prompts_by_id(connection, [prompt_id])[prompt_id]


def prompts_by_id(connection: Connection, ids: Iterable[PromptId]) -> dict[PromptId, Prompt]:
    """Several prompts.

    Raises:
        NotFound: One of them is not stored.
    """
    rows = _by_id(connection, tables.prompts, "prompt", ids)
    return {PromptId(id_): _prompt(row) for id_, row in rows.items()}


def responses(
    connection: Connection, of: ProjectId | Iterable[PromptId]
) -> dict[PromptId, list[Response]]:
    """The responses to the prompts given, or to every prompt of a project.

    A prompt without responses has an empty list. The order stays the same from call to call.
    """
    if isinstance(of, str):
        belongs = tables.prompts.c.project == of
        asked = connection.scalars(select(tables.prompts.c.id).where(belongs))
        known = {PromptId(prompt): list[Response]() for prompt in sorted(asked)}
        _collect(connection, known, _responses().join(tables.prompts).where(belongs))
        return known
    known = {prompt: [] for prompt in of}
    for batch in in_batches(known):
        _collect(connection, known, _responses().where(tables.responses.c.prompt.in_(batch)))
    return known


def response(connection: Connection, response_id: ResponseId) -> Response:
    """One response.

    Raises:
        NotFound: It is not stored.
    """
    return responses_by_id(connection, [response_id])[response_id]


def responses_by_id(
    connection: Connection, ids: Iterable[ResponseId]
) -> dict[ResponseId, Response]:
    """Several responses.

    Raises:
        NotFound: One of them is not stored.
    """
    rows = _by_id(connection, tables.responses, "response", ids)
    return {ResponseId(id_): Response(**row._asdict()) for id_, row in rows.items()}


def _by_id(
    connection: Connection, table: Table, kind: str, ids: Iterable[str]
) -> dict[str, Row[Any]]:
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Row[Any]] = {}
    for batch in in_batches(wanted):
        found |= {row.id: row for row in connection.execute(_BY_ID[table], {"ids": batch})}
    for missing in wanted:
        if missing not in found:
            raise NotFound(kind, missing)
    return found


def _responses() -> Select[Any]:
    return select(tables.responses).order_by(tables.responses.c.id)


def _collect(
    connection: Connection, known: dict[PromptId, list[Response]], statement: Select[Any]
) -> None:
    for row in connection.execute(statement):
        known[row.prompt].append(Response(**row._asdict()))


def _prompt(row: Row[Any]) -> Prompt:
    fields = row._asdict()
    return Prompt(**fields | {"messages": tuple(row.messages), "tags": tuple(row.tags)})
