"""The JSON interface for researchers: judgements out, known items in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from app import shown
from app.ablation import REPORT
from app.access import Access, needs_fetch
from app.version import SOFTWARE
from feedback.known_items import make_known
from storage import jobs, studies
from storage.database import Database
from storage.errors import NotFound
from storage.files import write_text
from storage.projects import project_named
from storage.records import Annotator, Purpose, Role, SubmissionId
from storage.settings import Settings

if TYPE_CHECKING:
    from evaluation.study_record import StudyRecord


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
        name: str,
        form: str,
        file_type: Literal["jsonl", "jsonl.gz", "json", "csv", "parquet"] | None = None,
    ) -> FileResponse:
        """Download a project's judgements as a zip file."""
        from app.exporting import background
        from feedback.exporters import export

        with database.read() as connection:
            project = project_named(connection, name)
        told = background(database, project)
        with _scratch(settings) as folder:
            content = folder / "content"
            export(
                database,
                project,
                form,
                folder=content,
                file_type=file_type,
                background=told,
                now=clock(),
            )
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

    @router.get("/studies/{study}/report", dependencies=[researcher], response_class=FileResponse)
    def study_report(study: str) -> FileResponse:
        """Download the report of a closed study, as one HTML file."""
        from evaluation.study_reading import reading
        from evaluation.study_report import study_html

        record = _closed_study(database, study)
        page = study_html(record, reading(record), software=SOFTWARE)
        with _scratch(settings) as folder:
            place = folder / "report.html"
            write_text(place, page)
        return _sent(folder, place, f"study-{record.study.id[:8]}.html", "text/html")

    @router.get("/studies/{study}/package", dependencies=[researcher], response_class=FileResponse)
    def package(study: str) -> FileResponse:
        """Download all that a closed study rests on, people under pseudonyms, as a zip file."""
        from evaluation.study_package import write_package

        record = _closed_study(database, study)
        with _scratch(settings) as folder:
            place = folder / "package.zip"
            write_package(record, place, software=SOFTWARE)
        return _sent(folder, place, f"study-{record.study.id[:8]}.zip", "application/zip")

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


def _closed_study(database: Database, study: str) -> StudyRecord:
    """A study with its key; an open one is refused."""
    from evaluation.study_record import study_record

    with database.read() as connection:
        found = studies.study(connection, study)
    return study_record(database, found)


def _sent(folder: Path, place: Path, name: str, media_type: str) -> FileResponse:
    """A file that is sent and then removed with its folder."""
    return FileResponse(
        place,
        media_type=media_type,
        filename=name,
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """A folder that stays if the block ends well, for whoever sends what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=settings.folder("temporary")))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
