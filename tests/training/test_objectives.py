"""Laws, golden values and second implementations of the losses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training import objectives

patient = settings(deadline=None)  # a busy machine is no failure

logits = st.floats(-15, 15)
steps3 = st.lists(st.floats(-4, 4), min_size=3, max_size=3)
steps6 = st.lists(st.floats(-4, 4), min_size=6, max_size=6)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_bradley_terry_equals_the_value_worked_out_by_hand() -> None:
    # d = 1: -log s(1) = log(1 + e^-1) = 0.3132617; a tie is half of d = 1 and half of d = -1:
    # (0.3132617 + 1.3132617) / 2 = 0.8132617; rewards that are equal cost log 2.
    loss = objectives.preference_loss(double(1, 1, 2), double(0, 0, 2), double(1, 0.5, 0))
    assert loss.tolist() == pytest.approx([0.3132616875, 0.8132616875, math.log(2)], abs=1e-10)


def test_graded_comparisons_equal_the_value_worked_out_by_hand() -> None:
    # kappa = 1, 2, 3 and mirrored; right is better by 1.5.
    # "right slightly better" lies between 1 and 2: s(2 - 1.5) - s(1 - 1.5)
    #   = 0.6224593 - 0.3775407 = 0.2449187, minus its log 1.4068291.
    # "left much better" lies below -3: s(-3 - 1.5) = 0.0109869, minus its log 4.5110477.
    kappa = double(-3, -2, -1, 1, 2, 3)
    loss = objectives.ordinal_comparison_loss(
        double(0, 0), double(1.5, 1.5), torch.tensor([1, -3]), kappa
    )
    assert loss.tolist() == pytest.approx([1.4068291, 4.5110477], abs=1e-6)


def test_ratings_equal_the_value_worked_out_by_hand() -> None:
    # tau = -2, -1, 0, 1, 2, 3 and u = 0.5: a 4 lies between 0 and 1, s(0.5) - s(-0.5) = 0.2449187,
    # a 5 between 1 and 2, s(1.5) - s(0.5) = 0.8175745 - 0.6224593 = 0.1951151.
    tau = double(-2, -1, 0, 1, 2, 3)
    loss = objectives.ordinal_rating_loss(double(0.5, 0.5, 0.5), double(4, 5, 4.25), tau)
    four, five = 1.4068291, 1.6341654
    assert loss.tolist() == pytest.approx([four, five, 0.75 * four + 0.25 * five], abs=1e-6)


def test_squared_error_is_in_rating_points() -> None:
    loss = objectives.squared_error(double(1, -2), double(7, 3), torch.tensor(4.0))
    assert loss.tolist() == [4.0, 1.0]


@patient
@given(logits, logits, st.floats(0, 1))
def test_bradley_terry_does_not_care_which_response_is_named_first(
    first: float, second: float, p: float
) -> None:
    one = objectives.preference_loss(double(first), double(second), double(p))
    other = objectives.preference_loss(double(second), double(first), double(1 - p))
    assert float(one) == pytest.approx(float(other), abs=1e-9)


@patient
@given(logits, logits, st.integers(-3, 3), steps3)
def test_graded_comparisons_do_not_care_which_side_a_response_stood_on(
    left: float, right: float, choice: int, steps: list[float]
) -> None:
    kappa = objectives.symmetric_thresholds(double(*steps))
    one = objectives.ordinal_comparison_loss(
        double(left), double(right), torch.tensor([choice]), kappa
    )
    other = objectives.ordinal_comparison_loss(
        double(right), double(left), torch.tensor([-choice]), kappa
    )
    assert float(one) == pytest.approx(float(other), rel=1e-9)


@patient
@given(logits, logits, logits, st.integers(-3, 3), steps3)
def test_comparisons_only_see_the_difference_of_rewards(
    left: float, right: float, shift: float, choice: int, steps: list[float]
) -> None:
    kappa = objectives.symmetric_thresholds(double(*steps))
    said = torch.tensor([choice])
    one = objectives.ordinal_comparison_loss(double(left), double(right), said, kappa)
    moved = objectives.ordinal_comparison_loss(
        double(left + shift), double(right + shift), said, kappa
    )
    assert float(one) == pytest.approx(float(moved), rel=1e-6)


@patient
@given(logits, steps6)
def test_the_chances_of_all_categories_add_up_to_one(x: float, steps: list[float]) -> None:
    tau = objectives.ordered_thresholds(double(*steps))
    categories = torch.arange(7)
    losses = objectives.ordinal_loss(double(*[x] * 7), categories, tau)
    assert float(torch.exp(-losses).sum()) == pytest.approx(1, abs=1e-9)


@patient
@given(st.floats(-4, 4), st.integers(0, 6), steps6)
def test_agrees_with_the_difference_of_two_logistic_functions(
    x: float, category: int, steps: list[float]
) -> None:
    tau = objectives.ordered_thresholds(double(*steps))
    borders = [-math.inf, *tau.tolist(), math.inf]
    high, low = (
        1 / (1 + math.exp(x - border)) for border in (borders[category + 1], borders[category])
    )
    loss = objectives.ordinal_loss(double(x), torch.tensor([category]), tau)
    assert math.exp(-float(loss)) == pytest.approx(high - low, rel=1e-6, abs=1e-12)


def test_two_steps_are_bradley_terry() -> None:
    difference = torch.linspace(-5, 5, 11, dtype=torch.float64)
    one_threshold = double(0.0)
    right_better = objectives.ordinal_loss(
        difference, torch.ones(11, dtype=torch.long), one_threshold
    )
    expected = objectives.preference_loss(
        difference, torch.zeros_like(difference), torch.ones(11).double()
    )
    torch.testing.assert_close(right_better, expected)


@patient
@given(steps6)
def test_thresholds_are_in_order_whatever_the_parameters(steps: list[float]) -> None:
    tau = objectives.ordered_thresholds(double(*steps))
    kappa = objectives.symmetric_thresholds(double(*steps[:3]))
    assert (tau.diff() > 0).all()
    assert (kappa.diff() > 0).all()
    torch.testing.assert_close(kappa, -kappa.flip(0))


def test_far_away_rewards_keep_a_finite_loss_and_gradient() -> None:
    reward = torch.tensor([-300.0, 300.0, 300.0], requires_grad=True)
    tau = objectives.ordered_thresholds(torch.tensor([-2.0, 0, 0, 0, 0, 0]))
    loss = objectives.ordinal_rating_loss(reward, torch.tensor([7.0, 1.0, 3.5]), tau)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert reward.grad is not None
    # Far away the loss is a straight line of slope 1: a gradient that vanished could not recover.
    assert reward.grad.tolist() == pytest.approx([-1, 1, 1])


def test_gradients_equal_finite_differences() -> None:
    def preference(first: Tensor, second: Tensor) -> Tensor:
        return objectives.preference_loss(first, second, double(1, 0, 0.5, 0.5, 1, 0, 1))

    def comparisons(left: Tensor, right: Tensor, steps: Tensor) -> Tensor:
        kappa = objectives.symmetric_thresholds(steps)
        return objectives.ordinal_comparison_loss(left, right, torch.arange(-3, 4), kappa)

    def ratings(reward: Tensor, steps: Tensor) -> Tensor:
        rating = double(1, 2.5, 3, 4.75, 5, 6, 7)
        return objectives.ordinal_rating_loss(reward, rating, objectives.ordered_thresholds(steps))

    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 7, dtype=torch.float64, generator=generator).requires_grad_()
    steps = torch.randn(6, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(preference, (one, other))
    assert torch.autograd.gradcheck(comparisons, (one, other, steps[:3]))
    assert torch.autograd.gradcheck(ratings, (one, steps))


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one value per judgement"):
        objectives.preference_loss(torch.zeros(3), torch.zeros(3, 1), torch.zeros(3))
