"""A reward model looked at in parts: for each annotator, kind of prompt, and source of answers.

Whatever has too few judgements is left out here rather than drawn with an interval from end to end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics import Estimate, clustered_mean, weighted_sum
from storage.snapshots import ComparisonRow, RatingRow

FEWEST_PAIRS = 20
"""Decided pairs that an annotator or a kind of prompt needs to be shown."""
FEWEST_PROMPTS = 5
"""Different prompts among them."""
FEWEST_ANSWERS = 10
"""Answers that a group needs for its rewards to be drawn."""
MOST_ANNOTATORS, MOST_KINDS, MOST_SOURCES = 40, 40, 8
"""Shown at most, those with most judgements."""
MOST_DRAWN = 200
"""Rewards kept of each group for the box plot and the histogram, as evenly spaced quantiles."""
MOST_POINTS = 400
"""Answers kept for the figure of reward against length."""


def of_each_annotator(
    rows: Sequence[ComparisonRow], correct: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """How often a model agrees with each annotator, under their pseudonyms, the busiest first.

    Args:
        rows: Decided comparisons.
        correct: 1, 1/2 or 0 for each.
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.annotator, []).append(place)
    found: list[dict[str, Any]] = [
        {
            "annotator": name,
            "kind": rows[theirs[0]].kind,
            "pair_accuracy": _share(rows, correct, theirs),
        }
        for name, theirs in places.items()
        if _enough(rows, theirs)
    ]
    found.sort(key=lambda one: (-one["pair_accuracy"].n, one["annotator"]))
    return found[:MOST_ANNOTATORS]


def of_each_kind(
    rows: Sequence[ComparisonRow],
    correct: NDArray[np.float64],
    correct_by_length: NDArray[np.float64],
) -> list[dict[str, Any]]:
    """Pair accuracy on each kind of prompt, with the length-only baseline, the largest kind first.

    A prompt of several kinds counts in each of them.

    Returns:
        `clearly_worse` is true where the accuracy lies below that on all other prompts. All kinds
        are compared at once, so each difference is given an interval of 1 - 0.05 / kinds
        (Bonferroni).
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for tag in row.tags:
            places.setdefault(tag, []).append(place)
    kinds = {tag: inside for tag, inside in places.items() if _enough(rows, inside)}
    confidence = 1 - 0.05 / max(1, len(kinds))
    found: list[dict[str, Any]] = []
    for tag, inside in kinds.items():
        others = sorted(set(range(len(rows))) - set(inside))
        worse = _enough(rows, others) and (
            weighted_sum(
                [
                    (1, _share(rows, correct, inside, confidence=confidence)),
                    (-1, _share(rows, correct, others, confidence=confidence)),
                ]
            ).high
            < 0
        )
        found.append(
            {
                "kind": tag,
                "pair_accuracy": _share(rows, correct, inside),
                "length_only_accuracy": _share(rows, correct_by_length, inside),
                "clearly_worse": worse,
            }
        )
    found.sort(key=lambda one: (-one["pair_accuracy"].n, one["kind"]))
    return found[:MOST_KINDS]


def _enough(rows: Sequence[ComparisonRow], places: Sequence[int]) -> bool:
    prompts = {rows[place].prompt_id for place in places}
    return len(places) >= FEWEST_PAIRS and len(prompts) >= FEWEST_PROMPTS


def _share(
    rows: Sequence[ComparisonRow],
    correct: NDArray[np.float64],
    places: Sequence[int],
    *,
    confidence: float = 0.95,
) -> Estimate:
    prompts = [rows[place].prompt_id for place in places]
    return clustered_mean(correct[list(places)], prompts, confidence=confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswers:
    """Every answer that was judged, once, with its reward; each column has shape (n,)."""

    rewards: NDArray[np.float64]
    """In logits."""
    characters: NDArray[np.int_]
    policies: tuple[str, ...]
    """What wrote each; empty where unknown."""
    tags: tuple[tuple[str, ...], ...]
    """Kinds of prompt that each answers."""

    @classmethod
    def of(
        cls,
        left: ArrayLike,
        right: ArrayLike,
        rows: Sequence[ComparisonRow],
        rating_scores: ArrayLike,
        rating_rows: Sequence[RatingRow],
    ) -> Self:
        """Bring together what was compared and what was rated."""
        answers: dict[tuple[str, str, str], tuple[float, tuple[str, ...]]] = {}
        for score, row in zip(np.asarray(left, dtype=float).tolist(), rows, strict=True):
            answers[row.prompt_id, row.left, row.left_policy] = score, row.tags
        for score, row in zip(np.asarray(right, dtype=float).tolist(), rows, strict=True):
            answers[row.prompt_id, row.right, row.right_policy] = score, row.tags
        for score, rated in zip(
            np.asarray(rating_scores, dtype=float).tolist(), rating_rows, strict=True
        ):
            answers[rated.prompt_id, rated.response, rated.policy] = score, rated.tags
        return cls(
            rewards=np.array([score for score, _ in answers.values()]),
            characters=np.array([len(text) for _, text, _ in answers], dtype=int),
            policies=tuple(policy for _, _, policy in answers),
            tags=tuple(tags for _, tags in answers.values()),
        )

    def spread(self) -> float:
        """How far apart the middle nine tenths of the rewards lie, in logits; 0 without answers."""
        if not self.rewards.size:
            return 0.0
        low, high = np.quantile(self.rewards, [0.05, 0.95])
        return float(high - low)

    def distributions(self) -> dict[str, dict[str, Any]]:
        """Rewards for each source of answers, and for each kind of prompt, as far as known.

        Returns:
            {"policies": {name: {"n", "quantiles"}}, "kinds": the same}, the largest first.
        """
        return {
            "policies": self._groups([(policy,) if policy else () for policy in self.policies]),
            "kinds": self._groups(self.tags),
        }

    def by_length(self) -> dict[str, list[float]]:
        """`characters` and `rewards` of answers from the shortest to the longest, evenly spaced."""
        order = np.argsort(self.characters, kind="stable")
        places = np.linspace(0, len(order) - 1, min(MOST_POINTS, len(order))).round().astype(int)
        return {
            "characters": self.characters[order[places]].tolist(),
            "rewards": self.rewards[order[places]].round(4).tolist(),
        }

    def _groups(self, names: Iterable[tuple[str, ...]]) -> dict[str, Any]:
        places: dict[str, list[int]] = {}
        for place, belongs in enumerate(names):
            for name in belongs:
                places.setdefault(name, []).append(place)
        sizes = Counter({name: len(inside) for name, inside in places.items()})
        return {
            name: {"n": size, "quantiles": quantiles(self.rewards[places[name]])}
            for name, size in sizes.most_common(MOST_SOURCES)
            if size >= FEWEST_ANSWERS
        }


def quantiles(rewards: NDArray[np.float64]) -> list[float]:
    """Rewards in order, or as many of them as a figure needs."""
    places = np.linspace(0, 1, min(MOST_DRAWN, len(rewards)))
    return [round(float(value), 4) for value in np.quantile(rewards, places)]
