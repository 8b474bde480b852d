"""Learn from a part: so many prompts, so many judgements, the same ones whatever is learned."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from storage.records import PromptId
from storage.snapshots import ComparisonRow, RatingRow


def drawn_prompts(prompts: Iterable[PromptId], count: int | None, *, seed: int) -> set[PromptId]:
    """As many prompts as were asked for, drawn by the seed; all of them for None."""
    known = sorted(set(prompts))
    if count is None or count >= len(known):
        return set(known)
    return set(random.Random(seed).sample(known, count))  # noqa: S311


def within_budget(
    comparisons: Sequence[ComparisonRow],
    ratings: Sequence[RatingRow],
    budget: int | None,
    *,
    seed: int,
) -> tuple[list[ComparisonRow], list[RatingRow]]:
    """As many judgements as the budget says, half of each kind; all of them for None.

    Where there are not enough of one kind, or none because it is not learned from, the other kind
    makes up for it.
    """
    compared, rated = list(comparisons), list(ratings)
    if budget is None:
        return compared, rated
    rng = random.Random(seed)  # noqa: S311
    rng.shuffle(compared)
    rng.shuffle(rated)
    first = min(len(compared), max(budget // 2, budget - len(rated)))
    return compared[:first], rated[: budget - first]
