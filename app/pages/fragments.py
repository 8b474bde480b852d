"""Pieces of HTML that the pages share. Whatever is filled in is escaped by `Markup.format`.

Classes begin with `t-`, so that they never meet Gradio's own; `research.css` gives them their look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import gradio as gr
from markupsafe import Markup, escape

Tone = Literal["plain", "good", "warn", "bad", "live"]
Cell = str | int | float | Markup | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, and whether it holds numbers."""

    heading: str
    numeric: bool = False


def html(value: str = "", **options: Any) -> gr.HTML:
    """A place for pieces on the page, with our style sheet alone."""
    return gr.HTML(value, apply_default_css=False, **options)


def joined(pieces: Iterable[str]) -> Markup:
    """Pieces one after the other; those that are not markup yet are escaped."""
    return Markup("").join(pieces)


def heading(title: str, lead: str = "") -> Markup:
    """The one `<h1>` of a page, with a sentence that says what the page is for."""
    return Markup('<div class="t-heading"><h1>{}</h1><p>{}</p></div>').format(title, lead)


def section(title: str, note: str = "") -> Markup:
    """The heading of a part of a page."""
    return Markup('<div class="t-section"><h2>{}</h2>{}</div>').format(
        title, Markup("<p>{}</p>").format(note) if note else ""
    )


def notice(text: str | Markup, tone: Tone = "plain", *, title: str = "") -> Markup:
    """A sentence set apart: a result, a warning, what to do next."""
    strong = Markup("<strong>{}</strong> ").format(title) if title else ""
    return Markup('<div class="t-notice t-{}" role="note"><p>{}{}</p></div>').format(
        tone, strong, text
    )


def empty(title: str, text: str, *, link: tuple[str, str] | None = None) -> Markup:
    """What stands where nothing is yet: what will be here, and what to do for it."""
    way = Markup('<a class="t-go" href="{}">{}</a>').format(link[1], link[0]) if link else ""
    return Markup('<div class="t-empty"><h2>{}</h2><p>{}</p>{}</div>').format(title, text, way)


def badge(text: str, tone: Tone = "plain") -> Markup:
    """One word that says a state."""
    return Markup('<span class="t-badge t-{}">{}</span>').format(tone, text)


def link(text: str, address: str) -> Markup:
    """A link within the pages."""
    return Markup('<a href="{}">{}</a>').format(address, text)


def code(text: str) -> Markup:
    """A name that a machine gave."""
    return Markup("<code>{}</code>").format(text)


def lines(first: str | Markup, second: str | Markup) -> Markup:
    """Two lines in one cell: the matter, and beneath it, quieter, where it comes from."""
    return Markup('<span class="t-lines"><span>{}</span><small>{}</small></span>').format(
        first, second
    )


def tiles(items: Iterable[tuple[str, str | Markup, str | Markup]]) -> Markup:
    """Numbers to be seen first: (label, number, what stands behind it)."""
    return Markup('<dl class="t-tiles">{}</dl>').format(
        joined(
            Markup('<div><dt>{}</dt><dd class="t-figure">{}</dd><dd>{}</dd></div>').format(*item)
            for item in items
        )
    )


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, caption: str) -> Markup:
    """A table; on a narrow screen each row becomes a card with its headings inside.

    Args:
        columns: One per cell of a row.
        rows: Cells; None is written as a dash, and "" is left empty. A card has neither.
        caption: Says to a screen reader what the table is.
    """
    head = joined(
        Markup('<th scope="col"{}>{}</th>').format(_align(column), column.heading)
        for column in columns
    )
    body = joined(
        Markup("<tr>{}</tr>").format(
            joined(
                Markup('<td data-label="{}"{}{}>{}</td>').format(
                    column.heading,
                    _align(column),
                    Markup(" data-none") if cell is None or cell == "" else "",
                    "–" if cell is None else cell,
                )
                for column, cell in zip(columns, row, strict=True)
            )
        )
        for row in rows
    )
    return Markup(
        '<table class="t-table"><caption>{}</caption><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table>"
    ).format(caption, head, body)


def facts(pairs: Iterable[tuple[str, Cell]]) -> Markup:
    """Names and values in two columns."""
    return Markup('<dl class="t-facts">{}</dl>').format(
        joined(
            Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(
                name, "–" if value is None else value
            )
            for name, value in pairs
        )
    )


def interval(
    estimate: Mapping[str, Any] | None,
    *,
    scale: tuple[float, float] = (0.0, 1.0),
    reference: float | None = None,
    reference_name: str = "",
    as_percent: bool = True,
) -> Markup:
    """An estimate drawn as its interval on a scale, with the numbers beside it.

    Args:
        estimate: `{"value", "low", "high", "confidence", "n"}`, fractions or raw numbers; None
            where there was too little data.
        scale: The two ends of the scale.
        reference: Where the line to compare with stands, such as chance or the baseline.
        reference_name: What that line is, for the tooltip.
        as_percent: Write fractions as percent.
    """
    if estimate is None:
        return Markup('<span class="t-none">too little data</span>')
    low, high = scale

    def place(value: float) -> str:
        return f"{min(100.0, max(0.0, 100 * (value - low) / (high - low))):.2f}%"

    def text(value: float) -> str:
        # Adding 0 turns a zero from below, which would be written -0, into a plain one.
        return f"{round(100 * value) + 0:d}" if as_percent else f"{round(value, 2) + 0.0:.2f}"

    unit = " %" if as_percent else ""
    mark = (
        Markup('<i class="t-reference" style="left:{}" title="{}"></i>').format(
            place(reference), f"{reference_name} {text(reference)}{unit}".strip()
        )
        if reference is not None
        else ""
    )
    start, end = place(estimate["low"]), place(estimate["high"])
    return Markup(
        '<span class="t-estimate"><span class="t-number"><b>{}{}</b> <small>{} to {}</small></span>'
        '<span class="t-strip" aria-hidden="true">{}'
        '<i class="t-range" style="left:{};right:calc(100% - {})"></i>'
        '<i class="t-dot" style="left:{}"></i></span></span>'
    ).format(
        text(estimate["value"]),
        unit,
        text(estimate["low"]),
        text(estimate["high"]),
        mark,
        start,
        end,
        place(estimate["value"]),
    )


def progress(step: int, total: int | None, *, running: bool) -> Markup:
    """How far a job is, as a bar. Without a known end the bar only says that it moves."""
    if not total:
        return Markup('<progress class="t-progress"></progress>') if running else Markup("")
    return Markup(
        '<span class="t-steps"><progress class="t-progress" value="{}" max="{}"></progress>'
        "<small>{} of {}</small></span>"
    ).format(step, total, number(step), number(total))


def number(value: float) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u2009")


def count(amount: int, one: str, many: str = "") -> str:
    """An amount with its noun: "1 task", "2 tasks"."""
    return f"{number(amount)} {one if amount == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A length of time in the two units that matter."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(moment: datetime | None, now: datetime) -> Markup | None:
    """How long ago something was, with the moment itself as a tooltip."""
    if moment is None:
        return None
    seconds = (now - moment).total_seconds()
    if seconds < 60:
        text = "just now"
    elif seconds < 3600:
        text = f"{seconds // 60:.0f} min ago"
    elif seconds < 86400:
        text = f"{seconds // 3600:.0f} h ago"
    elif seconds < 30 * 86400:
        text = count(int(seconds // 86400), "day") + " ago"
    else:
        text = f"{moment:%Y-%m-%d}"
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M} UTC">{}</time>').format(
        moment.isoformat(), moment, escape(text)
    )


def _align(column: Column) -> Markup:
    return Markup(' class="t-right"') if column.numeric else Markup("")
