"""Laws that win rates and accuracies must obey, whatever the answers, and their textbook values."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from evaluation.statistics import (
    Estimate,
    clustered_mean,
    hidden_share,
    pair_accuracy,
    position_bias,
    weighted_sum,
    win_rate,
)
from storage.errors import InvalidData, InvalidOption, TooLittleData

patient = settings(deadline=None)  # a busy machine is no failure

answers = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=2, max_size=60
).filter(lambda rows: len({prompt for _, prompt in rows}) > 1)


def columns(rows: list[tuple[float, int]]) -> NDArray[np.float64]:
    return np.array(rows).T


@patient
@given(answers)
def test_the_two_policies_of_a_study_share_one_hundred_percent(
    rows: list[tuple[float, int]],
) -> None:
    scores, prompts = columns(rows)
    ours, theirs = win_rate(scores, prompts), win_rate(1 - scores, prompts)
    assert ours.value + theirs.value == pytest.approx(1)
    assert (ours.low, ours.high) == pytest.approx((1 - theirs.high, 1 - theirs.low))


@patient
@given(answers)
def test_asking_everybody_twice_changes_nothing(rows: list[tuple[float, int]]) -> None:
    scores, prompts = columns(rows)
    once, twice = win_rate(scores, prompts), win_rate(np.tile(scores, 2), np.tile(prompts, 2))
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))


@patient
@given(answers, st.randoms(use_true_random=False))
def test_the_order_and_the_names_of_the_prompts_do_not_matter(
    rows: list[tuple[float, int]], random: object
) -> None:
    scores, prompts = columns(rows)
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = win_rate([score for score, _ in shuffled], [f"prompt {p}" for _, p in shuffled])
    first = win_rate(scores, prompts)
    assert (again.value, again.low, again.high) == pytest.approx(
        (first.value, first.low, first.high)
    )


@patient
@given(answers)
def test_an_interval_holds_its_value_and_is_never_a_point(rows: list[tuple[float, int]]) -> None:
    estimate = win_rate(*columns(rows))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high - estimate.low > 0.01
    assert estimate.n == len(rows)


@patient
@given(answers, st.floats(0.5, 0.98))
def test_more_confidence_takes_a_wider_interval(
    rows: list[tuple[float, int]], confidence: float
) -> None:
    narrow = win_rate(*columns(rows), confidence=confidence)
    wide = win_rate(*columns(rows), confidence=confidence + 0.01)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


def test_matches_student_when_every_prompt_is_answered_once() -> None:
    # Mean 3/4 and every deviation 1/4, so s / sqrt(n) = sqrt(2/7) / (2 sqrt(8)) = 0.0944911;
    # t(7, 0.975) = 2.3646243 from tables.
    estimate = win_rate([1, 0.5, 0.5, 1, 0.5, 1, 0.5, 1], prompts=range(8))
    assert estimate.value == 0.75
    assert (estimate.low, estimate.high) == pytest.approx((0.5265640, 0.9734360), abs=1e-6)


def test_prompts_with_unequal_numbers_of_answers_are_clustered() -> None:
    # Six answers, mean 7/12. Sums of deviations by prompt: 2 - 21/12 = 1/4, 0 - 7/12 = -7/12 and
    # 3/2 - 14/12 = 1/3; their squares add to 74/144. se = sqrt(74/144 * 3/2) / 6 = 0.1463284, and
    # t(2, 0.75) = 0.8164966 from tables.
    estimate = win_rate([1, 1, 0, 0, 1, 0.5], ["a", "a", "a", "b", "c", "c"], confidence=0.5)
    assert estimate.value == pytest.approx(7 / 12)
    reach = 0.8164966 * 0.1463284
    assert (estimate.low, estimate.high) == pytest.approx((7 / 12 - reach, 7 / 12 + reach))


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_that_of_a_regression_on_a_constant_with_clustered_errors(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    prompts = rng.integers(12, size=80)
    scores = rng.choice([0, 0.5, 1], size=80)
    model = sm.OLS(scores, np.ones(80)).fit(
        cov_type="cluster", cov_kwds={"groups": prompts}, use_t=True
    )
    (low, high), estimate = model.conf_int()[0], win_rate(scores, prompts)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_twenty_prompts_all_won_leave_room_for_seventeen_percent_unlike_them() -> None:
    # 1 - 0.025 ** (1 / 20) = 0.1684335: Clopper and Pearson with none of twenty.
    for votes in (1, 9):
        won = win_rate(np.ones(20 * votes), np.repeat(np.arange(20), votes))
        assert (won.value, won.low, won.high) == pytest.approx((1, 1 - 0.1684335, 1))
    tied = win_rate(np.full(20, 0.5), range(20))
    assert (tied.low, tied.high) == pytest.approx((0.5 - 0.0842167, 0.5 + 0.0842167))


def test_a_single_tie_among_wins_does_not_make_the_interval_narrower() -> None:
    won = win_rate(np.ones(20), range(20))
    one_tie = win_rate([*np.ones(19), 0.5], range(20))
    one_loss = win_rate([*np.ones(19), 0], range(20))
    assert one_loss.low <= one_tie.low <= won.low


def test_a_prompt_that_is_always_a_draw_within_itself_is_no_certainty() -> None:
    # One win and one loss at each of ten prompts: the clustered error is exactly zero.
    estimate = win_rate(np.tile([0, 1], 10), np.repeat(np.arange(10), 2))
    reach = 0.5 * (1 - 0.025 ** (1 / 10))
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - reach, 0.5 + reach))


@pytest.mark.parametrize(("units", "seen"), [(20, 0), (20, 1), (3, 1), (400, 7)])
def test_the_hidden_share_is_clopper_and_pearsons_upper_end(units: int, seen: int) -> None:
    _, high = proportion_confint(seen, units, alpha=0.05, method="beta")
    assert hidden_share(units, seen=seen) == pytest.approx(high)


def test_intervals_cover_the_truth_for_votes_clustered_by_prompt() -> None:
    # 30 prompts, 6 votes each; a prompt's own win rate is Beta(3, 2), so the truth is 0.6. With
    # 2,000 studies the standard error of the coverage is half a point; 4 of them make the band.
    rng = np.random.default_rng(11)
    prompts = np.repeat(np.arange(30), 6)
    covered = 0
    for _ in range(2000):
        own = np.repeat(rng.beta(3, 2, size=30), 6)
        estimate = win_rate((rng.random(180) < own).astype(float), prompts)
        covered += estimate.low <= 0.6 <= estimate.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_one_prompt_is_not_a_study() -> None:
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 1"):
        win_rate([1, 0], prompts=["p", "p"])
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 0"):
        win_rate([], prompts=[])


def test_scores_that_are_no_scores_are_refused() -> None:
    with pytest.raises(InvalidData, match="1 of 2 scores are not numbers"):
        win_rate([1, np.nan], prompts=["p", "q"])
    with pytest.raises(InvalidData, match="reach from 0 to 2"):
        win_rate([0, 2], prompts=["p", "q"])
    with pytest.raises(InvalidOption, match=r"confidence: must lie strictly.*\(got 95\)"):
        win_rate([1, 0], prompts=["p", "q"], confidence=95)
    with pytest.raises(ValueError, match=r"different lengths: \[2, 3\]"):
        win_rate([1, 0], prompts=["p", "q", "r"])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        win_rate([[1, 0]], prompts=["p"])
    with pytest.raises(ValueError, match=r"one label per judgement; got shape \(1, 2\)"):
        win_rate([1], prompts=[["p", "q"]])


def test_an_estimate_is_read_as_percent_and_carried_as_fractions() -> None:
    estimate = Estimate(0.634, 0.551, 0.709, 0.95, 180)
    assert str(estimate) == "63 % [55, 71]"
    assert estimate.as_json() == {
        "value": 0.634,
        "low": 0.551,
        "high": 0.709,
        "confidence": 0.95,
        "n": 180,
    }
    with pytest.raises(InvalidData, match="finite"):
        Estimate(float("nan"), 0, 1, 0.95, 3)


comparisons = st.lists(
    st.tuples(
        st.integers(-4, 4), st.integers(-4, 4), st.sampled_from([-3, -1, 0, 2]), st.integers(0, 4)
    ),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({prompt for *_, choice, prompt in rows if choice}) > 1)


@patient
@given(comparisons)
def test_swapping_the_sides_leaves_the_accuracy_alone(
    rows: list[tuple[int, int, int, int]],
) -> None:
    left, right, choice, prompts = np.array(rows).T
    seen = pair_accuracy(left, right, choice, prompts=prompts)
    mirrored = pair_accuracy(right, left, -choice, prompts=prompts)
    wrong_way = pair_accuracy(-left, -right, choice, prompts=prompts)
    assert mirrored == seen
    assert wrong_way.value == pytest.approx(1 - seen.value)
    assert seen.n == (choice != 0).sum()


def test_pair_accuracy_by_hand() -> None:
    # Right, wrong, cannot tell (half), and a tie that has no right answer: 1.5 of 3.
    estimate = pair_accuracy(
        [2, 2, 1, 9], [1, 1, 1, 0], [-1, 3, 2, 0], prompts=["a", "b", "c", "d"]
    )
    assert estimate.value == pytest.approx(0.5)
    assert estimate.n == 3


def test_pair_accuracy_needs_decided_comparisons() -> None:
    with pytest.raises(TooLittleData, match="Pair accuracy needs judgements of at least 2 prompts"):
        pair_accuracy([1, 2], [2, 1], [0, 0], prompts=["a", "b"])


@patient
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=80).filter(any))
def test_position_bias_mirrors_and_matches_wilson(choices: list[int]) -> None:
    left = position_bias(choices)
    right = position_bias([-choice for choice in choices])
    assert left.value + right.value == pytest.approx(1)
    assert (left.low, left.high) == pytest.approx((1 - right.high, 1 - right.low))
    decided = [choice for choice in choices if choice]
    low, high = proportion_confint(
        sum(choice < 0 for choice in decided), len(decided), method="wilson"
    )
    assert (left.low, left.high) == pytest.approx((low, high))


def test_position_bias_by_hand() -> None:
    # 7 of 10: (0.7 + z²/20 ± z sqrt(0.021 + z²/400)) / (1 + z²/10) with z = 1.959964.
    bias = position_bias([-1] * 7 + [1] * 3 + [0] * 5)
    assert (bias.value, bias.n) == (0.7, 10)
    assert (bias.low, bias.high) == pytest.approx((0.396778, 0.892209), abs=1e-6)
    with pytest.raises(TooLittleData, match="at least 1 decided"):
        position_bias([0, 0])


def test_a_mean_may_have_other_bounds_than_a_share() -> None:
    difference = clustered_mean([-1, 0, 1, 1, 0, 1], range(6), bounds=(-1, 1))
    expected = stats.ttest_1samp([-1, 0, 1, 1, 0, 1], 0).confidence_interval()
    assert (difference.low, difference.high) == pytest.approx((expected.low, 1))
    certain = clustered_mean(np.zeros(20), range(20), bounds=(-1, 1))
    assert (certain.low, certain.high) == pytest.approx((-0.1684335, 0.1684335))


def test_a_weighted_sum_by_hand() -> None:
    # Each end from the distances of its own side: sqrt(0.1^2 + 0.1^2) and sqrt(0.05^2 + 0.05^2).
    first, second = Estimate(0.8, 0.7, 0.85, 0.95, 60), Estimate(0.6, 0.55, 0.7, 0.95, 40)
    found = weighted_sum([(1, first), (-1, second)])
    expected = (0.2, 0.2 - 0.1414214, 0.2 + 0.0707107)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-6)
    assert (found.confidence, found.n) == (0.95, 100)
    mean = weighted_sum([(0.75, first), (0.25, second)])
    assert mean.value == pytest.approx(0.75)
    assert mean.value - mean.low == pytest.approx(np.hypot(0.075, 0.0125))


def test_a_difference_of_shares_has_newcombes_interval() -> None:
    # Newcombe's hybrid score interval is this rule with Wilson's intervals for the two shares.
    shares = [
        Estimate(won / asked, *proportion_confint(won, asked, method="wilson"), 0.95, asked)
        for won, asked in ((56, 70), (48, 80))
    ]
    found = weighted_sum([(1, shares[0]), (-1, shares[1])])
    expected = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    assert (found.low, found.high) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0.1, 2), st.floats(0, 1), st.floats(0, 0.3)), min_size=1))
def test_a_weighted_sum_holds_its_value_and_turns_round_with_its_weights(
    parts: list[tuple[float, float, float]],
) -> None:
    terms = [(w, Estimate(v, v - reach, v + 2 * reach, 0.95, 5)) for w, v, reach in parts]
    found = weighted_sum(terms)
    turned = weighted_sum([(-weight, each) for weight, each in terms])
    assert found.low <= found.value <= found.high
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )
