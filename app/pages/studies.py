"""The page of blinded studies: opening one, sending people to it, reading what they said."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.pages import study_form
from app.pages.fragments import (
    Column,
    ago,
    badge,
    empty,
    heading,
    html,
    joined,
    lines,
    link,
    notice,
    number,
    table,
)
from app.pages.frame import simulated
from app.pages.runs import jobs_running
from app.pages.study_result import background, design, numbers, verdict, ways_out
from app.pages.visit import Guard, Visit
from evaluation.study_figures import DRAWN, drawn
from evaluation.study_reading import reading
from evaluation.study_record import study_record
from feedback.participation import Participation
from storage import jobs, studies
from storage.database import Database
from storage.errors import TooLittleData
from storage.judgements import judgements
from storage.records import Kind, Study
from storage.settings import Settings
from storage.tasks import tasks

ASK_FIRST = """(...values) => {
    if (!confirm('Close the study for good? It takes no more votes then.')) throw new Error('kept');
    return values; }"""
FIRST = 2
"""Figures that stand above the numbers: who won, and as votes came in."""
EVERY = 8.0
"""Seconds between two looks at votes and jobs."""


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the list, the chosen study, and the form that opens a new one."""
    database = guard.database
    html(
        heading(
            "Studies", "People say which policy answers better, without knowing which is which."
        )
    )
    lists = [html(), html(), html()]
    # Which study the page shows, so that a tick redraws it when it changed and leaves it alone
    # otherwise: an early look stays until something else is asked for.
    held = gr.Textbox(visible="hidden")
    with gr.Column(visible=False, elem_classes="t-card") as place:
        shown = html()
        address = gr.Textbox(
            label="Link for participants", buttons=["copy"], interactive=False, max_lines=1
        )
        said = html()
        places = list(DRAWN.values())
        with gr.Row(elem_classes=["t-figures", "t-filled"]):
            first = [_place(name) for name in places[:FIRST]]
        counted = html()
        with gr.Row(elem_classes=["t-figures", "t-filled"]):
            further = [_place(name) for name in places[FIRST:]]
        rest = html()
        with gr.Row(elem_classes="t-actions"):
            peek = gr.Button("Look early", visible=False)
            close = gr.Button("Close the study", variant="stop", visible=False)
    with gr.Column(elem_classes="t-card"):
        study_form.draw(
            guard, page, settings, lists=lists, redraw=lambda visit: _lists(visit, database)
        )
    timer = gr.Timer(EVERY)
    outcome = [said, *first, counted, *further, rest]
    screen = [*lists, held, place, shown, address, *outcome, peek, close]

    def show(visit: Visit) -> list[Any]:
        return _screen(visit, database, settings, early=False)

    def look_early(visit: Visit) -> list[Any]:
        return _screen(visit, database, settings, early=True)

    def follow(visit: Visit, seen: str) -> list[Any]:
        study = _chosen(visit, database)
        if study is not None and study.id != seen:
            return show(visit)
        return [*_lists(visit, database), *([gr.skip()] * (len(screen) - len(lists)))]

    def end(visit: Visit) -> list[Any]:
        study = _chosen(visit, database)
        if study is not None:
            with database.write() as connection:
                studies.close_study(connection, study.id, now=visit.now)
        return _screen(visit, database, settings, early=False)

    guard.show(page.load, show, screen)
    guard.show(timer.tick, follow, screen, inputs=[held])
    guard.do(peek.click, look_early, [], screen)
    guard.do(close.click, end, [], screen, js=ASK_FIRST)


def _mine(visit: Visit, database: Database) -> list[Study]:
    """The project's studies, newest first."""
    if visit.project is None:
        return []
    with database.read() as connection:
        known = studies.studies(connection)
    return [study for study in known if study.project == visit.project.id]


def _chosen(visit: Visit, database: Database) -> Study | None:
    """The study in the address; without one, the newest."""
    mine = _mine(visit, database)
    wanted = visit.query.get("study")
    return next((study for study in mine if study.id == wanted), mine[0] if mine else None)


def _lists(visit: Visit, database: Database) -> list[Any]:
    with database.read() as connection:
        known = jobs.jobs(connection)
    mine = [
        job
        for job in known
        if job.kind == "study" and visit.project and job.project == visit.project.id
    ]
    busy = [job for job in mine if not job.state.is_over]
    failed = next((job for job in mine[:1] if job.error), None)
    waiting = jobs_running(busy, visit) if busy else Markup("")
    if failed is not None:
        waiting = notice(failed.error, "bad", title="The last study could not be opened.")
    return [simulated(visit), waiting, _table(visit, database)]


def _screen(visit: Visit, database: Database, settings: Settings, *, early: bool) -> list[Any]:
    study = _chosen(visit, database)
    hidden = gr.update(visible=False)
    if study is None:
        return [*_lists(visit, database), "", hidden, "", "", *_only(""), hidden, hidden]
    still_open = study.closed is None
    found = _outcome(study, database) if early or not still_open else _only(_sealed())
    return [
        *_lists(visit, database),
        study.id,
        gr.update(visible=True),
        _facts(study, visit),
        gr.update(value=f"{settings.address}/study/{study.code}", visible=still_open),
        *found,
        gr.update(visible=still_open and not early),
        gr.update(visible=still_open),
    ]


def _table(visit: Visit, database: Database) -> Markup:
    mine = _mine(visit, database)
    if not mine:
        return empty(
            "No study yet",
            "Choose policies below. Participants need no account: they open a link, agree, and"
            " choose between two answers at a time.",
        )
    chosen = _chosen(visit, database)
    columns = (
        Column("Study"),
        Column("State"),
        Column("Votes", numeric=True),
        Column("Opened", numeric=True),
    )
    rows = []
    for study in mine:
        name = link(study.name, visit.address("studies", study=study.id))
        here = Markup('<span class="t-chosen">{}</span>') if study == chosen else Markup("{}")
        cast, wanted, beside = _votes(study, database)
        programs = f", {number(beside)} more by programs" if beside else ""
        rows.append(
            (
                here.format(lines(name, _arms(study))),
                _state(study),
                f"{number(cast)} of {number(wanted)}{programs}",
                ago(study.opened, visit.now),
            )
        )
    return table(columns, rows, caption="Studies, newest first")


def _arms(study: Study) -> str:
    return f"{study.arms[0]} against {', '.join(study.arms[1:])}"


def _state(study: Study) -> Markup:
    state = badge("closed", "good") if study.closed else badge("open", "live")
    mark = badge("simulated", "warn") if study.simulated else ""
    return Markup("{} {}").format(state, mark)


def _votes(study: Study, database: Database) -> tuple[int, int, int]:
    """Votes given, votes that the plan asks for, and those of programs, which it does not ask."""
    with database.read() as connection:
        wanted = sum(task.overlap for task in tasks(connection, study.project, study=study.id))
        kinds = Counter(one.kind for one in judgements(connection, study.project, study=study.id))
    return kinds.total() - kinds[Kind.PROGRAM], wanted, kinds[Kind.PROGRAM]


def _facts(study: Study, visit: Visit) -> Markup:
    ended = Markup(", closed {}").format(ago(study.closed, visit.now)) if study.closed else ""
    given = Participation.of(study).completion_code
    coded = Markup(" Participants are given the completion code {}.").format(given) if given else ""
    note = Markup("{}. Opened {}{}.{}").format(
        _arms(study), ago(study.opened, visit.now), ended, coded
    )
    return Markup('<div class="t-section"><h2>{} {}</h2><p>{}</p></div>').format(
        study.name, _state(study), note
    )


def _sealed() -> Markup:
    return notice(
        "Whose answer is whose stays sealed while votes come in. Looking early, and stopping when"
        " the numbers please, makes the interval promise too much.",
        title="No result yet.",
    )


def _outcome(study: Study, database: Database) -> list[Any]:
    """The verdict in a sentence, its figures and numbers, and of a closed study all the rest."""
    try:
        record = study_record(database, study, peek=study.closed is None)
    except TooLittleData as error:
        return _only(notice(str(error), title="No result yet."))
    found = None if record.still_open else reading(record)
    figures = drawn(record.result, record.votes, plans=record.plans, still_open=record.still_open)
    shown = [_drawn(figures[name]) for name in DRAWN]
    last = [design(record)]
    if found is not None:
        last = [background(record, found), *last, ways_out(record.study)]
    return [
        verdict(record),
        *shown[:FIRST],
        numbers(record, found),
        *shown[FIRST:],
        Markup('<div class="t-stack">{}</div>').format(joined(last)),
    ]


def _only(sentence: str) -> list[Any]:
    """A sentence in the place of a result."""
    return [sentence, *(_drawn(None) for _ in range(FIRST)), "",
            *(_drawn(None) for _ in range(len(DRAWN) - FIRST)), ""]  # fmt: skip


def _place(name: str) -> gr.Plot:
    """A place for a figure, which takes none while there is none to show."""
    return gr.Plot(label=name, show_label=False, visible=False, elem_classes="t-figure")


def _drawn(figure: Any) -> Any:
    """Put a figure in its place; without one the place is hidden."""
    return gr.update(value=figure, visible=figure is not None)
