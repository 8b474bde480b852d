"""Figures of a loop, for reports and pages: plain data in, a plotly figure out.

Backgrounds are transparent and colours can be read on white and on black, so that the page
around a figure decides between light and dark. Teal is the policy asked about, amber the other one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from statsmodels.nonparametric.smoothers_lowess import lowess

from evaluation.statistics import Estimate

TEAL, AMBER, VIOLET, INK = "#178a91", "#cf8420", "#7d63c4", "#73838e"
_SIDES = (AMBER, TEAL, VIOLET, INK)
GRID = "rgba(128,145,156,0.22)"

Points = Sequence[tuple[float, float]]

LABEL_WIDTH = 44
"""Characters of a label that fit across a phone."""
FEWEST_TO_SMOOTH = 8
"""Below this a curve is short enough to be seen through."""


def curve(
    points: Points, *, title: str, unit: str = "", reference: float | None = None, height: int = 250
) -> go.Figure:
    """One metric over the steps of a run: raw as a faint line, smoothed as a strong one.

    Args:
        points: (step, value), in the order of steps. Values that are no numbers leave a gap.
        title: What is drawn.
        unit: Its unit, for example nats or tokens; empty for plain numbers.
        reference: A value to compare with, drawn as a dotted line.
        height: In pixels.
    """
    known = [(step, value) for step, value in points if math.isfinite(value)]
    figure = go.Figure()
    figure.add_scatter(
        x=[step for step, _ in known],
        y=[value for _, value in known],
        mode="lines" if len(known) > 1 else "markers",
        line={"color": TEAL, "width": 1.2},
        opacity=0.35,
        hovertemplate="step %{x}: %{y:.4g}<extra>measured</extra>",
    )
    if len(known) >= FEWEST_TO_SMOOTH:
        strong = smoothed(known)
        figure.add_scatter(
            x=[step for step, _ in strong],
            y=[value for _, value in strong],
            mode="lines",
            line={"color": TEAL, "width": 2.6},
            hovertemplate="step %{x}: %{y:.4g}<extra>smoothed</extra>",
        )
    if reference is not None:
        figure.add_hline(y=reference, line={"color": INK, "dash": "dot", "width": 1.2})
    label = f"{escape(title)} <span style='font-size:11px'>{escape(unit)}</span>"
    return styled(figure, height=height, title=label, x_title="step")


def smoothed(points: Points) -> list[tuple[float, float]]:
    """The points with their noise taken out: a line fitted around each, over a seventh of the run.

    Fitted lines follow a rise up to both ends, where a moving mean would lag or fray.

    Source:
        Cleveland (1979), JASA 74 (LOWESS), without the robust passes.
    """
    steps, values = np.array(points, dtype=float).reshape(-1, 2).T
    share = min(1.0, max(1 / 7, 7 / len(values)))
    return [(float(x), float(y)) for x, y in lowess(values, steps, frac=share, it=0)]


def distribution(
    groups: Mapping[str, Sequence[float]], *, unit: str, title: str = "", height: int = 360
) -> go.Figure:
    """How scores are spread in each group: box plots above a histogram on the same axis.

    Args:
        groups: Name to scores, for example before and after training; drawn in this order.
        unit: What the axis counts, for example "reward, standard deviations".
        title: Heading; empty for none.
        height: In pixels.
    """
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.36, 0.64], vertical_spacing=0.04
    )
    every = np.concatenate([np.asarray(scores, dtype=float) for scores in groups.values()])
    low, high = float(every.min()), float(every.max())
    width = (high - low) / 32 or 1.0
    for (name, scores), colour in zip(groups.items(), _SIDES, strict=False):
        label = escape(name)
        figure.add_box(
            x=scores,
            name=label,
            marker={"color": colour, "size": 4, "opacity": 0.6},
            line={"width": 1.6},
            boxmean=True,
            showlegend=False,
            row=1,
            col=1,
        )
        figure.add_histogram(
            x=scores,
            name=label,
            marker={"color": colour, "line": {"width": 0}},
            opacity=0.55,
            histnorm="percent",
            xbins={"start": low, "end": high + width, "size": width},
            hovertemplate="%{x}: %{y:.1f} %<extra>" + label + "</extra>",
            row=2,
            col=1,
        )
    figure.update_layout(barmode="overlay", bargap=0.04)
    styled(figure, height=height, title=escape(title), legend=True)
    figure.update_yaxes(showticklabels=False, showgrid=False, row=1, autorange="reversed")
    figure.update_yaxes(title_text="answers, %", row=2)
    figure.update_xaxes(title_text=escape(unit), row=2)
    return figure


def forest(
    rows: Sequence[tuple[str, Estimate]],
    *,
    unit: str,
    reference: float | None = 0.5,
    marks: Mapping[str, Sequence[float | None]] | None = None,
    lines: Mapping[str, float] | None = None,
    percent: bool = True,
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """Estimates under each other, each with its interval; the label stands above its line.

    Args:
        rows: Label and estimate, from top to bottom.
        unit: What the axis counts, for example "win rate".
        reference: Value of "no difference", drawn as a dotted line; None for none.
        marks: Further values to compare with, by name: one for each row, None where there is none.
        lines: Values to compare every row with, by name, drawn from top to bottom.
        percent: Write fractions as percent.
        limits: Ends of the axis; None lets every interval and mark be seen.
    """
    form = ".0%" if percent else ".2f"
    figure = go.Figure()
    # Rows count downwards from the top, so that no label has to be turned round.
    places = [-place for place in range(len(rows))]
    values = [estimate.value for _, estimate in rows]
    figure.add_scatter(
        x=values,
        y=places,
        mode="markers",
        name=escape(unit),
        marker={"color": TEAL, "size": 11},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [estimate.high - estimate.value for _, estimate in rows],
            "arrayminus": [estimate.value - estimate.low for _, estimate in rows],
            "color": TEAL,
            "thickness": 2.4,
            "width": 6,
        },
        customdata=[[each.low, each.high, each.n] for _, each in rows],
        hovertemplate=(
            f"%{{x:{form}}} [%{{customdata[0]:{form}}}, %{{customdata[1]:{form}}}],"
            " n = %{customdata[2]}<extra></extra>"
        ),
    )
    symbols = (("diamond-open", AMBER), ("line-ns-open", VIOLET), ("square-open", INK))
    for (name, others), (symbol, colour) in zip((marks or {}).items(), symbols, strict=False):
        known = [(x, y) for x, y in zip(others, places, strict=True) if x is not None]
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[y for _, y in known],
            mode="markers",
            name=escape(name),
            marker={"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2.4}},
            hovertemplate=f"%{{x:{form}}}<extra>{escape(name)}</extra>",
        )
    for (name, value), (_, colour) in zip((lines or {}).items(), symbols, strict=False):
        figure.add_scatter(
            x=[value, value],
            y=[0.7, 0.5 - len(rows)],
            mode="lines",
            name=f"{escape(name)}: {value:{form}}",
            line={"color": colour, "width": 2, "dash": "dash"},
            hovertemplate=f"%{{x:{form}}}<extra>{escape(name)}</extra>",
        )
    for (label, _), place in zip(rows, places, strict=True):
        figure.add_annotation(
            text="<br>".join(map(escape, wrap(label, LABEL_WIDTH))),
            align="left",
            x=0,
            xref="paper",
            xanchor="left",
            xshift=4,
            y=place,
            yanchor="bottom",
            yshift=8,
            showarrow=False,
            font={"size": 13},
        )
    if reference is not None:
        figure.add_vline(x=reference, line={"color": INK, "dash": "dot", "width": 1.4})
    named = bool(marks or lines)
    styled(figure, height=96 + 64 * len(rows) + 26 * named, legend=named)
    figure.update_layout(margin_l=14)
    figure.update_yaxes(
        showticklabels=False, showgrid=False, zeroline=False, range=[0.5 - len(rows), 0.7]
    )
    figure.update_xaxes(
        title_text=escape(unit), tickformat=form, range=limits or _limits(figure, reference)
    )
    return figure


def _limits(figure: go.Figure, reference: float | None) -> tuple[float, float]:
    """Ends of an axis that shows every marker, interval and the reference, with some room."""
    intervals = figure.data[0]
    ends = [x + more for x, more in zip(intervals.x, intervals.error_x.array, strict=True)]
    ends += [x - less for x, less in zip(intervals.x, intervals.error_x.arrayminus, strict=True)]
    ends += [x for trace in figure.data[1:] for x in trace.x]
    ends += [] if reference is None else [reference]
    room = 0.06 * (max(ends) - min(ends) or 1.0)
    return min(ends) - room, max(ends) + room


def counts(numbers: Mapping[str, int], *, title: str, height: int = 220) -> go.Figure:
    """How often each answer was given, as bars in the order of the mapping."""
    figure = go.Figure()
    figure.add_bar(
        x=[escape(name) for name in numbers],
        y=list(numbers.values()),
        marker={"color": TEAL},
        opacity=0.85,
        hovertemplate="%{x}: %{y}<extra></extra>",
    )
    figure.update_layout(bargap=0.25)
    styled(figure, height=height, title=escape(title))
    figure.update_layout(margin_b=28)
    figure.update_xaxes(type="category", showgrid=False, tickangle=0)
    return figure


def styled(
    figure: go.Figure, *, height: int, title: str = "", x_title: str = "", legend: bool = False
) -> go.Figure:
    """The look of every figure: no background, quiet grid, title above, legend beside it."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 48, "r": 14, "t": 40 if title or legend else 14, "b": 42},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12.5, "color": INK},
        showlegend=legend,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        hovermode="closest",
    )
    if title:
        figure.update_layout(
            title={"text": title, "x": 0.01, "y": 0.96, "yanchor": "top", "font": {"size": 15}}
        )
    figure.update_xaxes(
        title={"text": x_title, "standoff": 6, "font": {"size": 12}},
        gridcolor=GRID,
        zeroline=False,
        nticks=7,
    )
    figure.update_yaxes(title_font={"size": 12}, gridcolor=GRID, zerolinecolor=GRID, nticks=6)
    return figure
