"""The card that says how a project collects: what is asked, and what is mixed in to check it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.pages.fragments import count, html, joined, notice, section
from app.pages.visit import Guard, Visit
from feedback.tasks import TASKS
from storage.database import Database
from storage.errors import InvalidOption
from storage.projects import project_named, set_collecting
from storage.records import Collecting, Purpose
from storage.tasks import tasks


@dataclass(frozen=True, slots=True)
class Number:
    """A setting that is typed as a number from 0 on."""

    label: str
    info: str
    most: int
    is_share: bool = True
    """True when it is typed in percent and kept as a fraction."""


NUMBERS = {
    "gold_rate": Number(
        "Known items, percent", "Of the tasks given out; their right answer is known", 50
    ),
    "repeat_rate": Number("Repeats, percent", "The same responses, in the opposite order", 40),
    "random_share": Number(
        "Random tasks, percent", "The rest goes by priority, where tasks have one", 100
    ),
    "qualification": Number(
        "Qualification, items", "Known items before the first real task; 0 for none", 100, False
    ),
    "qualification_pass": Number(
        "To qualify, percent", "Of the qualification that must be right", 100
    ),
    "break_after_minutes": Number(
        "Suggest a break, minutes", "After so much work at a stretch; 0 for never", 480, False
    ),
}
"""By the name of the setting, in the order on the page."""


def draw(guard: Guard, page: gr.Blocks) -> None:
    """Place the card: the settings as they are, and a button that changes them."""
    database = guard.database
    html(section("Collecting", "What is asked about new tasks, and what is mixed in to check it."))
    state = html()
    inputs = _inputs()
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Save")

    def show(visit: Visit) -> list[Any]:
        asked = visit.project.collecting if visit.project else Collecting()
        return [_state(visit, database), *_written(asked)]

    def save(visit: Visit, *values: Any) -> Markup:
        project = visit.chosen()
        with database.write() as connection:
            # As it is by now: a push may have taken the project to Argilla a moment ago.
            asked = project_named(connection, project.id).collecting
            changed = set_collecting(connection, project.id, _typed(asked, values))
        now = replace(visit, project=changed)
        told = notice("It holds for whatever is given out from now on.", "good", title="Saved.")
        return joined([told, _state(now, database)])

    guard.show(page.load, show, [state, *inputs])
    guard.do(go.click, save, inputs, [state])


def _inputs() -> list[Any]:
    """One input for each setting, in the order of `_written`."""
    types = gr.CheckboxGroup(
        [(one.summary, name) for name, one in TASKS.items()],
        label="What is asked",
        info="With several, each prompt gets one of them when its tasks are made.",
    )
    aspects = gr.Textbox(
        label="Aspects to be rated", info="Separated by commas, for example: helpful, honest."
    )
    with gr.Row(elem_classes="t-form"):
        numbers = [
            gr.Number(
                label=one.label,
                info=f"{one.info} (0 to {one.most})",
                precision=None if one.is_share else 0,
                min_width=320,
            )
            for one in NUMBERS.values()
        ]
    return [types, aspects, *numbers]


def _written(asked: Collecting) -> list[Any]:
    """The settings as the inputs show them."""
    numbers = [
        round(100 * getattr(asked, name), 6) if one.is_share else getattr(asked, name)
        for name, one in NUMBERS.items()
    ]
    return [list(asked.task_types), ", ".join(asked.aspects), *numbers]


def _typed(before: Collecting, values: Sequence[Any]) -> Collecting:
    """The settings that were typed.

    Raises:
        InvalidOption: One is missing or out of bounds; names it.
    """
    types, aspects, *numbers = values
    if not types:
        raise InvalidOption("What is asked", "choose one or more", types)
    typed = dict(zip(NUMBERS, numbers, strict=True))
    for name, one in NUMBERS.items():
        number = typed[name]
        if number is None or not 0 <= number <= one.most:
            raise InvalidOption(one.label, f"write a number from 0 to {one.most}", number)
        if one.is_share:
            typed[name] = number / 100
    names = tuple(part.strip() for part in aspects.split(",") if part.strip())
    return replace(before, task_types=tuple(types), aspects=names, **typed)


def _state(visit: Visit, database: Database) -> Markup:
    """Which known items there are, and what is missing for the settings to have an effect."""
    if visit.project is None:
        return Markup("")
    with database.read() as connection:
        every = tasks(connection, visit.project.id, everything=True)
        there = Counter(task.purpose for task in every)
    asked = visit.project.collecting
    known = [count(there[purpose], f"{purpose} item") for purpose in Purpose if purpose.is_known]
    told = Markup('<p class="t-told">Known: {}.</p>').format(", ".join(known))
    missing = []
    if asked.gold_rate and not there[Purpose.GOLD] + there[Purpose.ATTENTION]:
        missing.append("There are no known items to mix in yet.")
    if there[Purpose.QUALIFICATION] < asked.qualification:
        missing.append(
            f"The qualification asks for {asked.qualification} items, but the project has"
            f" {there[Purpose.QUALIFICATION]}."
        )
    if not missing:
        return told
    way = "Import prompts whose lines say what is known."
    return joined([told, notice(" ".join([*missing, way]), "plain")])
