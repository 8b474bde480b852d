"""One number per answer from any number of reward models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from storage.errors import NotFound, TrainingFailed
from storage.records import Message

Conversation = tuple[Sequence[Message], str]
"""A prompt and the answer to it."""


class Scorer(Protocol):
    """What rewards answers: a reward model, or anything that can say the same two things.

    It reads text, so its tokenizer need not be the policy's.
    """

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """Raw rewards in the scorer's own unit, shape (N,)."""

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        """(reward - mean) / standard deviation, both as measured where the scorer was trained."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """The rewards of N answers."""

    total: np.ndarray
    """Sum of weight times standardised reward, shape (N,)."""
    raw: Mapping[str, np.ndarray]
    """As each scorer gave them, by its name."""
    standardised: Mapping[str, np.ndarray]


class RewardMixer:
    """Weighs scorers against each other on one scale.

    Two reward models differ in zero and spread for no reason that matters, so raw rewards are never
    added: a weight of 1/2 would mean something else for every pair of models.
    """

    def __init__(self, scorers: Mapping[str, Scorer], weights: Mapping[str, float]) -> None:
        """Weigh `scorers[name]` with `weights[name]`.

        Raises:
            NotFound: A weight names a scorer that is not there.
        """
        for name in weights:
            if name not in scorers:
                raise NotFound("reward model", name, scorers)
        self.scorers = {name: scorers[name] for name in weights}
        self.weights = dict(weights)

    def score(self, conversations: Sequence[Conversation]) -> Mixed:
        """The mixed rewards of answers.

        Raises:
            TrainingFailed: A scorer gave something that is not a number.
        """
        raw, standardised = {}, {}
        total = np.zeros(len(conversations))
        for name, scorer in self.scorers.items():
            raw[name] = np.asarray(scorer.score(conversations), dtype=float)
            standardised[name] = np.asarray(scorer.standardise(raw[name]), dtype=float)
            wrong = np.flatnonzero(~np.isfinite(standardised[name]))
            if wrong.size:
                text = conversations[wrong[0]][1]
                raise TrainingFailed(
                    f"The reward model {name!r} gave {standardised[name][wrong[0]]} for the answer"
                    f" {text[:80]!r}; train it again with a lower learning_rate."
                )
            total += self.weights[name] * standardised[name]
        return Mixed(total, raw, standardised)
