"""PPO's formulas against values worked out by hand, laws, and second implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training import ppo_objectives as ppo

EVERYWHERE = torch.ones(1, 3, dtype=torch.bool)
numbers = st.floats(-3, 3, width=32)
patient = settings(deadline=None)  # the first call of an operation in torch may take seconds


def tensor(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@st.composite
def episodes(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, values and mask of some episodes, with rubbish outside the mask."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    shape = len(lengths), max(lengths)
    size = shape[0] * shape[1]
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    rewards, values = (
        torch.tensor(draw(st.lists(numbers, min_size=size, max_size=size))).double().reshape(shape)
        for _ in range(2)
    )
    return rewards, values, mask


# --- divergence and entropy -----------------------------------------------------------------------


def test_divergence_estimates_by_hand() -> None:
    policy, reference = tensor(math.log(0.5)), tensor(math.log(0.25))
    assert ppo.kl_k1(policy, reference).item() == pytest.approx(math.log(2))
    # r = 1/2, so r - 1 - log r = -0.5 + 0.693147.
    assert ppo.kl_k3(policy, reference).item() == pytest.approx(0.1931472, abs=1e-7)


@patient
@given(st.lists(numbers, min_size=2, max_size=6), st.data())
def test_both_estimates_are_unbiased_and_the_third_is_never_negative(
    first: list[float], data: st.DataObject
) -> None:
    second = data.draw(st.lists(numbers, min_size=len(first), max_size=len(first)))
    policy, reference = (tensor(*logits).log_softmax(-1) for logits in (first, second))
    exact = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=policy),
        torch.distributions.Categorical(logits=reference),
    ).item()
    for estimate in (ppo.kl_k1, ppo.kl_k3):
        mean = (policy.exp() * estimate(policy, reference)).sum().item()
        assert mean == pytest.approx(exact, abs=1e-9)
    assert (ppo.kl_k3(policy, reference) >= -1e-12).all()


@patient
@given(st.lists(numbers, min_size=2, max_size=6), st.data())
def test_which_way_an_estimate_pulls_when_it_is_priced_in_a_reward(
    first: list[float], data: st.DataObject
) -> None:
    """The pull is E[estimate * gradient of log policy], as no gradient flows through a reward."""
    second = data.draw(st.lists(numbers, min_size=len(first), max_size=len(first)))
    logits = tensor(*first).requires_grad_()
    policy, reference = logits.log_softmax(-1), tensor(*second).log_softmax(-1)
    forward = (policy.exp() * (policy - reference)).sum()
    backward = (reference.exp() * (reference - policy)).sum()
    exact, other = (
        torch.autograd.grad(kl, logits, retain_graph=True)[0] for kl in (forward, backward)
    )
    for estimate, expected in ((ppo.kl_k1, exact), (ppo.kl_k3, exact - other)):
        price = estimate(policy, reference).detach()
        pull = torch.autograd.grad(
            (policy.exp().detach() * price * policy).sum(), logits, retain_graph=True
        )[0]
        torch.testing.assert_close(pull, expected, atol=1e-9, rtol=1e-9)


def test_log_probability_and_entropy_by_hand() -> None:
    logits = tensor([0.0, math.log(3)], [5.0, 5.0])
    log_probabilities = ppo.token_log_probabilities(logits, torch.tensor([1, 0]))
    assert log_probabilities.tolist() == pytest.approx([math.log(0.75), math.log(0.5)])
    # -(1/4 log 1/4 + 3/4 log 3/4) and log 2.
    assert ppo.entropy(logits).tolist() == pytest.approx([0.5623351, 0.6931472], abs=1e-7)


# --- rewards and advantages -----------------------------------------------------------------------


def test_the_score_comes_on_the_last_token_and_the_penalty_on_each() -> None:
    kl = tensor([0.5, 0.25, 9.0], [1.0, 9.0, 9.0])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    rewards = ppo.shaped_rewards(torch.tensor([2.0, -1.0]), kl, 0.1, mask)
    assert rewards.tolist() == [
        pytest.approx([-0.05, 1.975, 0.0]),
        pytest.approx([-1.1, 0.0, 0.0]),
    ]


def test_advantages_by_hand() -> None:
    rewards, values = tensor([0.0, 0.0, 1.0]), tensor([0.5, 0.6, 0.7])
    # gamma 1, lambda 1/2: deltas .1 .1 .3; A = .3, .1 + .15, .1 + .125.
    first = ppo.advantages(rewards, values, EVERYWHERE, gamma=1, lam=0.5)
    assert first[0].tolist() == pytest.approx([0.225, 0.25, 0.3])
    # gamma .9: deltas .04 .03 .3; A = .3, .03 + .45 * .3, .04 + .45 * .165.
    second = ppo.advantages(rewards, values, EVERYWHERE, gamma=0.9, lam=0.5)
    assert second[0].tolist() == pytest.approx([0.11425, 0.165, 0.3])


@patient
@given(episodes(), st.floats(0, 1), st.floats(0, 1))
def test_advantages_equal_the_discounted_sum_of_surprises(
    drawn: tuple[Tensor, Tensor, Tensor], gamma: float, lam: float
) -> None:
    rewards, values, mask = drawn
    ours = ppo.advantages(rewards, values, mask, gamma=gamma, lam=lam)
    assert (ours[~mask] == 0).all()
    for row in range(len(mask)):
        length = int(mask[row].sum())
        r, v = rewards[row, :length].numpy(), np.append(values[row, :length].numpy(), 0.0)
        delta = r + gamma * v[1:] - v[:-1]
        for t in range(length):
            expected = sum((gamma * lam) ** k * delta[t + k] for k in range(length - t))
            assert ours[row, t].item() == pytest.approx(expected, abs=1e-9)


@patient
@given(episodes())
def test_with_lambda_one_the_return_is_what_in_fact_came(
    drawn: tuple[Tensor, Tensor, Tensor],
) -> None:
    rewards, values, mask = drawn
    returns = ppo.advantages(rewards, values, mask, gamma=1, lam=1) + values
    to_come = (rewards * mask).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns[mask], to_come[mask])


# --- whitening ------------------------------------------------------------------------------------


def test_whitening_by_hand_ignores_what_is_outside_the_mask() -> None:
    # Mean 2, variance 2/3, so 1 becomes -1 / sqrt(2/3).
    mask = torch.tensor([[True, True, True, False]])
    white = ppo.whiten(tensor([1.0, 2.0, 3.0, 100.0]), mask)
    assert white[0].tolist() == pytest.approx([-1.2247449, 0.0, 1.2247449, 0.0], abs=1e-6)
    scaled = ppo.whiten(tensor([1.0, 2.0, 3.0, 100.0]), mask, keep_mean=True)
    assert scaled[0].tolist() == pytest.approx([0.7752551, 2.0, 3.2247449, 0.0], abs=1e-6)


@patient
@given(episodes())
def test_whitened_numbers_have_mean_zero_and_variance_one(
    drawn: tuple[Tensor, Tensor, Tensor],
) -> None:
    rewards, _, mask = drawn
    inside = ppo.whiten(rewards, mask)[mask].numpy()
    assert inside.mean() == pytest.approx(0, abs=1e-6)
    before = rewards[mask].numpy().var()
    assert inside.var() == pytest.approx(before / (before + 1e-8), abs=1e-6)


# --- losses ---------------------------------------------------------------------------------------


def test_clipped_policy_loss_by_hand() -> None:
    # Ratios 1.5 1.5 .5 .5 with advantages 1 -1 1 -1 and clip .2 cost -1.2* 1.5 -.5 .8* (* is cut).
    ratio, advantage = tensor([1.5, 1.5, 0.5, 0.5, 7.0]), tensor([1.0, -1.0, 1.0, -1.0, 9.0])
    mask = torch.tensor([[True] * 4 + [False]])
    new = ratio.log().requires_grad_()
    loss = ppo.policy_loss(new, torch.zeros_like(new), advantage, mask, clip=0.2)
    assert loss.loss.item() == pytest.approx(0.15)
    assert loss.clip_fraction.item() == pytest.approx(0.5)
    assert loss.ratio.item() == pytest.approx(1.0)
    # (log 1.5)^2 = .1644016 twice and (log .5)^2 = .4804530 twice; mean .3224273, half of it.
    assert loss.approximate_kl.item() == pytest.approx(0.1612137, abs=1e-6)
    loss.loss.backward()
    # d/dnew of -A ratio / 4 where it is not cut, else nothing.
    assert new.grad is not None
    assert new.grad[0].tolist() == pytest.approx([0.0, 0.375, -0.125, 0.0, 0.0])


def test_before_the_first_step_the_gradient_is_that_of_the_plain_policy_gradient() -> None:
    new = tensor([-1.0, -2.0, -3.0]).requires_grad_()
    advantage = tensor([1.0, -2.0, 0.5])
    ppo.policy_loss(new, new.detach(), advantage, EVERYWHERE, clip=0.2).loss.backward()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, -advantage / 3)


def test_what_stands_outside_the_mask_cannot_spoil_the_policy_loss() -> None:
    new, old = tensor([0.0, 0.0, -torch.inf]), tensor([0.0, 0.0, torch.inf])
    mask = torch.tensor([[True, True, False]])
    loss = ppo.policy_loss(new, old, tensor([1.0, 2.0, torch.nan]), mask, clip=0.2)
    assert loss.loss.item() == pytest.approx(-1.5)


def test_clipped_value_loss_by_hand() -> None:
    # From 0, a value may move to .2. Squares .25 (not .09), .81 and 3.24 (not 1); mean, halved.
    values, returns = tensor([1.0, 0.1, 1.0]), tensor([0.5, 1.0, 2.0])
    loss = ppo.value_loss(values, torch.zeros(1, 3), returns, EVERYWHERE, clip=0.2)
    assert loss.item() == pytest.approx(4.3 / 6)


def test_explained_variance_by_hand() -> None:
    returns = tensor([1.0, 2.0, 3.0])
    for values, expected in (([1.0, 2.0, 3.0], 1.0), ([7.0, 7.0, 7.0], 0.0), ([3.0, 2.0, 1.0], -3)):
        found = ppo.explained_variance(tensor(values), returns, EVERYWHERE)
        assert found.item() == pytest.approx(expected)
    nothing_to_explain = ppo.explained_variance(returns, tensor([2.0] * 3), EVERYWHERE)
    assert not math.isfinite(nothing_to_explain)


def test_the_price_of_a_nat_follows_the_target_but_never_jumps() -> None:
    def after(kl: float) -> float:
        return ppo.adapted_coefficient(0.1, kl, target=6.0, gain=0.1)

    assert after(6.0) == pytest.approx(0.1)
    assert after(5.4) == pytest.approx(0.1 * (1 - 0.1 * 0.1))
    assert after(600.0) == pytest.approx(0.1 * 1.02)
    assert after(-5.0) == pytest.approx(0.1 * 0.98)
