"""The JSON interface for researchers: judgements out, known items in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from app import shown
from app.ablation import REPORT
from app.access import Access, needs_fetch
from feedback.known_items import make_known
from storage import jobs
from storage.database import Database
from storage.errors import NotFound
from storage.projects import project_named
from storage.records import Annotator, Purpose, Role, SubmissionId
from storage.settings import Settings


def research(
    settings: Settings, database: Database, access: Access, *, clock: Callable[[], datetime]
) -> APIRouter:
    """The endpoints that need the role of a researcher."""
    router = APIRouter(tags=["data"])
    researcher = Depends(access.needs(Role.RESEARCHER))

    @router.get(
        "/projects/{name}/export/{form}", dependencies=[researcher], response_class=FileResponse
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

    @router.get("/jobs/{job}/report", dependencies=[researcher], response_class=FileResponse)
    def report(job: str) -> FileResponse:
        """Download what a job wrote for reading, as one HTML file."""
        with database.read() as connection:
            found = jobs.job(connection, job)
        place = settings.data_dir / "jobs" / found.id / REPORT
        if not place.is_file():
            raise NotFound("report of job", found.id)
        return FileResponse(
            place, media_type="text/html", filename=f"{found.recipe}-{found.id[:8]}.html"
        )

    @router.post("/known", dependencies=[Depends(needs_fetch)])
    def make_known_item(
        said: shown.KnownItem, annotator: Annotator = researcher
    ) -> shown.KnownKept:
        """Make a known item of one's own answer: others should answer as the researcher did."""
        with database.write() as connection:
            task, new = make_known(
                connection,
                annotator,
                SubmissionId(str(said.submission)),
                purpose=Purpose(said.purpose),
                within=said.within,
                explanation=said.explanation,
            )
        return shown.KnownKept(task=task.id, saved=new)

    return router


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """A folder that stays if the block ends well, for whoever sends what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=settings.folder("temporary")))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
