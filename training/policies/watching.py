"""Looks at held-out prompts, by reward models that are never learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from storage.errors import TooLittleData
from training.policies.health.history import HELD_OUT_REWARD, WATCHED, WATCHED_ERROR
from training.policies.mixer import RewardMixer
from training.policies.reward_options import short
from training.policies.rollouts import Writer

MOST, PART, FEWEST = 32, 4, 8
"""Held-out prompts at most, one prompt in how many, and the prompts that watching needs: with 32 a
mean is known to a fifth of a standard deviation, and two are the fewest that have an error."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Answers to held-out prompts, judged by who is learned from and by who is only watched."""

    writer: Writer
    learned: RewardMixer
    watched: RewardMixer
    places: Sequence[int]
    """The held-out prompts among those of the writer."""

    def look(self, model: PreTrainedModel, *, share: float) -> dict[str, float]:
        """Metrics of the policy as it is now: the same prompts and random numbers each time.

        Args:
            model: The policy.
            share: Of the run that is done, from 0 to 1; scheduled weights go by it.

        Raises:
            TrainingFailed: A reward model gave something that is not a number.
        """
        written = self.writer.write(model, self.places, step=0)
        said = self.watched.score(written.conversations).standardised
        learned = self.learned.score(written.conversations, share=share).total
        metrics = {HELD_OUT_REWARD: float(learned.mean())}
        for name, rewards in said.items():
            metrics[WATCHED + short(name)] = float(rewards.mean())
            metrics[WATCHED_ERROR + short(name)] = float(rewards.std(ddof=1)) / math.sqrt(
                len(rewards)
            )
        return metrics


def held_out(prompts: int) -> range:
    """Which prompts of a run are kept from training: the last fourth of them, at most 32.

    Raises:
        TooLittleData: There are too few to spare any.
    """
    if prompts < FEWEST:
        raise TooLittleData(
            f"watch holds prompts out, and needs {FEWEST} or more of them; there are {prompts}."
            " Import more prompts, or leave watch empty."
        )
    return range(prompts - min(MOST, prompts // PART), prompts)
