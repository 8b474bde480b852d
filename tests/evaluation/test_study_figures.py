"""The figures of a study show its numbers, escape its names, and nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_study import ARMS, made_study

from evaluation import study_curves, study_figures
from evaluation.compared_arms import about_pair
from evaluation.study_figures import DRAWN, drawn
from evaluation.study_record import StudyRecord
from evaluation.verdict import votes_that_count

EVIL = "<img src=x onerror=alert(1)> %{x} {0} and so on, at length"


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return made_study(identical=2, rated=True)


def figures_of(record: StudyRecord) -> dict[str, Any]:
    return drawn(record.result, record.votes, plans=record.plans, still_open=record.still_open)


def test_a_study_of_three_arms_with_a_program_and_ratings_has_every_figure(
    record: StudyRecord,
) -> None:
    found = figures_of(record)
    assert list(found) == list(DRAWN)
    assert None not in found.values()


def test_the_forest_shows_what_may_be_told_and_where_equal_length_would_be(
    record: StudyRecord,
) -> None:
    intervals, level = study_figures.outcome(record.result).data
    told = [one.told for one in record.result.comparisons]
    assert list(intervals.x) == [one.value for one in told]
    ends = [x + more for x, more in zip(intervals.x, intervals.error_x.array, strict=True)]
    assert ends == pytest.approx([one.high for one in told])
    assert list(level.x) == [
        one.at_equal_length.value for one in record.result.comparisons if one.at_equal_length
    ]


def test_before_the_plan_is_fulfilled_the_forest_has_the_interval_of_any_look() -> None:
    early = made_study(voted=0.5)
    first = early.result.comparisons[0]
    assert first.told == first.any_time
    assert first.told.high > first.win_rate.high
    figure = study_figures.outcome(early.result)
    bars = figure.data[0].error_x.array
    assert bars[0] == pytest.approx(first.told.high - first.told.value)
    assert "interval of any look" in figure.layout.xaxis.title.text


def test_the_curve_ends_where_the_result_does(record: StudyRecord) -> None:
    band, line, end = figures_of(record)["as_votes_came"].data
    first = record.result.comparisons[0]
    assert line.x[-1] == first.prompts
    assert first.any_time is not None
    assert line.y[-1] == pytest.approx(first.any_time.value)
    half = len(band.y) // 2
    assert band.y[half - 1] == pytest.approx(first.any_time.high)
    assert band.y[half] == pytest.approx(first.any_time.low)
    # Beside it the interval that is read once, at the end.
    assert (list(end.x), list(end.y)) == ([first.prompts], [first.win_rate.value])


def test_prompts_with_identical_answers_pull_the_curve_as_they_pull_the_result() -> None:
    alike = made_study(arms=ARMS[:2], identical=5, prompts=15)
    figure = figures_of(alike)["as_votes_came"]
    first = alike.result.comparisons[0]
    assert first.identical == 5
    assert figure.data[1].y[-1] == pytest.approx(first.told.value)


def test_the_curve_says_after_how_many_prompts_it_was_decided() -> None:
    clear = made_study(arms=("Combined", "SFT"), prompts=40, overlap=4, ties=0, seed=3)
    figure = figures_of(clear)["as_votes_came"]
    (note,) = figure.layout.annotations
    at = int(note.text.split()[2])
    half = len(figure.data[0].y) // 2
    lows = figure.data[0].y[half:][::-1]
    assert note.text == f"decided at {at}"
    assert lows[at - 1] > 0.5 >= lows[at - 2]
    assert figures_of(made_study(ties=1))["as_votes_came"].layout.annotations == ()


def test_of_an_open_study_only_totals_are_drawn() -> None:
    early = made_study(voted=0.6, closed=False)
    found = figures_of(early)
    assert [name for name, figure in found.items() if figure is not None] == [
        "outcome",
        "as_votes_came",
    ]
    # No interval of the end, which has not come.
    assert len(found["as_votes_came"].data) == 2


def test_an_open_study_counts_prompts_with_all_their_votes() -> None:
    early = made_study(arms=ARMS[:2], overlap=3, prompts=20, voted=0.51, closed=False, judge=None)
    cast = len(early.votes)
    assert cast % 3 == 1
    assert figures_of(early)["as_votes_came"].data[1].x[-1] == cast // 3


def test_parts_by_length_have_every_vote_once(record: StudyRecord) -> None:
    curve = figures_of(record)["by_length"].data[0]
    votes = about_pair(votes_that_count(record.votes), ARMS[:2])
    assert sum(int(one[2]) for one in curve.customdata) == len(votes)
    assert list(curve.x) == sorted(curve.x)
    longest = sorted((one.longer_by(ARMS[0]) or 0.0, one.score(ARMS[0])) for one in votes)[
        -int(curve.customdata[-1][2]) :
    ]
    assert curve.y[-1] == pytest.approx(sum(score for _, score in longest) / len(longest))


def test_without_lengths_there_is_no_figure_by_length(record: StudyRecord) -> None:
    bare = [replace(one, left_length=None) for one in record.votes]
    assert study_curves.by_length(bare, record.result) is None


def test_every_prompt_is_in_one_bar_of_the_splits(record: StudyRecord) -> None:
    (bars,) = figures_of(record)["splits"].data
    assert sum(bars.y) == record.result.comparisons[0].prompts
    all_ties = figures_of(made_study(ties=1))["splits"].data[0]
    assert list(all_ties.y) == [0, 0, 20, 0, 0]
    assert figures_of(made_study(overlap=1, people=3))["splits"] is None


def test_the_matrix_mirrors_every_pair(record: StudyRecord) -> None:
    (heat,) = figures_of(record)["matrix"].data
    for row in range(3):
        assert heat.z[row][row] is None
        for column in range(row):
            assert heat.z[row][column] + heat.z[column][row] == pytest.approx(1)
    assert heat.z[0][1] == record.result.comparisons[0].told.value
    assert figures_of(made_study(arms=ARMS[:2]))["matrix"] is None


def test_long_names_that_begin_alike_keep_rows_of_their_own() -> None:
    arms = tuple(f"SmolLM2-135M-Instruct at temperature 0.{n}" for n in (1, 7, 9))
    figure = figures_of(made_study(arms=arms))["matrix"]
    assert list(figure.layout.yaxis.tickvals) == [0, 1, 2]
    assert len(figure.data[0].z) == 3


def test_people_stand_beside_programs_and_what_these_would_win_at_equal_length(
    record: StudyRecord,
) -> None:
    shown = figures_of(record)["beside"].data[0]
    judge = record.result.judges[0]
    assert list(shown.x) == [record.result.comparisons[0].told.value, judge.win_rate.value]
    assert figures_of(made_study(judge=None))["beside"] is None


def test_ratings_keep_to_their_scale(record: StudyRecord) -> None:
    figure = figures_of(record)["ratings"]
    assert tuple(figure.layout.xaxis.range) == (1, 7)
    assert list(figure.data[0].x) == [one.mean.value for one in record.result.ratings]
    assert figures_of(made_study())["ratings"] is None


def test_names_are_text_in_every_figure() -> None:
    record = made_study(arms=(EVIL, f"{EVIL} B", f"{EVIL} C"), judge=f"{EVIL} judge", rated=True)
    for name, figure in figures_of(record).items():
        said = figure.to_json()
        assert "<img" not in said, name
        assert "\\u003cimg" not in said, name
    whole = "".join(figure.to_json() for figure in figures_of(record).values())
    assert "lt;img" in whole
