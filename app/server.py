"""The web application: JSON interface, annotation, research and study pages, behind one shield."""

from __future__ import annotations

import errno
import logging
import os
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from app.access import Access, SignedOut
from app.api import PREFIX, api, describe
from app.api_scoring import MOST_CHARACTERS
from app.assets import Assets
from app.plain import message
from app.progress import utc_now
from app.scoring_process import ScoringProcess
from app.shield import Shield
from app.sign_in import sign_in_pages
from app.study_page import study_pages
from storage.database import Database
from storage.errors import InvalidAnswer, NotAllowed, NotFound, StorageFailed, TandemError
from storage.records import Role
from storage.settings import Settings

MEGABYTE = 1_000_000
LARGEST_UPLOAD = 500 * MEGABYTE
"""Bytes of one file that a researcher sends to be imported."""
LARGEST_BODY = {
    "/": MEGABYTE,
    "/research": LARGEST_UPLOAD + MEGABYTE,
    f"{PREFIX}/score": 12 * MOST_CHARACTERS + MEGABYTE,  # JSON may take 12 bytes for a character
}

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings, database: Database, *, clock: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Put the application together. The database must be migrated.

    Raises:
        StorageFailed: The key that signs cookies can be neither read nor made.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # this exact word, before gradio is imported
    scorer = ScoringProcess(settings.device)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        scorer.close()

    app = FastAPI(
        lifespan=lifespan,
        title="Tandem",
        summary="Judgements in, judgements out.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(CORSMiddleware, allow_origins=[settings.address], allow_credentials=True)
    app.add_middleware(
        Shield,
        address=settings.address,
        largest_body=LARGEST_BODY,
        gradio_mounts=("/annotate", "/research"),
    )
    assets = Assets()
    access = Access(settings, database, clock=clock)
    _speak_plainly(app, assets)
    app.include_router(api(settings, database, access, scorer, clock=clock))
    describe(app, settings, access)
    app.include_router(sign_in_pages(database, access, assets, clock=clock))
    app.include_router(study_pages(database, access, assets))
    assets.serve(app)
    _mount_pages(app, settings, database, access, assets)
    return app


def _mount_pages(
    app: FastAPI, settings: Settings, database: Database, access: Access, assets: Assets
) -> None:
    import gradio as gr

    from app.annotate_page import FULL_WIDTH, annotate_page, head
    from app.pages.research import research_page
    from app.theme import stylesheet, theme

    closed: dict[str, Any] = {
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "app_kwargs": {"openapi_url": None, "docs_url": None, "redoc_url": None},
        "theme": theme(),
    }
    gr.mount_gradio_app(
        app,
        annotate_page(assets),
        "/annotate",
        auth_dependency=access.gate(Role.ANNOTATOR),
        css=FULL_WIDTH,
        head=head(assets),
        max_file_size=1,
        **closed,
    )
    with warnings.catch_warnings():
        # It says for any application of several pages that server-side rendering, which nobody
        # asked for, is off.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        gr.mount_gradio_app(
            app,
            research_page(settings, database),
            "/research",
            auth_dependency=access.gate(Role.RESEARCHER),
            css=stylesheet(),
            max_file_size=LARGEST_UPLOAD,
            **closed,
        )


def _speak_plainly(app: FastAPI, assets: Assets) -> None:
    """Answer everything that goes wrong with one sentence: JSON for programs, a page for people."""

    def said(request: Request, status: int, sentence: str) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if wants_page and status != 401:  # which the shield turns into the way to the sign-in page
            return message(assets, "That did not work", sentence, status=status)
        return JSONResponse({"error": sentence}, status)

    @app.exception_handler(TandemError)
    def tandem(request: Request, error: TandemError) -> Response:
        status = status_of(error)
        if isinstance(error, StorageFailed):
            logger.error("%s %s: %s", request.method, request.url.path, error)
            # The sentence names files of the server, which are none of a participant's business.
            return said(request, status, _STORAGE_SENTENCES[status])
        return said(request, status, str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return said(request, 422, sentence_of(error))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        sentences = {
            404: f"There is nothing at {path}; check the address.",
            405: f"{path} does not take {request.method}.",
        }
        bare = error.detail == HTTPStatus(error.status_code).phrase
        sentence = sentences.get(error.status_code) if bare else None
        return said(request, error.status_code, sentence or str(error.detail))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return said(request, 500, "Tandem made a mistake; the trace is in the server's log.")


_STORAGE_SENTENCES = {
    503: "The server cannot keep or read anything just now; try again in a moment.",
    507: "The server's disk is full and nothing was kept; tell whoever runs Tandem and try again.",
}


def status_of(error: TandemError) -> int:
    """The HTTP status that fits a refusal."""
    match error:
        case SignedOut():
            return 401
        case NotAllowed():
            return 403
        case NotFound():
            return 404
        case InvalidAnswer():
            return 409
        case StorageFailed():
            return 507 if _is_full(error) else 503
        case _:
            return 422


def sentence_of(error: RequestValidationError) -> str:
    """The first thing wrong with a request: which field, what, and the value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "The body"
    problem = first["msg"].removeprefix("Value error, ")
    return f"{where}: {problem[:1].lower()}{problem[1:]} (got {first['input']!r:.80})."


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "disk is full" in str(error) or "no room left" in str(error):
            return True
        error = error.__cause__
    return False
