"""The part of the data page where judgements are frozen for training and exported."""

from __future__ import annotations

from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from app.forms import label
from app.pages import snapshot_list
from app.pages.fragments import html, section
from app.pages.visit import Guard, Visit
from feedback.exporters import EXPORTERS
from storage.settings import Settings


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the list of snapshots and the way out."""
    snapshot_list.draw(guard, page, settings)
    _draw_export(guard, page)


def _draw_export(guard: Guard, page: gr.Blocks) -> None:
    html(section("Export", "Everything judged so far, for other programs."))
    with gr.Column(elem_classes="t-card"):
        with gr.Row(elem_classes="t-form"):
            formats = [(f"{label(key)}: {one.summary}", key) for key, one in EXPORTERS.items()]
            chosen = gr.Dropdown(formats, value=formats[0][1], label="Format", scale=2)
            file_type = gr.Radio(
                [("JSON lines", "jsonl"), ("JSON", "json"), ("CSV", "csv"), ("Parquet", "parquet")],
                value="jsonl",
                label="File type",
            )
        button = html()

    def show(visit: Visit, export: str, kind: str) -> Markup:
        return _download(visit, export, kind)

    events = [page.load, chosen.change, file_type.change]
    guard.show(events, show, [button], inputs=[chosen, file_type])


def _download(visit: Visit, export: str, kind: str) -> Markup:
    if visit.project is None:
        return Markup("")
    EXPORTERS[export].config.read({"file_type": kind})
    place = f"/api/v1/projects/{quote(visit.project.name, safe='')}/export/{quote(export)}"
    return Markup('<a class="t-go" href="{}?file_type={}" download>Download {}</a>').format(
        place, quote(kind), label(export).lower()
    )
