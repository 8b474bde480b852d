"""Judgements become rows without losing one, and their likelihood starts where it should."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.snapshots import ComparisonRow, RatingRow
from training import backbone, objectives
from training.batching import Row
from training.rewards.config import Objective
from training.rewards.judgements import JudgedRow, Judgements, gather, judged_rows
from training.rewards.likelihood import Likelihood
from training.rewards.measures import pair_accuracy

patient = settings(deadline=None)  # a busy machine is no failure

BOTH = Objective(comparison="ordinal", rating="ordinal")
COMPARED, RATED = planted.judgements(4)


def rows_of(
    comparisons: list[ComparisonRow],
    ratings: list[RatingRow],
    objective: Objective = BOTH,
    *,
    max_tokens: int = 500,
    row_tokens: int = 500,
) -> tuple[list[JudgedRow], int]:
    return judged_rows(
        backbone.load_tokenizer("tiny"),
        objective,
        comparisons,
        ratings,
        max_tokens=max_tokens,
        row_tokens=row_tokens,
    )


def many_answers(count: int) -> tuple[list[ComparisonRow], list[RatingRow]]:
    """One prompt, `count` answers, each compared with the next and rated."""
    one, rated = COMPARED[0], RATED[0]
    texts = [f"answer number {number}" for number in range(count)]
    comparisons = [
        replace(one, left_id=str(k), left=texts[k], right_id=str(k + 1), right=texts[k + 1])
        for k in range(count - 1)
    ]
    ratings = [
        replace(rated, response_id=str(k), response=text, prompt_id=one.prompt_id)
        for k, text in enumerate(texts)
    ]
    return comparisons, ratings


def judged(*comparisons: tuple[int, bool], ratings: tuple[float, ...] = ()) -> JudgedRow:
    nothing = np.zeros(1, dtype=np.int32)
    row = Row(nothing, (nothing, nothing))
    return JudgedRow(
        row,
        tuple((0, 1, choice, graded, "somebody") for choice, graded in comparisons),
        tuple((0, value, "somebody") for value in ratings),
    )


def test_a_response_that_is_judged_often_is_read_once() -> None:
    comparisons, ratings = many_answers(4)
    rows, left_out = rows_of(comparisons + comparisons, ratings)
    assert left_out == 0
    assert len(rows) == 1
    assert len(rows[0].row.answers) == 4
    assert len(rows[0].comparisons) == 6
    assert len(rows[0].ratings) == 4


@patient
@given(st.integers(2, 9), st.integers(40, 300))
def test_no_judgement_is_lost_or_doubled_however_small_the_rows(count: int, size: int) -> None:
    comparisons, ratings = many_answers(count)
    rows, left_out = rows_of(comparisons, ratings, row_tokens=size)
    assert left_out == 0
    assert sum(len(row.comparisons) for row in rows) == len(comparisons)
    assert sum(len(row.ratings) for row in rows) == len(ratings)
    for row in rows:
        assert row.row.tokens <= size or len(row.row.answers) <= 2


def test_a_row_says_which_answer_is_which() -> None:
    tokenizer = backbone.load_tokenizer("tiny")
    rows, _ = rows_of(COMPARED[:1], RATED[:2])
    row, said = rows[0], COMPARED[0]
    left, right, choice, graded, who = row.comparisons[0]
    assert tokenizer.decode(row.row.answers[left]) == said.left + "<|im_end|>"
    assert tokenizer.decode(row.row.answers[right]) == said.right + "<|im_end|>"
    assert (choice, graded, who) == (said.choice, True, said.annotator)
    assert [tokenizer.decode(row.row.answers[place])[:-10] for place, *_ in row.ratings] == [
        RATED[0].response,
        RATED[1].response,
    ]


def test_judgements_of_long_conversations_are_left_out_and_counted() -> None:
    long = replace(COMPARED[1], right="x" * 400)
    rows, left_out = rows_of([COMPARED[0], long, COMPARED[2]], RATED[:2], max_tokens=300)
    assert left_out == 1
    assert len(rows) == 2


def test_comparisons_come_along_uncounted_where_only_ratings_are_learned() -> None:
    absolute = Objective(rating="ordinal")
    rows, _ = rows_of(COMPARED, RATED[:4], absolute)
    assert [len(row.comparisons) for row in rows] == [1, 1]
    assert [Likelihood(absolute, rows).count(row) for row in rows] == [2, 2]
    assert rows_of(COMPARED, [], absolute) == ([], 0)


def test_answers_are_found_again_in_the_batch() -> None:
    rows, _ = rows_of(COMPARED, RATED)
    batch = gather(rows, {})
    assert batch.left.tolist() == [0, 2, 4, 6]
    assert batch.right.tolist() == [1, 3, 5, 7]
    assert batch.choice.tolist() == [one.choice for one in COMPARED]
    assert batch.rated.tolist() == list(range(8))
    assert batch.rating.tolist() == [one.value for one in RATED]


def test_thresholds_start_at_the_shares_that_were_seen() -> None:
    # Choices -3..3: 0, 1, 0, 4, 2, 1, 0, plus one made-up each, mirrored: 2, 4, 4, 10, 4, 4, 2.
    # Above the middle stand 10/30 to 1/3 ...: P(<= 0) = 20/30, P(<= 1) = 24/30, P(<= 2) = 28/30.
    rows = [judged(*[(choice, True) for choice in (-2, 0, 0, 0, 0, 1, 1, 2)])]
    found = Likelihood(Objective(comparison="ordinal"), rows).learned()["kappa"]
    expected = [math.log(20 / 10), math.log(24 / 6), math.log(28 / 2)]
    assert found[3:] == pytest.approx(expected, abs=1e-5)
    assert found[:3] == pytest.approx([-one for one in reversed(expected)], abs=1e-5)

    # Ratings 1, 2.5, 7, plus one each: 2, 1.5, 1.5, 1, 1, 1, 2 of 10.
    rows = [judged(ratings=(1.0, 2.5, 7.0))]
    tau = Likelihood(Objective(rating="ordinal"), rows).learned()["tau"]
    below = [0.2, 0.35, 0.5, 0.6, 0.7, 0.8]
    assert tau == pytest.approx([math.log(p / (1 - p)) for p in below], abs=1e-5)
    assert Likelihood(Objective(rating="squared_error"), rows).learned() == {"offset": 3.5}


def test_the_combined_loss_is_the_sum_over_both_kinds_of_judgements() -> None:
    rows, _ = rows_of(COMPARED, RATED)
    rewards = torch.randn(8, generator=torch.Generator().manual_seed(0))
    said = gather(rows, {})
    both = Likelihood(BOTH, rows)(rewards, said)
    compared = Likelihood(Objective(comparison="ordinal"), rows)(rewards, said)
    rated = Likelihood(Objective(rating="ordinal"), rows)(rewards, said)
    assert torch.equal(both, torch.cat([compared, rated]))
    assert len(both) == 4 + 8


def test_where_only_the_direction_was_asked_it_is_bradley_terry() -> None:
    rows = [judged((-1, False), (0, False), (1, False), (2, True))]
    rewards = torch.tensor([0.0, 0.7])
    ordinal = Likelihood(Objective(comparison="ordinal"), rows)
    plain = Likelihood(Objective(comparison="bradley_terry"), rows)
    right, left = torch.full((4,), 0.7), torch.zeros(4)
    expected = objectives.preference_loss(right, left, torch.tensor([0, 0.5, 1, 1]))
    torch.testing.assert_close(plain(rewards, gather(rows, {})), expected)
    torch.testing.assert_close(ordinal(rewards, gather(rows, {}))[:3], expected[:3])
    graded = ordinal(rewards, gather(rows, {})).detach()[3]
    assert float(graded) != pytest.approx(float(expected[3]))


def test_pair_accuracy_counts_equal_rewards_as_half_and_ties_not_at_all() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    said = Judgements(
        left=torch.tensor([0, 0, 1, 2]),
        right=torch.tensor([1, 1, 0, 3]),
        choice=torch.tensor([3, -1, 0, 2]),
        graded=torch.ones(4, dtype=torch.bool),
        comparer=torch.zeros(4, dtype=torch.long),
        rated=nothing,
        rating=torch.zeros(0),
        rater=nothing,
        length=torch.ones(4),
        row=torch.zeros(4, dtype=torch.long),
        compared_prompt=torch.zeros(4, dtype=torch.long),
        rated_prompt=nothing,
    )
    assert pair_accuracy(torch.tensor([0.0, 1.0, 5.0, 5.0]), said) == (1.5, 3)


def test_recipes_can_be_listed_without_loading_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from training.rewards import REWARDS; print(sorted(REWARDS), 'torch' in"
        " sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert said.stdout.strip() == (
        "['absolute', 'combined', 'multi-objective', 'pairwise', 'preference'] False"
    )
