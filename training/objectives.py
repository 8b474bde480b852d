r"""What a judgement says about rewards, as plain functions of tensors: the measurement model.

A response has one reward u in logits. A comparison of left and right, in ordered steps from "left
much better" to "right much better", and a rating from 1 to 7 are both read off this one scale:

    P(step <= c)   = s(kappa_c - (u_right - u_left)),    kappa symmetric about 0
    P(rating <= c) = s(tau_c - u),                       tau increasing

with s the logistic function. These are proportional-odds models; with two steps the first is
Bradley-Terry. All losses are returned per judgement, in nats, so that they may be added.

Shapes: B is judgements in the batch, C is categories.

Source:
    McCullagh (1980), Regression Models for Ordinal Data, J. R. Stat. Soc. B 42; Bradley and Terry
    (1952), Biometrika 39; for graded comparisons Agresti (1992), Applied Statistics 41.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from storage.records import HIGHEST_RATING, LOWEST_RATING, STRONGEST_CHOICE


def preference_loss(
    first: Tensor, second: Tensor, preference: Tensor, margin: Tensor | None = None
) -> Tensor:
    """Bradley-Terry negative log-likelihood of which of two responses is better.

        -p log s(d - m) - (1 - p) log s(-d - m),    d = u_first - u_second

    With every p at 1 and no margin this is eq. 1 of Ouyang et al. (2022), arXiv:2203.02155; p = 1/2
    lets a tie pull the two rewards together instead of being thrown away. The margin m, by which
    the better one is asked to lead, is that of eq. 2 of Touvron et al. (2023), arXiv:2307.09288.

    Args:
        first: Rewards in logits, shape (B,).
        second: Rewards in logits, shape (B,).
        preference: Probability p that the first is better, shape (B,): 1, 0, or 1/2 for a tie.
        margin: m in logits, not negative, shape (B,); 0 when left out.

    Returns:
        Nats per comparison, shape (B,); log 2 = 0.693 from a model that cannot tell them apart,
        if no margin is asked for.
    """
    if margin is None:
        margin = torch.zeros_like(first)
    _check_shapes(first, second, preference, margin)
    lead = first - second
    return -preference * F.logsigmoid(lead - margin) - (1 - preference) * F.logsigmoid(
        -lead - margin
    )


def ordinal_comparison_loss(left: Tensor, right: Tensor, choice: Tensor, kappa: Tensor) -> Tensor:
    """Negative log-likelihood of graded comparisons, ties included.

    Args:
        left: Rewards of the left responses in logits, shape (B,).
        right: Rewards of the right responses in logits, shape (B,).
        choice: Whole numbers from -3 (left much better) to 3 (right much better), shape (B,).
        kappa: Thresholds between the 7 steps from `symmetric_thresholds`, shape (6,).

    Returns:
        Nats per comparison, shape (B,).
    """
    _check_shapes(left, right, choice)
    return ordinal_loss(right - left, choice + STRONGEST_CHOICE, kappa)


def ordinal_rating_loss(reward: Tensor, rating: Tensor, tau: Tensor) -> Tensor:
    """Negative log-likelihood of ratings from 1 to 7.

    A rating between two whole numbers (imported scales have them) counts as both neighbours, each
    in proportion to its nearness: 4.25 is three quarters of a 4 and one quarter of a 5.

    Args:
        reward: Rewards in logits, shape (B,).
        rating: From 1 to 7, shape (B,).
        tau: Thresholds between the 7 categories from `ordered_thresholds`, shape (6,).

    Returns:
        Nats per rating, shape (B,).
    """
    _check_shapes(reward, rating)
    lower = rating.floor().clamp(LOWEST_RATING, HIGHEST_RATING - 1)
    upper_share = rating - lower
    category = (lower - LOWEST_RATING).long()
    at_lower = ordinal_loss(reward, category, tau)
    at_upper = ordinal_loss(reward, category + 1, tau)
    return (1 - upper_share) * at_lower + upper_share * at_upper


def squared_error(reward: Tensor, rating: Tensor, offset: Tensor) -> Tensor:
    """Squared distance between a rating and the one predicted, `offset + reward`.

    The plain alternative to `ordinal_rating_loss`: it takes the steps from 1 to 7 as equally wide.

    Args:
        reward: Shape (B,), here in rating points above `offset`.
        rating: From 1 to 7, shape (B,).
        offset: The rating of a response with reward 0, a scalar.

    Returns:
        Squared rating points, shape (B,).
    """
    _check_shapes(reward, rating)
    return (offset + reward - rating).square()


def ordinal_loss(location: Tensor, category: Tensor, thresholds: Tensor) -> Tensor:
    """Negative log-likelihood -log[s(t_c - x) - s(t_(c-1) - x)] of category c at location x.

    Uses s(b) - s(a) = s(b) s(-a) (1 - exp(a - b)), which keeps its digits where the difference of
    two numbers close to 1 would lose them.

    Args:
        location: x in logits, shape (B,).
        category: From 0 to C - 1, shape (B,).
        thresholds: Increasing, shape (C - 1,); the outermost, at minus and plus infinity, are
            understood.

    Returns:
        Nats, shape (B,).
    """
    _check_shapes(location, category)
    ends = thresholds.new_tensor([torch.inf])
    borders = torch.cat([-ends, thresholds, ends])
    low, high = borders[category], borders[category + 1]
    width = torch.log(-torch.expm1(low - high))
    return -(F.logsigmoid(high - location) + F.logsigmoid(location - low) + width)


def symmetric_thresholds(steps: Tensor) -> Tensor:
    """Thresholds -k_n < ... < -k_1 < k_1 < ... < k_n from free parameters, shape (n,) to (2n,).

    Each parameter becomes the positive distance to the threshold before, so any values are in
    order, and swapping left and right mirrors the probabilities.
    """
    positive = F.softplus(steps).cumsum(0)
    return torch.cat([-positive.flip(0), positive])


def ordered_thresholds(steps: Tensor) -> Tensor:
    """Increasing thresholds from free parameters, shape (n,) to (n,): the first, then distances."""
    return torch.cat([steps[:1], F.softplus(steps[1:])]).cumsum(0)


def _check_shapes(*tensors: Tensor) -> None:
    # (B,) beside (B, 1) would broadcast to (B, B) without a word and train on nonsense.
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1 or tensors[0].dim() != 1:
        raise ValueError(f"expected one value per judgement, shape (B,); got {sorted(shapes)}")
