"""How likely the judgements are under the rewards: what each of the reward models maximises.

One module holds the learned thresholds of the measurement model. Without ratings it is the
preference model, without comparisons the absolute model, with both the combined model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from storage.records import HIGHEST_RATING, LOWEST_RATING, STRONGEST_CHOICE
from training import objectives
from training.rewards.config import Objective
from training.rewards.judgements import JudgedRow, Judgements

MIDDLE = (LOWEST_RATING + HIGHEST_RATING) / 2


class Likelihood(torch.nn.Module):
    """Thresholds, and the negative log-likelihood of judgements given rewards."""

    def __init__(self, objective: Objective, rows: Sequence[JudgedRow]) -> None:
        """Start where a model without any preference fits best: at the shares seen in `rows`.

        The first steps then go into rewards, not into finding out how often people tie.
        """
        super().__init__()
        self.objective = objective
        if objective.comparison == "ordinal":
            self.comparison_steps = torch.nn.Parameter(_steps_of_choices(rows))
        if objective.rating == "ordinal":
            self.rating_steps = torch.nn.Parameter(_steps_of_ratings(rows))
        if objective.rating == "squared_error":
            given = [value for row in rows for _, value in row.ratings] or [MIDDLE]
            self.offset = torch.nn.Parameter(torch.tensor(float(np.mean(given))))

    def forward(self, rewards: Tensor, judgements: Judgements) -> Tensor:
        """The loss of each judgement that counts, comparisons first, shape (J,).

        In nats, which add up over comparisons and ratings because both are read off one scale;
        in squared rating points where ratings are learned by squared error.

        Args:
            rewards: Of all answers of the batch, shape (N,).
            judgements: What was said of them.
        """
        losses = []
        if self.objective.comparison:
            losses += self._of_comparisons(rewards, judgements)
        if self.objective.rating == "ordinal":
            tau = objectives.ordered_thresholds(self.rating_steps)
            of_rated = rewards[judgements.rated]
            losses.append(objectives.ordinal_rating_loss(of_rated, judgements.rating, tau))
        if self.objective.rating == "squared_error":
            of_rated = rewards[judgements.rated]
            losses.append(objectives.squared_error(of_rated, judgements.rating, self.offset))
        return torch.cat(losses)

    def count(self, row: JudgedRow) -> int:
        """How many judgements of a row count."""
        compared = len(row.comparisons) if self.objective.comparison else 0
        return compared + (len(row.ratings) if self.objective.rating else 0)

    def _of_comparisons(self, rewards: Tensor, judgements: Judgements) -> list[Tensor]:
        left, right = rewards[judgements.left], rewards[judgements.right]
        graded = judgements.graded
        if self.objective.comparison == "bradley_terry":
            graded = torch.zeros_like(graded)
        kappa = None
        if self.objective.comparison == "ordinal":
            kappa = objectives.symmetric_thresholds(self.comparison_steps)
        # Where only the direction was asked there are two steps: Bradley-Terry, a tie being half.
        direction = (judgements.choice.sign() + 1) / 2
        losses = [
            objectives.preference_loss(right[~graded], left[~graded], direction[~graded]),
        ]
        if kappa is not None:
            losses.append(
                objectives.ordinal_comparison_loss(
                    left[graded], right[graded], judgements.choice[graded], kappa
                )
            )
        return losses

    def learned(self) -> dict[str, Any]:
        """The thresholds as numbers, for the model's record."""
        with torch.no_grad():
            found: dict[str, Any] = {}
            if self.objective.comparison == "ordinal":
                found["kappa"] = objectives.symmetric_thresholds(self.comparison_steps).tolist()
            if self.objective.rating == "ordinal":
                found["tau"] = objectives.ordered_thresholds(self.rating_steps).tolist()
            if self.objective.rating == "squared_error":
                found["offset"] = float(self.offset)
            return found


def _steps_of_choices(rows: Sequence[JudgedRow]) -> Tensor:
    # One made-up choice per category keeps every share, and so every threshold, finite.
    counts = np.ones(2 * STRONGEST_CHOICE + 1)
    for row in rows:
        for _, _, choice, graded in row.comparisons:
            if graded:
                counts[choice + STRONGEST_CHOICE] += 1
    mirrored = counts + counts[::-1]
    return _steps(_logits(mirrored)[STRONGEST_CHOICE:], positive=True)


def _steps_of_ratings(rows: Sequence[JudgedRow]) -> Tensor:
    counts = np.ones(HIGHEST_RATING - LOWEST_RATING + 1)
    for row in rows:
        for _, value in row.ratings:
            lower = min(int(value), HIGHEST_RATING - 1)
            counts[lower - LOWEST_RATING] += 1 - (value - lower)
            counts[lower - LOWEST_RATING + 1] += value - lower
    return _steps(_logits(counts), positive=False)


def _logits(counts: np.ndarray) -> np.ndarray:
    below = np.cumsum(counts)[:-1] / counts.sum()
    logits: np.ndarray = np.log(below / (1 - below))
    return logits


def _steps(thresholds: np.ndarray, *, positive: bool) -> Tensor:
    """The free parameters behind increasing thresholds: the inverse of softplus and cumsum."""
    distances = torch.from_numpy(np.diff(thresholds, prepend=0.0))
    steps = torch.log(torch.expm1(distances))
    if not positive:
        steps[0] = distances[0]
    return steps.float()
