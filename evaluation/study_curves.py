"""Curves and bars of a study: its win rate as votes came in, by length, and split by prompt.

Colours and backgrounds are those of `evaluation.figures`: teal is the arm asked about, amber the
one it is held against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from evaluation.compared_arms import Pair, PlanOfPair, StudyVote, about_pair, ballots_of
from evaluation.figures import AMBER, INK, TEAL, VIOLET, styled
from evaluation.intervals import Estimate
from evaluation.statistics import win_rate
from evaluation.study_looks import looks
from evaluation.verdict import StudyResult
from storage.errors import TooLittleData

FIGURE_HEIGHT = 340
"""Pixels of figures that stand side by side."""
QUARTERS: dict[str, Any] = {
    "tickmode": "array",
    "tickvals": [0, 0.25, 0.5, 0.75, 1],
    "ticktext": ["0 %", "25 %", "50 %", "75 %", "100 %"],
}
"""How an axis of win rates is marked."""
LENGTH_PARTS = 5
"""Into how many equally large parts votes are cut by the difference in length."""
FAINT = "rgba(23,138,145,0.16)"
SPLIT_COLOURS = (AMBER, "#e3b679", "#9aa6ae", "#79bcc1", TEAL)
NAME_WIDTH = 15
"""Characters of an arm's name on an axis that fit on a phone."""
TITLE_WIDTH = 36
"""Characters of a title that fit there."""


def as_votes_came(
    votes: Sequence[StudyVote],
    result: StudyResult,
    *,
    plans: Mapping[Pair, PlanOfPair],
    still_open: bool,
) -> go.Figure | None:
    """The interval that holds at any look, after each prompt; None before the first is complete."""
    first = result.comparisons[0]
    pair = (first.arm, first.opponent)
    plan, level = plans[pair], first.win_rate.confidence
    ballots = ballots_of(about_pair(votes, pair), first.arm)
    try:
        found = looks(
            ballots.scores,
            ballots.prompts,
            identical=first.identical,
            overlap=plan.overlap if still_open else None,
            confidence=level,
        )
    except TooLittleData:
        return None
    at = [look.prompts for look in found]
    low, high = ([getattr(look.estimate, end) for look in found] for end in ("low", "high"))
    figure = go.Figure()
    figure.add_scatter(
        x=[*at, *at[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor=FAINT,
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        name=f"{100 * level:.0f} % interval of any look",
    )
    figure.add_scatter(
        x=at,
        y=[look.estimate.value for look in found],
        mode="lines" if len(at) > 1 else "markers",
        line={"color": TEAL, "width": 2.4},
        customdata=[str(look.estimate) for look in found],
        hovertemplate="after %{x} prompts: %{customdata}<extra></extra>",
        name="win rate so far",
    )
    if first.planned:
        end = first.told
        figure.add_scatter(
            x=[at[-1]],
            y=[end.value],
            mode="markers",
            marker={"color": VIOLET, "size": 9},
            error_y=_bars([end], VIOLET),
            customdata=[str(end)],
            hovertemplate="at the end, as planned: %{customdata}<extra></extra>",
            name="at the end, as planned",
        )
    decided = next((look.prompts for look in found if look.decided), None)
    if decided is not None:
        late = decided > 0.55 * max(plan.prompts, at[-1])
        figure.add_vline(
            x=decided,
            line={"color": AMBER, "dash": "dash", "width": 1.6},
            annotation={
                "text": f"decided at {decided}",
                "font": {"size": 12},
                "xanchor": "right" if late else "left",
                "y": 0.02,
                "yanchor": "bottom",
            },
        )
    figure.add_hline(y=0.5, line={"color": INK, "dash": "dot", "width": 1.4})
    title = _fitting("Win rate of {} as votes came", first.arm, TITLE_WIDTH)
    styled(
        figure,
        height=FIGURE_HEIGHT,
        title=title,
        x_title="prompts with all their votes" if still_open else "prompts",
        legend=True,
    )
    # Below the axis, where names of any length have room on a phone.
    figure.update_layout(
        margin={"t": 44 + 18 * title.count("<br>"), "b": 92},
        legend={"x": 0, "xanchor": "left", "y": -0.26, "yanchor": "top", "font": {"size": 12}},
    )
    figure.update_xaxes(range=[0, max(plan.prompts, at[-1]) * 1.03])
    figure.update_yaxes(range=[0, 1.01], **QUARTERS)
    return figure


def by_length(votes: Sequence[StudyVote], result: StudyResult) -> go.Figure | None:
    """The win rate against how much longer the first arm's answer was; None without lengths."""
    first = result.comparisons[0]
    ballots = ballots_of(about_pair(votes, (first.arm, first.opponent)), first.arm)
    longer = [one for one in ballots.longer_by if one is not None]
    if len(longer) < len(ballots.scores) or len(set(longer)) < LENGTH_PARTS:
        return None
    difference, score = np.array(longer), np.array(ballots.scores)
    prompts = np.array(ballots.prompts)
    cuts = np.quantile(difference, np.linspace(0, 1, LENGTH_PARTS + 1)[1:-1])
    part = np.searchsorted(cuts, difference, side="right")
    rows: list[tuple[float, Estimate]] = []
    for number in range(LENGTH_PARTS):
        here = part == number
        try:
            rate = win_rate(score[here], prompts[here], confidence=first.win_rate.confidence)
        except TooLittleData:
            continue
        rows.append((float(np.median(difference[here])), rate))
    if len(rows) < 2:
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=[at for at, _ in rows],
        y=[rate.value for _, rate in rows],
        mode="lines+markers",
        marker={"color": TEAL, "size": 10},
        line={"color": TEAL, "width": 1.6},
        error_y=_bars([rate for _, rate in rows], TEAL),
        customdata=[[f"{at:+.0f}".replace("-", "−"), str(rate), rate.n] for at, rate in rows],
        hovertemplate="%{customdata[0]} characters: %{customdata[1]} of %{customdata[2]} votes"
        "<extra></extra>",
    )
    figure.add_hline(y=0.5, line={"color": INK, "dash": "dot", "width": 1.4})
    figure.add_vline(x=0, line={"color": INK, "dash": "dot", "width": 1.4})
    styled(
        figure,
        height=FIGURE_HEIGHT,
        title="Win rate by difference in length",
        x_title=_fitting("characters by which {} is longer", first.arm),
    )
    figure.update_xaxes(ticklabelstandoff=5)
    figure.update_yaxes(range=[0, 1.01], **QUARTERS)
    return figure


def splits(votes: Sequence[StudyVote], result: StudyResult) -> go.Figure | None:
    """How the votes on each prompt were split: unanimous, mostly one way, or even."""
    first = result.comparisons[0]
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for vote in about_pair(votes, (first.arm, first.opponent)):
        by_prompt[vote.prompt].append(vote.score(first.arm))
    several = [float(np.mean(scores)) for scores in by_prompt.values() if len(scores) > 1]
    if not several:
        return None
    ways = [
        sum(share == 0 for share in several),
        sum(0 < share < 0.5 for share in several),
        sum(share == 0.5 for share in several),
        sum(0.5 < share < 1 for share in several),
        sum(share == 1 for share in several),
    ]
    ours, theirs = (short_name(arm, lines=2) for arm in (first.arm, first.opponent))
    ticks = [f"all for<br>{theirs}", "most", "as many<br>for both", "most", f"all for<br>{ours}"]
    figure = go.Figure()
    figure.add_bar(
        x=list(range(len(ways))),
        y=ways,
        text=ways,
        textposition="outside",
        cliponaxis=False,
        marker={"color": SPLIT_COLOURS},
        hovertemplate="%{y} prompts<extra></extra>",
    )
    styled(figure, height=FIGURE_HEIGHT, title="Prompts by how their votes were split")
    figure.update_layout(bargap=0.22, margin={"b": 64, "l": 34, "t": 56})
    figure.update_xaxes(
        showgrid=False,
        tickangle=0,
        tickmode="array",
        tickvals=list(range(len(ways))),
        ticktext=ticks,
        tickfont={"size": 11},
    )
    return figure


def _bars(rates: Sequence[Estimate], colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [rate.high - rate.value for rate in rates],
        "arrayminus": [rate.value - rate.low for rate in rates],
        "color": colour,
        "thickness": 2,
        "width": 5,
    }


def short_name(name: str, *, lines: int = 3, width: int = NAME_WIDTH) -> str:
    """A name broken into a few short lines, escaped; what does not fit is cut."""
    parts = wrap(name, width) or [""]
    if len(parts) > lines:
        last = parts[lines - 1]
        parts = [*parts[: lines - 1], f"{last[: width - 1]}…"]
    return "<br>".join(map(escape, parts))


def _fitting(text: str, name: str, width: int = 44) -> str:
    """A name put into a text, escaped, in as many lines as a phone needs."""
    return "<br>".join(map(escape, wrap(text.format(name), width)))
