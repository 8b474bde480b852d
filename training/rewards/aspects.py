"""The multi-objective reward: readings of hidden states, length taken out, weighed by a gate.

    reward = scale * sum_k w_k(prompt) (r_k - slope_k (v - mean v) - mean r_k)

where r_k is the rating foretold for aspect k, in points, and v the logarithm of the answer's number
of tokens; both means are over the training answers, so that a prompt whose gate favours a leniently
rated aspect does not have all its answers rewarded.

Shapes: N is answers, H is the width of the model, K is aspects.

Source:
    Wang et al. (2024), Interpretable Preferences via Multi-Objective Reward Modeling and
    Mixture-of-Experts (ArmoRM), arXiv:2406.12845.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import InvalidData
from training.batching import Row
from training.quiet import quietly
from training.rewards.features import Features, read_rows
from training.rewards.gate import Gate
from training.rewards.model import RewardModel

HEADS = "aspects.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class AspectRewards:
    """What goes into the reward of each answer, shapes (N, K)."""

    ratings: Tensor
    """Foretold, in points from 1 to 7, before anything is taken out."""
    rewards: Tensor
    """Without the part that is length, in points above the mean training answer."""
    weights: Tensor
    """How much each aspect counts; they add up to 1."""


class AspectHeads(torch.nn.Module):
    """Everything that is learned: ratings from answers, their slopes on length, and the gate."""

    feature_mean: Tensor
    feature_std: Tensor
    weight: Tensor
    bias: Tensor
    slope: Tensor
    verbosity_mean: Tensor
    rating_mean: Tensor

    def __init__(self, *, features: int, aspects: int, width: int) -> None:
        """All readings 0, no slope, equal weights."""
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_std", torch.ones(features))
        self.register_buffer("weight", torch.zeros(aspects, features))
        self.register_buffer("bias", torch.zeros(aspects))
        self.register_buffer("slope", torch.zeros(aspects))
        self.register_buffer("verbosity_mean", torch.zeros(()))
        self.register_buffer("rating_mean", torch.zeros(aspects))
        self.gate = Gate(features=features, aspects=aspects, width=width)

    def forward(self, features: Features, row: Tensor, tokens: Tensor) -> AspectRewards:
        """Read answers.

        Args:
            features: Of N answers and R prompts.
            row: Which of the prompts each one answers, shape (N,).
            tokens: Length of each answer, shape (N,).
        """
        standard = (features.answers - self.feature_mean) / self.feature_std
        ratings = standard @ self.weight.T + self.bias
        return AspectRewards(
            ratings, self.without_length(ratings, tokens), self.gate(features.prompts)[row]
        )

    def without_length(self, ratings: Tensor, tokens: Tensor) -> Tensor:
        """Ratings, shape (N, K), as points above the mean with the part that is length removed."""
        verbosity = verbosity_of(tokens) - self.verbosity_mean
        return ratings - verbosity[:, None] * self.slope - self.rating_mean

    def reward(self, read: AspectRewards) -> Tensor:
        """One number for each answer, in logits if comparisons gave the scale, shape (N,)."""
        return self.gate.scale * (read.weights * read.rewards).sum(dim=-1)

    def save(self, folder: Path) -> None:
        """Write the tensors."""
        tensors = {name: one.contiguous() for name, one in self.state_dict().items()}
        save_file(tensors, folder / HEADS)

    @classmethod
    def load(cls, folder: Path) -> AspectHeads:
        """Read the tensors.

        Raises:
            InvalidData: They are missing or damaged.
        """
        try:
            tensors = load_file(folder / HEADS)
            aspects, features = tensors["weight"].shape
            width = len(tensors["gate.hidden.bias"])
            heads = cls(features=features, aspects=aspects, width=width)
            heads.load_state_dict(tensors)
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise InvalidData(
                f"{folder} is not a whole multi-objective reward model: its {HEADS} is missing or"
                " damaged."
            ) from error
        return heads.requires_grad_(False).eval()


class MultiObjectiveModel(RewardModel):
    """A frozen model with the heads of several aspects, which gives rewards as any other does."""

    def __init__(self, trunk: RewardModel, heads: AspectHeads) -> None:
        super().__init__(trunk.model, trunk.tokenizer)
        self.heads = heads.to(trunk.device)

    def aspects(self, rows: Sequence[Row]) -> AspectRewards:
        """The aspects of all answers of the rows, in order."""
        device = self.device
        row = [place for place, one in enumerate(rows) for _ in one.answers]
        tokens = [len(ids) for one in rows for ids in one.answers]
        read: AspectRewards = self.heads(
            read_rows(self, rows),
            torch.tensor(row, device=device),
            torch.tensor(tokens, device=device),
        )
        return read

    def forward(self, rows: Sequence[Row]) -> Tensor:
        """Rewards of all answers of the rows, in order, in fp32, shape (N,)."""
        return self.heads.reward(self.aspects(rows))

    def save(self, folder: Path) -> None:
        """Write the heads, the tokenizer, and the adapter if the trunk has one.

        The trunk's whole weights were not changed; they are found again by their name.
        """
        self.heads.save(folder)
        with quietly():
            if isinstance(self.model, PeftModel):
                self.model.save_pretrained(folder, save_embedding_layers=False)
            self.tokenizer.save_pretrained(folder)


def verbosity_of(tokens: Tensor) -> Tensor:
    """Natural logarithm of lengths in tokens, end token included, shape (N,)."""
    return tokens.float().log()
