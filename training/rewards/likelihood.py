"""How likely the judgements are under the rewards: what each of the reward models maximises.

One module holds the learned thresholds of the measurement model. Without ratings it is the
preference model, without comparisons the absolute model, with both the combined model.

Of the measurement model's annotators, reliability a_k is taken as given and leniency b_k is learned
with a normal prior:

    comparison: kappa_c - a_k (u_right - u_left)        rating: tau_c - a_k (u + b_k)

Its position bias is left out: imported comparisons do not tell where an answer stood, and one that
always has the better answer on the left would be explained by it instead of by the rewards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from storage.records import HIGHEST_RATING, LOWEST_RATING, STRONGEST_CHOICE
from training import objectives
from training.rewards.config import Objective
from training.rewards.judgements import JudgedRow, Judgements, annotators_of

MIDDLE = (LOWEST_RATING + HIGHEST_RATING) / 2
LENIENCY_DEVIATION = 1.0
"""How far apart annotators' leniencies are believed to be, in logits or, with squared error, in
rating points; as in the measurement model (`Priors`)."""


class Likelihood(torch.nn.Module):
    """Thresholds, and the negative log-likelihood of judgements given rewards."""

    reliability: Tensor
    """a_k of each annotator, and behind them that of somebody unknown, shape (K + 1,)."""
    rates: Tensor
    """1 for each annotator who rated something, else 0, shape (K,)."""

    def __init__(
        self,
        objective: Objective,
        rows: Sequence[JudgedRow],
        reliability: Mapping[str, float] | None = None,
    ) -> None:
        """Start where a model without any preference fits best: at the shares seen in `rows`.

        The first steps then go into rewards, not into finding out how often people tie.

        Args:
            objective: What to learn from, and how.
            rows: Those that are learned from.
            reliability: a_k by annotator; 1 for whoever is not named.
        """
        super().__init__()
        self.objective = objective
        self.annotators = annotators_of(rows)
        if objective.comparison == "ordinal":
            self.comparison_steps = torch.nn.Parameter(_steps_of_choices(rows))
        if objective.rating == "ordinal":
            self.rating_steps = torch.nn.Parameter(_steps_of_ratings(rows))
        if objective.rating == "squared_error":
            given = [value for row in rows for _, value, _ in row.ratings] or [MIDDLE]
            self.offset = torch.nn.Parameter(torch.tensor(float(np.mean(given))))
        raters = {who for row in rows for *_, who in row.ratings}
        self.has_leniency = bool(objective.rating) and objective.leniency and len(raters) > 1
        if self.has_leniency:
            self.uncentred_leniency = torch.nn.Parameter(torch.zeros(len(self.annotators)))
            rated = [1.0 if name in raters else 0.0 for name in self.annotators]
            self.register_buffer("rates", torch.tensor(rated))
        known = reliability or {}
        trust = [*(known.get(name, 1.0) for name in self.annotators), 1.0]
        self.register_buffer("reliability", torch.tensor(trust, dtype=torch.float32))

    def forward(self, rewards: Tensor, judgements: Judgements) -> Tensor:
        """The loss of each judgement that counts, comparisons first, shape (J,).

        In nats, which add up over comparisons and ratings because both are read off one scale;
        in squared rating points where ratings are learned by squared error.

        Args:
            rewards: Of all answers of the batch, shape (N,); (N, 2) where the objective keeps
                comparisons and ratings apart, the head of the comparisons first.
            judgements: What was said of them.
        """
        preferred, rated = (
            (rewards[:, 0], rewards[:, 1]) if self.objective.shares else (rewards, rewards)
        )
        losses = []
        if self.objective.comparison:
            losses.append(self._of_comparisons(preferred, judgements))
        if self.objective.rating:
            losses.append(self._of_ratings(rated, judgements))
        return torch.cat(losses)

    def prior(self) -> Tensor:
        """What the leniencies cost by being far from 0, in nats over all judgements, a scalar."""
        if not self.has_leniency:
            return self.reliability.new_zeros(())
        return (self.leniency()[:-1] / LENIENCY_DEVIATION).square().sum() / 2

    def count(self, row: JudgedRow) -> int:
        """How many judgements of a row count."""
        compared = len(row.comparisons) if self.objective.comparison else 0
        return compared + (len(row.ratings) if self.objective.rating else 0)

    def prompts(self, judgements: Judgements) -> Tensor:
        """Number of the prompt of each judgement that counts, in the order of the losses, (J,)."""
        counted = []
        if self.objective.comparison:
            counted.append(judgements.compared_prompt)
        if self.objective.rating:
            counted.append(judgements.rated_prompt)
        return torch.cat(counted)

    def spread(self, rewards: Tensor, judgements: Judgements) -> Tensor:
        """What centring punishes, for each judgement that counts: in squared logits, shape (J,).

        (u_left + u_right)^2 of a comparison, which leaves their difference free, and u^2 of a
        rated response. Eq. 2 of Eisenstein et al. (2023), arXiv:2312.09244.
        """
        found = []
        if self.objective.comparison:
            found.append((rewards[judgements.left] + rewards[judgements.right]).square())
        if self.objective.rating:
            found.append(rewards[judgements.rated].square())
        return torch.cat(found)

    def _of_comparisons(self, rewards: Tensor, judgements: Judgements) -> Tensor:
        trust = self.reliability[judgements.comparer]
        left, right = trust * rewards[judgements.left], trust * rewards[judgements.right]
        swapped = self.objective.label_smoothing
        losses = self._of_choices(left, right, judgements.choice, judgements.graded)
        if not swapped:
            return losses
        other = self._of_choices(left, right, -judgements.choice, judgements.graded)
        return (1 - swapped) * losses + swapped * other

    def _of_choices(self, left: Tensor, right: Tensor, choice: Tensor, graded: Tensor) -> Tensor:
        # Where only the direction was asked there are two steps: Bradley-Terry, a tie being half.
        direction = (choice.sign() + 1) / 2
        strength = torch.where(graded, choice.abs(), choice.sign().abs()).to(left.dtype)
        match self.objective.comparison:
            case "margin":
                # As the authors have it: 1 for the strongest, a third of it less per step down.
                lead = torch.where(graded, strength / STRONGEST_CHOICE, torch.zeros_like(strength))
                return objectives.preference_loss(right, left, direction, lead)
            case "scaled":
                # "Scaled Bradley-Terry" of Wang et al. (2024), arXiv:2410.01257.
                return strength.clamp(min=1) * objectives.preference_loss(right, left, direction)
            case "bradley_terry":
                return objectives.preference_loss(right, left, direction)
            case "both_orders":
                # Each order answers for itself, so that a leaning to one place costs, too.
                nothing = torch.zeros_like(left)
                as_shown = objectives.preference_loss(left, nothing, 1 - direction)
                turned = objectives.preference_loss(right, nothing, direction)
                return (as_shown + turned) / 2
            case _:
                kappa = objectives.symmetric_thresholds(self.comparison_steps)
                return torch.where(
                    graded,
                    objectives.ordinal_comparison_loss(left, right, choice, kappa),
                    objectives.preference_loss(right, left, direction),
                )

    def _of_ratings(self, rewards: Tensor, judgements: Judgements) -> Tensor:
        of_rated = rewards[judgements.rated]
        if self.has_leniency:
            of_rated = of_rated + self.leniency()[judgements.rater]
        of_rated = self.reliability[judgements.rater] * of_rated
        if self.objective.rating == "ordinal":
            tau = objectives.ordered_thresholds(self.rating_steps)
            return objectives.ordinal_rating_loss(of_rated, judgements.rating, tau)
        return objectives.squared_error(of_rated, judgements.rating, self.offset)

    def leniency(self) -> Tensor:
        """b_k with mean 0 over those who rated, and 0 for everybody else, shape (K + 1,).

        The last is somebody unknown. A common leniency would be a shift of all thresholds.
        """
        mean = (self.uncentred_leniency * self.rates).sum() / self.rates.sum()
        centred = (self.uncentred_leniency - mean) * self.rates
        return torch.cat([centred, centred.new_zeros(1)])

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
            if self.has_leniency:
                found["leniency"] = {
                    name: value
                    for name, value, rates in zip(
                        self.annotators,
                        self.leniency()[:-1].tolist(),
                        self.rates.tolist(),
                        strict=True,
                    )
                    if rates
                }
            return found


def _steps_of_choices(rows: Sequence[JudgedRow]) -> Tensor:
    # One made-up choice per category keeps every share, and so every threshold, finite.
    counts = np.ones(2 * STRONGEST_CHOICE + 1)
    for row in rows:
        for _, _, choice, graded, _ in row.comparisons:
            if graded:
                counts[choice + STRONGEST_CHOICE] += 1
    mirrored = counts + counts[::-1]
    return _steps(_logits(mirrored)[STRONGEST_CHOICE:], positive=True)


def _steps_of_ratings(rows: Sequence[JudgedRow]) -> Tensor:
    counts = np.ones(HIGHEST_RATING - LOWEST_RATING + 1)
    for row in rows:
        for _, value, _ in row.ratings:
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
