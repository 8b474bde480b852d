"""The part of the models page where a model is written for other programs, or sent to the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.forms import draw_form
from app.kinds import ExportJob
from app.pages.fragments import Column, code, html, joined, lines, progress, section, table
from app.pages.runs import MOST_RUNS, state_badge
from app.pages.visit import Guard, Visit
from app.queue import enqueue
from storage import jobs, models
from storage.errors import InvalidOption, TandemError
from storage.records import Job, JobState, Model
from storage.settings import Settings

MOST_SHOWN = 5
"""Exports of a model that are listed, the newest first."""
ASK = """(...values) => {
    if (!confirm('Send this model to the Hub, into a private repository?')) throw new Error('kept');
    return values; }"""


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the form and, below it, what became of earlier exports of the chosen model."""
    database = guard.database
    html(
        section(
            "For other programs",
            "The chosen model as a folder that Transformers, vLLM, TRL or PEFT open, or in a"
            " private repository on the Hugging Face Hub.",
        )
    )
    with gr.Column(elem_classes="t-card"):
        form = draw_form(ExportJob, omit=("model", "push_to"))
        with gr.Row(elem_classes="t-actions"):
            go = gr.Button("Export")
        with gr.Row(elem_classes="t-form"):
            repository = gr.Textbox(
                label="Repository on the Hub",
                placeholder="OWNER/NAME",
                info="Made where there is none. The server's account on the Hub is used.",
            )
        with gr.Row(elem_classes="t-actions"):
            send = gr.Button("Push to the Hub")
    listed = html()
    timer = gr.Timer(2, active=False)

    def show(visit: Visit) -> list[Any]:
        with database.read() as connection:
            chosen = chosen_model(visit, models.models(connection))
            found = [
                job
                for job in jobs.jobs(connection, limit=MOST_RUNS)
                if chosen and job.kind == "export" and job.config.get("model") == chosen.name
            ][:MOST_SHOWN]
        return [exports(found), gr.Timer(active=any(not job.state.is_over for job in found))]

    def queue(visit: Visit, values: Sequence[Any], push_to: str) -> list[Any]:
        with database.read() as connection:
            chosen = chosen_model(visit, models.models(connection))
        if chosen is None:
            raise TandemError("There is no model yet. Train one first.")
        enqueue(
            database,
            settings,
            kind="export",
            recipe="export",
            config=form.typed(values) | {"model": chosen.name, "push_to": push_to},
            project=visit.project.id if visit.project else None,
            now=visit.now,
        )
        return show(visit)

    def export_model(visit: Visit, *values: Any) -> list[Any]:
        return queue(visit, values, "")

    def push_model(visit: Visit, push_to: str, *values: Any) -> list[Any]:
        if not push_to.strip():
            raise InvalidOption("repository", "write OWNER/NAME", push_to)
        return queue(visit, values, push_to.strip())

    asked = list(form.inputs.values())
    guard.show([page.load, timer.tick], show, [listed, timer])
    guard.do(go.click, export_model, asked, [listed, timer])
    guard.do(send.click, push_model, [repository, *asked], [listed, timer], js=ASK)


def chosen_model(visit: Visit, known: Sequence[Model]) -> Model | None:
    """The model in the address; without one, the newest."""
    wanted = visit.query.get("model")
    return next((model for model in known if model.name == wanted), known[0] if known else None)


def exports(found: Sequence[Job]) -> Markup:
    """Exports of a model: their form, how far they are, and where they lie."""
    if not found:
        return Markup("")
    columns = (Column("Form"), Column("State"), Column("Where"))
    rows = [
        (
            lines(
                "merged" if job.config.get("merge", True) else "adapter",
                str(job.config.get("dtype") or ""),
            ),
            joined([state_badge(job), progress(job.step, job.total, running=_runs(job))]),
            _where(job),
        )
        for job in found
    ]
    return table(columns, rows, caption="Exports of this model, newest first")


def _runs(job: Job) -> bool:
    return job.state is JobState.RUNNING


def _where(job: Job) -> Markup | str:
    if job.state is JobState.FAILED:
        return job.error
    if place := job.result.get("place"):
        return Markup('<a href="{}" rel="noreferrer">{}</a>').format(place, job.config["push_to"])
    if folder := job.result.get("folder"):
        return Markup("{} in the data directory").format(code(folder))
    return job.message or "Waits for the worker."
