"""PPO's formulas as plain functions of tensors: no models, no devices, no logging.

Shapes: B episodes, T tokens of the longest response. A mask (B, T) is true on a response's tokens,
its end token included; responses begin at column 0, so a row of the mask is ones and then zeros.
What stands where the mask is false is ignored, and written as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def token_log_probabilities(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token under its row of logits, in nats.

    Args:
        logits: fp32, shape (N, V). bf16 would round each result by up to a hundredth.
        tokens: Which of the V was chosen, shape (N,).
    """
    # On a CPU `gather - logsumexp` takes a quarter longer, forward and backward.
    return -F.cross_entropy(logits, tokens, reduction="none")


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the next-token distribution, in nats; logits (N, V) give (N,)."""
    logs = logits.log_softmax(-1)
    return -(logs.exp() * logs).sum(-1)


def kl_k1(log_probabilities: Tensor, reference: Tensor) -> Tensor:
    """Per-token estimate of KL(policy || reference) in nats: unbiased, but often negative.

    With x drawn from the policy this is log policy(x) - log reference(x), "k1" of Schulman (2020),
    "Approximating KL divergence". Its sum over a response is an unbiased estimate of the
    divergence between the two distributions of whole responses.
    """
    return log_probabilities - reference


def kl_k3(log_probabilities: Tensor, reference: Tensor) -> Tensor:
    """Per-token estimate of KL(policy || reference), in nats: unbiased and never negative.

    With r = reference(x) / policy(x) this is r - 1 - log r, "k3" of Schulman (2020). It has less
    variance than `kl_k1` while the two models are close.

    Priced inside a reward, k1 pulls towards the reference as KL(policy || reference) does, k3 only
    as KL(policy || reference) - KL(reference || policy) does, which is hardly at all near the
    reference. See also Tang and Munos (2025), arXiv:2506.09477.
    """
    log_ratio = reference - log_probabilities
    return log_ratio.expm1() - log_ratio


def shaped_rewards(scores: Tensor, kl: Tensor, coefficient: float, mask: Tensor) -> Tensor:
    """Reward of every token: its share of the KL penalty, and on the last one the score.

        reward_t = score [t is the last token] - coefficient * kl_t

    Args:
        scores: What the response as a whole earned, shape (B,).
        kl: Per-token estimate of the divergence, in nats, shape (B, T).
        coefficient: Price of one nat.
        mask: Response tokens, shape (B, T); at least one in each row.

    Returns:
        Shape (B, T), 0 outside the mask.

    Source:
        Ziegler et al. (2019), arXiv:1909.08593, eq. 2; spread over tokens as in
        openai/lm-human-preferences, `train_policy.py`, `compute_rewards`.
    """
    rewards = torch.where(mask, -coefficient * kl, 0.0)
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores.to(rewards.dtype)[:, None])


def advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimates; the return that the value head learns is advantage + value.

        delta_t = reward_t + gamma * value_{t+1} - value_t
        advantage_t = delta_t + gamma * lam * advantage_{t+1}

    Nothing follows a response's last token, whether it ended itself or was cut: value 0.

    Args:
        rewards: Shape (B, T).
        values: Expected sum of what is still to come, seen before each token, shape (B, T).
        mask: Response tokens, shape (B, T).
        gamma: Discount; 1 counts a later reward like an earlier one.
        lam: Between 0 (one step ahead, biased by the value head) and 1 (the whole response, noisy).

    Returns:
        Shape (B, T), 0 outside the mask.

    Source:
        Schulman et al. (2016), arXiv:1506.02438, eq. 16.
    """
    rewards, values = rewards * mask, values * mask
    following, running = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    columns = []
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        running = (delta + gamma * lam * running) * mask[:, t]
        following = values[:, t]
        columns.append(running)
    return torch.stack(columns[::-1], dim=1)


def masked_mean(numbers: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of the mask; a scalar. Every token counts alike, not every response."""
    return torch.where(mask, numbers, 0.0).sum() / mask.sum()


def masked_variance(numbers: Tensor, mask: Tensor) -> Tensor:
    """Variance over the tokens of the mask, divided by their number; a scalar."""
    return masked_mean((numbers - masked_mean(numbers, mask)).square(), mask)


def whiten(numbers: Tensor, mask: Tensor, *, keep_mean: bool = False) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the mask; 0 outside it.

    With `keep_mean` the mean stays what it was, as for rewards, whose sign means something. Numbers
    that are all the same become 0, or stay. The 1e-8 and the variance without Bessel's correction
    are those of openai/lm-human-preferences, `utils/core.py`, `whiten`.
    """
    mean = masked_mean(numbers, mask)
    whitened = (numbers - mean) * (masked_variance(numbers, mask) + 1e-8).rsqrt()
    return torch.where(mask, whitened + mean if keep_mean else whitened, 0.0)


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """The clipped surrogate, and what it tells of the step. All but `loss` are detached."""

    loss: Tensor
    clip_fraction: Tensor
    """Share of tokens whose gradient was cut off, between 0 and 1."""
    approximate_kl: Tensor
    """Divergence from the policy that wrote the responses, in nats per token."""
    ratio: Tensor
    """Mean of new over old probability; 1 before the first step."""


def policy_loss(
    log_probabilities: Tensor, old: Tensor, advantage: Tensor, mask: Tensor, *, clip: float
) -> PolicyLoss:
    """Clipped surrogate objective, to be minimised, averaged over tokens.

        L = mean( max( -A ratio, -A clamp(ratio, 1 - clip, 1 + clip) ) ),   ratio = exp(new - old)

    Args:
        log_probabilities: Under the policy being trained, in nats, shape (B, T).
        old: Under the policy that wrote the responses, shape (B, T).
        advantage: Shape (B, T).
        mask: Response tokens, shape (B, T).
        clip: How far a probability may move before its gradient stops.

    Source:
        Schulman et al. (2017), arXiv:1707.06347, eq. 7. Fraction and approximate KL,
        mean((new - old)^2) / 2, as in openai/lm-human-preferences, `train_policy.py`, `loss`.
    """
    # Outside the mask both may hold anything, infinities too; exp of their difference must not.
    difference = torch.where(mask, log_probabilities - old, 0.0)
    ratio = difference.exp()
    free = -advantage * ratio
    clipped = -advantage * ratio.clamp(1 - clip, 1 + clip)
    return PolicyLoss(
        loss=masked_mean(torch.maximum(free, clipped), mask),
        clip_fraction=masked_mean((clipped > free).float(), mask).detach(),
        approximate_kl=masked_mean(difference.square(), mask).detach() / 2,
        ratio=masked_mean(ratio, mask).detach(),
    )


def value_loss(
    values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, *, clip: float
) -> Tensor:
    """Half the squared error of the value head, where a value may move by `clip` at a time.

        L = mean( max( (v - R)^2, (clamp(v, v_old - clip, v_old + clip) - R)^2 ) ) / 2

    Args:
        values: From the value head being trained, shape (B, T).
        old: From the value head when the responses were written, shape (B, T).
        returns: What in fact followed, shape (B, T).
        mask: Response tokens, shape (B, T).
        clip: In units of the reward.

    Source:
        openai/baselines `ppo2/model.py`; openai/lm-human-preferences, `train_policy.py`, `loss`.
    """
    near_old = old + (values - old).clamp(-clip, clip)
    return (
        masked_mean(torch.maximum((values - returns).square(), (near_old - returns).square()), mask)
        / 2
    )


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Share of the returns' variance that the value head foresaw; 1 is all, below 0 is harmful.

    Without any variance in the returns there is nothing to explain: the result is not finite.
    """
    return 1 - masked_variance(returns - values, mask) / masked_variance(returns, mask)


def adapted_coefficient(coefficient: float, kl: float, *, target: float, gain: float) -> float:
    """The price of a nat for the next step: dearer above the target, cheaper below it.

        coefficient * (1 + gain * clamp(kl / target - 1, -0.2, 0.2))

    Args:
        coefficient: The price that was in force.
        kl: Divergence from the reference that was measured, in nats per response.
        target: Divergence to aim at, in nats per response.
        gain: 0 keeps the price; the paper's 0.1 changes it by at most 2 percent.

    Source:
        Ziegler et al. (2019), arXiv:1909.08593, section 2.2.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + gain * error)
