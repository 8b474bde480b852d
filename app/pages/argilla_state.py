"""Where a project is judged, the way there, and what the last push and the last pull said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from app.argilla_address import KEY, URL, argilla_address
from app.pages.fragments import (
    Column,
    ago,
    count,
    joined,
    lines,
    notice,
    number,
    progress,
    table,
)
from app.pages.runs import MOST_RUNS, state_badge
from app.pages.visit import Visit
from storage import jobs
from storage.database import Database
from storage.records import Job, JobState

ROWS = {"push": "Tasks pushed", "pull": "Answers pulled"}
"""By recipe of the job, what a row of the table is about."""
WAITS = "Waits for the worker. If this takes long, see whether one runs: tandem worker."
STOPPED = "Was stopped; what was sent or read until then stays, and the next one goes on."


def workspace_of(visit: Visit) -> str:
    """Where in Argilla the project is judged; empty in Tandem, and without a project."""
    return visit.project.collecting.argilla_workspace if visit.project else ""


def argilla_state(visit: Visit, database: Database, environment: Mapping[str, str]) -> Markup:
    """Everything that the card tells.

    Args:
        visit: Who looks, and at which project.
        database: Where jobs are kept.
        environment: Holds the address of Argilla.
    """
    if visit.project is None:
        return Markup("")
    url = argilla_address(environment)
    pieces = [_where(visit, url)]
    with database.read() as connection:
        newest = jobs.jobs(connection, limit=MOST_RUNS)
    last = {
        job.recipe: job
        for job in reversed(newest)
        if job.kind == "argilla" and job.project == visit.project.id
    }
    if last:
        columns = (Column("Last"), Column("State"), Column("When", numeric=True))
        rows = [_row(last[recipe], visit) for recipe in ROWS if recipe in last]
        pieces.append(table(columns, rows, caption="The last push and the last pull"))
    asked = visit.project.collecting
    if asked.argilla_workspace and (asked.qualification or asked.repeat_rate):
        pieces.append(
            notice("Argilla knows neither a qualification nor repeats, so nobody meets them there.")
        )
    if url is None:
        pieces.append(_to_be_set(environment))
    return Markup('<div class="t-stack">{}</div>').format(joined(pieces))


def outcome(job: Job) -> str:
    """What a push or a pull has to say: how it stands, or what it did."""
    match job.state:
        case JobState.QUEUED:
            return WAITS
        case JobState.RUNNING:
            return job.message or "Runs now."
        case JobState.FAILED:
            return job.error or "No reason was given; see the log."
        case JobState.CANCELLED:
            return STOPPED
        case JobState.DONE if job.recipe == "pull":
            return str(job.result["summary"])
        case JobState.DONE:
            made = job.result["datasets"]
            added, known = (sum(one[name] for one in made) for name in ("added", "known"))
            there = f", {number(known)} known" if known else ""
            return f"{count(added, 'record')} added{there}, in {count(len(made), 'data set')}."


def _row(job: Job, visit: Visit) -> tuple[Any, ...]:
    runs = job.state is JobState.RUNNING
    bar = progress(job.step, job.total, running=True) if runs and job.total else None
    return (
        lines(ROWS[job.recipe], bar or outcome(job)),
        state_badge(job),
        ago(job.finished or job.started or job.created, visit.now),
    )


def _where(visit: Visit, url: str | None) -> Markup:
    workspace = workspace_of(visit)
    if not workspace:
        return Markup('<p class="t-told">People judge in <strong>Tandem</strong>.</p>')
    way = Markup("")
    if url is not None:
        way = Markup(
            ' <a href="{}" target="_blank" rel="noopener noreferrer">Open Argilla</a>'
        ).format(url)
    return Markup(
        '<p class="t-told">People judge in <strong>Argilla</strong>, in the workspace'
        " <strong>{}</strong>.{}</p>"
    ).format(workspace, way)


def _to_be_set(environment: Mapping[str, str]) -> Markup:
    """What is missing for Argilla to be reached. What a variable holds is never quoted."""
    words = Markup(
        "Set <code>{}</code> to the address of Argilla and <code>{}</code> to the key of its owner,"
        " in the environment of the server and of the worker, and start both again."
    ).format(URL, KEY)
    if not environment.get(URL, "").strip():
        return notice(words)
    wrong = Markup("<code>{}</code> is no plain http or https address, so no link leads to"
                   " Argilla. ").format(URL)  # fmt: skip
    return notice(wrong + words, "warn")
