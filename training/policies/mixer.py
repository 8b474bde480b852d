"""One number per answer from any number of rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import numpy as np

from storage.errors import NotFound, TrainingFailed
from storage.records import Message
from training.policies.measured import Measured, scale_of
from training.policies.reward_options import is_service
from training.policies.schedule import points
from training.processes import Processes
from training.rewards.scoring import Calibration

Conversation = tuple[Sequence[Message], str]
"""A prompt and the answer to it."""


class Scorer(Protocol):
    """What rewards answers: a reward model, or anything that can say the same two things.

    It reads text, so its tokenizer need not be the policy's.
    """

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """Raw rewards in the scorer's own unit, shape (N,)."""

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        """(reward - mean) / standard deviation, as measured where the scorer was trained.

        Or, where it was not trained, on the answers of the policy that the run starts from.
        """


@dataclass(frozen=True, slots=True)
class Mixed:
    """The rewards of N answers."""

    total: np.ndarray
    """What the policy learns from, shape (N,)."""
    raw: Mapping[str, np.ndarray]
    """As each scorer gave them, by its name."""
    standardised: Mapping[str, np.ndarray]
    weights: Mapping[str, float]
    """What each counted."""


class RewardMixer:
    """Weighs scorers against each other on one scale.

    Two reward models differ in zero and spread for no reason that matters, so raw rewards are never
    added: a weight of 1/2 would mean something else for every pair of models.
    """

    def __init__(
        self,
        scorers: Mapping[str, Scorer],
        weights: Mapping[str, float],
        *,
        schedule: Mapping[str, str] | None = None,
        combine: Literal["sum", "worst"] = "sum",
        processes: Processes | None = None,
    ) -> None:
        """Weigh `scorers[name]` with `weights[name]`.

        Args:
            scorers: By name; those without a weight are not asked.
            weights: By name.
            schedule: Factors on some of the weights over the run; see `training.policies.schedule`.
            combine: Take the sum of weight times standardised reward, or the smallest of these
                among scorers whose weight is not 0.
            processes: Where there are several, each asks about a part of the answers.

        Raises:
            NotFound: A weight names a scorer that is not there.
        """
        for name in weights:
            if name not in scorers:
                raise NotFound("reward model", name, scorers)
        self.scorers = {name: scorers[name] for name in weights}
        self.weights = dict(weights)
        self.schedule = dict(schedule or {})
        self.combine = combine
        self.processes = processes or Processes()

    def score(self, conversations: Sequence[Conversation], *, share: float = 0.0) -> Mixed:
        """The mixed rewards of answers.

        Args:
            conversations: What to reward.
            share: Of the run that is done, from 0 to 1; the schedule goes by it.

        Raises:
            TrainingFailed: A scorer gave something that is not a number, or nothing at all.
        """
        raw, standardised = {}, {}
        for name, scorer in self.scorers.items():
            raw[name] = self._raw(name, conversations)
            standardised[name] = np.asarray(scorer.standardise(raw[name]), dtype=float)
            _refuse_no_numbers(name, standardised[name], conversations)
        weights = weights_at(share, self.weights, self.schedule)
        parts = [weight * standardised[name] for name, weight in weights.items() if weight]
        total = np.zeros(len(conversations))
        if parts:
            total = np.min(parts, 0) if self.combine == "worst" else np.sum(parts, 0)
        return Mixed(total, raw, standardised, weights)

    def unmeasured(self) -> list[str]:
        """The scorers that have no scale yet; `measure` gives them one."""
        return [
            name
            for name, scorer in self.scorers.items()
            if isinstance(scorer, Measured) and scorer.calibration is None
        ]

    def measure(self, conversations: Sequence[Conversation]) -> None:
        """Give the scorers that have no scale one, by answers of the policy at its start.

        Raises:
            InvalidOption: A scorer gives all of them the same.
            TrainingFailed: As `score`.
        """
        for name in self.unmeasured():
            raw = self._raw(name, conversations)
            _refuse_no_numbers(name, raw, conversations)
            self._set_scale(name, scale_of(name, raw))

    def scales(self) -> dict[str, dict[str, float]]:
        """Mean and standard deviation of each scorer that was measured here, by its name."""
        return {
            name: asdict(scorer.calibration)
            for name, scorer in self.scorers.items()
            if isinstance(scorer, Measured) and scorer.calibration
        }

    def restore(self, scales: Mapping[str, Mapping[str, float]]) -> None:
        """Put back what `scales` gave."""
        for name, scale in scales.items():
            self._set_scale(name, Calibration(mean=scale["mean"], std=scale["std"]))

    def _raw(self, name: str, conversations: Sequence[Conversation]) -> np.ndarray:
        given = self.processes.in_parts(conversations, self.scorers[name].score)
        return np.array(given, dtype=float)

    def _set_scale(self, name: str, scale: Calibration) -> None:
        scorer = self.scorers[name]
        if isinstance(scorer, Measured):
            scorer.calibration = scale


def weights_at(
    share: float, weights: Mapping[str, float], schedule: Mapping[str, str]
) -> dict[str, float]:
    """What each reward counts when this share of the run, from 0 to 1, is done."""
    return {
        name: weight * float(np.interp(share, *points(schedule[name])))
        if name in schedule
        else weight
        for name, weight in weights.items()
    }


def _refuse_no_numbers(
    name: str, rewards: np.ndarray, conversations: Sequence[Conversation]
) -> None:
    for place in np.flatnonzero(~np.isfinite(rewards))[:1]:
        kind, remedy = (
            ("service", "it must give each answer a number. The last checkpoint stays")
            if is_service(name)
            else ("model", "train it again with a lower learning_rate")
        )
        raise TrainingFailed(
            f"The reward {kind} {name!r} gave {rewards[place]} for the answer"
            f" {conversations[place][1][:80]!r}; {remedy}."
        )
