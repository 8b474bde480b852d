"""The JSON interface for whoever judges: tasks, judgements, skips, flags, undo, own figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request

from app import shown
from app.access import Access, SignedOut, needs_fetch
from feedback import asides
from feedback.assignment import next_tasks
from feedback.intake import Answer, take
from feedback.own_figures import own_figures
from storage import messages
from storage.database import Connection, Database
from storage.errors import NotAllowed, NotFound, TandemError
from storage.projects import project_named, projects
from storage.qualification import standing_of
from storage.records import Annotator, Project, Role, Study, StudyId
from storage.studies import study as study_with
from storage.tasks import progress

MOST_AT_ONCE = 20
"""Tasks one annotator may hold; more would keep others waiting."""

ProjectName = Annotated[
    str | None, Query(max_length=200, description="Its name; without one, any with work.")
]
StudyCode = Annotated[
    str | None, Query(max_length=200, description="Code of the study to vote in.")
]


class StudyUnknown(NotFound):
    """There is no such study. Unlike its parent it names no other, since codes are secret."""

    def __init__(self) -> None:
        TandemError.__init__(
            self, "There is no study under this link. Check it, or ask whoever sent it to you."
        )


def judging(database: Database, access: Access, *, clock: Callable[[], datetime]) -> APIRouter:
    """The endpoints that an annotator's screen needs."""
    router = APIRouter(tags=["judging"])
    signed_in = access.needs(Role.ANNOTATOR)

    def person(request: Request) -> Annotator:
        """The person signed in."""
        return _as_meant(request, signed_in(request))

    def judge(request: Request, study: StudyCode = None) -> Annotator:
        """Whoever judges: a participant of the study named, else the person signed in."""
        if not study:
            return person(request)
        participant = access.participant(request, study)
        if participant is None:
            raise SignedOut("Please agree to take part first, on the page of the study.")
        return _as_meant(request, participant)

    whoever, fetched = Depends(judge), [Depends(needs_fetch)]
    no_participant = Depends(person)

    @router.get("/tasks", summary="Lease tasks to judge")
    def tasks(
        annotator: Annotator = whoever,
        count: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 5,
        project: ProjectName = None,
        study: StudyCode = None,
    ) -> shown.Work:
        voting = open_study(database, study) if study else None
        with database.read() as connection:
            chosen = _project(connection, annotator, project, voting)
            names = [] if voting else [one.name for one in projects(connection)]
        scope = voting.id if voting else None
        given = next_tasks(
            database,
            annotator,
            chosen,
            study=scope,
            count=count,
            now=clock(),
            rng=np.random.default_rng(),
        )
        with database.read() as connection:
            stands = (
                None
                if voting
                else standing_of(connection, annotator.id, chosen.id, chosen.collecting)
            )
            return shown.Work(
                annotator=annotator.pseudonym,
                project=shown.ProjectShown.of(chosen, name="" if voting else None),
                projects=names,
                tasks=[shown.TaskShown.of(task) for task in given],
                progress=_reached(connection, annotator, chosen, scope),
                qualification=stands and shown.QualificationShown.of(stands),
                messages=[
                    shown.MessageShown.of(one) for one in messages.unread(connection, annotator.id)
                ],
            )

    @router.post("/submissions", dependencies=fetched)
    def hand_in(answer: Answer, annotator: Annotator = whoever) -> shown.Kept:
        """Hand in a judgement. The reply comes when it is on the disk; a resend changes nothing."""
        receipt = take(database, annotator, answer, now=clock())
        return shown.Kept(
            saved=receipt.saved,
            progress=shown.ProgressShown.of(receipt.progress),
            qualification=receipt.lesson and shown.LessonShown.of(receipt.lesson),
        )

    @router.post("/skip", dependencies=fetched)
    def skip(said: asides.Skip, annotator: Annotator = whoever) -> shown.Noted:
        """Pass a task over: its seat is free for others, and it is not offered here again."""
        return _noted(asides.skip(database, annotator, said, now=clock()))

    @router.post("/flag", dependencies=fetched)
    def flag(said: asides.Flag, annotator: Annotator = whoever) -> shown.Noted:
        """Report a problem with a task. It stays to be judged or skipped."""
        return _noted(asides.flag(database, annotator, said, now=clock()))

    @router.post("/undo", dependencies=fetched)
    def undo(said: asides.Undo, annotator: Annotator = whoever) -> shown.Noted:
        """Take one's latest judgement back, within an hour. Its task is open again."""
        return _noted(asides.undo(database, annotator, said, now=clock()))

    @router.get("/progress")
    def how_far(
        annotator: Annotator = whoever, project: ProjectName = None, study: StudyCode = None
    ) -> shown.ProgressShown:
        """How far this annotator is."""
        voting = open_study(database, study) if study else None
        with database.read() as connection:
            chosen = _project(connection, annotator, project, voting)
            return _reached(connection, annotator, chosen, voting.id if voting else None)

    @router.get("/statistics")
    def statistics(
        annotator: Annotator = no_participant, project: ProjectName = None
    ) -> shown.Figures:
        """This annotator's own work: how much, how fast, how far others agree."""
        with database.read() as connection:
            chosen = _project(connection, annotator, project, None)
            figures = own_figures(connection, annotator.id, chosen.id, now=clock())
        return shown.Figures.of(figures)

    @router.post("/messages/{message}/read", dependencies=fetched)
    def read(
        message: Annotated[str, Path(max_length=32)], annotator: Annotator = whoever
    ) -> shown.Read:
        """Note that a message was read. A second time changes nothing."""
        with database.write() as connection:
            new = messages.mark_read(connection, message, annotator.id, now=clock())
        return shown.Read(saved=new)

    return router


def open_study(database: Database, code: str) -> Study:
    """The study behind a participants' link.

    Raises:
        StudyUnknown: No study has this code.
        NotAllowed: It is closed.
    """
    try:
        with database.read() as connection:
            found = study_with(connection, code)
    except NotFound:
        raise StudyUnknown from None
    if found.code != code:  # found by its identifier, which is no secret
        raise StudyUnknown
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


def _project(
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


def _reached(
    connection: Connection, annotator: Annotator, project: Project, study: StudyId | None
) -> shown.ProgressShown:
    return shown.ProgressShown.of(progress(connection, annotator.id, project.id, study))


def _noted(noted: asides.Noted) -> shown.Noted:
    return shown.Noted(saved=noted.saved, progress=shown.ProgressShown.of(noted.progress))
