"""Figures of an ablation: learning curves with their bands, and differences under each other."""

from __future__ import annotations

from html import escape
from math import log10

import plotly.graph_objects as go

from evaluation.ablation import Ablation, Accuracy
from evaluation.ablation_words import label, number
from evaluation.figures import AMBER, INK, TEAL, VIOLET, forest, styled
from evaluation.statistics import Estimate

ROSE, BLUE = "#c2557a", "#4b7fc9"
COLOURS = (TEAL, AMBER, VIOLET, ROSE, BLUE)
"""Of the kinds, in their order."""


def learning_curves(found: Ablation) -> go.Figure:
    """Pair accuracy over the number of labels, on a logarithmic axis.

    Each kind has a line with its interval as a band, and a small point for each seed. The baseline
    and the ceiling are lines from side to side.
    """
    figure = go.Figure()
    for place, (kind, colour) in enumerate(zip(found.kinds, COLOURS, strict=False)):
        known = [one for one in found.accuracies if one.kind == kind]
        if len(known) > 1:
            _band(figure, known, colour)
        _line(figure, known, colour, aside=_aside(found, place))
    _seeds(figure, found)
    room = 1.35 if len(found.labels) > 1 else 2.0
    ends = [found.labels[0] / room, found.labels[-1] * room]
    _level(
        figure,
        found.length_only_accuracy,
        f"always the {found.length_only_direction} answer",
        ends,
        "dot",
    )
    if found.human_ceiling is not None:
        _level(figure, found.human_ceiling, "one annotator with the others", ends, "dash")
    styled(figure, height=430, x_title="labels to learn from", legend=True)
    figure.update_layout(
        margin={"t": 14, "b": 88},
        legend={"x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"},
    )
    figure.update_xaxes(
        type="log",
        range=[log10(end) for end in ends],
        tickvals=list(found.labels),
        ticktext=[number(labels) for labels in found.labels],
    )
    figure.update_yaxes(title_text="pair accuracy on held-out prompts", tickformat=".0%")
    return figure


def differences(found: Ablation) -> go.Figure | None:
    """Paired differences of the kinds at each budget; None where there is one kind."""
    if not found.differences:
        return None
    largest_first = sorted(found.differences, key=lambda one: -one.labels)
    rows = [(label(one), _in_points(one.difference)) for one in largest_first]
    figure = forest(
        rows, unit="difference in pair accuracy, percentage points", reference=0.0, percent=False
    )
    figure.update_xaxes(tickformat="+.3~g")
    return figure


def _band(figure: go.Figure, known: list[Accuracy], colour: str) -> None:
    labels = [one.labels for one in known]
    upper = [one.pair_accuracy.high for one in known]
    lower = [one.pair_accuracy.low for one in known]
    figure.add_scatter(
        x=[*labels, *reversed(labels)],
        y=[*upper, *reversed(lower)],
        mode="lines",
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        opacity=0.14,
        hoverinfo="skip",
        showlegend=False,
    )


def _line(figure: go.Figure, known: list[Accuracy], colour: str, *, aside: float) -> None:
    alone = len(known) == 1
    figure.add_scatter(
        x=[aside * one.labels for one in known],
        y=[one.pair_accuracy.value for one in known],
        mode="lines+markers",
        name=escape(known[0].kind),
        line={"color": colour, "width": 2.4},
        marker={"color": colour, "size": 9},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [one.pair_accuracy.high - one.pair_accuracy.value for one in known],
            "arrayminus": [one.pair_accuracy.value - one.pair_accuracy.low for one in known],
            "color": colour,
            "visible": alone,
        },
        customdata=[
            [one.pair_accuracy.low, one.pair_accuracy.high, number(one.labels)] for one in known
        ],
        hovertemplate=(
            "%{customdata[2]} labels: %{y:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}]"
            f"<extra>{escape(known[0].kind)}</extra>"
        ),
    )


def _aside(found: Ablation, place: int) -> float:
    """What the labels are multiplied by to draw a kind: alone, budgets hide each other's points."""
    return 1.15 ** (place - (len(found.kinds) - 1) / 2) if len(found.labels) == 1 else 1.0


def _seeds(figure: go.Figure, found: Ablation) -> None:
    """Above the bands, so that a finger can reach them; the kinds beside each other."""
    for place, (kind, colour) in enumerate(zip(found.kinds, COLOURS, strict=False)):
        aside = _aside(found, place) * 1.03 ** (1 if len(found.labels) == 1 else place + 1)
        points = [
            (one.labels, accuracy, seed)
            for one in found.accuracies
            if one.kind == kind and len(one.seeds) > 1
            for seed, accuracy in zip(one.seeds, one.by_seed, strict=True)
        ]
        figure.add_scatter(
            x=[aside * labels for labels, _, _ in points],
            y=[accuracy for _, accuracy, _ in points],
            mode="markers",
            marker={"color": colour, "size": 5, "opacity": 0.55},
            customdata=[seed for _, _, seed in points],
            hovertemplate=f"seed %{{customdata}}: %{{y:.1%}}<extra>{escape(kind)}</extra>",
            showlegend=False,
        )


def _level(figure: go.Figure, estimate: Estimate, name: str, ends: list[float], dash: str) -> None:
    figure.add_scatter(
        x=ends,
        y=[estimate.value, estimate.value],
        mode="lines",
        name=f"{escape(name)}: {estimate.value:.0%}",
        line={"color": INK, "width": 1.8, "dash": dash},
        hovertemplate=f"%{{y:.1%}}<extra>{escape(name)}</extra>",
    )


def _in_points(fraction: Estimate) -> Estimate:
    return Estimate(
        100 * fraction.value,
        100 * fraction.low,
        100 * fraction.high,
        fraction.confidence,
        fraction.n,
    )
