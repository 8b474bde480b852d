"""Fit the heads of a multi-objective reward model to answers that were read.

Shapes: N is answers, K is aspects, C is comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.rewards.answers import JudgedAnswers
from training.rewards.aspects import AspectHeads, AspectRewards, verbosity_of
from training.rewards.features import Features
from training.rewards.gate import Compared, centre_and_spread
from training.rewards.ridge import fit_ridge
from training.rewards.verbosity import rank_correlation, verbosity_slope

FEWEST_TO_MEASURE = 10
"""Rated answers below which nothing is said of how well an aspect is foretold."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadAnswers:
    """The answers of one part of a snapshot, what was said of them, and what was read of them."""

    answers: JudgedAnswers
    features: Features

    @property
    def tokens(self) -> Tensor:
        """Lengths, shape (N,)."""
        return torch.from_numpy(self.answers.tokens)

    def compared(self, rewards: Tensor) -> Compared:
        """Its comparisons, given the rewards of its answers in each aspect, shape (N, K)."""
        said = self.answers
        return Compared(
            prompts=self.features.prompts,
            prompt=torch.from_numpy(said.row[said.left]),
            lead=rewards[said.left] - rewards[said.right],
            preference=torch.from_numpy(said.preference),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AspectFit:
    """One aspect, for the model's record."""

    name: str
    answers: int
    """How many training answers were rated."""
    penalty: float
    explained: float
    """Share of the variance of ratings foretold on prompts that were left out of the fit."""
    slope: float
    """Rating points per natural logarithm of length, taken out of the reward."""


def fit_aspects(
    heads: AspectHeads, train: ReadAnswers, names: Sequence[str], *, seed: int
) -> tuple[list[AspectFit], Tensor]:
    """Regress each aspect, take length out of it, and centre it.

    Everything but the gate is set, and the gate is told where prompts lie.

    Args:
        heads: New; changed in place.
        train: What to fit.
        names: Of the aspects, in the order of the ratings.
        seed: Draws the prompts left out together.

    Returns:
        What was found about each aspect, and rewards of the training answers as they would be had
        their prompts not been seen, shape (N, K), which is what a gate may learn from.
    """
    said, features = train.answers, train.features
    mean, std = centre_and_spread(features.answers)
    standard = ((features.answers - mean) / std).double().numpy()
    ridges = [fit_ridge(standard, one, said.prompt, seed=seed) for one in said.ratings.T]
    unseen = np.stack([ridge.unseen for ridge in ridges], axis=1)
    verbosity = verbosity_of(train.tokens).double().numpy()
    slopes = [verbosity_slope(one, verbosity) for one in unseen.T]

    heads.feature_mean.copy_(mean)
    heads.feature_std.copy_(std)
    heads.weight.copy_(torch.from_numpy(np.stack([ridge.weight for ridge in ridges])))
    heads.bias.copy_(torch.tensor([ridge.bias for ridge in ridges]))
    heads.slope.copy_(torch.tensor(slopes))
    heads.verbosity_mean.copy_(torch.tensor(verbosity.mean()))
    heads.rating_mean.copy_(torch.from_numpy(unseen.mean(axis=0)))
    heads.gate.standardise(features.prompts)
    found = [
        AspectFit(
            name=name,
            answers=int(np.isfinite(ratings).sum()),
            penalty=ridge.penalty,
            explained=ridge.explained,
            slope=slope,
        )
        for name, ratings, ridge, slope in zip(names, said.ratings.T, ridges, slopes, strict=True)
    ]
    return found, heads.without_length(torch.from_numpy(unseen).float(), train.tokens)


@torch.no_grad()
def read_aspects(heads: AspectHeads, part: ReadAnswers) -> AspectRewards:
    """The aspects of all answers of a part."""
    read: AspectRewards = heads(part.features, torch.from_numpy(part.answers.row), part.tokens)
    return read


def measure_aspects(
    foretold: npt.NDArray[np.float64],
    said: npt.NDArray[np.float64],
    names: Sequence[str],
    *,
    constant: npt.NDArray[np.float64],
) -> dict[str, dict[str, float]]:
    """How well ratings are foretold, aspect by aspect.

    Args:
        foretold: In points, shape (N, K).
        said: Mean ratings, NaN where there were none, shape (N, K).
        names: Of the aspects.
        constant: The rating of each aspect that whoever knows nothing would foretell, shape (K,).

    Returns:
        By aspect: rank correlation `spearman`, `mean_absolute_error` in points and the same
        `..._of_constant`, and rated `answers`. Aspects with fewer than 10 rated answers, or with
        ratings that are all the same, are left out.
    """
    found: dict[str, dict[str, float]] = {}
    for place, name in enumerate(names):
        rated = np.isfinite(said[:, place])
        ours, theirs = foretold[rated, place], said[rated, place]
        if rated.sum() < FEWEST_TO_MEASURE:
            continue
        spearman = rank_correlation(ours, theirs)
        if spearman is not None:
            found[name] = {
                "spearman": spearman,
                "mean_absolute_error": float(np.abs(ours - theirs).mean()),
                "mean_absolute_error_of_constant": float(np.abs(theirs - constant[place]).mean()),
                "answers": int(rated.sum()),
            }
    return found
