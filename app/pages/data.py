"""The page where data come in, become tasks and snapshots, and go out."""

from __future__ import annotations

import os
import secrets

import gradio as gr
import numpy as np
from markupsafe import Markup

from app.pages import collecting, coming_in, going_out, in_argilla, known, sampling
from app.pages.fragments import (
    count,
    empty,
    heading,
    html,
    joined,
    link,
    notice,
    number,
    section,
)
from app.pages.frame import simulated
from app.pages.visit import Guard, Visit
from feedback.pairing import make_tasks
from feedback.tasks import TASKS
from storage.database import Database
from storage.errors import InvalidOption
from storage.projects import add_project
from storage.prompts import responses
from storage.records import Collecting, Project, ProjectId
from storage.settings import Settings
from storage.tasks import tasks

GO_TO_PROJECT = """(name) => { location.search = '?project=' + encodeURIComponent(name); }"""


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the cards in the order in which data flow through them."""
    database = guard.database
    html(heading("Data", "What comes in, what is asked about it, what is frozen, what goes out."))
    banner = html()
    with gr.Row(elem_classes="t-columns t-even"):
        with gr.Column(min_width=320, elem_classes="t-card"):
            coming_in.draw(guard, database)
        with gr.Column(min_width=320, elem_classes="t-card"):
            _draw_tasks(guard, page, database)
    with gr.Row(elem_classes="t-columns t-even"):
        with gr.Column(min_width=320, elem_classes="t-card"):
            sampling.draw(guard, page, settings)
        with gr.Column(min_width=320, elem_classes="t-card"):
            _draw_project(guard, database)
    with gr.Column(elem_classes="t-card"):
        collecting.draw(guard, page)
    with gr.Column(elem_classes="t-card"):
        in_argilla.draw(guard, page, settings, os.environ)
    with gr.Column(elem_classes="t-card"):
        known.draw(guard, page)
    going_out.draw(guard, page, settings)

    def show(visit: Visit) -> Markup:
        if visit.project is None:
            return empty(
                "No project yet",
                "A project holds prompts and what people say of their responses."
                " Name one under New project, then import a file.",
            )
        way = link("Check", visit.address("check"))
        told = Markup("{} this project's data, or a file before you import it: duplicates, leaks,"
                      " length bias, odd ratings, personal data.").format(way)  # fmt: skip
        return joined([simulated(visit), notice(told)])

    guard.show(page.load, show, [banner])


def _draw_tasks(guard: Guard, page: gr.Blocks, database: Database) -> None:
    html(section("Tasks", "A task puts responses to a prompt before an annotator."))
    state = html()
    most = gr.Textbox(
        label="Pairs of each prompt",
        info="A number; empty makes a task of every pair. Rankings and single ratings take all.",
    )
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Make tasks")

    def show(visit: Visit) -> Markup:
        return _task_state(visit, database)

    def make(visit: Visit, typed: str) -> Markup:
        project, pairs = visit.chosen(), _pairs(typed)
        rng = np.random.default_rng(secrets.randbits(64))
        with database.write() as connection:
            made = make_tasks(connection, project, rng=rng, pairs_per_prompt=pairs)
        told = f"{count(made, 'new task')}." if made else "Every pair is a task already."
        return joined([notice(told, "good" if made else "plain"), _task_state(visit, database)])

    guard.show(page.load, show, [state])
    guard.do(go.click, make, [most], [state], busy="Making tasks …")


def _pairs(typed: str) -> int | None:
    """How many pairs of each prompt, as typed; None for all."""
    if not typed.strip():
        return None
    if not typed.strip().isdecimal() or not int(typed):
        raise InvalidOption("pairs of each prompt", "write a whole number, or nothing", typed)
    return int(typed)


def _task_state(visit: Visit, database: Database) -> Markup:
    if visit.project is None:
        return Markup("")
    with database.read() as connection:
        answers = responses(connection, visit.project.id)
        known = len(tasks(connection, visit.project.id))
    if not answers:
        return Markup('<p class="t-told">No prompt yet. Import a file first.</p>')
    pairable = sum(len(texts) >= 2 for texts in answers.values())
    wanted = f"each judged by {count(visit.project.overlap, 'annotator')}"
    return Markup('<p class="t-told">{} of {} have two responses or more. {}, {}.</p>').format(
        number(pairable), count(len(answers), "prompt"), count(known, "task"), wanted
    )


def _draw_project(guard: Guard, database: Database) -> None:
    html(section("New project", "A body of prompts, and what is asked about their responses."))
    name = gr.Textbox(label="Name")
    guidelines = gr.Textbox(
        label="Guidelines", info="What annotators read before they judge. Markdown.", lines=3
    )
    types = [(task.summary, key) for key, task in TASKS.items()]
    asked = gr.Dropdown(types, value=types[0][1], label="What is asked")
    overlap = gr.Number(
        2, label="Annotators for each task", info="2 or more tell how far they agree.", precision=0
    )
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Create project")
    made = gr.Textbox(visible="hidden")

    def create(visit: Visit, typed: str, read: str, kind: str, times: int) -> str:
        project = Project(
            id=ProjectId(secrets.token_hex(8)),
            name=typed.strip(),
            guidelines=read,
            collecting=Collecting(task_types=(kind,)),
            overlap=times,
            created=visit.now,
        )
        with database.write() as connection:
            return add_project(connection, project).name

    guard.do(go.click, create, [name, guidelines, asked, overlap], [made])
    made.change(None, [made], js=GO_TO_PROJECT)
