"""The researcher's pages, put together into one Gradio application for the server to mount."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from app.pages import check, data, models, overview, people, quality, studies, train
from app.pages.frame import PAGES, frame
from app.pages.visit import Guard
from storage.database import Database
from storage.settings import Settings

UPLOADS_LIVE = 3600
"""Seconds after which a file that was uploaded and not imported is deleted."""


def research_page(settings: Settings, database: Database) -> gr.Blocks:
    """Draw every page. Mount the result at `app.pages.visit.HOME`, with theme and style sheet.

    The pages hold no data: each asks the server when it is opened, and the server asks who that is.
    """
    pages = gr.Blocks(
        title="Tandem",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(UPLOADS_LIVE, UPLOADS_LIVE),
    )

    @contextmanager
    def page(path: str) -> Iterator[Guard]:
        with pages.route(PAGES[path], path) if path else pages:
            guard = frame(pages, path, database)
            with gr.Column(elem_classes="t-page"):
                yield guard

    with page("") as guard:
        overview.draw(guard, pages)
    with page("data") as guard:
        data.draw(guard, pages, settings)
    with page("check") as guard:
        check.draw(guard, pages, settings)
    with page("quality") as guard:
        quality.draw(guard, pages)
    with page("train") as guard:
        train.draw(guard, pages, settings)
    with page("models") as guard:
        models.draw(guard, pages, settings)
    with page("studies") as guard:
        studies.draw(guard, pages, settings)
    with page("people") as guard:
        people.draw(guard, pages, settings)
    return pages
