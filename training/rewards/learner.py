"""One forward pass of reward-model training, as the single module that is spread over processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.rewards.judgements import JudgedRow, Judgements, gather
from training.rewards.likelihood import Likelihood
from training.rewards.model import RewardModel


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model makes of a batch of rows: N answers, J judgements that count."""

    losses: Tensor
    """Of each judgement, the mean over the members, in nats or squared rating points, (J,)."""
    weighted: Tensor
    """The same with each member's weights for the prompts, (J,): what is minimised."""
    spread: Tensor
    """What centring punishes, (J,)."""
    rewards: Tensor
    """Of each answer, the mean over the members, (N,)."""
    judgements: Judgements


class Learner(torch.nn.Module):
    """Model and likelihood together: everything that learns."""

    weights: Tensor
    """How much each prompt counts for each member, shape (prompts + 1, members)."""

    def __init__(
        self, model: RewardModel, likelihood: Likelihood, *, members: int, prompts: int, seed: int
    ) -> None:
        """Draw the members' resamples of the prompts.

        Args:
            model: With one head for each member.
            likelihood: What is minimised.
            members: How many. Each weighs the prompts by draws from a standard exponential
                distribution, the Bayesian bootstrap (Rubin, 1981, Annals of Statistics 9): it sees
                all of them, but as if they had been drawn anew. A single one weighs all by 1.
            prompts: How many prompts there are to learn from.
            seed: Of the draws.
        """
        super().__init__()
        self.model, self.likelihood = model, likelihood
        weights = np.ones((prompts + 1, members), dtype=np.float32)
        if members > 1:
            drawn = np.random.default_rng(seed).exponential(size=(prompts, members))
            weights[:prompts] = drawn / drawn.mean(0)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def forward(self, rows: Sequence[JudgedRow]) -> Reading:
        """Read a batch. Every weight that learns is touched, so that processes can wait for it."""
        heads = self.model.all_heads([row.row for row in rows])
        judgements = gather(rows, self.likelihood.annotators, device=heads.device)
        if self.likelihood.objective.shares:
            losses = self.likelihood(heads, judgements)[:, None]
            spread = self.likelihood.spread(heads.sum(1), judgements)
        else:
            each = heads.unbind(1)
            losses = torch.stack([self.likelihood(one, judgements) for one in each], 1)
            spread = torch.stack([self.likelihood.spread(one, judgements) for one in each], 1)
            spread = spread.mean(1)
        # Prompts of the validation part have numbers of their own; their weights serve nothing.
        prompts = self.likelihood.prompts(judgements).clamp(max=len(self.weights) - 1)
        weights = self.weights[prompts]
        touched = sum((weight.sum() for weight in self.likelihood.parameters()), heads.sum()) * 0
        return Reading(
            losses=losses.mean(1),
            weighted=(losses * weights).mean(1) + touched,
            spread=spread,
            rewards=heads.mean(1),
            judgements=judgements,
        )
