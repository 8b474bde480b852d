"""Open what a recipe's `rewards` name: reward models, functions of the text, reward services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.errors import InvalidOption, NotFound
from storage.records import Message
from training.policies.functions import text_function
from training.policies.measured import Measured
from training.policies.mixer import Scorer
from training.policies.reward_options import is_service
from training.policies.service import RewardService, token_for
from training.rewards.card import read_record
from training.rewards.scoring import RewardScorer


class TextFunction:
    """A function of the answer's text, as a source of rewards."""

    def __init__(self, function: Callable[[str], float]) -> None:
        self.function = function

    def score(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> np.ndarray:
        """What the function gives each answer, shape (N,)."""
        return np.array([self.function(answer) for _, answer in conversations], dtype=float)


@dataclass(frozen=True, slots=True)
class Opened:
    """What rewards the answers of a run."""

    scorers: Mapping[str, Scorer]
    """By the name in the configuration. A `Measured` has no scale yet."""
    simulated: bool
    """Whether a reward model among them learned from a program's judgements."""


@dataclass(frozen=True, slots=True)
class Cautious:
    """A reward model with members, whose reward is what they agree on.

    The mean of the members less some of their standard deviations, as in Coste et al. (2023),
    "Reward Model Ensembles Help Mitigate Overoptimization", arXiv:2310.02743 (there the variance).
    """

    model: RewardScorer
    uncertainty: float
    """Standard deviations taken off."""

    def score(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> np.ndarray:
        """Raw rewards, in logits, shape (N,)."""
        rewards, spread = self.model.score_with_spread(conversations)
        cautious: np.ndarray = rewards - self.uncertainty * spread
        return cautious

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        """On the scale of the model's reward, nothing taken off."""
        return self.model.standardise(rewards)


def open_sources(
    names: Iterable[str],
    folders: Mapping[str, Path],
    *,
    uncertainty: float = 0.0,
    environment: Mapping[str, str],
    device: str = "auto",
) -> Opened:
    """Open everything that rewards answers.

    Args:
        names: The keys of `rewards`, as they were checked with the configuration.
        folders: The folder of each reward model among them.
        uncertainty: Standard deviations that are taken off the rewards of models with members.
        environment: Where tokens for reward services stand; see `training.policies.service`.
        device: Where reward models run.

    Raises:
        NotFound: A reward model has no folder.
        InvalidData: A folder holds no reward model.
        InvalidOption: `uncertainty` is asked for, and no model has members.
    """
    scorers: dict[str, Scorer] = {}
    simulated = has_members = False
    for name in names:
        if is_service(name):
            scorers[name] = Measured(RewardService(name, token=token_for(name, environment)))
        elif function := text_function(name):
            scorers[name] = Measured(TextFunction(function))
        elif name not in folders:
            raise NotFound("reward model", name, folders)
        else:
            model = RewardScorer.load(folders[name], device=device)
            cautious = uncertainty > 0 and model.members is not None
            scorers[name] = Cautious(model, uncertainty) if cautious else model
            has_members |= model.members is not None
            simulated |= bool(read_record(folders[name])["simulated"])
    if uncertainty and not has_members:
        raise InvalidOption(
            "uncertainty",
            "no reward model here has members; train one with --members, or set it to 0",
            uncertainty,
        )
    return Opened(scorers, simulated)
