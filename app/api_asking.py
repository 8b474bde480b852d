"""Who judges in a request, and in which project or study."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol

from fastapi import Query, Request

from app.access import Access, SignedOut, needs_fetch
from storage.database import Connection
from storage.errors import NotAllowed, NotFound, TandemError
from storage.projects import project_named, projects
from storage.records import Annotator, Project, Role, Study
from storage.studies import study as study_with
from storage.tasks import progress

ProjectName = Annotated[
    str | None, Query(max_length=200, description="Its name; without one, any with work.")
]
StudyCode = Annotated[
    str | None, Query(max_length=200, description="Code of the study to vote in.")
]


class Asker(Protocol):
    """Looks up who sent a request, and raises when nobody may be told."""

    def __call__(self, connection: Connection | None = None) -> Annotator:
        """The annotator, looked up in this transaction or in one of its own."""


class StudyUnknown(NotFound):
    """There is no such study. Unlike its parent it names no other, since codes are secret."""

    def __init__(self) -> None:
        TandemError.__init__(
            self, "There is no study under this link. Check it, or ask whoever sent it to you."
        )


def judges(
    access: Access,
) -> tuple[Callable[..., Awaitable[Asker]], Callable[..., Awaitable[Asker]]]:
    """Two FastAPI dependencies: the person signed in, and whoever judges."""

    # Dependencies that are no coroutines run in a thread each, which takes longer than what they
    # do. These only note whom to look up; the endpoint does it, in the thread that it has anyway.
    async def person(request: Request) -> Asker:
        """The person signed in."""
        if not access.is_claimed(request):
            raise access.nobody()  # before anybody has to wait for the database

        def signed_in(connection: Connection | None = None) -> Annotator:
            return _as_meant(request, access.holder(request, Role.ANNOTATOR, connection))

        return signed_in

    async def judge(request: Request, study: StudyCode = None) -> Asker:
        """Whoever judges: a participant of the study named, else the person signed in."""
        if not study:
            return await person(request)

        def voter(connection: Connection | None = None) -> Annotator:
            participant = access.participant(request, study, connection)
            if participant is None:
                raise SignedOut("Please agree to take part first, on the page of the study.")
            return _as_meant(request, participant)

        return voter

    return person, judge


async def from_our_pages(request: Request) -> None:
    """A FastAPI dependency that refuses what a form of another site could send.

    Raises:
        NotAllowed: See `needs_fetch`.
    """
    needs_fetch(request)


def study_behind(connection: Connection, code: str) -> Study:
    """The study behind a participants' link, open or closed.

    Raises:
        StudyUnknown: No study has this code.
    """
    try:
        found = study_with(connection, code)
    except NotFound:
        raise StudyUnknown from None
    if found.code != code:  # found by its identifier, which is no secret
        raise StudyUnknown
    return found


def open_study(connection: Connection, code: str) -> Study:
    """The study behind a participants' link.

    Raises:
        StudyUnknown: No study has this code.
        NotAllowed: It is closed.
    """
    found = study_behind(connection, code)
    if found.closed is not None:
        raise NotAllowed("This study is closed. Thank you for your interest.")
    return found


def _as_meant(request: Request, annotator: Annotator) -> Annotator:
    """People share devices, and what one said is not another's.

    Raises:
        SignedOut: The request names somebody else.
    """
    meant = request.headers.get("x-tandem-annotator", annotator.pseudonym)
    if meant != annotator.pseudonym:
        raise SignedOut(f"{meant} is not signed in here any more. Sign in again.")
    return annotator


def asked_project(
    connection: Connection, annotator: Annotator, name: str | None, voting: Study | None
) -> Project:
    """The project of the study, or the one named, or the newest with something to do."""
    if voting is not None:
        return project_named(connection, voting.project)
    if name is not None:
        return project_named(connection, name)
    newest = projects(connection)[::-1]
    if not newest:
        raise NotFound("project", "any")
    busy = (one for one in newest if progress(connection, annotator.id, one.id).open)
    return next(busy, newest[0])
