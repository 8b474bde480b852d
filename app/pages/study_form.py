"""The form that opens a study: which policies, what is asked, and what takes no part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from app.answer_files import keep_uploaded
from app.forms import draw_form
from app.kinds import StudyJob
from app.pages import study_plan
from app.pages.fragments import html, notice, section
from app.pages.visit import Guard, Visit
from app.queue import enqueue
from app.sources import start_of
from app.study_arms import refuse_paths, starts_left_out
from feedback.participation import Participation
from storage import models
from storage.errors import InvalidOption
from storage.settings import Settings
from training.places import DEFAULT_BASE


def draw(
    guard: Guard,
    page: gr.Blocks,
    settings: Settings,
    *,
    lists: Sequence[Component],
    redraw: Callable[[Visit], list[Any]],
) -> None:
    """Place the form; `redraw` gives the page's `lists` anew once a study is queued."""
    database = guard.database
    asked, against, uploads, form, go = _form(guard, page)
    told = html()

    def offer(_: Visit) -> list[Any]:
        with database.read() as connection:
            known = models.models(connection, "policy")
            newest = known[0].name if known else None
            start = newest and start_of(connection, newest)
        names = list(dict.fromkeys([*(model.name for model in known), DEFAULT_BASE]))
        held = names if start in (None, *names) else [*names, start]
        return [
            gr.Dropdown(names, value=newest),
            gr.Dropdown(held, value=[start or DEFAULT_BASE]),
        ]

    def prefer_start(_: Visit, policy: str | None) -> Any:
        """What the chosen policy grew from is what it is held against first."""
        with database.read() as connection:
            start = start_of(connection, policy) if policy else None
            names = [model.name for model in models.models(connection, "policy")]
        if start is None:
            return gr.skip()
        offered = dict.fromkeys([*(one for one in names if one != policy), DEFAULT_BASE, start])
        return gr.Dropdown(list(offered), value=[start])

    def open_study(
        visit: Visit,
        first: str | None,
        others: list[str] | None,
        files: list[str] | None,
        *values: Any,
    ) -> list[Any]:
        options = form.typed(values)
        arms = [*([first] if first else []), *(others or ())]
        with database.read() as connection:
            refuse_paths(connection, arms)
            left_out = starts_left_out(connection, arms)
        if left_out and not options["without_start"].strip():
            raise InvalidOption(
                "policies",
                f"this leaves out {' and '.join(left_out)}, which a policy here grew from; without"
                " it nobody can tell what training did. Add it, or say why not under Without start",
                arms,
            )
        enqueue(
            database,
            settings,
            kind="study",
            recipe="study",
            config=options
            | {"policies": [*arms, *(keep_uploaded(settings, Path(one)) for one in files or ())]},
            project=visit.chosen().id,
            now=visit.now,
        )
        # What was uploaded may be confidential, and is in the data directory now.
        for path in files or ():
            Path(path).unlink(missing_ok=True)
        text = "The policies answer the prompts first; then the study opens by itself."
        return [notice(text, "live", title="Queued."), None, *redraw(visit)]

    guard.show(page.load, offer, [asked, against])
    guard.do(asked.input, prefer_start, [asked], [against])
    typed = [asked, against, uploads, *form.inputs.values()]
    guard.do(go.click, open_study, typed, [told, uploads, *lists], busy="Reading the answers …")


def _form(guard: Guard, page: gr.Blocks) -> tuple[Any, Any, Any, Any, Any]:
    """Which policies, and how the study asks about them."""
    html(
        section(
            "Open a study",
            "All answer prompts that no model has learnt from; participants see the answers side"
            " by side, in random order and without names.",
        )
    )
    with gr.Row(elem_classes="t-form"):
        asked = gr.Dropdown(
            [],
            label="Does this policy",
            info="A registered policy or the name of a Hugging Face model; or an endpoint as"
            " openai:NAME@http://host:port/v1",
            allow_custom_value=True,
            min_width=260,
        )
        against = gr.Dropdown(
            [],
            label="answer better than these?",
            info="What it grew from is there already. Leaving that out needs a reason.",
            multiselect=True,
            allow_custom_value=True,
            min_width=260,
        )
    form = draw_form(
        StudyJob,
        first=(
            *("title", "question", "form", "overlap", "limit", "without_start"),
            *Participation.model_fields,
        ),
        omit=("policies", "prompts"),
    )
    study_plan.draw(guard, page, limit=form.inputs["limit"], overlap=form.inputs["overlap"])
    uploads = gr.File(
        label="Answers from files, a file for each arm",
        file_types=[".jsonl", ".gz", ".json", ".parquet"],
        file_count="multiple",
        height=132,
        elem_classes="t-drop",
    )
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Open the study", variant="primary")
    return asked, against, uploads, form, go
