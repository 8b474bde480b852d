"""Win rates for other prompts and raters at once: laws, values by hand, statsmodels, cover."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from evaluation.statistics import FEWEST_RATERS, clustered_mean, enough_raters, win_rate
from storage.errors import TooLittleData

patient = settings(deadline=None)  # a busy machine is no failure

Rows = list[tuple[float, int, int]]
votes = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 4), st.integers(0, 3)),
    min_size=2,
    max_size=50,
).filter(
    lambda rows: (
        len({prompt for _, prompt, _ in rows}) > 1 and len({rater for *_, rater in rows}) > 1
    )
)


def columns(rows: Rows) -> NDArray[np.float64]:
    return np.array(rows).T


@patient
@given(votes)
def test_it_is_never_narrower_than_by_prompts_alone(rows: Rows) -> None:
    scores, prompts, raters = columns(rows)
    one_way, two_way = win_rate(scores, prompts), win_rate(scores, prompts, raters=raters)
    assert (two_way.value, two_way.n) == (one_way.value, one_way.n)
    assert two_way.low <= one_way.low + 1e-12
    assert two_way.high >= one_way.high - 1e-12


@patient
@given(votes)
def test_the_two_policies_share_one_hundred_percent(rows: Rows) -> None:
    scores, prompts, raters = columns(rows)
    ours = win_rate(scores, prompts, raters=raters)
    theirs = win_rate(1 - scores, prompts, raters=raters)
    assert (ours.low, ours.high) == pytest.approx((1 - theirs.high, 1 - theirs.low))


@patient
@given(votes)
def test_votes_told_twice_change_nothing(rows: Rows) -> None:
    scores, prompts, raters = columns(rows)
    once = win_rate(scores, prompts, raters=raters)
    twice = win_rate(*np.tile([scores, prompts], 2), raters=np.tile(raters, 2))
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))


@patient
@given(votes, st.randoms(use_true_random=False))
def test_the_order_of_votes_and_all_names_do_not_matter(rows: Rows, random: object) -> None:
    scores, prompts, raters = columns(rows)
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = win_rate(scores, prompts, raters=raters)
    again = win_rate(
        [score for score, _, _ in shuffled],
        [f"prompt {prompt}" for _, prompt, _ in shuffled],
        raters=[f"rater {rater}" for *_, rater in shuffled],
    )
    assert (again.low, again.high) == pytest.approx((first.low, first.high))


@patient
@given(votes)
def test_raters_who_voted_once_each_say_nothing_of_raters(rows: Rows) -> None:
    scores, prompts, _ = columns(rows)
    alone = win_rate(scores, prompts, raters=range(len(rows)))
    expected = win_rate(scores, prompts)
    assert (alone.low, alone.high) == pytest.approx((expected.low, expected.high))


def test_three_raters_on_two_prompts_by_hand() -> None:
    # Wins 1 1 0 and 1 0 0, mean 1/2. Sums of deviations by prompt 1/2, -1/2: 2/1 * 1/2 = 1; by
    # rater 1, 0, -1: 3/2 * 2 = 3; by vote: 6/5 * 6/4 = 1.8. So V = (1 + 3 - 1.8) / 36, and t with
    # one degree of freedom at 75 % is tan(pi / 4) = 1.
    prompts, raters = np.repeat(["p", "q"], 3), np.tile(["x", "y", "z"], 2)
    found = win_rate([1, 1, 0, 1, 0, 0], prompts, raters=raters, confidence=0.5)
    reach = 2.2**0.5 / 6
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach))
    alone = win_rate([1, 1, 0, 1, 0, 0], prompts, confidence=0.5)
    assert alone.high == pytest.approx(0.5 + 1 / 6)


def test_where_the_sum_falls_short_the_prompts_stand() -> None:
    # Two prompts won, two lost, by all of four raters: nothing between raters, 4/3 * 4 * 4 = 64/3
    # between prompts, 16/15 * 4 = 64/15 between votes. Without the floor V would be 4/5 of this.
    scores, prompts = np.repeat([1, 1, 0, 0], 4), np.repeat(range(4), 4)
    found = clustered_mean(scores, prompts, raters=np.tile(range(4), 4), confidence=0.5)
    reach = (64 / 3) ** 0.5 / 16 * 0.7648923  # t with 3 degrees of freedom at 75 %, from tables
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach))


def test_the_fewer_of_prompts_and_raters_give_the_degrees_of_freedom() -> None:
    rng = np.random.default_rng(4)
    scores = rng.choice([0, 1], size=300)
    prompts, raters = np.repeat(range(100), 3), np.tile(range(3), 100)
    wide, narrow = (win_rate(scores, prompts, raters=raters, confidence=c) for c in (0.9, 0.5))
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    # t with 2 degrees of freedom: 2.919986 at 95 % over 0.816497 at 75 %.
    assert ratio == pytest.approx(2.919986 / 0.816497, rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_variance_is_that_of_statsmodels_for_two_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prompts, raters = rng.integers(20, size=200), rng.integers(9, size=200)
    taste, ease = rng.normal(0, 0.5, 9), rng.normal(0, 0.5, 20)
    scores = (taste[raters] + ease[prompts] + rng.normal(size=200) > 0).astype(float)
    fitted = sm.OLS(scores, np.ones(200)).fit()
    both, by_prompt, _ = cov_cluster_2groups(fitted, prompts, raters)
    assert both[0, 0] > by_prompt[0, 0]
    reach = stats.t.ppf(0.975, df=8) * both[0, 0] ** 0.5
    found = win_rate(scores, prompts, raters=raters)
    assert (found.low, found.high) == pytest.approx((scores.mean() - reach, scores.mean() + reach))


def test_eight_raters_of_one_mind_leave_more_room_than_twenty_prompts() -> None:
    # 1 - 0.025 ** (1 / 8) = 0.3694167: Clopper and Pearson with none of eight.
    scores, prompts, raters = np.ones(160), np.repeat(range(20), 8), np.tile(range(8), 20)
    assert win_rate(scores, prompts, raters=raters).low == pytest.approx(1 - 0.3694167)


def studies(raters: int, *, prompts: int = 30, count: int = 1000) -> tuple[float, float]:
    """How often intervals by prompts and raters, and by prompts alone, hold a win rate of 0.6.

    Prompts and raters move the chance of a win by up to 0.2 each.
    """
    rng = np.random.default_rng(6)
    prompt, rater = np.repeat(range(prompts), raters), np.tile(range(raters), prompts)
    hits = np.zeros(2)
    for _ in range(count):
        chance = 0.6 + rng.uniform(-0.2, 0.2, prompts)[prompt]
        chance += rng.uniform(-0.2, 0.2, raters)[rater]
        scores = (rng.random(prompts * raters) < chance).astype(float)
        for place, by in enumerate((rater, None)):
            found = win_rate(scores, prompt, raters=by)
            hits[place] += found.low <= 0.6 <= found.high
    return hits[0] / count, hits[1] / count


def test_intervals_cover_the_truth_where_prompts_alone_do_not() -> None:
    two_way, by_prompt = studies(raters=20)
    assert 0.93 <= two_way <= 0.97
    assert by_prompt < 0.9


def test_eight_raters_are_enough_to_cover_the_truth() -> None:
    two_way, _ = studies(raters=FEWEST_RATERS)
    assert 0.93 <= two_way <= 0.97


def test_raters_are_counted_by_name() -> None:
    assert not enough_raters(["a"] * 100 + list("bcdefg"))
    assert enough_raters(list("abcdefgh"))
    assert not enough_raters([])


def test_what_cannot_be_said_of_raters_is_refused() -> None:
    with pytest.raises(TooLittleData, match="other raters needs judgements of at least 2 of them"):
        win_rate([1, 0], ["p", "q"], raters=["x", "x"])
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 1"):
        win_rate([1, 0], ["p", "p"], raters=["x", "y"])
    with pytest.raises(ValueError, match=r"different lengths: \[2, 3\]"):
        win_rate([1, 0], ["p", "q"], raters=["x", "y", "z"])
