"""The JSON interface under /api/v1, used by the annotation screen and by other programs alike.

Handlers only translate: HTTP to a call, a record to JSON. A reply is sent when what it says is true
on the disk. A browser shows who asks with a cookie, a program with an API token.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import JSONResponse

from app import shown
from app.access import PARTICIPANT, SESSION, Access
from app.api_judging import judging
from app.api_participating import participating
from app.api_research import research
from app.api_scoring import scoring
from app.scoring_process import ScoringProcess
from storage.database import Database
from storage.projects import projects
from storage.records import Role
from storage.settings import Settings

PREFIX = "/api/v1"

_SCHEMES = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION,
        "description": "Set by a sign-in link. Requests that change something also need the header"
        " X-Requested-With: fetch.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, made with `tandem users token NAME`.",
    },
    "participant": {
        "type": "apiKey",
        "in": "cookie",
        "name": PARTICIPANT,
        "description": "Set by entering a study; opens that study and nothing else.",
    },
}
_OPEN_TO_ALL: dict[str, Any] = {"security": []}


def api(
    settings: Settings,
    database: Database,
    access: Access,
    scorer: ScoringProcess,
    *,
    clock: Callable[[], datetime],
) -> APIRouter:
    """The endpoints, to be included in an application."""
    statuses = (400, 401, 403, 404, 409, 413, 422, 503, 507)
    router = APIRouter(
        prefix=PREFIX, responses={status: {"model": shown.Refusal} for status in statuses}
    )

    @router.get("/health", tags=["operation"], openapi_extra=_OPEN_TO_ALL)
    def health() -> shown.Health:
        """Whether the server answers and its database can be read."""
        with database.read() as connection:
            projects(connection)
        return shown.Health()

    router.include_router(participating(database, access, clock=clock))
    router.include_router(judging(database, access, clock=clock))
    router.include_router(research(settings, database, access, clock=clock))
    router.include_router(scoring(settings, database, access, scorer))
    return router


def describe(app: FastAPI, settings: Settings, access: Access) -> None:
    """Serve the OpenAPI description of the endpoints, to researchers."""
    researchers = [Depends(access.needs(Role.RESEARCHER))]

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False, dependencies=researchers)
    def openapi() -> JSONResponse:
        described = app.openapi()
        described["servers"] = [{"url": settings.address}]
        described["components"]["securitySchemes"] = _SCHEMES
        described["security"] = [{name: []} for name in _SCHEMES]
        return JSONResponse(described)
