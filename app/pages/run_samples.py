"""What a policy answers as it learns, on the Train page, and the way from there to annotators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from app import markdown
from app.pages.fragments import Column, badge, count, html, joined, notice, section, table
from app.pages.visit import Guard, Visit
from app.probes import Probe, give_to_annotators, probes, steps_of
from storage.errors import NotFound
from storage.records import Job
from storage.settings import Settings

START = "Start"
SHORT = 160
"""Characters of an answer in the table of all steps."""


def draw(
    guard: Guard,
    settings: Settings,
    chosen: Callable[[Visit], Job | None],
    looks: Sequence[Callable[..., Any]],
) -> None:
    """Place two choices of a step, the answers side by side, and the way to the annotators.

    Args:
        guard: Binds the handlers.
        settings: Where runs keep their samples.
        chosen: Which run the page is about.
        looks: Events at which to look again, such as a tick.
    """
    with gr.Column(visible=False, elem_classes="t-card") as card:
        html(section("Samples", "The same prompts, answered again as the policy learns."))
        with gr.Row(elem_classes="t-form"):
            one = gr.Dropdown([], label="Left", min_width=150)
            other = gr.Dropdown([], label="Right", min_width=150)
        drawn = html()
        with gr.Row(elem_classes="t-actions"):
            send = gr.Button("Send these to annotation", size="sm")
        sent = html()
        with gr.Accordion("All steps", open=False, elem_classes="t-fold"):
            everything = html()
    seen = gr.Textbox("", visible="hidden")
    screen = [card, one, other, drawn, everything, sent, seen]

    def look(visit: Visit, left: str | None, right: str | None, before: str) -> list[Any]:
        job, found = read(visit)
        steps = steps_of(found)
        if job is None or not steps:
            return [gr.update(visible=False), *([gr.skip()] * 5), ""]
        now = f"{job.id} {steps[-1]}"
        if now == before:  # redrawing would close what is open
            return [gr.skip()] * len(screen)
        names = [(name_of(step), str(step)) for step in steps]
        known, _, newest = before.partition(" ")
        fresh = known != job.id
        # Whoever looks at the newest answers goes on to do so.
        ends = _ends(steps, "" if fresh else left, "" if fresh or right == newest else right)
        return [
            gr.update(visible=True),
            gr.Dropdown(names, value=str(ends[0])),
            gr.Dropdown(names, value=str(ends[1])),
            side_by_side(found, ends),
            all_steps(found, steps),
            "" if fresh else gr.skip(),
            now,
        ]

    def choose(visit: Visit, left: str | None, right: str | None) -> Markup:
        _, found = read(visit)
        return side_by_side(found, _ends(steps_of(found), left, right))

    def read(visit: Visit) -> tuple[Job | None, list[Probe]]:
        job = chosen(visit)
        return job, [] if job is None or job.kind != "policy" else probes(settings, job)

    def give(visit: Visit, left: str | None, right: str | None) -> Markup:
        job, found = read(visit)
        if job is None or not found:
            raise NotFound("run with samples", visit.query.get("job", ""), ())
        ends = _ends(steps_of(found), left, right)
        made = give_to_annotators(guard.database, visit.chosen(), job, found, ends)
        if not made["tasks"]:
            return notice("Nothing new: these are tasks already, or the answers are the same.")
        return notice(
            f"{count(made['tasks'], 'task')}: the answers of {name_of(ends[0]).lower()} and of"
            f" {name_of(ends[1]).lower()} wait for annotators, who do not see which is which.",
            "good",
        )

    guard.show(looks, look, screen, inputs=[one, other, seen])
    guard.show([one.input, other.input], choose, [drawn], inputs=[one, other])
    guard.do(send.click, give, [one, other], [sent])


def name_of(step: int) -> str:
    """A step as people call it."""
    return f"Step {step}" if step else START


def side_by_side(found: Sequence[Probe], steps: tuple[int, int]) -> Markup:
    """Of each prompt the answers after two steps, beside each other."""
    return joined(
        _asked(
            probe,
            Markup('<div class="t-answers">{}</div>').format(
                joined(_answer(probe, step) for step in steps)
            ),
        )
        for probe in found
    )


def all_steps(found: Sequence[Probe], steps: Sequence[int]) -> Markup:
    """Of each prompt a table of its answers, cut to what one reads at a glance."""
    columns = (Column("After"), Column("Answer"), Column("Tokens", numeric=True))
    return joined(
        _asked(
            probe,
            table(
                columns,
                [
                    (
                        name_of(step),
                        _glance(str(probe.answers[step]["response"])),
                        _tokens(probe, step),
                    )
                    for step in steps
                ],
                caption=f"Answers to {_question(probe)}",
            ),
        )
        for probe in found
    )


def _asked(probe: Probe, answers: Markup) -> Markup:
    return Markup(
        '<section class="t-probe"><p class="t-question"><small>Prompt</small>{}</p>{}</section>'
    ).format(_question(probe), answers)


def _answer(probe: Probe, step: int) -> Markup:
    answer = probe.answers[step]
    # An answer is what a model made of anybody's words: it enters the page only as the sanitiser
    # leaves it.
    text = Markup(markdown.render(str(answer["response"])))  # noqa: S704
    return Markup(
        '<article class="t-answer"><header><span>{}</span><small>{} {}</small></header>'
        '<div class="t-text">{}</div></article>'
    ).format(
        name_of(step),
        count(int(answer["tokens"]), "token"),
        "" if answer["finished"] else badge("cut", "warn"),
        text or Markup("<p><em>(empty)</em></p>"),
    )


def _tokens(probe: Probe, step: int) -> Markup:
    answer = probe.answers[step]
    cut = "" if answer["finished"] else badge("cut", "warn")
    return Markup("{} {}").format(int(answer["tokens"]), cut)


def _glance(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"


def _question(probe: Probe) -> str:
    return " ".join(turn["content"] for turn in probe.prompt)


def _ends(steps: Sequence[int], left: str | None, right: str | None) -> tuple[int, int]:
    """The two steps that were chosen; without a choice, the first and the last."""
    known = {str(step): step for step in steps}
    return known.get(left or "", steps[0]), known.get(right or "", steps[-1])
