"""API tokens: how programs prove who they work for. Shown once; only the digest is kept."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from storage import tables
from storage.annotators import annotator as annotator_by_id
from storage.errors import InvalidOption, NotAllowed, NotFound
from storage.records import Annotator, AnnotatorId
from storage.rows import checked

PREFIX = "tandem_"
"""So that a token left in a file by mistake is known for what it is."""

_tokens = tables.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as its owner may see it afterwards: no longer the secret itself."""

    digest: str
    """SHA-256 of the token; names it when it is revoked."""
    label: str
    created: datetime
    revoked: datetime | None


def make_token(connection: Connection, annotator: AnnotatorId, label: str, now: datetime) -> str:
    """Make a token with which a program may do what the annotator may.

    Raises:
        InvalidOption: The label is empty.
        NotFound: The annotator is not stored.
    """
    if not label.strip():
        raise InvalidOption("label", "a token needs one, to be told from the others", label)
    annotator_by_id(connection, annotator)
    token = PREFIX + secrets.token_urlsafe(32)
    row = {"digest": _digest(token), "annotator": annotator, "label": label, "created": now}
    connection.execute(_tokens.insert().values(checked(_tokens, row)))
    return token


def annotator_of(connection: Connection, token: str) -> Annotator:
    """Whom a token stands for.

    Raises:
        NotAllowed: It is unknown or revoked, or its owner is kept out.
    """
    valid = (_tokens.c.digest == _digest(token)) & _tokens.c.revoked.is_(None)
    owner = connection.scalar(select(_tokens.c.annotator).where(valid))
    if owner is None:
        raise NotAllowed("This API token is unknown or was revoked; make a new one.")
    found = annotator_by_id(connection, owner)
    if not found.active:
        raise NotAllowed(f"{found.name} may not sign in any more; ask an administrator.")
    return found


def revoke(connection: Connection, digest: str, annotator: AnnotatorId, *, now: datetime) -> None:
    """End a token of an annotator. A second time changes nothing.

    Raises:
        NotFound: The annotator has no such token.
    """
    theirs = (_tokens.c.digest == digest) & (_tokens.c.annotator == annotator)
    connection.execute(
        update(_tokens).where(theirs, _tokens.c.revoked.is_(None)).values(revoked=now)
    )
    if connection.scalar(select(_tokens.c.digest).where(theirs)) is None:
        raise NotFound("token", digest[:8])


def tokens(connection: Connection, annotator: AnnotatorId) -> list[Token]:
    """The tokens of an annotator, revoked ones too, the newest first."""
    order = _tokens.c.created.desc(), _tokens.c.digest
    rows = connection.execute(
        select(_tokens).where(_tokens.c.annotator == annotator).order_by(*order)
    )
    return [
        Token(digest=row.digest, label=row.label, created=row.created, revoked=row.revoked)
        for row in rows
    ]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
