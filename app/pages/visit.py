"""One call of a page's handler: who asks, about which project, when; and the only way to bind one.

Hiding a button or a page protects nothing, since Gradio's handlers can be called by anybody who can
reach the mount. So handlers are bound through `Guard.bind` alone, and it asks for the role first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import gradio as gr
from gradio.components import Component

from app.access import may
from storage.annotators import annotator
from storage.database import Database
from storage.errors import NotAllowed, NotFound, TandemError
from storage.projects import project_named, projects
from storage.records import Annotator, AnnotatorId, Project, Role

HOME = "/research"
"""Where the server mounts these pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who called a handler, and what the address bar said."""

    who: Annotator
    project: Project | None
    """The project in the address; without one the newest; None while there is none."""
    projects: Sequence[Project]
    query: Mapping[str, str]
    now: datetime

    def address(self, page: str = "", **query: str) -> str:
        """The address of a page within this project, with whatever it should show."""
        named = {"project": self.project.name, **query} if self.project else query
        path = f"{HOME}/{quote(page)}"
        return f"{path}?{urlencode(named)}" if named else path

    def chosen(self) -> Project:
        """The project this visit is about.

        Raises:
            TandemError: There is none yet.
        """
        if self.project is None:
            raise TandemError("There is no project yet. Create one on the Data page first.")
        return self.project


@dataclass(frozen=True, slots=True)
class Guard:
    """Binds handlers to events, behind a role."""

    database: Database

    def bind(
        self,
        event: Callable[..., Any],
        act: Callable[..., Any],
        inputs: Sequence[Component] = (),
        outputs: Sequence[Component] = (),
        *,
        role: Role = Role.RESEARCHER,
    ) -> Any:
        """Let `event` call `act(visit, *values)` if the person asking has the role.

        A `TandemError` becomes its sentence on the screen; nothing else is shown to the browser.

        Returns:
            Gradio's dependency, so that `.success` can follow.
        """
        database = self.database

        def handle(request: gr.Request, *values: Any) -> Any:
            try:
                return act(visit(request, database, role), *values)
            except TandemError as error:
                raise gr.Error(str(error), print_exception=False) from error

        handle.__name__ = act.__name__
        return event(
            handle,
            list(inputs),
            list(outputs),
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )


def visit(request: gr.Request, database: Database, role: Role) -> Visit:
    """Who asks and about what.

    Raises:
        NotAllowed: The person has not got the role.
        NotFound: The address names a project that is not there.
    """
    query = dict(request.query_params)
    with database.read() as connection:
        try:
            # The mount's gate has read the cookie; what the person may do is asked here, each time.
            who = annotator(connection, AnnotatorId(str(request.username)))
        except NotFound:
            raise NotAllowed("Nobody is signed in here. Open your sign-in link again.") from None
        if not may(who, role):
            raise NotAllowed(
                f"This needs the role {role}; {who.name} is signed in as {who.role}."
                " Ask an administrator."
            )
        known = projects(connection)
        if "project" in query:
            project: Project | None = project_named(connection, query["project"])
        else:
            project = max(known, key=lambda one: one.created, default=None)
    return Visit(who=who, project=project, projects=known, query=query, now=datetime.now(UTC))
