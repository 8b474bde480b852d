"""Figures of a study: who won, every pair of arms, people beside programs, kinds of prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import product

import plotly.graph_objects as go

from evaluation import figures
from evaluation.compared_arms import Pair, PlanOfPair, StudyVote
from evaluation.figures import styled
from evaluation.study_curves import (
    FIGURE_HEIGHT,
    QUARTERS,
    as_votes_came,
    by_length,
    short_name,
    splits,
)
from evaluation.verdict import StudyResult, votes_that_count
from storage.records import HIGHEST_RATING, LOWEST_RATING

LOST, EVEN, WON = "rgba(207,132,32,0.8)", "rgba(128,145,156,0.12)", "rgba(23,138,145,0.8)"
"""Colours of a cell of the matrix at 25 %, 50 % and 75 %."""
COLUMN_WIDTH = 11
"""Characters of an arm's name above a matrix that fit on a phone."""
MOST_WITH_RANGES = 5
"""Arms up to which there is room for intervals in the cells of a matrix."""

DRAWN: Mapping[str, str] = {
    "outcome": "Win rates with intervals",
    "as_votes_came": "The win rate as votes came in",
    "by_length": "Win rate by difference in length",
    "splits": "Prompts by how their votes were split",
    "matrix": "Every arm against every other",
    "beside": "People beside programs",
    "by_kind": "Win rate by kind of prompt",
    "ratings": "Mean ratings",
}
"""Every figure of a study, with what it shows in words, in the order of the page."""


def drawn(
    result: StudyResult,
    votes: Sequence[StudyVote],
    *,
    plans: Mapping[Pair, PlanOfPair],
    still_open: bool,
) -> dict[str, go.Figure | None]:
    """Every figure by its name in `DRAWN`; None where there is nothing to draw.

    Args:
        result: Of the study.
        votes: Every vote, in the order in which they came.
        plans: What was planned for each pair of arms.
        still_open: More votes may come: then only totals are drawn.
    """
    counting = votes_that_count(votes)
    totals = {
        "outcome": outcome(result),
        "as_votes_came": as_votes_came(counting, result, plans=plans, still_open=still_open),
    }
    if still_open:
        return dict.fromkeys(DRAWN) | totals
    return totals | {
        "by_length": by_length(counting, result),
        "splits": splits(counting, result),
        "matrix": matrix(result),
        "beside": beside(result),
        "by_kind": by_kind(result),
        "ratings": ratings(result),
    }


def outcome(result: StudyResult) -> go.Figure:
    """Every pair of arms with its interval, and where it would stand at equal length."""
    pairs = result.comparisons
    level = [one.at_equal_length.value if one.at_equal_length else None for one in pairs]
    known = any(one is not None for one in level)
    figure = figures.forest(
        [(f"{one.arm} against {one.opponent}", one.told) for one in pairs],
        unit="win rate of the one named first",
        marks={"at equal length": level} if known else None,
    )
    if not all(one.planned for one in pairs):
        figure.update_xaxes(title_text="win rate of the one named first, interval of any look")
    figure.update_layout(height=max(FIGURE_HEIGHT, figure.layout.height))
    return _whole_scale(figure)


def beside(result: StudyResult) -> go.Figure | None:
    """People, people with the programs' help, and each program, on the first comparison."""
    first = result.comparisons[0]
    if not result.judges:
        return None
    rows = [("people", first.told)]
    if first.with_judges is not None:
        rows.append(("people, with the programs' help", first.with_judges))
    rows += [(one.judge, one.win_rate) for one in result.judges]
    known = [first.at_equal_length, *(one.at_equal_length for one in result.judges)]
    level = [one.value if one else None for one in known]
    if first.with_judges is not None:
        level.insert(1, None)
    figure = figures.forest(
        rows,
        unit=f"win rate of {first.arm}",
        marks={"at equal length": level} if any(one is not None for one in level) else None,
    )
    return _whole_scale(figure)


def by_kind(result: StudyResult) -> go.Figure | None:
    """The first comparison on each kind of prompt."""
    if not result.kinds:
        return None
    rows = [(f"{one.kind} ({one.prompts} prompts)", one.win_rate) for one in result.kinds]
    unit = f"win rate of {result.comparisons[0].arm} by kind of prompt"
    return _whole_scale(figures.forest(rows, unit=unit))


def ratings(result: StudyResult) -> go.Figure | None:
    """How good the answers of each arm were found by themselves."""
    if not result.ratings:
        return None
    return figures.forest(
        [(one.arm, one.mean) for one in result.ratings],
        unit=f"mean rating, {LOWEST_RATING} to {HIGHEST_RATING}",
        reference=None,
        percent=False,
        limits=(LOWEST_RATING, HIGHEST_RATING),
    )


def matrix(result: StudyResult) -> go.Figure | None:
    """How often the arm of each row wins against that of each column; None for two arms."""
    arms = list(dict.fromkeys(arm for one in result.comparisons for arm in (one.arm, one.opponent)))
    if len(arms) < 3:
        return None
    shares: list[list[float | None]] = [[None] * len(arms) for _ in arms]
    words = [[""] * len(arms) for _ in arms]
    told = [[""] * len(arms) for _ in arms]
    place = {arm: number for number, arm in enumerate(arms)}
    for one in result.comparisons:
        for arm, opponent, rate in (
            (one.arm, one.opponent, one.told),
            (one.opponent, one.arm, one.told.mirrored()),
        ):
            row, column = place[arm], place[opponent]
            shares[row][column] = rate.value
            words[row][column] = f"<b>{100 * rate.value:.0f} %</b>"
            if len(arms) <= MOST_WITH_RANGES:
                words[row][column] += f"<br>{100 * rate.low:.0f}–{100 * rate.high:.0f}"
            told[row][column] = escape(f"{arm} against {opponent}: {rate}")
    rows = [short_name(arm) for arm in arms]
    columns = [short_name(arm, width=COLUMN_WIDTH) for arm in arms]
    # Places, not names, are the axes: two long names may begin alike.
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(arms))),
        "ticks": "",
        "zeroline": False,
    }
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            customdata=told,
            zmin=0.25,
            zmax=0.75,
            # See-through, so that what is written on it can be read in the light and in the dark.
            colorscale=[(0.0, LOST), (0.5, EVEN), (1.0, WON)],
            showscale=False,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=3,
            ygap=3,
        )
    )
    for row, column in product(range(len(arms)), repeat=2):
        if words[row][column]:
            figure.add_annotation(
                x=column, y=row, text=words[row][column], showarrow=False, font={"size": 13}
            )
    above = 58 + 16 * max(name.count("<br>") + 1 for name in columns)
    styled(figure, height=above + 62 * len(arms), title="Wins of the row against the column")
    figure.update_layout(margin={"l": 116, "t": above, "r": 14, "b": 10})
    figure.update_xaxes(
        side="top", showgrid=False, tickangle=0, tickfont={"size": 11}, ticktext=columns, **ticks
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticktext=rows, **ticks)
    return figure


def _whole_scale(figure: go.Figure) -> go.Figure:
    """From never winning to always winning, in quarters."""
    figure.update_layout(margin_r=26)  # or the mark of 100 % has no room and is hidden
    return figure.update_xaxes(range=[-0.01, 1.01], **QUARTERS)
