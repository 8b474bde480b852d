"""Figures of a look through data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from evaluation.figures import counts, distribution
from evaluation.linting.check import CheckReport
from evaluation.linting.languages import UNKNOWN

FIGURES = {
    "lengths": "Lengths of chosen and rejected answers",
    "choices": "Choices",
    "ratings": "Ratings",
    "languages": "Languages of prompts",
    "repeats": "What comes up more than once",
}
"""Name of each figure, and what it shows, for those who cannot see it."""
_REPEATS = {
    "repeated-rows": "rows",
    "same-question": "prompts,<br>other<br>spelling",
    "near-duplicate-prompts": "prompts,<br>nearly",
    "one-answer-to-several-prompts": "answers",
    "near-duplicate-answers": "answers,<br>nearly",
}
_HEIGHT = 320
_MOST_LANGUAGES = 6
_MOST_VALUES = 13
"""Values of a histogram; more are gathered by whole numbers."""


def drawn(report: CheckReport) -> dict[str, go.Figure | None]:
    """Every figure of `FIGURES`; None where there is nothing to draw."""
    return {
        "lengths": _lengths(report),
        # Without sides and without ties there is one bar, which shows nothing.
        "choices": _bars({} if _only_chosen(report.choices) else report.choices, "Choices"),
        "ratings": _bars(_ratings(report.rated), "Ratings, from 1 to 7"),
        "languages": _bars(_languages(report.languages.prompts), "Languages of prompts"),
        "repeats": _repeats(report),
    }


def _lengths(report: CheckReport) -> go.Figure | None:
    chosen, rejected = (
        np.array(of, dtype=float) for of in (report.chosen_lengths, report.rejected_lengths)
    )
    if len(chosen) < 2:
        return None
    # A few very long answers would press all others into one bar.
    longest = float(np.quantile(np.concatenate([chosen, rejected]), 0.99))
    return distribution(
        {
            "rejected": rejected[rejected <= longest].tolist(),
            "chosen": chosen[chosen <= longest].tolist(),
        },
        unit="characters; the longest hundredth is not drawn",
        title="Lengths",
        height=_HEIGHT,
    )


def _only_chosen(choices: Mapping[str, int]) -> bool:
    return "left" not in choices and not choices.get("tie")


def _ratings(rated: Mapping[float, int]) -> dict[str, int]:
    if not rated:
        return {}
    if len(rated) <= _MOST_VALUES and all(value == int(value) for value in rated):
        return {str(value): rated.get(value, 0) for value in range(1, 8)}
    gathered = dict.fromkeys(map(str, range(1, 8)), 0)
    for value, times in rated.items():
        gathered[str(int(value + 0.5))] += times
    return gathered


def _languages(prompts: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(prompts.items(), key=lambda one: (one[0] == UNKNOWN, -one[1]))
    shown = dict(ranked[:_MOST_LANGUAGES])
    others = sum(times for _, times in ranked[_MOST_LANGUAGES:])
    return shown | ({"others": others} if others else {})


def _repeats(report: CheckReport) -> go.Figure | None:
    known = {one.name: one.count for one in report.findings}
    found = {label: known.get(name, 0) for name, label in _REPEATS.items()}
    return (
        _bars(found, "What comes up more than once", labelled=True) if any(found.values()) else None
    )


def _bars(numbers: Mapping[str, int], title: str, *, labelled: bool = False) -> go.Figure | None:
    if not numbers:
        return None
    figure = counts(numbers, title=title, height=_HEIGHT)
    if labelled:
        # These labels are ours and have line breaks.
        figure.data[0].x = list(numbers)
        figure.update_layout(margin_b=64)
    return figure
