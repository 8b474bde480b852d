"""Rated answers beside their rewards: order, and how well one foretells the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.statistics import Estimate, clustered_mean, kendall, spearman
from storage.records import HIGHEST_RATING, LOWEST_RATING
from storage.snapshots import RatingRow

OVERALL = "overall"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedAnswers:
    """Answers with their mean rating; every column has shape (n,)."""

    prompts: tuple[str, ...]
    ratings: NDArray[np.float64]
    """Mean over annotators, in points from 1 to 7."""
    rewards: NDArray[np.float64]
    """In logits."""
    lengths: NDArray[np.float64]
    """In characters."""

    @classmethod
    def of(cls, scores: ArrayLike, rows: Sequence[RatingRow]) -> Self:
        """Bring the ratings of each answer together.

        The aspect "overall" is used where there is one; else all aspects count alike.
        """
        wanted = OVERALL if any(row.aspect == OVERALL for row in rows) else None
        said: dict[tuple[str, str], list[float]] = defaultdict(list)
        reward: dict[tuple[str, str], float] = {}
        for score, row in zip(np.asarray(scores, dtype=float).tolist(), rows, strict=True):
            if wanted in (None, row.aspect):
                said[row.prompt_id, row.response].append(row.value)
                reward[row.prompt_id, row.response] = score
        return cls(
            prompts=tuple(prompt for prompt, _ in said),
            ratings=np.array([float(np.mean(values)) for values in said.values()]),
            rewards=np.array(list(reward.values()), dtype=float),
            lengths=np.array([len(text) for _, text in said], dtype=float),
        )

    def spearman(self, rng: np.random.Generator) -> Estimate:
        """Rank correlation of reward and mean rating.

        Raises:
            TooLittleData: Fewer than 5 prompts, or one side hardly ever changes.
        """
        return spearman(self.rewards, self.ratings, prompts=list(self.prompts), rng=rng)

    def kendall(self, rng: np.random.Generator) -> Estimate:
        """Kendall's tau-b of reward and mean rating.

        Raises:
            TooLittleData: Fewer than 5 prompts, or one side hardly ever changes.
        """
        return kendall(self.rewards, self.ratings, prompts=list(self.prompts), rng=rng)

    def errors(self, rng: np.random.Generator, *, folds: int = 10) -> tuple[Estimate, Estimate]:
        """Mean absolute error of ratings foretold for prompts that were left out, in points.

        Args:
            rng: Deals the prompts out to the folds.
            folds: The line is fitted on all but one fold and used on that one.

        Returns:
            With a line from reward to rating; and with the mean rating alone, which needs no model.

        Raises:
            TooLittleData: Fewer than two prompts.
        """
        _, prompt = np.unique(np.array(self.prompts), return_inverse=True)
        count = int(prompt.max(initial=-1)) + 1
        fold = rng.permutation(np.arange(count) % folds)[prompt]
        line, constant = np.zeros_like(self.ratings), np.zeros_like(self.ratings)
        for left_out in np.unique(fold) if count > 1 else ():
            test, rest = fold == left_out, fold != left_out
            constant[test] = line[test] = self.ratings[rest].mean()
            if np.ptp(self.rewards[rest]) > 0:
                fit = stats.linregress(self.rewards[rest], self.ratings[rest])
                line[test] = fit.intercept + fit.slope * self.rewards[test]

        def error(foretold: NDArray[np.float64]) -> Estimate:
            return clustered_mean(
                np.abs(foretold.clip(LOWEST_RATING, HIGHEST_RATING) - self.ratings),
                list(self.prompts),
                what="An error of ratings",
                bounds=(0.0, float(HIGHEST_RATING - LOWEST_RATING)),
            )

        return error(line), error(constant)
