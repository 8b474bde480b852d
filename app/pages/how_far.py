"""How many rows a look through data has seen, told on the page while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.pages.fragments import duration, number, progress
from app.pages.visit import Guard, Visit
from storage.records import AnnotatorId

EVERY = 1.0
"""Seconds between two words on how far it is."""


@dataclass
class Look:
    """One that goes on."""

    total: int | None
    """Rows there are, where that is known before."""
    began: float
    seen: int = 0

    def report(self, rows: int) -> None:
        """Take down how many rows were seen."""
        self.seen = rows


@dataclass
class Looks:
    """The newest look of everybody who waits for one. Threads may share it."""

    clock: Callable[[], float] = time.monotonic
    _of: dict[AnnotatorId, Look] = field(default_factory=dict)

    @contextmanager
    def begun(self, who: AnnotatorId, total: int | None) -> Iterator[Look]:
        """A look that goes on until the block ends."""
        look = self._of[who] = Look(total=total, began=self.clock())
        try:
            yield look
        finally:
            if self._of.get(who) is look:
                del self._of[who]

    def of(self, who: AnnotatorId) -> Look | None:
        """The look that somebody waits for, if any."""
        return self._of.get(who)

    def told(self, look: Look) -> Markup:
        """How far it is, for people."""
        # What came in since the rows were counted is looked through as well.
        total = look.total if look.total is None else max(look.total, look.seen)
        seen = "" if total else f"{number(look.seen)} rows so far, "
        return Markup('<p class="t-told">{} {}{}. Texts are compared at the end.</p>').format(
            progress(look.seen, total, running=True), seen, duration(self.clock() - look.began)
        )


def draw(guard: Guard, event: Callable[..., Any], looks: Looks, place: gr.HTML) -> None:
    """Tell in `place`, from `event` on, how far the look of whoever waits is."""
    timer = gr.Timer(EVERY, active=False)

    def watch(_: Visit) -> Any:
        return gr.Timer(active=True)

    def how_far(visit: Visit) -> list[Any]:
        look = looks.of(visit.who.id)
        return ["" if look is None else looks.told(look), gr.Timer(active=look is not None)]

    guard.show(event, watch, [timer])
    guard.show(timer.tick, how_far, [place, timer])
