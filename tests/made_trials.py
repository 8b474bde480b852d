"""Made-up comparisons, and what made-up reward models of a known accuracy make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm

from evaluation.ablation import Trial
from evaluation.statistics import Estimate
from storage.records import digest
from storage.snapshots import ComparisonRow

KINDS = {"preference": 0.6, "absolute": 0.62, "combined": 0.68}
"""Kinds and how often they are right with 250 labels; each doubling adds 4 points."""


def compared(
    count: int, *, prompts: int, seed: int = 0, kind: str = "person", ties: float = 0.06
) -> list[ComparisonRow]:
    """Comparisons, the same number of each prompt, with answers of any length."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        prompt = f"Question {number % prompts}?"
        side = int(rng.choice([-1, 1])) * int(rng.choice([1, 2, 3]))
        rows.append(
            ComparisonRow(
                prompt_id=digest(prompt),  # type: ignore[arg-type]
                prompt=({"role": "user", "content": prompt},),
                left_id=digest(prompt, number, "left"),  # type: ignore[arg-type]
                left="x" * int(rng.integers(20, 200)),
                right_id=digest(prompt, number, "right"),  # type: ignore[arg-type]
                right="y" * int(rng.integers(20, 200)),
                choice=0 if rng.random() < ties else side,
                graded=True,
                both_bad=False,
                annotator="ann",
                kind=kind,
            )
        )
    return rows


def trials(
    rows: Sequence[ComparisonRow],
    *,
    kinds: Mapping[str, float] = KINDS,
    labels: Sequence[int] = (250, 500, 1000),
    seeds: int = 3,
    luck: float = 0.0,
    seed: int = 1,
) -> list[Trial]:
    """What models make of the comparisons.

    Hard ones are hard for all, more so within a prompt, and each kind has prompts that suit it.

    Args:
        rows: The comparisons.
        kinds: Of models, with their accuracy at 250 labels.
        labels: Budgets.
        seeds: Models of each kind and budget.
        luck: Standard deviation of a model's accuracy around that of its kind.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    _, prompt = np.unique([row.prompt_id for row in rows], return_inverse=True)
    hard = 0.5 * rng.normal(size=prompt.max() + 1)[prompt] + 0.6 * rng.normal(size=len(rows))
    own = {kind: 0.4 * rng.normal(size=prompt.max() + 1)[prompt] for kind in kinds}
    rest = np.sqrt(1 - 0.5**2 - 0.6**2 - 0.4**2)
    better = np.where(np.array([row.choice for row in rows]) < 0, -1, 1)
    made = []
    for number in range(seeds):
        for budget in labels:
            for kind, accuracy in kinds.items():
                chance = accuracy + 0.04 * np.log2(budget / 250) + luck * rng.normal()
                right = hard + own[kind] + rest * rng.normal(size=len(rows)) < norm.ppf(chance)
                made.append(
                    Trial(
                        kind=kind,
                        labels=budget,
                        seed=number,
                        judgements=budget,
                        gaps=np.where(right, better, -better) * rng.uniform(0.1, 2, len(rows)),
                        spearman=Estimate(0.3, 0.2, 0.4, 0.95, 200),
                    )
                )
    return made
