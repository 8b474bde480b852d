"""One call of a page's handler: who asks, about which project, when; and the only way to bind one.

Hiding a button or a page protects nothing, since Gradio's handlers can be called by anybody who can
reach the mount. So handlers are bound through `Guard` alone, and it asks for the role first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from app.access import may
from storage.annotators import annotator
from storage.database import Database
from storage.errors import NotAllowed, NotFound, TandemError
from storage.projects import project_named, projects
from storage.records import Annotator, AnnotatorId, Project, Role

logger = logging.getLogger(__name__)

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

    def at(self, **query: str) -> Visit:
        """The same visit, as if the address said this too."""
        return replace(self, query={**self.query, **query})

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
    """Binds one page's handlers to events, behind a role.

    A refusal is shown on the page as its sentence, in `told`. Raising `gr.Error` would not do:
    Gradio 6.31 shows errors of unqueued handlers nowhere.
    """

    database: Database
    told: gr.HTML

    def show(
        self,
        event: Callable[..., Any] | Sequence[Callable[..., Any]],
        act: Callable[..., Any],
        outputs: Sequence[Component],
        *,
        inputs: Sequence[Component] = (),
        role: Role = Role.RESEARCHER,
    ) -> None:
        """Let `event`, such as opening a page or a tick, draw what `act(visit, *values)` gives.

        Several events have one listener, and the last of them has the last word: of two listeners,
        the one asked first might answer last, about what is no more.
        """
        if not callable(event):
            event = partial(gr.on, list(event), trigger_mode="always_last")
        self._bind(event, act, inputs, outputs, role, after=gr.skip())

    def do(
        self,
        event: Callable[..., Any],
        act: Callable[..., Any],
        inputs: Sequence[Component],
        outputs: Sequence[Component],
        *,
        role: Role = Role.RESEARCHER,
        js: str | None = None,
        busy: str = "",
    ) -> None:
        """Let a person's `event`, such as a click, do `act(visit, *values)` and draw what it gives.

        What was refused before is forgotten. `js` runs before, in the browser, and stops it by
        throwing. `busy` is said until it is done, where that may take a while.
        """
        if busy:
            event(None, None, [self.told], js=f"() => {json.dumps(_at_work(busy))}")
        self._bind(event, act, inputs, outputs, role, after="", js=js)

    def _bind(
        self,
        event: Callable[..., Any],
        act: Callable[..., Any],
        inputs: Sequence[Component],
        outputs: Sequence[Component],
        role: Role,
        *,
        after: Any,
        js: str | None = None,
    ) -> None:
        database, places = self.database, len(outputs)

        def handle(request: gr.Request, *values: Any) -> list[Any]:
            try:
                made = act(visit(request, database, role), *values)
            except TandemError as error:
                return [*([gr.skip()] * places), refusal(str(error))]
            except Exception:  # whoever clicked deserves an answer, and the log has the trace
                logger.exception("%s failed", act.__qualname__)
                sentence = "Tandem made a mistake; the trace is in the server's log."
                return [*([gr.skip()] * places), refusal(sentence)]
            return [*([made] if places == 1 else made), after]

        handle.__name__ = act.__name__
        event(
            handle,
            list(inputs),
            [*outputs, self.told],
            js=js,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )


def _at_work(sentence: str) -> Markup:
    return Markup(
        '<div class="t-refusal t-busy" role="status"><p>{}</p><progress class="t-progress">'
        "</progress></div>"
    ).format(sentence)


def refusal(sentence: str) -> Markup:
    """A sentence that says why nothing was done, over the page until it is closed."""
    return Markup(
        '<div class="t-refusal" role="alert"><p>{}</p><button type="button" aria-label="Close"'
        ' onclick="this.parentElement.remove()">×</button></div>'
    ).format(sentence)


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
