"""Figures of a reward model's report card: plain data of the card in, a plotly figure out.

Colours and backgrounds are those of `evaluation.figures`. Every function takes a card as JSON and
gives None where the card has nothing to draw, as cards of older versions do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evaluation.figures import AMBER, INK, TEAL, distribution, forest, styled
from evaluation.statistics import Estimate

Card = Mapping[str, Any]

MOST_ANNOTATORS = 12
"""Drawn under each other; more would be a list, not a figure."""
A_STEP = 20
"""Answers of about the same length whose median is one point of the trend; with fewer it would be
chance."""
BOX, BARS = 48, 62
"""Pixels of a group's name with its box plot beneath, and of its histogram."""


def calibration(card: Card) -> go.Figure | None:
    """How often the answer that a model calls better was preferred, by how sure it was."""
    bins = card.get("calibration_curve")
    if not bins:
        return None
    observed = [one["observed"] for one in bins]
    figure = go.Figure()
    figure.add_scatter(
        x=[0.5, 1],
        y=[0.5, 1],
        mode="lines",
        line={"color": INK, "dash": "dot", "width": 1.4},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[one["predicted"] for one in bins],
        y=[one["value"] for one in observed],
        mode="lines+markers",
        line={"color": TEAL, "width": 2},
        marker={"color": TEAL, "size": 9},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [one["high"] - one["value"] for one in observed],
            "arrayminus": [one["value"] - one["low"] for one in observed],
            "color": TEAL,
            "thickness": 1.6,
            "width": 4,
        },
        customdata=[[one["low"], one["high"], one["n"]] for one in observed],
        hovertemplate=(
            "stated %{x:.0%}, preferred in %{y:.0%} [%{customdata[0]:.0%}, %{customdata[1]:.0%}]"
            " of %{customdata[2]}<extra></extra>"
        ),
    )
    styled(figure, height=330, title="Calibration", x_title="stated probability of being preferred")
    lowest = min(0.5, *(one["low"] for one in observed))
    figure.update_xaxes(range=[0.48, 1.02], tickformat=".0%")
    figure.update_yaxes(
        title_text="preferred in fact", range=[lowest - 0.02, 1.02], tickformat=".0%"
    )
    return figure


def preferred_and_other(card: Card) -> go.Figure | None:
    """Rewards of the answers that were preferred, and of those they were preferred to."""
    rewards = card.get("rewards")
    if not rewards:
        return None
    return distribution(rewards, unit="reward, logits", title="Rewards", height=330)


def by_policy(card: Card) -> go.Figure | None:
    """Rewards of the answers of each policy or model that wrote them."""
    return _small_multiples(card, "policies", "Rewards by source")


def by_kind(card: Card) -> go.Figure | None:
    """Rewards of the answers to each kind of prompt."""
    return _small_multiples(card, "kinds", "Rewards by kind of prompt")


def _small_multiples(card: Card, name: str, title: str) -> go.Figure | None:
    """Groups under each other on one axis, each as a box plot above a histogram."""
    groups = card.get("distributions", {}).get(name)
    if not groups:
        return None
    count = len(groups)
    figure = make_subplots(
        rows=2 * count,
        cols=1,
        shared_xaxes=True,
        row_heights=[BOX, BARS] * count,
        vertical_spacing=0.14 / (2 * count),
    )
    every = [value for group in groups.values() for value in group["quantiles"]]
    low, high = min(every), max(every)
    width = (high - low) / 40 or 1.0
    for place, (label, group) in enumerate(groups.items()):
        box, bars = 2 * place + 1, 2 * place + 2
        values = group["quantiles"]
        figure.add_box(
            x=values,
            y0=0,
            width=0.7,
            name=escape(label),
            marker={"color": TEAL, "size": 3, "opacity": 0.6},
            line={"width": 1.4},
            boxmean=True,
            row=box,
            col=1,
        )
        figure.add_histogram(
            x=values,
            marker={"color": TEAL, "line": {"width": 0}},
            opacity=0.5,
            histnorm="percent",
            xbins={"start": low, "end": high + width, "size": width},
            hovertemplate="%{x}: %{y:.1f} %<extra>" + escape(label) + "</extra>",
            row=bars,
            col=1,
        )
        figure.add_annotation(
            text=f"<b>{escape(_short(label))}</b>  {group['n']} answers",
            xref="paper",
            x=0,
            xanchor="left",
            yref=f"y{box if box > 1 else ''} domain",
            y=1.0,
            yanchor="top",
            showarrow=False,
            font={"size": 12},
        )
        figure.update_yaxes(range=[-0.5, 1.3], row=box)
    styled(figure, height=90 + count * (BOX + BARS + 8), title=escape(title))
    figure.update_layout(bargap=0.04, margin_l=14)
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="reward, logits", row=2 * count)
    return figure


def by_length(card: Card) -> go.Figure | None:
    """Reward of each answer against its length, with medians of answers of about one length."""
    points = card.get("by_length")
    if not points or not points["characters"]:
        return None
    characters, rewards = points["characters"], points["rewards"]
    figure = go.Figure()
    figure.add_scatter(
        x=characters,
        y=rewards,
        mode="markers",
        marker={"color": TEAL, "size": 5, "opacity": 0.4},
        hovertemplate="%{x} characters: %{y:.2f}<extra></extra>",
    )
    parts = np.array_split(np.arange(len(characters)), max(1, len(characters) // A_STEP))
    if len(parts) > 1:
        # Medians of neighbours, not a fitted curve: many answers may have one and the same length.
        figure.add_scatter(
            x=[float(np.median(np.take(characters, part))) for part in parts],
            y=[float(np.median(np.take(rewards, part))) for part in parts],
            mode="lines",
            line={"color": AMBER, "width": 2.6},
            hovertemplate="about %{x} characters: %{y:.2f}<extra>median</extra>",
        )
    rho = card.get("length_correlation")
    said = f" (rank correlation {rho:+.2f})" if rho is not None else ""
    styled(figure, height=330, title="Reward and length", x_title=f"characters{said}")
    figure.update_yaxes(title_text="reward, logits", zeroline=False)
    return figure


def annotators(card: Card) -> go.Figure | None:
    """Agreement with each of the busiest annotators, beside that of annotators with each other."""
    known = (card.get("annotators") or ())[:MOST_ANNOTATORS]
    if not known:
        return None
    ceiling = card.get("human_ceiling")
    rows = [(one["annotator"], Estimate(**one["pair_accuracy"])) for one in known]
    return forest(
        rows,
        unit="agreement with each annotator",
        reference=0.5,
        lines={"one annotator with the others": ceiling["value"]} if ceiling else None,
    )


def kinds(card: Card) -> go.Figure | None:
    """Pair accuracy on each kind of prompt, with always choosing the longer answer beside it."""
    known = card.get("kinds")
    if not known:
        return None
    return forest(
        [(one["kind"], Estimate(**one["pair_accuracy"])) for one in known],
        unit="pair accuracy by kind of prompt",
        reference=0.5,
        marks={"length only": [one["length_only_accuracy"]["value"] for one in known]},
    )


def compared(cards: Mapping[str, Card]) -> go.Figure:
    """Pair accuracy of several models on the same pairs, with what they have in common as lines.

    Args:
        cards: By the model's name, from top to bottom; all with the same `judged_by`.
    """
    first = next(iter(cards.values()))
    lines = {
        name: first[key]["value"]
        for key, name in (
            ("length_only_accuracy", "length only"),
            ("human_ceiling", "one annotator with the others"),
        )
        if first.get(key)
    }
    rows = [(name, Estimate(**card["pair_accuracy"])) for name, card in cards.items()]
    return forest(rows, unit="pair accuracy", reference=None, lines=lines)


def _short(label: str, longest: int = 40) -> str:
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


DRAWN: Sequence[tuple[str, Any]] = (
    ("Calibration", calibration),
    ("Rewards of preferred and other answers", preferred_and_other),
    ("Reward and length", by_length),
    ("Agreement with each annotator", annotators),
    ("Pair accuracy by kind of prompt", kinds),
    ("Rewards by source", by_policy),
    ("Rewards by kind of prompt", by_kind),
)
"""Every figure of a card, with what it shows in words, in the order of the page."""
