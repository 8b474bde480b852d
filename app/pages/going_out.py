"""The part of the data page where judgements are frozen for training and exported."""

from __future__ import annotations

from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from app.forms import label
from app.pages.fragments import (
    Column,
    ago,
    badge,
    code,
    empty,
    html,
    link,
    notice,
    number,
    section,
    table,
)
from app.pages.visit import Guard, Visit
from feedback.exporters import EXPORTERS
from storage import snapshots
from storage.database import Database
from storage.records import Snapshot, Split
from storage.settings import Settings


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the list of snapshots and the way out."""
    _draw_snapshots(guard, page, settings)
    _draw_export(guard, page)


def _draw_snapshots(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    database = guard.database
    html(
        section(
            "Snapshots",
            "A frozen selection of judgements, named by its content. Training reads snapshots only,"
            " so a model always says what it learnt from.",
        )
    )
    told, listed = html(), html()
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Freeze a snapshot now", variant="primary")

    def show(visit: Visit) -> Markup:
        return _snapshot_table(visit, database)

    def freeze(visit: Visit) -> list[Markup]:
        frozen = snapshots.freeze(
            database, visit.chosen().id, data_dir=settings.data_dir, now=visit.now
        )
        text = Markup("{} is ready to learn from. ").format(code(frozen.id[:10]))
        way = Markup('<a href="{}">Train a reward model</a>.').format(visit.address("train"))
        return [notice(text + way, "good", title="Frozen."), _snapshot_table(visit, database)]

    guard.show(page.load, show, [listed])
    guard.do(go.click, freeze, [], [told, listed], busy="Writing the snapshot …")


def _snapshot_table(visit: Visit, database: Database) -> Markup:
    known: list[Snapshot] = []
    if visit.project:
        with database.read() as connection:
            known = snapshots.snapshots(connection, visit.project.id)
    if not known:
        return empty("No snapshot yet", "Freeze one as soon as some judgements are there.")
    columns = [
        Column("Snapshot"),
        *(Column(split.value.capitalize(), numeric=True) for split in Split),
    ]
    rows = []
    for snapshot in known:
        mark = Markup(" {}").format(badge("simulated", "warn")) if snapshot.simulated else ""
        name = Markup("{}{}").format(code(snapshot.id[:10]), mark)
        rows.append((name, *(_rows(snapshot, split) for split in Split),
                     ago(snapshot.created, visit.now),
                     link("Check", visit.address("check", snapshot=snapshot.id))))  # fmt: skip
    return table(
        [*columns, Column("Frozen", numeric=True), Column("Before training")],
        rows,
        caption="Snapshots, newest first",
    )


def _rows(snapshot: Snapshot, split: Split) -> str:
    pairs = snapshot.rows.get(f"comparisons/{split}", 0)
    rated = snapshot.rows.get(f"ratings/{split}", 0)
    return f"{number(pairs)} choices, {number(rated)} ratings"


def _draw_export(guard: Guard, page: gr.Blocks) -> None:
    html(section("Export", "Everything judged so far, for other programs."))
    with gr.Column(elem_classes="t-card"):
        with gr.Row(elem_classes="t-form"):
            formats = [(f"{label(key)}: {one.summary}", key) for key, one in EXPORTERS.items()]
            chosen = gr.Dropdown(formats, value=formats[0][1], label="Format", scale=2)
            file_type = gr.Radio(
                [("JSON lines", "jsonl"), ("Parquet", "parquet")], value="jsonl", label="File type"
            )
        button = html()

    def show(visit: Visit, export: str, kind: str) -> Markup:
        return _download(visit, export, kind)

    for event in (page.load, chosen.change, file_type.change):
        guard.show(event, show, [button], inputs=[chosen, file_type])


def _download(visit: Visit, export: str, kind: str) -> Markup:
    if visit.project is None:
        return Markup("")
    place = f"/api/v1/projects/{quote(visit.project.name, safe='')}/export/{quote(export)}"
    return Markup('<a class="t-go" href="{}?file_type={}" download>Download {}</a>').format(
        place, quote(kind), label(export).lower()
    )
