"""The JSON interface under /api/v1, used by the annotation screen and by other programs alike.

Handlers only translate: HTTP to a call, a record to JSON. A reply is sent when what it says is true
on the disk.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from app import shown
from app.access import Access, SignedOut, needs_fetch
from feedback.assignment import next_tasks
from feedback.intake import Answer, take
from storage.annotators import add_annotator
from storage.database import Database
from storage.errors import NotAllowed, NotFound, TandemError
from storage.projects import project_named, projects
from storage.records import Annotator, Project, ProjectId, Role, Study
from storage.settings import Settings
from storage.studies import study as study_with
from storage.tasks import progress

PREFIX = "/api/v1"
MOST_AT_ONCE = 20
"""Tasks one annotator may hold; more would keep others waiting."""


class StudyUnknown(NotFound):
    """There is no such study. Unlike its parent it names no other, since codes are secret."""

    def __init__(self) -> None:
        TandemError.__init__(
            self, "There is no study under this link. Check it, or ask whoever sent it to you."
        )


def api(
    settings: Settings, database: Database, access: Access, *, clock: Callable[[], datetime]
) -> APIRouter:
    """The endpoints, to be included in an application."""
    statuses = (401, 403, 404, 409, 413, 422, 503, 507)
    router = APIRouter(
        prefix=PREFIX, responses={status: {"model": shown.Refusal} for status in statuses}
    )
    signed_in = access.needs(Role.ANNOTATOR)

    def judge(
        request: Request,
        study: Annotated[str | None, Query(description="Code of the study to vote in.")] = None,
    ) -> Annotator:
        """Whoever judges: a participant of the study named, else the person signed in."""
        annotator = access.participant(request, study) if study else signed_in(request)
        if annotator is None:
            raise SignedOut("Please agree to take part first, on the page of the study.")
        meant = request.headers.get("x-tandem-annotator", annotator.pseudonym)
        if meant != annotator.pseudonym:  # people share devices; what one said is not another's
            raise SignedOut(f"{meant} is not signed in here any more. Sign in again.")
        return annotator

    whoever = Depends(judge)

    @router.get("/tasks", summary="Lease tasks to judge", tags=["judging"])
    def tasks(
        annotator: Annotator = whoever,
        count: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 5,
        project: Annotated[str | None, Query(description="Its name; without one, any.")] = None,
        study: str | None = None,
    ) -> shown.Work:
        voting = open_study(database, study) if study else None
        chosen, names = (
            _project_of(database, voting.project)
            if voting
            else _project_for(database, annotator, project)
        )
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
            reached = progress(connection, annotator.id, chosen.id, scope)
        return shown.Work(
            annotator=annotator.pseudonym,
            project=shown.ProjectShown.of(chosen, name="" if voting else None),
            projects=names,
            tasks=[shown.TaskShown.of(task) for task in given],
            progress=shown.ProgressShown.of(reached),
        )

    @router.post("/submissions", dependencies=[Depends(needs_fetch)], tags=["judging"])
    def hand_in(answer: Answer, annotator: Annotator = whoever) -> shown.Kept:
        """Hand in a judgement. The reply comes when it is on the disk; a resend changes nothing."""
        receipt = take(database, annotator, answer, now=clock())
        reached = shown.ProgressShown.of(receipt.progress)
        return shown.Kept(saved=receipt.saved, progress=reached)

    @router.post("/study/{code}/enter", dependencies=[Depends(needs_fetch)], tags=["judging"])
    def enter(
        code: str, _consent: shown.Consent, request: Request, response: Response
    ) -> shown.Participation:
        """Take part in a study, under a new pseudonym. Needs no account and asks for no name."""
        open_study(database, code)
        participant = access.participant(request, code)
        if participant is None:
            name = f"participant-{secrets.token_hex(6)}"
            with database.write() as connection:
                participant = add_annotator(connection, name, role=Role.PARTICIPANT, now=clock())
            access.take_part(request, response, code, participant)
        return shown.Participation(annotator=participant.pseudonym)

    @router.get(
        "/projects/{name}/export/{form}",
        dependencies=[Depends(access.needs(Role.RESEARCHER))],
        response_class=FileResponse,
        tags=["data"],
    )
    def download(
        name: str, form: str, file_type: Literal["jsonl", "parquet"] = "jsonl"
    ) -> FileResponse:
        """Download a project's judgements as a zip file."""
        from feedback.exporters import export

        with database.read() as connection:
            project = project_named(connection, name)
        with _scratch(settings) as folder:
            content = folder / "content"
            export(database, project, form, folder=content, file_type=file_type, now=clock())
            packed = shutil.make_archive(str(folder / "packed"), "zip", content)
        return FileResponse(
            packed,
            filename=f"{project.name}-{form}.zip",
            background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
        )

    @router.get("/health", tags=["operation"])
    def health() -> shown.Health:
        """Whether the server answers and its database can be read."""
        with database.read() as connection:
            projects(connection)
        return shown.Health()

    return router


def describe(app: FastAPI, access: Access) -> None:
    """Serve the OpenAPI description of the endpoints, to researchers."""
    researchers = [Depends(access.needs(Role.RESEARCHER))]

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False, dependencies=researchers)
    def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())


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


def _project_of(database: Database, identifier: ProjectId) -> tuple[Project, list[str]]:
    with database.read() as connection:
        return project_named(connection, identifier), []


def _project_for(
    database: Database, annotator: Annotator, name: str | None
) -> tuple[Project, list[str]]:
    """The project named, or else the newest in which the annotator has something to do."""
    with database.read() as connection:
        known = projects(connection)
        names = [project.name for project in known]
        if name is not None:
            return project_named(connection, name), names
        if not known:
            raise NotFound("project", "any")
        newest = known[::-1]
        busy = (one for one in newest if progress(connection, annotator.id, one.id).open)
        return next(busy, newest[0]), names


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """A folder that stays if the block ends well, for whoever sends what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=settings.folder("temporary")))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
