"""Figures of a report card show its numbers, and nothing where it has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judged_rows import comparison, rating

from evaluation import card_figures
from evaluation.report_card import reward_report_card


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    rows = [
        replace(
            comparison(n, int(rng.choice([-1, 1], p=[0.8, 0.2])), annotator=f"heron-{n % 2}"),
            left_policy="big <b>",
            right_policy="small",
            tags=("code" if n % 3 else "chat",),
            left="warm " * (n % 40 + 1),
        )
        for n in range(160)
    ]
    rows += [replace(row, annotator="owl-7") for row in rows]
    scores = rng.normal(1, 1, len(rows) // 2).tolist() * 2
    ratings = [rating(n, 4 + n % 3) for n in range(20)]
    return reward_report_card(
        scores, [0.0] * len(rows), rows, scores[:20], ratings, rng=np.random.default_rng(0)
    )


def test_the_calibration_curve_stands_beside_the_diagonal(card: dict[str, Any]) -> None:
    diagonal, curve = card_figures.calibration(card).data
    assert list(diagonal.x) == list(diagonal.y) == [0.5, 1]
    bins = card["calibration_curve"]
    assert list(curve.x) == [one["predicted"] for one in bins]
    lows = [y - less for y, less in zip(curve.y, curve.error_y.arrayminus, strict=True)]
    assert lows == pytest.approx([one["observed"]["low"] for one in bins])


def test_every_group_has_a_box_plot_and_a_histogram(card: dict[str, Any]) -> None:
    figure = card_figures.by_policy(card)
    kinds = [trace.type for trace in figure.data]
    assert kinds == ["box", "histogram"] * 2
    named = {note.text for note in figure.layout.annotations}
    assert named == {
        f"<b>{name}</b>  {card['distributions']['policies'][key]['n']} answers"
        for name, key in (("big &lt;b&gt;", "big <b>"), ("small", "small"))
    }
    assert len(card_figures.by_kind(card).data) == 4


def test_lines_show_what_all_rows_are_compared_with(card: dict[str, Any]) -> None:
    figure = card_figures.annotators(card)
    (line,) = [trace for trace in figure.data if trace.mode == "lines"]
    assert set(line.x) == {card["human_ceiling"]["value"]}
    assert [note.text for note in figure.layout.annotations] == ["owl-7", "heron-0", "heron-1"]
    both = card_figures.compared({"a": card, "b": card})
    assert [trace.name for trace in both.data if trace.mode == "lines"] == [
        f"length only: {card['length_only_accuracy']['value']:.0%}",
        f"one annotator with the others: {card['human_ceiling']['value']:.0%}",
    ]


def test_the_trend_of_reward_over_length_goes_through_medians(card: dict[str, Any]) -> None:
    points = {"characters": [1] * 20 + [9] * 20, "rewards": [*range(20), *range(100, 120)]}
    _, trend = card_figures.by_length({"by_length": points}).data
    assert (list(trend.x), list(trend.y)) == ([1, 9], [9.5, 109.5])
    for number in (1, 39):
        few = {name: values[:number] for name, values in points.items()}
        assert len(card_figures.by_length({"by_length": few}).data) == 1


def test_a_card_without_them_has_no_figures(card: dict[str, Any]) -> None:
    assert all(draw(card) is not None for _, draw in card_figures.DRAWN)
    for bare in ({}, {"warnings": ["Too little."]}, {"rewards": {}, "human_ceiling": None}):
        assert all(draw(bare) is None for _, draw in card_figures.DRAWN)
