"""The scale of a source that does not know its own: what the start policy's answers earn there.

A reward model was measured where it was trained. A function of the text or a service was not, so it
is measured once, before the first step, and a run keeps what was found to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from storage.errors import InvalidOption
from storage.records import Message
from training.rewards.scoring import Calibration

ANSWERS = 128
"""The start policy's answers that a source is measured on. The standard deviation is then known to
about 6 %, if rewards are spread normally."""
SMALLEST = 1e-6
"""Of the largest reward: a smaller spread is that of rounding."""

Conversation = tuple[Sequence[Message], str]


class Source(Protocol):
    """What rewards answers on a scale that nobody measured."""

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """Raw rewards in the source's own unit, shape (N,)."""


class Measured:
    """A source together with its scale, once that was measured."""

    def __init__(self, source: Source, calibration: Calibration | None = None) -> None:
        self.source = source
        self.calibration = calibration

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """As the source gives them."""
        return self.source.score(conversations)

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards in standard deviations above the mean of the start policy's answers."""
        assert self.calibration is not None, "it is measured before the first step"  # noqa: S101
        standard: np.ndarray = (rewards - self.calibration.mean) / self.calibration.std
        return standard


def scale_of(name: str, rewards: np.ndarray) -> Calibration:
    """Mean and standard deviation of a source's raw rewards.

    Args:
        name: What the configuration calls the source.
        rewards: Of the start policy's answers, in the source's own unit, shape (N,).

    Raises:
        InvalidOption: All are the same, so they say nothing of how much a difference is worth.
    """
    std = float(np.std(rewards))
    if std <= SMALLEST * float(np.abs(rewards).max()):
        raise InvalidOption(
            "rewards",
            f"all {len(rewards)} answers of the start policy get {rewards[0]:g} from this, so there"
            " is no spread to measure it by; leave it out, or start from a policy whose answers"
            " differ in it",
            name,
        )
    return Calibration(mean=float(np.mean(rewards)), std=std)
