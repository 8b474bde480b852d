"""While a study is planned: which differences its votes will see, and how many more need."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from app.pages.fragments import count, html, joined, notice, number, tiles
from app.pages.visit import Guard, Visit
from evaluation.power import FEWEST_PROMPTS, LIKENESS, POWER, Need, StudyDesign, needs, seeing
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
    # Counting them reads every prompt: done when the page opens, not at every key pressed.
    known = gr.Number(0, visible="hidden")
    shown = html()

    def count_prompts(visit: Visit) -> int:
        return _held_out(visit, guard.database)

    def foresee(_: Visit, held_out: Any, most: Any, votes: Any) -> Markup:
        return _foreseen(int(held_out or 0), most, votes)

    guard.show(page.load, count_prompts, [known])
    changed = [known.change, limit.change, overlap.change]
    guard.show(changed, foresee, [shown], inputs=[known, limit, overlap])


def _held_out(visit: Visit, database: Database) -> int:
    """Prompts of the project that a study may ask about."""
    if visit.project is None:
        return 0
    with database.read() as connection:
        known = prompts(connection, visit.project.id)
    return sum(prompt.split is Split.TEST for prompt in known)


def _foreseen(held_out: int, most: Any, votes: Any) -> Markup:
    """The sentence, the votes that some win rates need, and what was assumed.

    What is not typed yet, or is no number of votes, draws nothing: the form itself says what is
    wrong with it when the study is opened.
    """
    asked = min(held_out, int(most)) if str(most or "").strip().isdecimal() else held_out
    if not asked:
        return Markup("")
    if asked < FEWEST_PROMPTS:
        few = f"Of fewer than {FEWEST_PROMPTS} prompts, even winning every one is no proof."
        return notice(few, "warn", title=f"Only {count(asked, 'held-out prompt')}.")
    try:
        design = StudyDesign(prompts=asked, overlap=float(votes or 0))
    except (InvalidOption, TypeError, ValueError):
        return Markup("")
    plan, bracket, result = seeing(design).partition(")")
    told = Markup(
        '<p class="t-summary">Two votes on one prompt are taken to correlate by {:g}, about as'
        " people’s do on MT-bench and LLMFAO, so a new prompt tells more than another vote on an"
        " old one."
        " A difference counts as seen when {:.0f} of 100 studies find it.</p>"
    ).format(LIKENESS, 100 * POWER)
    return Markup('<div class="t-stack">{}</div>').format(
        joined(
            [
                notice(_unbroken(result), title=plan + bracket),
                tiles(_tile(one, held_out) for one in needs(design, win_rates=WIN_RATES)),
                told,
            ]
        )
    )


def _tile(need: Need, held_out: int) -> tuple[str, str, str]:
    asked = need.prompts or 0
    where = f"votes on {count(asked, 'prompt')}"
    if asked > held_out:
        where += f"; you have\u00a0{number(held_out)}"
    return _unbroken(f"To see {100 * need.win_rate:g} %"), number(need.votes or 0), where


def _unbroken(text: str) -> str:
    return text.replace(" %", "\u00a0%")
