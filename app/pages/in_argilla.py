"""The card with which a project is taken to Argilla to be judged there, and back to Tandem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.in_argilla import WORKSPACE
from app.pages.argilla_state import ROWS, argilla_state, workspace_of
from app.pages.fragments import html, notice, section
from app.pages.visit import Guard, Visit
from app.queue import enqueue
from storage import jobs, models
from storage.database import Connection, Database
from storage.errors import InvalidOption, TandemError
from storage.projects import project_named, set_collecting
from storage.records import Job, Project, ProjectId
from storage.settings import Settings

EVERY = 5.0
"""Seconds between two looks at what came of the jobs."""
PLACES = [("In Tandem", "tandem"), ("In Argilla", "argilla")]
NOBODY = ("None", "")
"""Chosen where no reward model is to suggest anything."""


def draw(guard: Guard, page: gr.Blocks, settings: Settings, environment: Mapping[str, str]) -> None:
    """Place the card: where people judge now, the choice, and what can be done about it.

    Args:
        guard: Binds the handlers.
        page: Being built.
        settings: Where models lie.
        environment: Holds the address of Argilla; read whenever the card is drawn.
    """
    database = guard.database
    html(
        section(
            "Collect in Tandem or in Argilla",
            "Where people judge this project's tasks. What they say in Argilla comes back with each"
            " pull; studies stay in Tandem.",
        )
    )
    state, timer = html(), gr.Timer(EVERY)
    place = gr.Radio(PLACES, value="tandem", label="Collect")
    with gr.Column(visible=False) as there:
        workspace, suggest = _inputs()
        with gr.Row(elem_classes="t-actions"):
            go = gr.Button("Push tasks", variant="primary")
            fetch = gr.Button("Pull answers")
    with gr.Column(visible=False) as here:
        html(
            notice(
                "Pull what was answered in Argilla first. Once people judge in Tandem, nothing is"
                " pulled until tasks are pushed again.",
                "warn",
            )
        )
        with gr.Row(elem_classes="t-actions"):
            back = gr.Button("Collect in Tandem again")
    queued, told = html(), html()

    def state_of(visit: Visit) -> Markup:
        return argilla_state(visit, database, environment)

    def look(visit: Visit) -> list[Any]:
        with database.read() as connection:
            busy = visit.project and _under_way(connection, visit.project.id)
        return [state_of(visit), gr.skip() if busy else ""]

    def offer_places(visit: Visit) -> list[Any]:
        name = workspace_of(visit)
        with database.read() as connection:
            known = [model.name for model in models.models(connection, "reward")]
        chosen = "argilla" if name else "tandem"
        menu = gr.Dropdown([NOBODY, *((one, one) for one in known)])
        return [chosen, name or WORKSPACE, menu, *_parts(visit, chosen)]

    def choose_place(visit: Visit, chosen: str) -> list[Any]:
        return [*_parts(visit, chosen), ""]

    def push_tasks(visit: Visit, typed: str, model: str | None) -> list[Any]:
        asked = {"workspace": _typed(visit.chosen(), typed), "suggest": model or ""}
        return [_queued(visit, database, settings, "push", asked), state_of(visit)]

    def pull_answers(visit: Visit) -> list[Any]:
        if not visit.chosen().collecting.argilla_workspace:
            raise TandemError("People judge this project in Tandem; push its tasks first.")
        return [_queued(visit, database, settings, "pull", {}), state_of(visit)]

    def collect_here(visit: Visit) -> list[Any]:
        said, changed = _brought_back(database, visit.chosen())
        now = replace(visit, project=changed)
        return [said, state_of(now), *_parts(now, "tandem")]

    guard.show([page.load, timer.tick], look, [state, queued])
    guard.show(page.load, offer_places, [place, workspace, suggest, there, here])
    guard.show(place.input, choose_place, [there, here, told], inputs=[place])
    guard.do(go.click, push_tasks, [workspace, suggest], [queued, state])
    guard.do(fetch.click, pull_answers, [], [queued, state])
    guard.do(back.click, collect_here, [], [told, state, there, here])


def _inputs() -> tuple[gr.Textbox, gr.Dropdown]:
    """Where to in Argilla, and who suggests."""
    with gr.Row(elem_classes="t-form"):
        workspace = gr.Textbox(
            WORKSPACE,
            label="Workspace",
            info="In Argilla; it is made when it is not there.",
            max_length=200,
            min_width=260,
        )
        suggest = gr.Dropdown(
            [NOBODY],
            value=NOBODY[1],
            label="Suggestions by",
            info="A reward model; people see which answer it prefers.",
            min_width=260,
        )
    return workspace, suggest


def _parts(visit: Visit, chosen: str) -> list[Any]:
    """Which part of the card belongs to the choice: Argilla's, or the way back to Tandem."""
    return [
        gr.Column(visible=chosen == "argilla"),
        gr.Column(visible=chosen == "tandem" and bool(workspace_of(visit))),
    ]


def _typed(project: Project, typed: str | None) -> str:
    """The workspace that was typed.

    Raises:
        InvalidOption: It is no name, or not the one where the project's answers are.
    """
    name, before = (typed or "").strip(), project.collecting.argilla_workspace
    if not name:
        raise InvalidOption("Workspace", "write its name", typed)
    if before and name != before:
        raise InvalidOption(
            "Workspace",
            f"people judge this project in {before!r}; pull their answers and collect in Tandem"
            " again before it moves elsewhere",
            name,
        )
    return replace(project.collecting, argilla_workspace=name).argilla_workspace


def _queued(
    visit: Visit, database: Database, settings: Settings, recipe: str, config: Mapping[str, str]
) -> Markup:
    """Queue a push or a pull, unless one is on its way, and say where it can be watched."""
    project = visit.chosen().id
    with database.read() as connection:
        if any(job.recipe == recipe for job in _under_way(connection, project)):
            return notice("It is on its way already.")
    enqueue(
        database,
        settings,
        kind="argilla",
        recipe=recipe,
        config=config,
        project=project,
        now=visit.now,
    )
    way = Markup('<a href="{}">Overview</a>').format(visit.address())
    then = " From its beginning on, people judge in Argilla." if recipe == "push" else ""
    words = Markup("How far it is stands above and on the {} page.{}").format(way, then)
    return notice(words, "live", title="Queued.")


def _brought_back(database: Database, project: Project) -> tuple[Markup, Project]:
    """Let people judge in Tandem again; what is to be told, and the project as it is now.

    Raises:
        TandemError: A push or a pull is not over, and would undo it or fail.
    """
    with database.write() as connection:
        for job in _under_way(connection, project.id):
            raise TandemError(
                f"{ROWS[job.recipe]}: job {job.id[:8]} is not over. Wait for it, or stop it with:"
                f" tandem jobs cancel {job.id[:8]}"
            )
        asked = project_named(connection, project.id).collecting
        changed = set_collecting(connection, project.id, replace(asked, argilla_workspace=""))
    left = asked.argilla_workspace
    if not left:
        return notice("People judge in Tandem already."), changed
    said = (
        "People judge in Tandem from now on. Answers in Argilla that were not pulled stay there: to"
        f" pull them, push to the workspace {left!r} again."
    )
    return notice(said, "good"), changed


def _under_way(connection: Connection, project: ProjectId) -> list[Job]:
    """The project's pushes and pulls that are not over."""
    waiting = jobs.open_jobs(connection)
    return [job for job in waiting if job.kind == "argilla" and job.project == project]
