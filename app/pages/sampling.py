"""The card that lets policies answer a project's prompts: who they are, how far they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from app.answer_files import keep_uploaded
from app.arms import ENDPOINT
from app.forms import Form, draw_form
from app.kinds import SampleJob
from app.pages.fragments import (
    Cell,
    Column,
    count,
    duration,
    html,
    joined,
    notice,
    progress,
    section,
    table,
)
from app.pages.runs import elapsed, job_title, time_left
from app.pages.visit import Guard, Visit
from app.queue import cancel, enqueue
from app.study_arms import refuse_paths
from storage import jobs, models
from storage.database import Database
from storage.errors import InvalidOption
from storage.records import Job, JobState, ProjectId
from storage.settings import Settings
from training.places import DEFAULT_BASE

HERE, ENDPOINTS, FILES = "here", "endpoint", "files"
SOURCES = [("Models here", HERE), ("An endpoint", ENDPOINTS), ("Files of answers", FILES)]
ASKED = ("key_variable", "concurrency", "requests_per_minute", "retries")
"""Options of endpoints alone."""
WHICH = ("limit", "split")
"""Options that say which prompts are answered."""
EVERY = 2.0
"""Seconds between two looks at how far it is."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The inputs that say who answers: one for the kind, and for each kind what it needs."""

    kind: gr.Radio
    here: gr.Column
    named: gr.Dropdown
    endpoint: gr.Column
    address: gr.Textbox
    served: gr.Textbox
    asked: Form[SampleJob]
    files: gr.Column
    uploads: gr.File

    @property
    def inputs(self) -> list[Component]:
        """In the order in which a handler receives them; the options of endpoints come last."""
        own = [self.kind, self.named, self.address, self.served, self.uploads]
        return [*own, *self.asked.inputs.values()]

    def read(self, settings: Settings, values: Sequence[Any]) -> dict[str, Any]:
        """The policies that were chosen, with the options that are for them alone.

        Raises:
            InvalidOption: Nobody was chosen.
            InvalidData: An uploaded file holds something else than answers.
        """
        kind, named, address, served, uploads, *asked = values
        options: dict[str, Any] = {}
        if kind == FILES:
            policies = [keep_uploaded(settings, Path(one)) for one in uploads or ()]
        elif kind == ENDPOINTS:
            policies = served_at(address or "", served or "")
            options = self.asked.typed(asked)
        else:
            policies = list(named or ())
        if not policies:
            raise InvalidOption("who answers", "choose somebody", None)
        return {**options, "policies": policies}


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the choice of who answers, what each needs, and beneath it how far they are."""
    database = guard.database
    html(section("Let policies answer", "New responses to this project's prompts, and tasks."))
    sources = _draw_sources(guard, page)
    which = draw_form(SampleJob, omit=set(SampleJob.model_fields) - set(WHICH))
    with gr.Column() as sampled:
        how = draw_form(
            SampleJob,
            first=("max_new_tokens", "temperature"),
            omit={"policies", "prompts", "keep", *ASKED, *WHICH},
        )
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Sample answers")
        stop = gr.Button("Stop", variant="stop", visible=False)
        again = gr.Button("Go on", visible=False)
    state = html()
    timer = gr.Timer(EVERY)
    screen = [state, stop, again]

    def choose(_: Visit, kind: str) -> list[Any]:
        """What the kind of source needs, and nothing else."""
        shown = [kind == HERE, kind == ENDPOINTS, kind == FILES, kind != FILES]
        return [gr.update(visible=one) for one in shown]

    def sample(visit: Visit, *values: Any) -> list[Any]:
        project, cut = visit.chosen(), len(sources.inputs)
        config = sources.read(settings, values[:cut])
        with database.read() as connection:
            refuse_paths(connection, config["policies"])
        read = iter(values[cut:])
        for form in (which, how):
            config |= form.typed([next(read) for _ in form.inputs])
        _enqueue({**config, "keep": True}, database, settings, project.id, visit.now)
        # What was uploaded may be confidential, and is in the data directory now.
        for path in values[sources.inputs.index(sources.uploads)] or ():
            Path(path).unlink(missing_ok=True)
        return [None, *watch(visit)]

    def watch(visit: Visit) -> list[Any]:
        job = _newest(visit, database)
        if job is None:
            return ["", gr.update(visible=False), gr.update(visible=False)]
        stopped = job.state in (JobState.FAILED, JobState.CANCELLED)
        return [
            standing(job, visit),
            gr.update(visible=not job.state.is_over),
            gr.update(visible=stopped),
        ]

    def end(visit: Visit) -> list[Any]:
        job = _newest(visit, database)
        if job is not None and not job.state.is_over:
            cancel(database, job.id, now=visit.now)
        return watch(visit)

    def go_on(visit: Visit) -> list[Any]:
        job = _newest(visit, database)
        if job is not None and job.state.is_over:
            _enqueue(job.config, database, settings, visit.chosen().id, visit.now)
        return watch(visit)

    parts = [sources.here, sources.endpoint, sources.files, sampled]
    guard.show(sources.kind.change, choose, parts, inputs=[sources.kind])
    guard.show([page.load, timer.tick], watch, screen)
    typed = [*sources.inputs, *which.inputs.values(), *how.inputs.values()]
    guard.do(go.click, sample, typed, [sources.uploads, *screen], busy="Reading the answers …")
    guard.do(stop.click, end, [], screen)
    guard.do(again.click, go_on, [], screen)


def _draw_sources(guard: Guard, page: gr.Blocks) -> Sources:
    kind = gr.Radio(SOURCES, value=HERE, label="Who answers")
    with gr.Column() as here:
        named = gr.Dropdown(
            [DEFAULT_BASE],
            label="Models",
            info="The names of Hugging Face models may be typed.",
            multiselect=True,
            allow_custom_value=True,
        )
    with gr.Column(visible=False) as endpoint:
        address = gr.Textbox(
            label="Address",
            info="OpenAI-compatible: vLLM, llama.cpp, Ollama, OpenAI",
            placeholder="http://localhost:8000/v1",
        )
        served = gr.Textbox(
            label="Models there", info="The names that it knows them by, with commas between"
        )
        asked = draw_form(SampleJob, omit=set(SampleJob.model_fields) - set(ASKED))
    with gr.Column(visible=False) as files:
        uploads = gr.File(
            label="Answers, a file for each policy",
            file_types=[".jsonl", ".gz", ".json", ".parquet"],
            file_count="multiple",
            height=132,
            elem_classes="t-drop",
        )

    def offer(_: Visit) -> Any:
        with guard.database.read() as connection:
            known = models.models(connection, "policy")
        return gr.Dropdown([*(model.name for model in known), DEFAULT_BASE])

    guard.show(page.load, offer, [named])
    return Sources(kind, here, named, endpoint, address, served, asked, files, uploads)


def served_at(address: str, models_there: str) -> list[str]:
    """Models of an endpoint, as policies are named.

    Raises:
        InvalidOption: No address, or no model.
    """
    if not address.strip():
        raise InvalidOption("address", "write where it is, as in http://localhost:8000/v1", address)
    names = [name.strip() for name in models_there.split(",") if name.strip()]
    if not names:
        raise InvalidOption("models there", "name one, as the endpoint knows it", models_there)
    return [f"{ENDPOINT}{name}@{address.strip()}" for name in names]


def standing(job: Job, visit: Visit) -> Markup:
    """How far a sampling job is, or what came of it."""
    if job.state is JobState.FAILED:
        return notice(job.error, "bad", title="Stopped before its end.")
    if job.state is JobState.CANCELLED:
        return notice("What endpoints answered before is kept.", "warn", title="Was stopped.")
    if job.state is JobState.DONE:
        made = f"{count(job.result['new_responses'], 'new response')}"
        tasks = f"{count(job.result['tasks'], 'new task')}"
        told = notice(f"{made}, {tasks}.", "good", title="The policies answered.")
        return Markup('<div class="t-stack">{}{}</div>').format(
            told, _endings(job.result.get("endings", {}))
        )
    spent = elapsed(job, visit.now)
    facts = [
        job.message or ("Waits for the worker." if job.state is JobState.QUEUED else ""),
        "" if spent is None else f"{duration(spent)} so far",
        f"{left} left" if (left := time_left(job, spent)) else "",
    ]
    drawn = Markup('<div class="t-stack" role="status"><p class="t-told">{}<br>{}</p>{}</div>')
    return drawn.format(
        job_title(job),
        " · ".join(fact for fact in facts if fact),
        progress(job.step, job.total, running=job.state is JobState.RUNNING),
    )


def _endings(found: dict[str, dict[str, int]]) -> Markup:
    """Whose answers are not whole; nothing where all are."""
    names = ("empty", "cut", "filtered")
    if not any(counts[name] for counts in found.values() for name in names):
        return Markup("")
    columns = (
        Column("Policy"),
        Column("Answers", numeric=True),
        Column("Empty", numeric=True),
        Column("Cut", numeric=True),
        Column("Filtered", numeric=True),
    )
    rows: list[tuple[Cell, ...]] = [(policy, *counts.values()) for policy, counts in found.items()]
    return joined(
        [
            table(columns, rows, caption="Answers that are not whole"),
            Markup(
                '<p class="t-told">Nobody is asked about empty and filtered ones. Cut ones reached'
                " the longest answer, and are judged as they are.</p>"
            ),
        ]
    )


def _newest(visit: Visit, database: Database) -> Job | None:
    """The project's newest job whose answers are kept."""
    if visit.project is None:
        return None
    with database.read() as connection:
        known: Sequence[Job] = jobs.jobs(connection)
    mine = (one for one in known if one.kind == "sample" and one.config.get("keep"))
    return next((one for one in mine if one.project == visit.chosen().id), None)


def _enqueue(
    config: Mapping[str, Any],
    database: Database,
    settings: Settings,
    project: ProjectId,
    now: datetime,
) -> None:
    enqueue(
        database,
        settings,
        kind="sample",
        recipe="sample",
        config=config,
        project=project,
        now=now,
    )
