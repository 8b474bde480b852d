"""The JSON interface for whoever judges: tasks, judgements, skips, flags, undo, own figures."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Path, Query

from app import shown
from app.access import Access
from app.api_asking import (
    Asker,
    ProjectName,
    StudyCode,
    asked_project,
    from_our_pages,
    judges,
    open_study,
)
from app.argilla_address import argilla_address
from app.together import Together
from evaluation.study_plan import own_question
from feedback import asides
from feedback.assignment import ShownTask, give_tasks
from feedback.intake import Answer, Receipt, keep
from feedback.own_figures import own_figures
from feedback.participation import Participation
from feedback.reached import reached
from storage import messages
from storage.database import Connection, Database
from storage.errors import NotAllowed
from storage.participants import finish, participant
from storage.projects import project_names
from storage.qualification import Standing, standing_of
from storage.records import Annotator, Project, Study, StudyId

MOST_AT_ONCE = 20
"""Tasks one annotator may hold; more would keep others waiting."""


def judging(database: Database, access: Access, *, clock: Callable[[], datetime]) -> APIRouter:
    """The endpoints that an annotator's screen needs."""
    router = APIRouter(tags=["judging"])
    person, judge = judges(access)
    whoever, fetched = Depends(judge), [Depends(from_our_pages)]
    no_participant = Depends(person)
    together = Together(database)

    @router.get("/tasks", summary="Lease tasks to judge")
    async def tasks(
        who: Asker = whoever,
        count: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 5,
        project: ProjectName = None,
        study: StudyCode = None,
    ) -> shown.Work:
        return await together.write(
            lambda connection: _handful(
                connection, who(connection), project, study, count=count, now=clock()
            ),
            _work,
        )

    @router.post("/submissions", dependencies=fetched)
    async def hand_in(answer: Answer, who: Asker = whoever) -> shown.Kept:
        """Hand in a judgement. The reply comes when it is on the disk; a resend changes nothing."""
        return await together.write(
            lambda connection: keep(connection, who(connection), answer, now=clock()), _kept
        )

    @router.post("/skip", dependencies=fetched)
    def skip(said: asides.Skip, who: Asker = whoever) -> shown.Noted:
        """Pass a task over: its seat is free for others, and it is not offered here again."""
        return _noted(asides.skip(database, who(), said, now=clock()))

    @router.post("/flag", dependencies=fetched)
    def flag(said: asides.Flag, who: Asker = whoever) -> shown.Noted:
        """Report a problem with a task. It stays to be judged or skipped."""
        return _noted(asides.flag(database, who(), said, now=clock()))

    @router.post("/undo", dependencies=fetched)
    def undo(said: asides.Undo, who: Asker = whoever) -> shown.Noted:
        """Take one's latest judgement back, within an hour. Its task is open again."""
        return _noted(asides.undo(database, who(), said, now=clock()))

    @router.get("/progress")
    def how_far(
        who: Asker = whoever, project: ProjectName = None, study: StudyCode = None
    ) -> shown.ProgressShown:
        """How far this annotator is."""
        annotator = who()
        with database.read() as connection:
            voting = open_study(connection, study) if study else None
            chosen = asked_project(connection, annotator, project, voting)
            return _reached(connection, annotator, chosen, voting.id if voting else None)

    @router.get("/statistics")
    def statistics(who: Asker = no_participant, project: ProjectName = None) -> shown.Figures:
        """This annotator's own work: how much, how fast, how far others agree."""
        annotator = who()
        with database.read() as connection:
            chosen = asked_project(connection, annotator, project, None)
            figures = own_figures(connection, annotator.id, chosen.id, now=clock())
        return shown.Figures.of(figures)

    @router.post("/messages/{message}/read", dependencies=fetched)
    def read(message: Annotated[str, Path(max_length=32)], who: Asker = whoever) -> shown.Read:
        """Note that a message was read. A second time changes nothing."""
        reader = who()
        with database.write() as connection:
            new = messages.mark_read(connection, message, reader.id, now=clock())
        return shown.Read(saved=new)

    return router


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handful:
    """Tasks for one annotator, and what is told with them."""

    annotator: Annotator
    project: Project
    voting: Study | None
    given: list[ShownTask]
    names: list[str]
    progress: shown.ProgressShown
    unread: list[messages.PersonalMessage]
    stands: Standing | None
    asked: Participation | None
    """What the study asks of its participants; None outside of studies."""
    has_finished: bool
    """True of a participant who has nothing left to do."""


def _handful(
    connection: Connection,
    annotator: Annotator,
    project: str | None,
    study: str | None,
    *,
    count: int,
    now: datetime,
) -> _Handful:
    voting = open_study(connection, study) if study else None
    scope = voting.id if voting else None
    chosen = asked_project(connection, annotator, project, voting)
    asked = Participation.of(voting) if voting else None
    if asked is not None:
        _check_begun(connection, annotator, asked)
    given = give_tasks(
        connection,
        annotator,
        chosen,
        study=scope,
        count=count,
        now=now,
        rng=np.random.default_rng(),
    )
    told = _reached(connection, annotator, chosen, scope)
    has_finished = voting is not None and not given and told.done > 0 and not told.open
    if has_finished:
        finish(connection, annotator.id, now=now)
    return _Handful(
        annotator=annotator,
        project=chosen,
        voting=voting,
        given=given,
        names=[] if voting else project_names(connection),
        progress=told,
        unread=messages.unread(connection, annotator.id),
        stands=None
        if voting
        else standing_of(connection, annotator.id, chosen.id, chosen.collecting),
        asked=asked,
        has_finished=has_finished,
    )


def _check_begun(connection: Connection, annotator: Annotator, asked: Participation) -> None:
    """See that a participant has passed what comes before the first vote.

    Raises:
        NotAllowed: They have not.
    """
    came = participant(connection, annotator.id)
    if came is not None and came.started is None and asked.has_introduction:
        raise NotAllowed("Please begin on the page of the study: something comes before the votes.")


def _work(found: _Handful) -> shown.Work:
    asked = found.asked
    project = shown.ProjectShown.of(
        found.project,
        name="" if found.voting else None,
        question=own_question(found.voting.plan) if found.voting else "",
    )
    if asked is not None and asked.instructions:
        project = project.model_copy(update={"guidelines": shown.Text.of(asked.instructions)})
    done = shown.Completion(code=asked.completion_code, url=asked.completion_url) if asked else None
    return shown.Work(
        annotator=found.annotator.pseudonym,
        project=project,
        projects=found.names,
        tasks=[shown.TaskShown.of(task) for task in found.given],
        progress=found.progress,
        qualification=found.stands and shown.QualificationShown.of(found.stands),
        messages=[shown.MessageShown.of(one) for one in found.unread],
        elsewhere=None
        if found.voting
        else shown.Elsewhere.of(found.project, argilla_address(os.environ)),
        completion=done if found.has_finished else None,
    )


def _kept(receipt: Receipt) -> shown.Kept:
    return shown.Kept(
        saved=receipt.saved,
        progress=shown.ProgressShown.of(receipt.progress),
        qualification=receipt.lesson and shown.LessonShown.of(receipt.lesson),
    )


def _reached(
    connection: Connection, annotator: Annotator, project: Project, study: StudyId | None
) -> shown.ProgressShown:
    return shown.ProgressShown.of(reached(connection, annotator.id, project, study))


def _noted(noted: asides.Noted) -> shown.Noted:
    return shown.Noted(saved=noted.saved, progress=shown.ProgressShown.of(noted.progress))
