"""The page where training is started and watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.ablation import ablation
from app.forms import Form, draw_form, label
from app.kinds import job_config
from app.memory_needs import asked_elsewhere
from app.pages import ablation as ablations
from app.pages import memory, run_samples
from app.pages.fragments import count, empty, heading, html, joined, section
from app.pages.frame import simulated
from app.pages.run_health import health, held_out
from app.pages.runs import MOST_RUNS, TRAINING, curves, log_tail, run_head, runs_table
from app.pages.visit import Guard, Visit
from app.queue import cancel, enqueue
from app.sources import has_whole_weights
from app.worker import log_file
from evaluation.ablation import Ablation
from evaluation.ablation_config import ABLATED
from storage import jobs, models, snapshots
from storage.database import Database
from storage.recipes import RecipeConfig
from storage.records import Job, JobId, JobState, Snapshot
from storage.settings import Settings
from training.places import DEFAULT_BASE
from training.policies import POLICIES
from training.policies.functions import EXAMPLES
from training.policies.health import RULES
from training.rewards import REWARDS

FROM_SNAPSHOT = (
    "snapshot",
    "base",
    "start",
    "name",
    "min_rating",
    "beta",
    "answers_per_prompt",
    "epochs",
    "learning_rate",
)
FOR_ABLATION = ("snapshot", "kinds", "labels", "seeds", "base", "epochs")
FROM_PROMPTS = (
    "start",
    "rewards",
    "name",
    "steps",
    "rounds",
    "answers_per_prompt",
    "kl_target",
    "beta",
    "max_new_tokens",
)
"""Options to show at once, where a recipe has them; the others wait under "Advanced"."""
LIVE, IDLE = 1.5, 8.0
"""Seconds between two looks at the database, while something runs and otherwise."""
REMEMBER = """(job) => { const here = new URL(location); here.searchParams.set('job', job);
history.replaceState(null, '', here); }"""


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the form on the left and what it started on the right."""
    database = guard.database
    html(heading("Train", "Learn a reward model from judgements, then a policy from rewards."))
    banner = html()
    started = gr.Textbox(visible="hidden")
    seen = gr.Textbox("", visible="hidden")
    timer = gr.Timer(LIVE)
    with gr.Row(elem_classes="t-columns"):
        with gr.Column(scale=5, min_width=340, elem_classes="t-card"):
            html(section("New run"))
            forms, buttons, estimates = _forms()
        with gr.Column(scale=8, min_width=340, elem_classes="t-watch"):
            head = html()
            with gr.Row(elem_classes="t-actions", visible=False) as stop_place:
                stop = gr.Button("Stop this run", variant="stop", size="sm")
            drawn = html()
            with gr.Row(elem_classes="t-figures"):
                figures = [
                    gr.Plot(label=name, show_label=False, visible=False, elem_classes="t-figure")
                    for name in ablations.FIGURES
                ]
            numbers = html()
            run_samples.draw(
                guard,
                settings,
                lambda visit: _chosen(visit, _runs(visit, database)),
                (page.load, timer.tick),
            )
            with gr.Accordion("More curves", open=False, elem_classes="t-fold") as more_place:
                more = html()
            with gr.Accordion("Log", open=False, elem_classes="t-fold") as log_place:
                log = html()
            listed = html()
    screen = [banner, head, drawn, more, log, listed, stop_place, more_place, log_place, timer]
    screen += [seen, *figures, numbers]

    def watch(visit: Visit, before: str) -> list[Any]:
        return _screen(visit, database, settings, before)

    def offer(visit: Visit) -> list[Any]:
        return _choices(visit, database, settings, forms)

    def stop_run(visit: Visit, before: str) -> list[Any]:
        found = _runs(visit, database)
        if job := _chosen(visit, found):
            cancel(database, job.id, now=visit.now)
        return watch(visit, before)

    guard.show(page.load, watch, screen, inputs=[seen])
    guard.show(timer.tick, watch, screen, inputs=[seen])
    guard.do(stop.click, stop_run, [seen], screen)
    menus = [component for form in forms.values() for component in _menus(form).values()]
    guard.show(page.load, offer, menus)
    for (kind, recipe), form in forms.items():
        start = _starter(database, settings, kind, recipe, form)
        asked = list(form.inputs.values())
        guard.do(buttons[kind, recipe].click, start, asked, [started, *screen])
    for recipe, (ask, told) in estimates.items():
        form = forms["reward", recipe]
        guard.do(
            ask.click,
            _estimator(settings, recipe, form),
            list(form.inputs.values()),
            [told],
            busy="Estimating the memory …",
        )
    started.change(None, [started], js=REMEMBER)


Forms = dict[tuple[str, str], Form[RecipeConfig]]
Buttons = dict[tuple[str, str], gr.Button]
Estimates = dict[str, tuple[gr.Button, gr.HTML]]


def _forms() -> tuple[Forms, Buttons, Estimates]:
    """One form for each recipe, of which one is seen; and where to ask for its memory."""
    recipes = {
        **{("reward", name): recipe for name, recipe in REWARDS.items()},
        **{("policy", name): recipe for name, recipe in POLICIES.items()},
        ("ablation", ablation.name): ablation,
    }
    names = {
        "reward": "{} reward model",
        "policy": "Policy with {}",
        "ablation": "{} of reward models",
    }
    labels = [(names[kind].format(label(name)), f"{kind}/{name}") for kind, name in recipes]
    choice = gr.Radio(labels, value=labels[0][1], label="What to train")
    forms, buttons, places, estimates = {}, {}, {}, {}
    for (kind, name), recipe in recipes.items():
        with gr.Column(visible=f"{kind}/{name}" == labels[0][1]) as place:
            html(Markup('<p class="t-summary">{}.</p>').format(recipe.summary))
            config = job_config(kind, name)
            first = FROM_SNAPSHOT if "snapshot" in config.model_fields else FROM_PROMPTS
            forms[kind, name] = draw_form(
                config,
                first=FOR_ABLATION if kind == "ablation" else first,
                choices={
                    "snapshot": [],
                    "base": [],
                    "start": [],
                    "rewards": [],
                    "kinds": list(ABLATED),
                    "watch": [],
                    "judges": [],
                    "stop_on": list(RULES),
                },
            )
            with gr.Row(elem_classes="t-actions"):
                buttons[kind, name] = gr.Button("Start training", variant="primary")
                if recipe.foretell is not None:
                    estimates[name] = gr.Button("Estimate memory"), html(render=False)
            if name in estimates:
                estimates[name][1].render()
        places[f"{kind}/{name}"] = place
    # Only shows and hides, so it runs in the browser and needs no handler.
    choice.change(
        None,
        [choice],
        list(places.values()),
        js=f"(chosen) => {list(places)!r}.map(name => ({{'__type__': 'update',"
        " visible: name === chosen}))",
    )
    return forms, buttons, estimates


def _estimator(settings: Settings, recipe: str, form: Form[RecipeConfig]) -> Any:
    def estimate(_: Visit, *values: Any) -> Markup:
        return memory.drawn(asked_elsewhere(settings, recipe, form.typed(values)))

    return estimate


def _starter(
    database: Database, settings: Settings, kind: str, recipe: str, form: Form[RecipeConfig]
) -> Any:
    def start(visit: Visit, *values: Any) -> list[Any]:
        job = enqueue(
            database,
            settings,
            kind=kind,
            recipe=recipe,
            config=form.typed(values),
            project=visit.chosen().id,
            now=visit.now,
        )
        return [job.id, *_screen(visit.at(job=job.id), database, settings, "")]

    return start


def _menus(form: Form[RecipeConfig]) -> dict[str, Any]:
    """The inputs whose choices depend on what is stored."""
    names = ("snapshot", "base", "start", "rewards", "watch", "judges")
    return {name: form.inputs[name] for name in names if name in form.inputs}


def _choices(
    visit: Visit,
    database: Database,
    settings: Settings,
    forms: Mapping[tuple[str, str], Form[RecipeConfig]],
) -> list[Any]:
    """What can be learnt from now, the newest chosen already."""
    with database.read() as connection:
        known = snapshots.snapshots(connection, visit.project.id if visit.project else None)
        rewards = [model.name for model in models.models(connection, "reward")]
        policies = models.models(connection, "policy")
    whole = [one for one in policies if has_whole_weights(settings.data_dir / one.folder)]
    frozen = [(_snapshot_label(snapshot), snapshot.id) for snapshot in known]
    offered = {
        "snapshot": gr.Dropdown(frozen, value=frozen[0][1] if frozen else None),
        "rewards": gr.Dropdown([*rewards, *EXAMPLES], value=rewards[:1]),
        "watch": gr.Dropdown(rewards, value=[]),
        "judges": gr.Dropdown(rewards, value=[]),
        "base": gr.Dropdown([DEFAULT_BASE, *(model.name for model in whole)]),
        "start": gr.Dropdown([DEFAULT_BASE, *(model.name for model in policies)]),
    }
    return [offered[name] for form in forms.values() for name in _menus(form)]


def _snapshot_label(snapshot: Snapshot) -> str:
    sizes = {"comparisons": 0, "ratings": 0}
    for place, rows in snapshot.rows.items():
        sizes[place.split("/")[0]] += rows
    told = f"{count(sizes['comparisons'], 'choice')}, {count(sizes['ratings'], 'rating')}"
    return f"{snapshot.created:%d %b %H:%M} · {told} · {snapshot.id[:8]}"


def _runs(visit: Visit, database: Database) -> list[Job]:
    """The project's training runs, newest first."""
    with database.read() as connection:
        found = jobs.jobs(connection, limit=MOST_RUNS)
    return [
        job
        for job in found
        if job.kind in TRAINING and (visit.project is None or job.project == visit.project.id)
    ]


def _chosen(visit: Visit, found: Sequence[Job]) -> Job | None:
    """The run in the address; without one, what runs now, or else the newest."""
    wanted = visit.query.get("job")
    at_work = [job for job in found if job.state is JobState.RUNNING]
    return next((job for job in found if job.id == wanted), next(iter([*at_work, *found]), None))


def _screen(visit: Visit, database: Database, settings: Settings, before: str) -> list[Any]:
    """Everything that changes while a run goes on.

    Args:
        visit: Who looks, and at which run.
        database: Where runs are kept.
        settings: Where their logs lie.
        before: Which figures the page shows already: drawing them again would make them flicker.
    """
    found = _runs(visit, database)
    job = _chosen(visit, found)
    busy = any(not one.state.is_over for one in found)
    rhythm = gr.Timer(LIVE if busy else IDLE)
    if job is None:
        nothing = _nothing(visit, database)
        hidden = gr.update(visible=False)
        without = ["", *([hidden] * len(ablations.FIGURES)), ""]
        return [
            simulated(visit), nothing, "", "", "", "", hidden, hidden, hidden, rhythm, *without
        ]  # fmt: skip
    with database.read() as connection:
        measured = jobs.metrics(connection, JobId(job.id))
    file = log_file(settings, job.id)
    first, others = _no_curves(job), Markup("")
    if measured:
        first, others = curves(job, measured, leading=held_out(measured))
    compared = None
    if job.kind == "ablation":
        compared = ablations.found_so_far(job, file.parent)
        first = _no_figures(job) if compared is None else ablations.summary(compared)
    return [
        simulated(visit),
        run_head(job, visit),
        joined([health(job, measured), first]),
        others,
        log_tail(file),
        runs_table(found, visit, chosen=job),
        gr.update(visible=not job.state.is_over and not job.cancel_asked),
        gr.update(visible=bool(others)),
        gr.update(visible=True),
        rhythm,
        *_figures(job, compared, before),
    ]


def _figures(job: Job, found: Ablation | None, before: str) -> list[Any]:
    """Which figures are shown, the figures where they are new, and their numbers."""
    if found is None:
        return ["", *(gr.update(visible=False) for _ in ablations.FIGURES), ""]
    name = f"{job.id} {found.to_come}"
    if name == before:
        return [gr.skip()] * (2 + len(ablations.FIGURES))
    fresh = [gr.update(value=one, visible=one is not None) for one in ablations.figures(found)]
    return [name, *fresh, ablations.tables(found)]


def _nothing(visit: Visit, database: Database) -> Markup:
    """What to do first, where no run is yet."""
    with database.read() as connection:
        frozen = snapshots.snapshots(connection, visit.project.id if visit.project else None)
    if not frozen:
        return empty(
            "No run yet",
            "A reward model learns from a snapshot of judgements, and this project has none.",
            link=("Freeze one", visit.address("data")),
        )
    return empty(
        "No run yet",
        "Choose a recipe under New run and start it. Its curves appear here while it learns, and"
        " the run goes on when you close the page.",
    )


def _no_curves(job: Job) -> Markup:
    if job.state is JobState.RUNNING:
        return joined([empty("No curve yet", "The first points come with the first steps.")])
    return Markup("")


def _no_figures(job: Job) -> Markup:
    if job.state is JobState.RUNNING:
        return joined([empty("No figure yet", "The first comes with the first model.")])
    return Markup("")
