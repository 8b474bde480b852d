"""The part of the models page where several policies answer one prompt side by side."""

from __future__ import annotations

from typing import Any

import gradio as gr
from markupsafe import Markup

from app import markdown
from app.forms import draw_form
from app.kinds import SampleJob
from app.pages.fragments import count, html, joined, notice, section
from app.pages.visit import Guard, Visit
from app.queue import enqueue
from app.study_arms import refuse_paths
from storage import jobs, models
from storage.errors import InvalidOption, NotFound
from storage.records import Job, JobId, JobState
from storage.settings import Settings
from training.places import DEFAULT_BASE

MOST_POLICIES = 4
"""More columns than this are too narrow to read."""
REMEMBER = """(job) => { const here = new URL(location); here.searchParams.set('asked', job);
history.replaceState(null, '', here); }"""


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the question and, below it, the answers as they come."""
    database = guard.database
    html(section("Try it", "One prompt, answered by several policies side by side."))
    asked = gr.Textbox(visible="hidden")
    with gr.Column(elem_classes="t-card"):
        prompt = gr.Textbox(
            label="Prompt", lines=3, placeholder="Explain to a child why the sky is blue."
        )
        policies = gr.Dropdown(
            [],
            label="Who answers",
            info=f"Up to {MOST_POLICIES}. The names of Hugging Face models may be typed, and"
            " endpoints as openai:NAME@http://host:port/v1.",
            multiselect=True,
            allow_custom_value=True,
            max_choices=MOST_POLICIES,
        )
        form = draw_form(
            SampleJob,
            first=("max_new_tokens", "temperature"),
            omit=("policies", "prompts", "split", "limit", "keep"),
        )
        with gr.Row(elem_classes="t-actions"):
            ask = gr.Button("Ask", variant="primary")
    answers = html()
    timer = gr.Timer(1, active=False)

    def offer(_: Visit) -> Any:
        with database.read() as connection:
            known = models.models(connection, "policy")
        names = [model.name for model in known]
        return gr.Dropdown([*names, DEFAULT_BASE], value=[*names[:1], DEFAULT_BASE])

    def send(visit: Visit, text: str, chosen: list[str], *options: Any) -> list[Any]:
        if not text.strip():
            raise InvalidOption("prompt", "write something to answer", text)
        config = form.typed(options) | {
            "policies": chosen,
            "prompts": [[{"role": "user", "content": text}]],
        }
        with database.read() as connection:
            refuse_paths(connection, chosen)
        job = enqueue(
            database,
            settings,
            kind="sample",
            recipe="sample",
            config=config,
            project=visit.project.id if visit.project else None,
            now=visit.now,
        )
        return [job.id, *watch(visit.at(asked=job.id))]

    def watch(visit: Visit) -> list[Any]:
        if "asked" not in visit.query:
            return ["", gr.Timer(active=False)]
        try:
            with database.read() as connection:
                job = jobs.job(connection, JobId(visit.query["asked"]))
        except NotFound:
            return ["", gr.Timer(active=False)]
        return [answered(job), gr.Timer(active=not job.state.is_over)]

    guard.show(page.load, offer, [policies])
    guard.show(page.load, watch, [answers, timer])
    guard.show(timer.tick, watch, [answers, timer])
    asking = [prompt, policies, *form.inputs.values()]
    guard.do(ask.click, send, asking, [asked, answers, timer])
    asked.change(None, [asked], js=REMEMBER)


def answered(job: Job) -> Markup:
    """The answers of a sampling job, or how far it is."""
    if job.kind != "sample":
        return Markup("")
    if job.state is JobState.FAILED:
        return notice(job.error, "bad", title="No answer.")
    if not job.state.is_over:
        waits = "Waits for the worker." if job.state is JobState.QUEUED else "The policies answer."
        return notice(job.message or waits, "live", title="Asked.")
    turns = [turn for prompt in job.config.get("prompts", ()) for turn in prompt]
    question = " ".join(turn["content"] for turn in turns)
    # An answer is what a model made of anybody's words: it enters the page only as the sanitiser
    # leaves it.
    columns = joined(
        Markup(
            '<article class="t-answer"><header><span>{}</span><small>{}</small></header>'
            '<div class="t-text">{}</div></article>'
        ).format(
            answer["policy"],
            "" if answer["tokens"] is None else count(answer["tokens"], "token"),
            Markup(markdown.render(answer["text"])),  # noqa: S704
        )
        for answer in job.result.get("answers", ())
    )
    return Markup(
        '<p class="t-question"><small>Prompt</small>{}</p><div class="t-answers">{}</div>'
    ).format(question, columns)
