"""Tests by signs and exchanges, resampled intervals and corrections: laws, hand, scipy, cover."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evaluation.chance import holm, permutation_test, resampled_win_rate, sign_test
from evaluation.statistics import win_rate
from storage.errors import InvalidData, InvalidOption, TooLittleData

patient = settings(deadline=None)  # a busy machine is no failure
answers = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 7)), min_size=2, max_size=60
).filter(lambda rows: len({prompt for _, prompt in rows}) > 1)


def columns(rows: list[tuple[float, int]]) -> NDArray[np.float64]:
    return np.array(rows).T


def exchanged(scores: NDArray[np.float64], prompts: NDArray[np.float64]) -> float:
    return permutation_test(scores, prompts, rng=np.random.default_rng(0))


# The sign test.


def test_signs_by_hand() -> None:
    # Won on seven prompts, lost on one, even on one: 2 (1 + 8) / 2^8 = 0.0703125.
    scores = [1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0.5, 0.5]
    prompts = ["a", "a", "a", *"bcdefg", "h", "h", "h", "i"]
    found = sign_test([*scores[:9], 0, 0, 0.5, 0.5], prompts)
    assert (found.won, found.lost, found.tied) == (7, 1, 1)
    assert found.p_value == pytest.approx(0.0703125)


@patient
@given(answers)
def test_signs_count_prompts_and_not_votes(rows: list[tuple[float, int]]) -> None:
    scores, prompts = columns(rows)
    found, mirrored = sign_test(scores, prompts), sign_test(1 - scores, prompts)
    repeated = sign_test(np.tile(scores, 3), np.tile(prompts, 3))
    assert repeated == found
    assert (mirrored.p_value, mirrored.won, mirrored.lost) == (
        found.p_value,
        found.lost,
        found.won,
    )
    assert found.won + found.lost + found.tied == len(set(prompts))
    decided = found.won + found.lost
    below = sum(math.comb(decided, k) for k in range(min(found.won, found.lost) + 1))
    assert found.p_value == pytest.approx(min(1.0, 2 * below / 2**decided))


def test_narrow_wins_on_most_prompts_are_signs_but_no_win_rate() -> None:
    # Twenty prompts won by 3 votes to 2, four lost by all five: 60 of 120 votes.
    scores = [*([1, 1, 1, 0, 0] * 20), *([0] * 20)]
    prompts = np.repeat(range(24), 5)
    assert win_rate(scores, prompts).value == 0.5
    assert sign_test(scores, prompts).p_value < 0.01
    assert exchanged(np.array(scores), prompts) == 1


# The permutation test.


def test_exchanges_by_hand() -> None:
    # Margins of 1, 1/2 and 1/2 votes: only all of them this way or that reach 2, 2 of 8.
    scores, prompts = np.array([1, 1, 1, 1]), np.array([0, 0, 1, 2])
    assert exchanged(scores, prompts) == 0.25
    # With the last one lost the sum is 1, and of 2 1 1 0 0 -1 -1 -2 six are as far from 0.
    assert exchanged(np.array([1, 1, 1, 0]), prompts) == 0.75


@patient
@given(answers)
def test_exchanges_are_those_of_scipy(rows: list[tuple[float, int]]) -> None:
    scores, prompts = columns(rows)
    sums = np.array([(scores[prompts == one] - 0.5).sum() for one in np.unique(prompts)])
    theirs = stats.permutation_test(
        (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert exchanged(scores, prompts) == pytest.approx(theirs.pvalue)
    assert exchanged(1 - scores, prompts) == pytest.approx(theirs.pvalue)


def test_exchanges_at_random_come_close_to_all_of_them() -> None:
    rng = np.random.default_rng(5)
    prompts = np.repeat(range(12), 3)
    scores = rng.choice([0, 1], p=[0.3, 0.7], size=36)
    every = permutation_test(scores, prompts, rng=rng, draws=2**12)
    some = permutation_test(scores, prompts, rng=rng, draws=2**12 - 1)
    assert 0 < every < 0.2
    assert some == pytest.approx(every, abs=4 * (every / 2**12) ** 0.5)
    assert some != every


def test_a_thousand_prompts_won_are_as_unlikely_as_the_draws_can_say() -> None:
    found = permutation_test(np.ones(1000), range(1000), rng=np.random.default_rng(0), draws=999)
    assert found == pytest.approx(1 / 1000)


@patient
@given(st.integers(2, 9))
def test_nothing_but_ties_is_no_evidence(prompts: int) -> None:
    tied = np.full(prompts, 0.5)
    assert sign_test(tied, range(prompts)).p_value == 1
    assert exchanged(tied, np.arange(prompts)) == 1


def test_tests_raise_false_alarms_as_often_as_they_say() -> None:
    # 30 prompts of four scores of a judge, each prompt with a chance of its own, symmetric about
    # 1/2. With 1,500 studies the standard error of the share is 0.0056. The sign test counts in
    # whole prompts: 9 of 30 or fewer on a side come up in 0.0428 of studies, 10 in over 0.05.
    rng = np.random.default_rng(2)
    prompts = np.repeat(range(30), 4)
    alarms = np.zeros(2)
    for _ in range(1500):
        own = np.repeat(rng.beta(2, 2, 30), 4)
        scores = rng.beta(4 * own, 4 * (1 - own))
        alarms += (
            permutation_test(scores, prompts, rng=rng, draws=299) <= 0.05,
            sign_test(scores, prompts).p_value <= 0.05,
        )
    assert alarms / 1500 == pytest.approx([0.05, 0.0428], abs=3 * 0.0056)


@pytest.mark.parametrize("test", [sign_test, exchanged])
def test_one_prompt_proves_nothing(test: Callable[..., object]) -> None:
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 1"):
        test([1, 1], ["p", "p"])
    with pytest.raises(InvalidData, match="reach from 0 to 2"):
        test([0, 2], ["p", "q"])


# Resampled intervals.


def test_a_resampled_interval_is_that_of_students_t_on_many_prompts() -> None:
    rng = np.random.default_rng(8)
    prompts = rng.integers(400, size=1200)
    scores = (rng.random(1200) < rng.beta(3, 2, 400)[prompts]).astype(float)
    found = resampled_win_rate(scores, prompts, rng=rng, resamples=4000)
    expected = win_rate(scores, prompts)
    assert (found.value, found.n) == (expected.value, 1200)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_prompts_and_raters_drawn_at_once_give_the_interval_of_both() -> None:
    # Prompts and raters matter far more than what else moves a vote.
    rng = np.random.default_rng(9)
    prompts, raters = np.repeat(range(60), 40), np.tile(range(40), 60)
    chance = 0.5 + rng.choice([-0.3, 0.3], 60)[prompts] + rng.choice([-0.2, 0.2], 40)[raters]
    found = resampled_win_rate(chance, prompts, raters=raters, rng=rng, resamples=4000)
    expected = win_rate(chance, prompts, raters=raters)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.008)
    alone = win_rate(chance, prompts)
    assert found.high - found.low > 1.15 * (alone.high - alone.low)


def test_resampled_prompts_cover_the_truth() -> None:
    # 40 prompts, 5 votes each; a prompt's own win rate is Beta(3, 2), so the truth is 0.6.
    rng = np.random.default_rng(12)
    prompts, hits = np.repeat(range(40), 5), 0
    for _ in range(1000):
        scores = (rng.random(200) < np.repeat(rng.beta(3, 2, 40), 5)).astype(float)
        found = resampled_win_rate(scores, prompts, rng=rng, resamples=300)
        hits += found.low <= 0.6 <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def cover_of_prompts_and_raters(*, votes: bool) -> float:
    """How often an interval holds 0.5: of votes of 0 and 1, or of a judge's probabilities."""
    rng = np.random.default_rng(13)
    prompt, rater, hits = np.repeat(range(40), 25), np.tile(range(25), 40), 0
    for _ in range(500):
        chance = 0.5 + rng.uniform(-0.2, 0.2, 40)[prompt] + rng.uniform(-0.2, 0.2, 25)[rater]
        scores = chance + rng.uniform(-0.1, 0.1, 1000)
        if votes:
            scores = (rng.random(1000) < chance).astype(float)
        found = resampled_win_rate(scores, prompt, raters=rater, rng=rng, resamples=300)
        hits += found.low <= 0.5 <= found.high
    return hits / 500


def test_resampled_prompts_and_raters_cover_the_truth() -> None:
    assert 0.93 <= cover_of_prompts_and_raters(votes=False) <= 0.97
    # What is left of a vote varies more than prompts and raters do: Owen's own covers 0.98.
    assert 0.93 <= cover_of_prompts_and_raters(votes=True) <= 0.97


@patient
@given(answers)
def test_a_resampled_interval_holds_its_value_and_is_never_a_point(
    rows: list[tuple[float, int]],
) -> None:
    scores, prompts = columns(rows)
    found = resampled_win_rate(scores, prompts, rng=np.random.default_rng(0), resamples=50)
    assert 0 <= found.low <= found.value <= found.high <= 1
    won = resampled_win_rate(
        np.ones(len(rows)), prompts, rng=np.random.default_rng(0), resamples=50
    )
    assert won == win_rate(np.ones(len(rows)), prompts)


def test_many_prompts_are_drawn_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, prompts = np.tile([1.0, 0.0, 0.0], 40), np.repeat(range(40), 3)
    raters = np.tile(range(10), 12)
    whole = [
        resampled_win_rate(scores, prompts, raters=by, rng=np.random.default_rng(1), resamples=700)
        for by in (None, raters)
    ]
    monkeypatch.setattr("evaluation.chance.AT_ONCE", 1000)
    parts = [
        resampled_win_rate(scores, prompts, raters=by, rng=np.random.default_rng(1), resamples=700)
        for by in (None, raters)
    ]
    assert parts[0] == whole[0]
    assert (parts[1].low, parts[1].high) == pytest.approx((whole[1].low, whole[1].high), abs=0.02)
    exact = permutation_test(scores, prompts, rng=np.random.default_rng(1), draws=1500)
    assert 0 < exact < 0.01


def test_what_cannot_be_resampled_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 1"):
        resampled_win_rate([1, 0], ["p", "p"], rng=rng)
    with pytest.raises(TooLittleData, match="at least 2 of them; there is 1"):
        resampled_win_rate([1, 0], ["p", "q"], raters=["x", "x"], rng=rng)
    with pytest.raises(TooLittleData, match="3 prompts and 3 raters share too few votes"):
        resampled_win_rate([1, 0, 1], ["p", "q", "r"], raters=["x", "y", "z"], rng=rng)
    with pytest.raises(InvalidOption, match="confidence"):
        resampled_win_rate([1, 0], ["p", "q"], rng=rng, confidence=95)


# Several comparisons.


def test_the_correction_by_hand() -> None:
    # The smallest times 3; then the next times 2; the last times 1, but not below the one before.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1, 1])
    assert holm([]) == []
    with pytest.raises(InvalidData, match=r"between 0 and 1; got 1\.5"):
        holm([0.1, 1.5])
    with pytest.raises(InvalidData, match="got nan"):
        holm([0.1, math.nan])


@patient
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_correction_keeps_the_order(p_values: list[float]) -> None:
    found = holm(p_values)
    order = np.argsort(p_values)
    steps = [min(1.0, p_values[at] * (len(order) - step)) for step, at in enumerate(order)]
    assert [found[at] for at in order] == pytest.approx(np.maximum.accumulate(steps))
    assert all(before <= after for before, after in pairwise(found[at] for at in order))
    assert all(corrected >= p for corrected, p in zip(found, p_values, strict=True))


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_the_correction_is_that_of_statsmodels(count: int) -> None:
    p_values = np.random.default_rng(count).beta(0.3, 2, count).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
