"""The page of reward models and policies: what each is worth, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.forms import label
from app.pages import try_it
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
from app.pages.runs import CURVES
from app.pages.visit import Guard, Visit
from storage import models
from storage.records import Model, ModelId
from storage.settings import Settings

LENGTH_ONLY = "always choosing the longer answer:"


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the table, the chosen model, and the form that asks policies."""
    database = guard.database
    html(heading("Models", "What was learnt, how well it holds on prompts it has not seen."))
    banner, listed, shown = html(), html(), html()

    def show(visit: Visit) -> list[Markup]:
        with database.read() as connection:
            known = models.models(connection)
        chosen = _chosen(visit, known)
        return [
            simulated(visit),
            _table(known, visit, chosen),
            _details(chosen, known, visit) if chosen else Markup(""),
        ]

    guard.show(page.load, show, [banner, listed, shown])
    try_it.draw(guard, page, settings)


def _chosen(visit: Visit, known: Sequence[Model]) -> Model | None:
    """The model in the address; without one, the newest."""
    wanted = visit.query.get("model")
    return next((model for model in known if model.name == wanted), known[0] if known else None)


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
                ' 95 % interval <i class="t-line-key"></i> always choosing the longer answer</p>'
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
        _accuracy(card) if reward else None,
        interval(card.get("spearman"), scale=(-1, 1), as_percent=False) if reward else None,
        model.base.rsplit("/", 1)[-1],
        ago(model.created, visit.now),
    )


def held_out(model: Model) -> Mapping[str, Any]:
    """A reward model's report card on the test split; empty for a policy."""
    card = model.metrics.get("held_out")
    return card if isinstance(card, Mapping) else {}


def _accuracy(card: Mapping[str, Any]) -> Markup:
    baseline = card.get("length_only_accuracy")
    return interval(
        card.get("pair_accuracy"),
        reference=baseline["value"] if baseline else None,
        reference_name=LENGTH_ONLY,
    )


def _details(model: Model, known: Sequence[Model], visit: Visit) -> Markup:
    kind = "Reward model" if model.purpose == "reward" else "Policy"
    note = f"{kind}, recipe {label(model.recipe).lower()}, trained from {model.base}."
    return joined(
        [
            Markup('<div class="t-card t-stack">'),
            section(model.name, note),
            lineage(model, known, visit),
            _report_card(model) if model.purpose == "reward" else _policy_card(model),
            _facts(model, visit),
            Markup(
                "<details><summary>Configuration</summary><pre class='t-log'>{}</pre></details>"
            ).format(json.dumps(dict(model.config), indent=2, ensure_ascii=False)),
            Markup("</div>"),
        ]
    )


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


def _report_card(model: Model) -> Markup:
    card = held_out(model)
    if not card:
        return notice("This model was not judged on held-out prompts.", "warn")
    ceiling = card.get("human_ceiling")
    error = card.get("calibration_error")
    shown: list[tuple[str, Cell]] = [
        ("Pair accuracy", _accuracy(card)),
        ("Always the longer answer", interval(card.get("length_only_accuracy"))),
        ("One person against another", interval(ceiling) if ceiling else None),
        ("Spearman with ratings", interval(card.get("spearman"), scale=(-1, 1), as_percent=False)),
        ("Calibration error", None if error is None else f"{100 * error:.1f} percentage points"),
    ]
    return joined(
        [
            Markup('<h3 class="t-part">Report card, on held-out prompts</h3>'),
            Markup('<div class="t-wide">{}</div>').format(
                facts([(name, value) for name, value in shown if value is not None])
            ),
            *(notice(warning, "warn") for warning in card.get("warnings", ())),
        ]
    )


def _policy_card(model: Model) -> Markup:
    """The numbers that training ended with. Whether people like the answers, only a study tells."""
    numbers = {
        name: value
        for name, value in model.metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    first: list[tuple[str, Cell]] = [
        (curve.title, f"{numbers[name]:.3g} {curve.unit}".strip())
        for name, curve in CURVES.items()
        if name in numbers
    ]
    others: list[tuple[str, Cell]] = [
        (label(name.replace("/", " ")), f"{value:.4g}")
        for name, value in numbers.items()
        if name not in CURVES
    ]
    return joined(
        [
            Markup('<h3 class="t-part">At the end of training</h3>') if first else "",
            facts(first) if first else "",
            Markup("<details><summary>More numbers</summary>{}</details>").format(facts(others))
            if others
            else "",
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
