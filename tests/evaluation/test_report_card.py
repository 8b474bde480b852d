"""Report cards: figures by hand, baselines, doubts in words, and a real model from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_rows import comparison, rating
from scipy import stats

from evaluation.baselines import human_ceiling, longer_is_better
from evaluation.report_card import (
    evaluate_reward_model,
    evaluate_reward_rows,
    reward_report_card,
    training_part,
)
from storage.errors import InvalidData, TooLittleData
from storage.records import ResponseId, Split
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData


def card_of(
    gaps: list[float],
    rows: list[ComparisonRow],
    ratings: list[RatingRow] | None = None,
    scores: list[float] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A card where the answer on the left has a reward of `gap` and the other one 0."""
    return reward_report_card(
        gaps,
        [0.0] * len(gaps),
        rows,
        scores or [],
        ratings or [],
        rng=np.random.default_rng(0),
        **more,
    )


def pairs(count: int, wrong: int = 0, **more: str) -> list[ComparisonRow]:
    """Left (the longer answer) is preferred in all but the first `wrong`."""
    return [comparison(n, 1 if n < wrong else -1, **more) for n in range(count)]


def test_accuracy_loss_and_baseline_by_hand() -> None:
    # 150 pairs; the longer answer wins in 120. The model is right in those and in 15 of the rest.
    rows = pairs(150, wrong=30)
    gaps = [-1.0] * 15 + [1.0] * 135
    card = card_of(gaps, rows)
    assert card["pair_accuracy"]["value"] == pytest.approx(135 / 150)
    assert card["length_only_accuracy"]["value"] == pytest.approx(120 / 150)
    assert card["above_length_only"]["value"] == pytest.approx(15 / 150)
    expected = stats.ttest_1samp([1.0] * 15 + [0.0] * 135, 0).confidence_interval()
    assert card["above_length_only"]["low"] == pytest.approx(expected.low)
    # 135 with the gap on the right side, 15 on the wrong one.
    assert card["loss"] == pytest.approx((135 * np.log1p(np.exp(-1)) + 15 * np.log1p(np.e)) / 150)
    assert (card["pairs"], card["ties"], card["prompts"]) == (150, 0, 150)
    (doubt,) = card["warnings"]
    assert doubt.startswith("Rewards go with length: rank correlation +0.79")
    assert json.loads(json.dumps(card)) == card


def test_calibration_is_that_of_the_stated_probabilities() -> None:
    # Every gap says 0.7311 for left, which is preferred in 60 of 100.
    card = card_of([1.0] * 100, pairs(100, wrong=40))
    assert card["calibration_error"] == pytest.approx(abs(0.6 - 1 / (1 + np.exp(-1))))


def test_ties_of_annotators_count_nowhere_and_equal_rewards_count_half() -> None:
    rows = [*pairs(100), *(comparison(n, 0) for n in range(100, 140))]
    card = card_of([0.0] * 50 + [1.0] * 90, rows)
    assert card["pair_accuracy"]["value"] == pytest.approx(0.75)
    assert (card["pairs"], card["ties"], card["pair_accuracy"]["n"]) == (100, 40, 100)


def test_the_length_baseline_takes_its_direction_from_the_training_part() -> None:
    test = pairs(120, wrong=90)  # here the shorter answer wins in three of four
    assert card_of([1.0] * 120, test)["length_only_direction"] == "longer"
    card = card_of([1.0] * 120, test, training=pairs(50, wrong=40))
    assert card["length_only_direction"] == "shorter"
    assert card["length_only_accuracy"]["value"] == pytest.approx(0.75)
    assert longer_is_better([])
    assert longer_is_better(pairs(10, wrong=5))
    assert not longer_is_better(pairs(10, wrong=6))


def doubts(card: dict[str, Any]) -> str:
    return "\n".join(card["warnings"])


def test_a_model_below_counting_characters_is_told_so() -> None:
    card = card_of([1.0] * 60 + [-1.0] * 60, pairs(120, wrong=20))
    assert "Below the length-only baseline: 33 % [25, 42] against 83 % [77, 90]" in doubts(card)
    assert "learnt less than counting characters" in doubts(card)
    assert "Not clearly better than guessing" in doubts(card)
    similar = card_of([-1.0] + [1.0] * 119, pairs(120, wrong=20))
    assert "Not clearly above the length-only baseline" in doubts(similar)


def test_a_loss_of_ln_2_beside_a_good_accuracy_is_a_red_flag() -> None:
    card = card_of([-1e-3] * 30 + [1e-3] * 120, pairs(150, wrong=30))
    assert card["pair_accuracy"]["value"] == 1
    assert "is that of a model that cannot tell answers apart (ln 2 = 0.693)" in doubts(card)


def test_few_pairs_simulated_raters_and_rewards_that_follow_length_are_doubts() -> None:
    rows = pairs(30, wrong=6, kind="simulated")
    card = card_of([-2.0] * 6 + [2.0] * 24, rows)
    assert card["simulated"]
    assert "Simulated raters judged here" in doubts(card)
    assert "Only 30 decided test pairs" in doubts(card)
    assert card_of([3.0] * 120, pairs(120, wrong=5))["length_correlation"] > 0.6
    assert "Rewards go with length: rank correlation +" in doubts(card_of([3.0] * 120, pairs(120)))


def test_figures_that_cannot_be_had_are_null_and_the_reason_is_given() -> None:
    card = card_of([1.0, 1.0, -1.0], pairs(3, wrong=1))
    assert card["calibration_error"] is None
    assert card["spearman"] is None
    assert card["mean_absolute_error"] is None
    assert "Calibration needs at least 20 decided comparisons; there are 3." in card["warnings"]
    assert not any("rank correlation needs" in doubt for doubt in card["warnings"])
    one = card_of([1.0] * 2, pairs(1) * 2, *rated(10))
    assert one["pair_accuracy"] is None
    assert one["length_only_accuracy"] is None
    assert "Pair accuracy needs judgements of at least 2 prompts; there are 1." in one["warnings"]


def rated(prompts: int) -> tuple[list[RatingRow], list[float]]:
    """Two rated answers to each prompt; rating = 4 + reward exactly, rewards from -2 to 2."""
    rows, scores = [], []
    for number in range(prompts):
        for warm in (True, False):
            score = (number % 5) - 2 if warm else -((number % 3) - 1)
            rows.append(rating(number, 4 + score, warm=warm))
            scores.append(float(score))
    return rows, scores


def test_ratings_that_are_a_line_of_the_reward_are_foretold_without_error() -> None:
    card = card_of([], [], *rated(40))
    assert card["spearman"]["value"] == pytest.approx(1)
    assert card["mean_absolute_error"]["value"] == pytest.approx(0, abs=1e-9)
    assert card["mean_absolute_error_of_constant"]["value"] > 0.8
    assert (card["rated"], card["prompts"], card["pairs"]) == (80, 40, 0)
    assert card["pair_accuracy"] is None
    assert card["rewards"] == {}


def test_several_ratings_of_an_answer_are_averaged_and_overall_comes_first() -> None:
    rows, scores = rated(40)
    low = [rating(n, 1, aspect="tone") for n in range(40)]
    both = [
        rating(n, row.value + shift, warm=bool(i % 2 == 0), annotator=name)
        for i, row in enumerate(rows)
        for n in [i // 2]
        for name, shift in (
            ("ann", -1 if row.value > 1.5 else 0),
            ("ben", 1 if row.value > 1.5 else 0),
        )
    ]
    plain = card_of([], [], rows, scores)
    mixed = card_of([], [], [*both, *low], [*np.repeat(scores, 2).tolist(), *([0.0] * 40)])
    assert mixed["spearman"]["value"] == pytest.approx(plain["spearman"]["value"])
    assert mixed["rated"] == 80


def test_ratings_are_foretold_from_other_prompts_only() -> None:
    # Five prompts rated 1 to 5. The mean of the others misses them by 2.5, 1.25, 0, 1.25, 2.5.
    rows = [rating(number, number + 1) for number in range(5)]
    card = card_of([], [], rows, [3.0, 5.0, 1.0, 2.0, 4.0])
    assert card["mean_absolute_error_of_constant"]["value"] == pytest.approx(1.5)
    # Rewards in no order: a line that had seen the prompt itself would miss by less than that.
    assert card["mean_absolute_error"]["value"] > 1.5


def test_rewards_that_say_nothing_foretell_no_better_than_the_mean() -> None:
    rng = np.random.default_rng(3)
    rows, scores = rated(200)
    card = card_of([], [], rows, rng.permutation(scores).tolist())
    error, constant = card["mean_absolute_error"], card["mean_absolute_error_of_constant"]
    assert error["value"] == pytest.approx(constant["value"], abs=0.05)


def test_nothing_to_judge_by_is_refused() -> None:
    with pytest.raises(TooLittleData, match="no judgements"):
        card_of([], [])
    with pytest.raises(TooLittleData, match=r"at least 2 prompts; there are 1.*at least 5 prompts"):
        card_of([1.0], pairs(1), *rated(2))
    with pytest.raises(TooLittleData, match="no judgements"):
        evaluate_reward_rows("nowhere", [], [])


def test_rewards_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(InvalidData, match="not numbers"):
        card_of([float("nan")] * 3, pairs(3))


def test_the_human_ceiling_leaves_each_annotator_out_in_turn() -> None:
    # Prompt 0: three agree (1, 1, 1). Prompt 1, two against one: each of the two sees a divided
    # rest (1/2), the third sees two against itself (0). Prompt 2: one alone says nothing.
    rows = [
        comparison(number, choice, annotator=name)
        for number, said in enumerate([(-1, -2, -1), (-1, -1, 1), (-1,)])
        for name, choice in zip(("ann", "ben", "cat"), said, strict=False)
    ]
    ceiling = human_ceiling(rows)
    assert ceiling is not None
    assert ceiling.value == pytest.approx((1 + 1 + 1 + 0.5 + 0.5 + 0) / 6)
    assert ceiling.n == 6
    assert human_ceiling(rows[:3]) is None


def test_the_human_ceiling_does_not_depend_on_sides() -> None:
    rng = np.random.default_rng(0)
    rows = [
        comparison(number, int(rng.integers(-3, 4)), annotator=name)
        for number in range(40)
        for name in ("ann", "ben", "cat")
    ]
    turned = [turn(row) if rng.random() < 0.5 else row for row in rows]
    assert human_ceiling(turned) == human_ceiling(rows)


def turn(row: ComparisonRow) -> ComparisonRow:
    return ComparisonRow(
        prompt_id=row.prompt_id,
        prompt=row.prompt,
        left_id=row.right_id,
        left=row.right,
        right_id=row.left_id,
        right=row.left,
        choice=-row.choice,
        graded=row.graded,
        both_bad=row.both_bad,
        annotator=row.annotator,
        kind=row.kind,
    )


def test_quantiles_for_figures_are_few_and_in_order() -> None:
    gaps = np.random.default_rng(0).normal(1, 1, 5000)
    drawn = card_of(gaps.tolist(), [comparison(n, -1) for n in range(5000)])["rewards"]
    assert len(drawn["preferred"]) == 200
    assert drawn["preferred"] == sorted(drawn["preferred"])
    assert np.median(drawn["preferred"]) == pytest.approx(np.median(gaps), abs=0.02)
    assert set(drawn["other"]) == {0.0}


def test_a_real_model_that_learnt_the_taste_gets_a_good_card(
    reward_model: Callable[[], Path], snapshot_folder: Path
) -> None:
    card = evaluate_reward_model(reward_model(), snapshot_folder, device="cpu")
    data = SnapshotData.open(snapshot_folder)
    assert card["pairs"] == len(data.comparisons(Split.TEST))
    assert card["rated"] == 2 * card["pairs"]
    assert card["pair_accuracy"]["value"] > 0.9
    assert card["spearman"]["value"] > 0.5
    assert card["length_only_direction"] == "longer"
    again = evaluate_reward_rows(
        reward_model(),
        data.comparisons(Split.TEST),
        data.ratings(Split.TEST),
        training=data.comparisons(Split.TRAIN),
        seen=training_part(data)[1],
        device="cpu",
    )
    assert again == card


def test_a_part_of_the_prompts_judges_too(
    reward_model: Callable[[], Path], snapshot_folder: Path
) -> None:
    data = SnapshotData.open(snapshot_folder)
    every = len({row.prompt_id for row in data.comparisons(Split.TEST)})
    cards = [
        evaluate_reward_model(reward_model(), snapshot_folder, prompts=number, device="cpu")
        for number in (every // 2, every // 2, every, every + 1)
    ]
    assert cards[0] == cards[1]
    assert 0 < cards[0]["pair_accuracy"]["n"] < cards[2]["pair_accuracy"]["n"]
    assert cards[2] == cards[3]


def test_what_the_model_cannot_read_is_left_out_and_told(
    reward_model: Callable[[], Path], snapshot_folder: Path
) -> None:
    rows = SnapshotData.open(snapshot_folder).comparisons(Split.TEST)
    endless = replace(rows[0], left_id=ResponseId("endless"), left="and so on " * 1000)
    card = evaluate_reward_rows(reward_model(), [*rows, endless], [], device="cpu")
    assert card["pairs"] == len(rows)
    assert any(warning.startswith("1 judgements were left out, as") for warning in card["warnings"])
