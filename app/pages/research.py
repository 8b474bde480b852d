"""The researcher's pages, put together into one Gradio application for the server to mount."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from app.pages import data, models, overview, people, studies, train
from app.pages.frame import PAGES, frame
from app.pages.visit import Guard
from storage.database import Database
from storage.settings import Settings


def research_page(settings: Settings, database: Database) -> gr.Blocks:
    """Draw every page. Mount the result at `app.pages.visit.HOME`, with theme and style sheet.

    The pages hold no data: each asks the server when it is opened, and the server asks who that is.
    """
    pages = gr.Blocks(title="Tandem", fill_width=True, analytics_enabled=False)
    guard = Guard(database)

    @contextmanager
    def page(path: str) -> Iterator[gr.Blocks]:
        with pages.route(PAGES[path], path) if path else pages:
            frame(guard, pages, path)
            with gr.Column(elem_classes="t-page"):
                yield pages

    with page("") as here:
        overview.draw(guard, here)
    with page("data") as here:
        data.draw(guard, here, settings)
    with page("train") as here:
        train.draw(guard, here, settings)
    with page("models") as here:
        models.draw(guard, here, settings)
    with page("studies") as here:
        studies.draw(guard, here, settings)
    with page("people") as here:
        people.draw(guard, here, settings)
    return pages
