"""What is measured of a reward model while it trains and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from storage.errors import TrainingFailed
from training.batching import by_length
from training.rewards.judgements import JudgedRow, Judgements
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
def calibrate(model: RewardModel, rows: Sequence[JudgedRow], batch_tokens: int) -> dict[str, Any]:
    """Where rewards lie on responses of the snapshot, and whether they only follow length.

    Returns:
        `mean` and `std` in raw units over at most 256 training responses, `responses` their
        number, and `length_correlation`, Spearman's, with their length in tokens (null when all
        are equally long).

    Raises:
        TrainingFailed: All rewards are the same, so nothing was learned.
    """
    heads, lengths = rewards_of(model, rows, batch_tokens)
    rewards = heads.mean(1)
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


@torch.no_grad()
def rewards_of(
    model: RewardModel, rows: Sequence[JudgedRow], batch_tokens: int
) -> tuple[npt.NDArray[np.float64], list[int]]:
    """What each head gives to about 256 answers of rows, always the same ones, shape (N, heads).

    And the answers' lengths in tokens.
    """
    order = np.random.default_rng(0).permutation(len(rows))
    counts = np.cumsum([len(rows[place].row.answers) for place in order])
    chosen = order[: int(np.searchsorted(counts, CALIBRATED_ON)) + 1]
    some = [rows[place].row for place in chosen]
    model.eval()
    rewards: list[list[float]] = []
    lengths: list[int] = []
    for batch in by_length([row.tokens for row in some], batch_tokens):
        rewards += model.all_heads([some[place] for place in batch]).tolist()
        lengths += [len(ids) for place in batch for ids in some[place].answers]
    return np.array(rewards, dtype=np.float64), lengths
