"""Laws and values of calibration: one number for the error, and the curve behind it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from evaluation.statistics import CalibrationBin, calibration_curve, calibration_error
from storage.errors import TooLittleData

patient = settings(deadline=None)  # a busy machine is no failure


def test_calibration_error_by_hand() -> None:
    # 40 comparisons at 0.9 of which 30 were won, 40 at 0.4 (that is 0.6 for the other side) of
    # which 24 went to the other side: gaps 0.15 and 0.
    chance = np.repeat([0.9, 0.4], 40)
    outcome = np.concatenate([np.repeat([1, 0], [30, 10]), np.repeat([0, 1], [24, 16])])
    order = np.random.default_rng(0).permutation(80)
    error = calibration_error(chance[order], outcome[order], bins=2)
    assert error == pytest.approx(0.075)


@patient
@given(st.integers(0, 2**32 - 1))
def test_calibration_does_not_depend_on_sides_or_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few different probabilities, so that equal ones lie across the borders of bins.
    chance, outcome = rng.integers(7, size=90) / 6, rng.integers(2, size=90)
    order = np.argsort(outcome)
    assert calibration_error(chance[order], outcome[order]) == pytest.approx(
        calibration_error(chance, outcome)
    )
    turned = rng.random(90) < 0.5
    error = calibration_error(chance, outcome)
    assert 0 <= error <= 1
    assert error == pytest.approx(
        calibration_error(
            np.where(turned, 1 - chance, chance), np.where(turned, 1 - outcome, outcome)
        )
    )


def test_a_calibrated_judge_has_a_small_calibration_error_and_a_boastful_one_does_not() -> None:
    rng = np.random.default_rng(5)
    chance = rng.random(20_000)
    outcome = rng.random(20_000) < chance
    assert calibration_error(chance, outcome) < 0.02
    assert calibration_error(np.where(chance > 0.5, 0.99, 0.01), outcome) > 0.2
    assert calibration_error(np.full(20_000, 0.5), outcome) == 0


def test_calibration_needs_twenty_comparisons() -> None:
    with pytest.raises(TooLittleData, match="at least 20 decided comparisons; there are 19"):
        calibration_error(np.full(19, 0.5), np.ones(19))


def curve(
    chance: NDArray[np.float64], outcome: NDArray[np.int_], bins: int = 10
) -> list[CalibrationBin]:
    """Every comparison is of a prompt of its own."""
    return calibration_curve(chance, outcome, prompts=np.arange(len(chance)), bins=bins)


def test_a_calibration_curve_by_hand() -> None:
    # As above, in the order of certainty. Standard deviation of 24 wins in 40: sqrt(0.24 * 40/39)
    # = 0.4961389, over sqrt(40) 0.0784465; t(39, 0.975) = 2.0226909.
    chance = np.repeat([0.9, 0.4], 40)
    outcome = np.concatenate([np.repeat([1, 0], [30, 10]), np.repeat([0, 1], [24, 16])])
    unsure, sure = curve(chance, outcome, bins=2)
    assert (unsure.predicted, sure.predicted) == pytest.approx((0.6, 0.9))
    assert (unsure.observed.value, sure.observed.value) == (0.6, 0.75)
    assert (unsure.observed.n, sure.observed.n) == (40, 40)
    reach = 2.0226909 * 0.0784465
    assert (unsure.observed.low, unsure.observed.high) == pytest.approx(
        (0.6 - reach, 0.6 + reach), abs=1e-6
    )


@patient
@given(st.integers(0, 2**32 - 1))
def test_equal_probabilities_stand_in_one_bin_and_every_comparison_in_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance, outcome = rng.integers(7, size=90) / 6, rng.integers(2, size=90)
    found = curve(chance, outcome)
    assert sum(one.observed.n for one in found) == 90
    stated = [one.predicted for one in found]
    assert stated == sorted(set(stated))
    turned = rng.random(90) < 0.5
    order = rng.permutation(90)
    again = curve(
        np.where(turned, 1 - chance, chance)[order], np.where(turned, 1 - outcome, outcome)[order]
    )
    for one, other in zip(found, again, strict=True):
        assert one.observed.value == pytest.approx(other.observed.value)
        assert one.observed.n == other.observed.n
        assert one.predicted == pytest.approx(other.predicted)


@patient
@given(st.integers(0, 2**32 - 1), st.integers(20, 300))
def test_the_error_is_the_mean_distance_of_the_curve_from_the_diagonal(
    seed: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    chance, outcome = rng.random(size), rng.integers(2, size=size)
    found = curve(chance, outcome)
    assert all(one.observed.n >= 20 for one in found)
    distance = sum(one.observed.n * abs(one.observed.value - one.predicted) for one in found)
    assert distance / size == pytest.approx(calibration_error(chance, outcome))


def test_prompts_not_comparisons_are_the_independent_unit_of_a_curve() -> None:
    rng = np.random.default_rng(3)
    chance, outcome = np.full(60, 0.7), rng.integers(2, size=60)
    (alone,) = curve(chance, outcome)
    (copied,) = calibration_curve(
        np.tile(chance, 5), np.tile(outcome, 5), prompts=np.tile(np.arange(60), 5)
    )
    assert (copied.observed.low, copied.observed.high) == pytest.approx(
        (alone.observed.low, alone.observed.high)
    )
    expected = stats.ttest_1samp(outcome, 0).confidence_interval()
    assert alone.observed.low == pytest.approx(expected.low)
    (one_prompt,) = calibration_curve(chance, outcome, prompts=np.zeros(60))
    assert (one_prompt.observed.low, one_prompt.observed.high) == (0, 1)


def test_a_curve_needs_twenty_comparisons() -> None:
    with pytest.raises(TooLittleData, match="at least 20 decided comparisons; there are 19"):
        curve(np.full(19, 0.5), np.ones(19, dtype=int))
