"""While a study is planned: which differences its votes will see, and how many votes others need."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from app.pages.fragments import count, html, joined, notice, number, tiles
from app.pages.visit import Guard, Visit
from evaluation.power import LIKENESS, POWER, Need, StudyDesign, needs, seeing
from storage.database import Database
from storage.errors import InvalidOption
from storage.prompts import prompts
from storage.records import Split

WIN_RATES = (0.55, 0.6, 0.65, 0.7)


def draw(guard: Guard, page: gr.Blocks, *, limit: Component, overlap: Component) -> None:
    """Place what the planned votes will see, and keep it true while the form is filled in.

    Args:
        guard: Binds the handler.
        page: Whose opening draws it first.
        limit: How many held-out prompts; what is no number takes all.
        overlap: How many participants judge each prompt.
    """
    shown = html()

    def foresee(visit: Visit, most: Any, votes: Any) -> Markup:
        return _foreseen(_held_out(visit, guard.database), most, votes)

    for event in (page.load, limit.change, overlap.change):
        guard.show(event, foresee, [shown], inputs=[limit, overlap])


def _held_out(visit: Visit, database: Database) -> int:
    """Prompts of the project that a study may ask about."""
    if visit.project is None:
        return 0
    with database.read() as connection:
        known = prompts(connection, visit.project.id)
    return sum(prompt.split is Split.TEST for prompt in known)


def _foreseen(held_out: int, most: Any, votes: Any) -> Markup:
    """The sentence, the votes that some win rates need, and what was assumed.

    What is not typed yet, or cannot be planned, draws nothing: the form itself says what is wrong
    with it when the study is opened.
    """
    asked = min(held_out, int(most)) if str(most or "").strip().isdecimal() else held_out
    try:
        design = StudyDesign(prompts=asked, overlap=float(votes or 0))
    except (InvalidOption, TypeError, ValueError):
        return Markup("")
    first, comma, rest = seeing(design).partition(") ")
    sentence = Markup("<strong>{}</strong>{}").format(first + comma, rest)
    told = Markup(
        '<p class="t-summary">Two votes on one prompt are taken to correlate by {:g}, as those of'
        " experts on MT-bench do, and none to be a tie. A difference counts as seen when {:.0f} of"
        " 100 studies find it; <code>tandem study plan</code> takes other assumptions, or your own"
        " votes.</p>"
    ).format(LIKENESS, 100 * POWER)
    return Markup('<div class="t-stack">{}</div>').format(
        joined(
            [
                notice(_unbroken(sentence)),
                tiles(_tile(one, held_out) for one in needs(design, win_rates=WIN_RATES)),
                told,
            ]
        )
    )


def _tile(need: Need, held_out: int) -> tuple[str, str, str]:
    where = count(need.prompts or 0, "prompt")
    if (need.prompts or 0) > held_out:
        where += f"; you have {number(held_out)}"
    label = f"To see a win rate of {100 * need.win_rate:g} %"
    return _unbroken(label), count(need.votes or 0, "vote"), where


def _unbroken(text: Any) -> Any:
    return text.replace(" %", "\u00a0%")
