"""What goes with length is taken out of rewards, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from training.rewards.verbosity import rank_correlation, verbosity_slope

patient = settings(deadline=None, max_examples=30)


def drawn(seed: int, answers: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    verbosity = rng.normal(size=answers)
    return rng.normal() * verbosity + rng.normal(size=answers), verbosity


@patient
@given(st.integers(0, 10_000), st.integers(3, 80))
def test_nothing_is_left_that_goes_with_length(seed: int, answers: int) -> None:
    rewards, verbosity = drawn(seed, answers)
    slope = verbosity_slope(rewards, verbosity)
    left = stats.spearmanr(rewards - slope * verbosity, verbosity).statistic
    assert abs(left) <= 12 / answers**2


@patient
@given(st.integers(0, 10_000), st.integers(3, 40))
def test_the_more_is_taken_out_the_lower_the_correlation(seed: int, answers: int) -> None:
    rewards, verbosity = drawn(seed, answers)
    left = [
        stats.spearmanr(rewards - slope * verbosity, verbosity).statistic
        for slope in np.linspace(-3, 3, 25)
    ]
    assert (np.diff(left) <= 1e-12).all()


def test_the_slope_is_in_units_of_the_rewards() -> None:
    rewards, verbosity = drawn(0, 200)
    slope = verbosity_slope(rewards, verbosity)
    assert verbosity_slope(3 * rewards + 5, verbosity) == pytest.approx(3 * slope, rel=1e-6)
    assert verbosity_slope(rewards + 2 * verbosity, verbosity) == pytest.approx(slope + 2, rel=1e-6)


def test_small_cases_by_hand() -> None:
    # Between these slopes the ranks do not change: 0, 3 - s, -2 s has ranks 2, 3, 1 for 0 < s < 3
    # (correlation -1/2) and 1, 3, 2 for s < 0 (+1/2); at 0 the outer two tie and it is 0.
    assert verbosity_slope(np.array([0.0, 3.0, 0.0]), np.array([0.0, 1.0, 2.0])) == 0
    # Nothing but length: with all of it gone nothing is left.
    lengths = np.array([1.0, 2.0, 4.0, 8.0])
    slope = verbosity_slope(2 * lengths, lengths)
    np.testing.assert_allclose(2 * lengths - slope * lengths, 0, atol=1e-6)


def test_equal_lengths_or_equal_rewards_leave_nothing_to_take_out() -> None:
    varied, same = np.arange(5.0), np.ones(5)
    assert verbosity_slope(varied, same) == 0
    assert verbosity_slope(same, varied) == 0
    assert rank_correlation(varied, same) is None


@patient
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_the_rank_correlation_is_that_of_scipy_ties_included(
    values: list[tuple[int, int]],
) -> None:
    first, second = (np.array(one) for one in zip(*values, strict=True))
    found = rank_correlation(first, second)
    if found is None:
        assert len(set(first)) == 1 or len(set(second)) == 1
    else:
        assert found == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
