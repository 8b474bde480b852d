"""Figures of a study: who won, as votes came in, by length, by prompt, and every pair of arms."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from evaluation import figures
from evaluation.compared_arms import ArmComparison, PlanOfPair, StudyVote, about_pair, ballots_of
from evaluation.figures import AMBER, INK, TEAL, styled
from evaluation.intervals import Estimate
from evaluation.sequential import confidence_sequence
from evaluation.statistics import win_rate
from evaluation.verdict import StudyResult
from storage.errors import TooLittleData

LENGTH_PARTS = 5
"""Into how many equally large parts votes are cut by the difference in length."""
FAINT = "rgba(23,138,145,0.16)"


def outcome(result: StudyResult) -> go.Figure:
    """Every pair of arms with its interval, and where it would stand at equal length."""
    pairs = result.comparisons
    level = [one.at_equal_length.value if one.at_equal_length else None for one in pairs]
    return figures.forest(
        [(f"{one.arm} against {one.opponent}", one.told) for one in pairs],
        unit="win rate",
        marks={"at equal length": level} if any(level) else None,
        limits=(0.0, 1.0),
    )


def beside(result: StudyResult) -> go.Figure | None:
    """People, people with the programs' help, and each program, on the first comparison."""
    first = result.comparisons[0]
    if not result.judges:
        return None
    rows = [("those who count", first.told)]
    if first.with_judges is not None:
        rows.append(("with the programs' help", first.with_judges))
    rows += [(one.judge, one.win_rate) for one in result.judges]
    return figures.forest(rows, unit=f"win rate of {first.arm}", limits=(0.0, 1.0))


def by_kind(result: StudyResult) -> go.Figure | None:
    """The first comparison on each kind of prompt."""
    if not result.kinds:
        return None
    rows = [(f"{one.kind} ({one.prompts} prompts)", one.win_rate) for one in result.kinds]
    return figures.forest(rows, unit=f"win rate of {result.comparisons[0].arm}", limits=(0.0, 1.0))


def matrix(arms: Sequence[str], comparisons: Sequence[ArmComparison]) -> go.Figure | None:
    """How often the arm of each row wins against that of each column; None for two arms."""
    if len(arms) < 3:
        return None
    shares: list[list[float | None]] = [[None] * len(arms) for _ in arms]
    words = [[""] * len(arms) for _ in arms]
    place = {arm: number for number, arm in enumerate(arms)}
    for one in comparisons:
        for arm, opponent, rate in (
            (one.arm, one.opponent, one.told),
            (one.opponent, one.arm, one.told.mirrored()),
        ):
            shares[place[arm]][place[opponent]] = rate.value
            words[place[arm]][place[opponent]] = (
                f"<b>{100 * rate.value:.0f} %</b><br>{100 * rate.low:.0f} to {100 * rate.high:.0f}"
            )
    names = [escape(arm if len(arm) <= 18 else f"{arm[:17]}…") for arm in arms]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            text=words,
            texttemplate="%{text}",
            textfont={"size": 12, "color": "#1d2a30"},
            zmin=0,
            zmax=1,
            colorscale=[(0.0, "#efc587"), (0.5, "#f2f4f5"), (1.0, "#7fc4c8")],
            showscale=False,
            hovertemplate="%{y} against %{x}: %{z:.0%}<extra></extra>",
            xgap=3,
            ygap=3,
        )
    )
    styled(figure, height=110 + 62 * len(arms))
    figure.update_layout(margin={"l": 130, "t": 64, "r": 14, "b": 14})
    figure.update_xaxes(side="top", showgrid=False, title_text="against", type="category")
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    return figure


def as_votes_came(
    votes: Sequence[StudyVote],
    pair: tuple[str, str],
    *,
    plan: PlanOfPair,
    still_open: bool,
    confidence: float,
) -> go.Figure | None:
    """The interval that holds at any look, after each prompt; None before the first is complete."""
    ballots = ballots_of(about_pair(votes, pair), pair[0])
    try:
        looks = confidence_sequence(
            ballots.scores,
            ballots.prompts,
            overlap=plan.overlap if still_open else None,
            confidence=confidence,
        )
    except TooLittleData:
        return None
    at = [look.prompts for look in looks]
    low, high = ([getattr(look.estimate, end) for look in looks] for end in ("low", "high"))
    figure = go.Figure()
    figure.add_scatter(
        x=[*at, *at[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor=FAINT,
        line={"width": 0},
        hoverinfo="skip",
        name=f"{100 * confidence:.0f} % interval at any look",
    )
    figure.add_scatter(
        x=at,
        y=[look.estimate.value for look in looks],
        mode="lines" if len(at) > 1 else "markers",
        line={"color": TEAL, "width": 2.4},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate="after %{x} prompts: %{y:.0%} [%{customdata[0]:.0%}, %{customdata[1]:.0%}]"
        "<extra></extra>",
        name=f"win rate of {escape(pair[0])}",
    )
    first = next((look.prompts for look in looks if look.decided), None)
    if first is not None:
        figure.add_vline(
            x=first,
            line={"color": AMBER, "dash": "dash", "width": 1.6},
            annotation_text=f"decided after {first} prompts",
            annotation_position="bottom right",
        )
    figure.add_hline(y=0.5, line={"color": INK, "dash": "dot", "width": 1.4})
    styled(figure, height=300, x_title="prompts with all their votes", legend=True)
    figure.update_xaxes(range=[0, max(plan.prompts, at[-1]) * 1.02])
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def by_length(
    votes: Sequence[StudyVote], pair: tuple[str, str], *, confidence: float
) -> go.Figure | None:
    """The win rate against how much longer the first arm's answer was; None without lengths."""
    ballots = ballots_of(about_pair(votes, pair), pair[0])
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
            rate = win_rate(score[here], prompts[here], confidence=confidence)
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
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [rate.high - rate.value for _, rate in rows],
            "arrayminus": [rate.value - rate.low for _, rate in rows],
            "color": TEAL,
            "thickness": 2,
            "width": 5,
        },
        customdata=[rate.n for _, rate in rows],
        hovertemplate="%{x:+.0f} characters: %{y:.0%}, %{customdata} votes<extra></extra>",
    )
    figure.add_hline(y=0.5, line={"color": INK, "dash": "dot", "width": 1.4})
    figure.add_vline(x=0, line={"color": INK, "dash": "dot", "width": 1.4})
    styled(
        figure,
        height=300,
        x_title=f"characters by which the answer of {escape(pair[0])} is longer",
    )
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def splits(votes: Sequence[StudyVote], pair: tuple[str, str]) -> go.Figure | None:
    """How the votes on each prompt were split: unanimous, mostly one way, or even."""
    by_prompt: dict[str, list[float]] = {}
    for vote in about_pair(votes, pair):
        by_prompt.setdefault(vote.prompt, []).append(vote.score(pair[0]))
    several = [np.mean(scores) for scores in by_prompt.values() if len(scores) > 1]
    if not several:
        return None
    # Below, at and above one half, with the two ends apart.
    place = np.searchsorted([1e-9, 0.5 - 1e-9, 0.5 + 1e-9, 1 - 1e-9], several)
    names = (
        f"all for {pair[1]}",
        f"most for {pair[1]}",
        "even",
        f"most for {pair[0]}",
        f"all for {pair[0]}",
    )
    return figures.counts(
        {name: int((place == number).sum()) for number, name in enumerate(names)},
        title="Prompts by how their votes were split",
    )
