"""Keep a reward from being the length of the answer: a penalty on how far the two go together.

It is about answers to the same prompt: rewards and log lengths are taken as distances from their
mean over the answers that stand in a row, so a prompt that asks for long answers proves nothing.

Source: Chen et al. (2024), ODIN, arXiv:2402.07319, punish the correlation in each batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MEMORY = 0.95
"""How much of what was seen before counts at the next batch: about the last 20 batches."""
LEAST = 1e-12


class LengthCorrelation(torch.nn.Module):
    """Squared correlation of rewards and lengths, over this batch and those shortly before it.

    One batch holds too few answers for a correlation, so the moments of rewards and lengths are
    running sums. Gradients flow through the present batch alone, as if it stood for all.
    """

    moments: Tensor
    """Running sums of squared rewards, squared log lengths and their products, shape (3,)."""
    batches: Tensor
    """How many batches' worth these sums are, a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("moments", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("batches", torch.zeros((), dtype=torch.float64))

    def forward(self, rewards: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """The squared correlation, a scalar between 0 and 1; 0 where nothing varies yet.

        Args:
            rewards: Shape (N,).
            lengths: Of the same answers, in tokens, shape (N,).
            rows: Number of the row that each answer stands in, from 0, shape (N,).
        """
        now = moments_of(rewards, lengths, rows)
        with torch.no_grad():
            self.moments.mul_(MEMORY).add_(now)
            self.batches.mul_(MEMORY).add_(1)
        uu, nn, un = self.moments + self.batches * (now - now.detach())
        if float((uu * nn).detach()) <= LEAST:
            return rewards.sum() * 0
        return (un**2 / (uu * nn)).to(rewards.dtype)


def moments_of(rewards: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
    """What `squared_correlation` needs to know of some answers; moments of more answers add up.

    Returns:
        Sums of squared rewards, squared log lengths, and their products, shape (3,).
    """
    u = _within(rewards.double(), rows)
    n = _within(lengths.double().log1p(), rows)
    return torch.stack([u @ u, n @ n, u @ n])


def squared_correlation(moments: Sequence[float]) -> float:
    """Squared correlation of rewards and log lengths; 0 where one of them does not vary."""
    uu, nn, un = moments
    return un**2 / (uu * nn) if uu * nn > LEAST else 0.0


def _within(values: Tensor, rows: Tensor) -> Tensor:
    """Distances from the mean of the row."""
    sums = values.new_zeros(int(rows.max()) + 1).index_add(0, rows, values)
    return values - (sums / rows.bincount().clamp(min=1))[rows]
