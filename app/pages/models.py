"""The page of reward models and policies: what each is worth, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.forms import label
from app.pages import model_out, try_it
from app.pages.fragments import (
    Cell,
    Column,
    ago,
    badge,
    code,
    empty,
    facts,
    heading,
    html,
    interval,
    joined,
    lines,
    link,
    notice,
    section,
    table,
)
from app.pages.frame import simulated
from app.pages.model_card import (
    accuracy,
    beside_each_other,
    comparable,
    doubts,
    figure_of_all,
    held_out,
    numbers,
    summary,
)
from app.pages.model_out import chosen_model
from app.pages.policy_table import policies_compared
from app.pages.run_health import health_of_model
from app.pages.runs import CURVES, MOST_RUNS, metric_title, split_name
from app.pages.visit import Guard, Visit
from evaluation.card_figures import DRAWN
from storage import jobs, models
from storage.records import Model, ModelId
from storage.settings import Settings

FIRST = 4
"""Figures above what is to doubt: calibration, rewards, length, annotators."""


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the tables, the chosen model with its figures, and the form that asks policies."""
    database = guard.database
    html(heading("Models", "What was learnt, how well it holds on prompts it has not seen."))
    banner, listed = html(), html()
    policies = html()
    compared, picture = html(), _place("Pair accuracy of each reward model")
    with gr.Column(visible=False, elem_classes="t-card") as card:
        shown = html()
        with gr.Row(elem_classes="t-figures"):
            first = [_place(name) for name, _ in DRAWN[:FIRST]]
        doubted = html()
        with gr.Row(elem_classes="t-figures"):
            further = [_place(name) for name, _ in DRAWN[FIRST:]]
        rest = html()

    def show(visit: Visit) -> list[Any]:
        with database.read() as connection:
            known = models.models(connection)
            runs = {one.id: one for one in jobs.jobs(connection, limit=MOST_RUNS)}
        chosen = chosen_model(visit, known)
        rewards = [one for one in known if one.purpose == "reward"]
        alike = comparable(rewards, chosen)
        return [
            simulated(visit),
            _table(known, visit, chosen),
            policies_compared(known, runs, chosen, visit),
            beside_each_other(alike, chosen, visit, others=len(rewards) - len(alike)),
            _drawn(figure_of_all(alike)),
            gr.update(visible=chosen is not None),
            *(_details(chosen, known, visit) if chosen else [gr.skip()] * (3 + len(DRAWN))),
        ]

    places = [card, shown, *first, doubted, *further, rest]
    guard.show(page.load, show, [banner, listed, policies, compared, picture, *places])
    model_out.draw(guard, page, settings)
    try_it.draw(guard, page, settings)


def _place(name: str) -> gr.Plot:
    """A place for a figure, which takes none while there is none to show."""
    return gr.Plot(label=name, show_label=False, visible=False, elem_classes="t-figure")


def _drawn(figure: Any) -> Any:
    """Put a figure in its place; without one the place is hidden."""
    return gr.update(value=figure, visible=figure is not None)


def _table(known: Sequence[Model], visit: Visit, chosen: Model | None) -> Markup:
    if not known:
        return empty(
            "No model yet",
            "Freeze a snapshot of judgements on the Data page, then train a reward model from it.",
            link=("Train one", visit.address("train")),
        )
    columns = (
        Column("Model"),
        Column("Kind"),
        Column("Pair accuracy"),
        Column("Spearman"),
        Column("Trained from"),
        Column("Made", numeric=True),
    )
    rows = [_row(model, visit, here=model is chosen) for model in known]
    return joined(
        [
            table(columns, rows, caption="Models, newest first"),
            Markup(
                '<p class="t-legend-line"><i class="t-dot-key"></i> on held-out prompts, with its'
                ' 95 % interval <i class="t-line-key"></i> by length alone</p>'
            ),
        ]
    )


def _row(model: Model, visit: Visit, *, here: bool) -> tuple[Cell, ...]:
    card = held_out(model)
    name = link(model.name, visit.address("models", model=model.name))
    place = Markup('<span class="t-chosen">{}</span>') if here else Markup("{}")
    kind = Markup("{} {}").format(
        badge("reward", "live") if model.purpose == "reward" else badge("policy", "warn"),
        badge("simulated", "warn") if model.simulated else "",
    )
    reward = model.purpose == "reward"
    return (
        place.format(lines(name, label(model.recipe))),
        kind,
        accuracy(card) if reward else None,
        interval(card.get("spearman"), scale=(-1, 1), as_percent=False) if reward else None,
        model.base.rsplit("/", 1)[-1],
        ago(model.created, visit.now),
    )


def _details(model: Model, known: Sequence[Model], visit: Visit) -> list[Any]:
    """Of the chosen model: what it comes to, its figures, what to doubt, and where it came from."""
    kind = "Reward model" if model.purpose == "reward" else "Policy"
    base = Path(model.base).name if Path(model.base).is_absolute() else model.base
    note = f"{kind}, recipe {label(model.recipe).lower()}, trained from {base}."
    card = held_out(model)
    first = [
        section(model.name, note),
        lineage(model, known, visit),
        summary(card) if model.purpose == "reward" else _policy_card(model),
    ]
    last = [
        numbers(card),
        _facts(model, visit),
        Markup(
            "<details><summary>Configuration</summary><pre class='t-log'>{}</pre></details>"
        ).format(json.dumps(dict(model.config), indent=2, ensure_ascii=False)),
    ]
    figures = [_drawn(draw_figure(card)) for _, draw_figure in DRAWN]
    return [
        _stack(first),
        *figures[:FIRST],
        _stack([doubts(card)]) if card.get("warnings") else "",
        *figures[FIRST:],
        _stack(last),
    ]


def _stack(pieces: Sequence[str]) -> Markup:
    return Markup('<div class="t-stack">{}</div>').format(joined(pieces))


def lineage(model: Model, known: Sequence[Model], visit: Visit) -> Markup:
    """From which snapshots, through which models, to which others: one column for each."""
    by_id: dict[ModelId, Model] = {one.id: one for one in known}
    parents = [by_id[parent] for parent in model.parents if parent in by_id]
    children = [one for one in known if model.id in one.parents]
    frozen = list(dict.fromkeys(one.snapshot for one in (*parents, model) if one.snapshot))
    columns = [
        [
            Markup('<span class="t-node"><small>snapshot</small>{}</span>').format(identifier[:10])
            for identifier in frozen
        ],
        [_node(one, visit, here=False) for one in parents],
        [_node(model, visit, here=True)],
        [_node(one, visit, here=False) for one in children],
    ]
    return Markup('<ul class="t-lineage" aria-label="Lineage">{}</ul>').format(
        joined(
            Markup('<li><div class="t-stack">{}</div></li>').format(joined(column))
            for column in columns
            if column
        )
    )


def _node(model: Model, visit: Visit, *, here: bool) -> Markup:
    return Markup('<a class="t-node{}" href="{}"><small>{}</small>{}</a>').format(
        " t-chosen" if here else "",
        visit.address("models", model=model.name),
        "reward model" if model.purpose == "reward" else "policy",
        model.name,
    )


def _policy_card(model: Model) -> Markup:
    """The numbers that training ended with. Whether people like the answers, only a study tells."""
    numbers = {
        name: value
        for name, value in model.metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    shown = [(name, *split_name(name)) for name in numbers]
    first: list[tuple[str, Cell]] = [
        (
            curve.title if part == "train" else f"{curve.title}, {part}",
            f"{numbers[name]:.3g} {curve.unit}".strip(),
        )
        for base, curve in CURVES.items()
        for name, metric, part in shown
        if metric == base
    ]
    others: list[tuple[str, Cell]] = [
        (metric_title(name), f"{numbers[name]:.4g}")
        for name, metric, _ in shown
        if metric not in CURVES
    ]
    return joined(
        [
            Markup('<h3 class="t-part">At the end of training</h3>') if first else "",
            facts(first) if first else "",
            Markup("<details><summary>More numbers</summary>{}</details>").format(facts(others))
            if others
            else "",
            health_of_model(model),
            notice("Whether people prefer its answers is for a blinded study to say.", "plain"),
        ]
    )


def _facts(model: Model, visit: Visit) -> Markup:
    return facts(
        [
            ("Made", ago(model.created, visit.now)),
            ("Training run", _run(model, visit)),
            ("Folder in the data directory", code(model.folder)),
        ]
    )


def _run(model: Model, visit: Visit) -> Markup | None:
    return link("Curves and log", visit.address("train", job=model.job)) if model.job else None
