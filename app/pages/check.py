"""The page that says what would hurt in a project's data, in a snapshot, or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.checking import check_file, check_project, check_snapshot, evaluation_sets
from app.importing import FILE_TYPES
from app.pages import how_far
from app.pages.fragments import (
    Tone,
    badge,
    empty,
    heading,
    html,
    joined,
    notice,
    number,
    section,
    tiles,
)
from app.pages.frame import simulated
from app.pages.visit import Guard, Visit
from evaluation.linting.check import CheckReport
from evaluation.linting.figures import FIGURES, drawn
from evaluation.linting.findings import Finding, Severity
from evaluation.linting.report import TITLES
from storage import snapshots
from storage.database import Database
from storage.errors import InvalidData, NotFound
from storage.judgements import counts
from storage.settings import Settings

PROJECT = "project"
_TONES: dict[Severity, Tone] = {
    Severity.ERROR: "bad",
    Severity.WARNING: "warn",
    Severity.NOTE: "plain",
}


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the choice of what to look through, and what is found."""
    database = guard.database
    html(heading("Check", "What would hurt in data, before it is imported or learnt from."))
    banner = html()
    with gr.Column(elem_classes="t-card"):
        with gr.Row():
            chosen = gr.Dropdown([], label="What to look through")
            file = gr.File(
                label="Or a file, before you import it",
                file_types=FILE_TYPES,
                height=132,
                elem_classes="t-drop",
            )
        sets = gr.File(
            label="Evaluation sets to compare with, if any",
            file_types=FILE_TYPES,
            file_count="multiple",
            height=132,
            elem_classes="t-drop",
        )
        with gr.Row(elem_classes="t-actions"):
            go = gr.Button("Check", variant="primary")
        far = html()
    verdict = html()
    with gr.Row(elem_classes="t-figures t-filled"):
        places = [_place(name) for name in FIGURES]
    found = html()

    def offer(visit: Visit) -> list[Any]:
        return [_banner(visit), _sources(visit, database)]

    def look(
        visit: Visit, source: str | None, path: str | None, held_out: list[str] | None
    ) -> list[Any]:
        benches = [Path(one) for one in held_out or ()]
        told = _look(visit, database, settings, looks, source=source, path=path, against=benches)
        # What was uploaded may be confidential, and was wanted for this look only.
        for one in (*benches, *([] if path is None else [Path(path)])):
            one.unlink(missing_ok=True)
        figures = [gr.update(value=one, visible=one is not None) for one in drawn(told).values()]
        return [None, None, _verdict(told), *figures, _findings(told)]

    looks = how_far.Looks()
    guard.show(page.load, offer, [banner, chosen])
    how_far.draw(guard, go.click, looks, far)
    guard.do(
        go.click,
        look,
        [chosen, file, sets],
        [file, sets, verdict, *places, found],
        busy="Looking through every row; a million take some minutes.",
    )


def _banner(visit: Visit) -> Markup:
    if visit.project is None:
        return empty("No project yet", "A file can be checked all the same, before you import it.")
    return simulated(visit)


def _place(name: str) -> gr.Plot:
    """A place for a figure, which takes none while there is none to show."""
    return gr.Plot(label=FIGURES[name], show_label=False, visible=False, elem_classes="t-figure")


def _sources(visit: Visit, database: Database) -> Any:
    """The project's judgements and its snapshots; that of the address is chosen."""
    if visit.project is None:
        return gr.Dropdown([], value=None)
    with database.read() as connection:
        known = snapshots.snapshots(connection, visit.project.id)
    choices = [(f"All judgements of {visit.project.name}", PROJECT)]
    choices += [
        (f"Snapshot {one.id[:10]} of {one.created:%Y-%m-%d %H:%M}", one.id) for one in known
    ]
    wanted = visit.query.get("snapshot")
    value = wanted if wanted in {one.id for one in known} else PROJECT
    return gr.Dropdown(choices, value=value)


def _look(
    visit: Visit,
    database: Database,
    settings: Settings,
    looks: how_far.Looks,
    *,
    source: str | None,
    path: str | None,
    against: Sequence[Path],
) -> CheckReport:
    uploads = [*against, *([] if path is None else [Path(path)])]
    who = visit.who.id
    try:
        if path is not None:
            with looks.begun(who, None) as look:
                sets = evaluation_sets(against)
                return check_file(Path(path), against=sets, report=look.report)
        project = visit.chosen()
        with database.read() as connection:
            known = {str(one.id): one for one in snapshots.snapshots(connection, project.id)}
            held = counts(connection, project.id)
        if source in (None, "", PROJECT):
            with looks.begun(who, held["comparisons"] + held["ratings"]) as look:
                sets = evaluation_sets(against)
                return check_project(database, project.name, against=sets, report=look.report)
        if source not in known:
            raise NotFound("snapshot", str(source), known)
        with looks.begun(who, sum(known[source].rows.values())) as look:
            sets = evaluation_sets(against)
            return check_snapshot(database, settings, source, against=sets, report=look.report)
    except InvalidData as error:
        # People know their files by their names, not by the place where the server keeps them.
        told = str(error)
        for upload in uploads:
            told = told.replace(str(upload), upload.name)
        raise InvalidData(told) from error


def _verdict(told: CheckReport) -> Markup:
    tone: Tone = next(
        (_TONES[severity] for severity in (Severity.ERROR, Severity.WARNING)
         if told.number(severity)),
        "good",
    )  # fmt: skip
    numbers = tiles(
        [
            (severity.value.capitalize() + "s", number(told.number(severity)), "")
            for severity in Severity
        ]
        + [
            ("Rows", number(told.rows), f"{number(told.prompts)} different prompts"),
            ("Answers", number(told.answers), ""),
            (
                "Judgements",
                number(told.comparisons + told.ratings),
                f"{number(told.comparisons)} choices, {number(told.ratings)} ratings",
            ),
        ]
    )
    sampled = joined(Markup('<p class="t-told">{}</p>').format(words) for words in told.sampled)
    return Markup('<div class="t-stack"><div class="t-verdict"><p>{}</p></div>{}{}{}</div>').format(
        told.verdict, notice(f"Looked through: {told.name}.", tone), numbers, sampled
    )


def _findings(told: CheckReport) -> Markup:
    if not told.findings:
        return empty("Nothing found", "No check found anything that would hurt.")
    groups = []
    for severity in Severity:
        those = [one for one in told.findings if one.severity is severity]
        if those:
            groups += [section(TITLES[severity]), *(_finding(one) for one in those)]
    return Markup('<div class="t-stack">{}</div>').format(joined(groups))


def _finding(one: Finding) -> Markup:
    shown = joined(
        Markup("<li><small>{}</small><span>{}</span></li>").format(each.place, each.text)
        for each in one.examples
    )
    examples = (
        Markup("<details{}><summary>{}</summary><ul>{}</ul></details>").format(
            Markup(" open") if one.severity is Severity.ERROR else "",
            "An example" if len(one.examples) == 1 else f"{len(one.examples)} examples",
            shown,
        )
        if one.examples
        else ""
    )
    return Markup('<div class="t-card t-found">{}<h3>{}</h3><p>{}</p>{}</div>').format(
        badge(one.severity.value, _TONES[one.severity]),
        one.sentence.replace(" %", "\u00a0%"),
        one.advice.replace(" %", "\u00a0%"),
        examples,
    )
