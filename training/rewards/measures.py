"""What is measured of a reward model while it trains and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from storage.errors import TrainingFailed
from training.batching import by_length
from training.rewards.judgements import JudgedRow, Judgements, gather
from training.rewards.likelihood import Likelihood
from training.rewards.model import RewardModel

CALIBRATED_ON = 256
"""Responses that mean and standard deviation are taken over: 4 % standard error of the latter."""


def pair_accuracy(rewards: Tensor, judgements: Judgements) -> tuple[float, int]:
    """How many decided comparisons (no ties) the rewards agree with, and how many there are.

    Equal rewards count as half.
    """
    side = judgements.choice.sign()
    agreement = (rewards[judgements.right] - rewards[judgements.left]).sign() * side
    decided = side != 0
    return float((agreement[decided] + 1).sum() / 2), int(decided.sum())


@torch.no_grad()
def validate(
    model: RewardModel, likelihood: Likelihood, rows: Sequence[JudgedRow], batch_tokens: int
) -> dict[str, float]:
    """Loss per judgement on rows, and the pair accuracy if some comparison there is decided."""
    losses: list[Tensor] = []
    agreeing, decided = 0.0, 0
    for batch in by_length([row.row.tokens for row in rows], batch_tokens):
        members = [rows[place] for place in batch]
        rewards = model([member.row for member in members])
        judgements = gather(members, device=rewards.device)
        losses.append(likelihood(rewards, judgements))
        right, counted = pair_accuracy(rewards, judgements)
        agreeing, decided = agreeing + right, decided + counted
    measured = {"validation/loss": float(torch.cat(losses).mean())}
    if decided:
        measured["validation/pair_accuracy"] = agreeing / decided
    return measured


@torch.no_grad()
def calibrate(model: RewardModel, rows: Sequence[JudgedRow], batch_tokens: int) -> dict[str, Any]:
    """Where rewards lie on responses of the snapshot, and whether they only follow length.

    Returns:
        `mean` and `std` in raw units over at most 256 training responses, `responses` their
        number, and `length_correlation`, Spearman's, with their length in tokens (null when all
        are equally long).

    Raises:
        TrainingFailed: All rewards are the same, so nothing was learned.
    """
    order = np.random.default_rng(0).permutation(len(rows))
    counts = np.cumsum([len(rows[place].row.answers) for place in order])
    chosen = order[: int(np.searchsorted(counts, CALIBRATED_ON)) + 1]
    some = [rows[place].row for place in chosen]
    rewards: list[float] = []
    lengths: list[int] = []
    for batch in by_length([row.tokens for row in some], batch_tokens):
        rewards += model([some[place] for place in batch]).tolist()
        lengths += [len(ids) for place in batch for ids in some[place].answers]
    std = float(np.std(rewards))
    if std < 1e-6:
        raise TrainingFailed(
            f"The model gives all {len(rewards)} responses the same reward, so it learned nothing;"
            " raise learning_rate or epochs."
        )
    table = pd.DataFrame({"reward": rewards, "length": lengths})
    varied = table["length"].nunique() > 1
    return {
        "mean": float(np.mean(rewards)),
        "std": std,
        "responses": len(rewards),
        "length_correlation": (
            float(table["reward"].rank().corr(table["length"].rank())) if varied else None
        ),
    }
