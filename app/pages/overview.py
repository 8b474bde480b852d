"""The first page: what was collected, how far people agree, what runs, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median

import gradio as gr
import numpy as np
from markupsafe import Markup

from app.pages.charts import day_bars
from app.pages.fragments import (
    count,
    duration,
    empty,
    heading,
    html,
    interval,
    joined,
    notice,
    number,
    section,
    tiles,
)
from app.pages.frame import simulated
from app.pages.next_step import next_step, standing_of
from app.pages.runs import jobs_running
from app.pages.visit import Guard, Visit
from evaluation.agreement import Agreement, Level, agreement
from storage import jobs
from storage.database import Database
from storage.judgements import Judgement, judgements
from storage.records import Kind, Project

DAYS = 21
"""How far back the figure of judgements per day reaches."""
RESAMPLES = 200
"""Of the bootstrap behind an interval of agreement: enough for two digits, and quick."""
EVERY = 5.0
"""Seconds between two looks at what runs."""


@dataclass(slots=True)
class Said:
    """What went through the judgements of a project gives, in one pass."""

    days: Counter[date] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    choices: list[tuple[str, str, float]] = field(default_factory=list)
    """(pair in a fixed order, annotator, choice turned to that order)."""
    ratings: list[tuple[str, str, float]] = field(default_factory=list)

    def add(self, judgement: Judgement) -> None:
        """Count one judgement."""
        self.days[judgement.received.date()] += 1
        if judgement.active_seconds is not None:
            self.seconds.append(judgement.active_seconds)
        if judgement.kind is Kind.PROGRAM:
            return  # a program agrees with itself, which says nothing about how clear the task is
        for one in judgement.comparisons:
            turned = one.left > one.right
            pair = f"{min(one.left, one.right)} {max(one.left, one.right)}"
            self.choices.append((pair, judgement.annotator, -one.choice if turned else one.choice))
        for rating in judgement.ratings:
            item = f"{rating.response} {rating.aspect}"
            self.ratings.append((item, judgement.annotator, rating.value))


def draw(guard: Guard, page: gr.Blocks) -> None:
    """Place the parts; the slow one, agreement, comes by itself when it is ready."""
    database = guard.database
    head, now_running = html(), html()
    details = html()
    timer = gr.Timer(EVERY)

    def show(visit: Visit) -> Markup:
        return _head(visit, database)

    def run(visit: Visit) -> Markup:
        return _running(visit, database)

    def detail(visit: Visit) -> Markup:
        return _details(visit, database)

    guard.show(page.load, show, [head])
    guard.show(page.load, run, [now_running])
    guard.show(page.load, detail, [details])
    guard.show(timer.tick, run, [now_running])


def _head(visit: Visit, database: Database) -> Markup:
    if visit.project is None:
        return Markup('<div class="t-stack">{}{}</div>').format(
            heading("Welcome to Tandem", "Collect judgements, learn from them, compare."),
            empty(
                "No project yet",
                "A project holds prompts and what people say of their responses.",
                link=("Create the first one", visit.address("data")),
            ),
        )
    with database.read() as connection:
        standing = standing_of(connection, visit.project)
    title, way = next_step(standing, visit)
    return Markup('<div class="t-stack">{}</div>').format(
        joined(
            [
                heading(
                    visit.project.name, "What was collected, how far people agree, what runs now."
                ),
                simulated(visit),
                notice(way, "live", title=f"Next: {title[0].lower()}{title[1:]}"),
                _tiles(standing.counts, visit.project),
            ]
        )
    )


def _tiles(known: Mapping[str, int], project: Project) -> Markup:
    asked, done = known["asked"], known["submissions"]
    share = f"of {number(asked)} asked for" if asked else "imported"
    per_prompt = known["responses"] / known["prompts"] if known["prompts"] else 0
    return tiles(
        [
            ("Prompts", number(known["prompts"]), ""),
            ("Responses", number(known["responses"]), f"{per_prompt:.1f} per prompt"),
            ("Tasks", number(known["tasks"]), f"each by {count(project.overlap, 'annotator')}"),
            ("Judgements", number(done), share),
            (
                "Said in them",
                number(known["comparisons"] + known["ratings"]),
                f"{number(known['comparisons'])} choices, {number(known['ratings'])} ratings",
            ),
            ("Annotators", number(known["annotators"]), _votes(known["votes"])),
        ]
    )


def _votes(votes: int) -> str:
    return f"and {count(votes, 'vote')} in studies" if votes else ""


def _running(visit: Visit, database: Database) -> Markup:
    if visit.project is None:
        return Markup("")
    with database.read() as connection:
        known = jobs.jobs(connection)
    return jobs_running([job for job in known if job.project == visit.project.id], visit)


def _details(visit: Visit, database: Database) -> Markup:
    """Judgements per day, the pace, and how far annotators agree."""
    if visit.project is None:
        return Markup("")
    said = Said()
    with database.read() as connection:
        for judgement in judgements(connection, visit.project.id):
            said.add(judgement)
    if not said.days:
        return empty(
            "No judgement yet",
            "What annotators say appears here, with how far they agree.",
            link=("Pull the answers from Argilla", visit.address("data"))
            if visit.project.collecting.argilla_workspace
            else ("Judge some answers", "/annotate"),
        )
    days = _days(said.days, visit.now)
    pace = f"Median {duration(median(said.seconds))} of active time each." if said.seconds else ""
    return Markup('<div class="t-pair"><div>{}</div><div>{}</div></div>').format(
        joined([section("Judgements per day", pace), day_bars(f"Last {DAYS} days", days)]),
        joined(
            [
                section("Agreement", "Krippendorff's alpha: 1 is perfect, 0 is what chance gives."),
                Markup('<div class="t-card t-agreement">{}{}</div>').format(
                    _agreed("Choices", said.choices, "ordinal"),
                    _agreed("Ratings", said.ratings, "ordinal"),
                ),
            ]
        ),
    )


def _days(counted: Counter[date], now: datetime) -> list[tuple[str, int]]:
    first = now.date() - timedelta(days=DAYS - 1)
    days = [first + timedelta(days=offset) for offset in range(DAYS)]
    return [(f"{day.day} {day:%b}", counted[day]) for day in days]


def _agreed(what: str, said: list[tuple[str, str, float]], level: Level) -> Markup:
    """Alpha with its interval, or why there is none."""
    if not said:
        return Markup('<div><h3>{}</h3><p class="t-none">None yet.</p></div>').format(what)
    items, annotators, values = zip(*said, strict=True)
    found = agreement(
        items,
        annotators,
        values,
        level=level,
        rng=np.random.default_rng(0),  # the same judgements show the same interval
        resamples=RESAMPLES,
    )
    return Markup("<div><h3>{}</h3>{}<p class='t-none'>{}</p></div>").format(
        what, _alpha(found), found.reason or _basis(found)
    )


def _alpha(found: Agreement) -> Markup:
    if found.alpha is None:
        return Markup("")
    estimate = found.alpha.as_json()
    return interval(estimate, scale=(-0.2, 1), reference=0, reference_name="chance: 0",
                    as_percent=False)  # fmt: skip


def _basis(found: Agreement) -> str:
    items = count(found.items, "item")
    return f"{items} judged by two or more of {count(found.annotators, 'annotator')}."
