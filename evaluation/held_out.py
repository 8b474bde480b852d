"""What a reward model of any kind makes of held-out judgements, each one by itself.

Figures over all of them are in `evaluation.report_card`; here every comparison keeps its own gap,
so that models can be compared on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evaluation.rated_answers import RatedAnswers
from evaluation.statistics import Estimate
from storage.errors import TooLittleData
from storage.recipes import Progress
from storage.records import Message, Split
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData

BOOTSTRAP_SEED = 0
"""The same model gets the same interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The judgements that models are judged by."""

    comparisons: tuple[ComparisonRow, ...]
    ratings: tuple[RatingRow, ...]

    @classmethod
    def of(
        cls, data: SnapshotData, *, prompts: int | None = None, aspect: str | None = None
    ) -> Self:
        """Those of a snapshot's test part.

        Args:
            data: The snapshot.
            prompts: Of so many prompts at most, the same ones each time; None for all.
            aspect: Of which ratings; None leaves the choice to `RatedAnswers`.
        """
        comparisons = data.comparisons(Split.TEST)
        ratings = [one for one in data.ratings(Split.TEST) if aspect in (None, one.aspect)]
        judged = sorted({one.prompt_id for one in comparisons} | {one.prompt_id for one in ratings})
        if prompts is not None and prompts < len(judged):
            drawn = np.random.default_rng(0).choice(judged, size=prompts, replace=False)
            wanted = set(drawn.tolist())
            comparisons = [row for row in comparisons if row.prompt_id in wanted]
            ratings = [row for row in ratings if row.prompt_id in wanted]
        return cls(comparisons=tuple(comparisons), ratings=tuple(ratings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What one model says of held-out judgements."""

    gaps: NDArray[np.float64]
    """How much more the answer on the right of each comparison is worth, in logits, shape (n,); nan
    where the model cannot read them whole."""
    spearman: Estimate | None
    """Of reward and mean rating. None where the model gives single answers no reward, or where too
    few answers were rated."""


def judge(
    folder: Path | str, held_out: HeldOut, *, device: str = "auto", progress: Progress | None = None
) -> Verdicts:
    """Let a reward model compare the answers of every comparison. Each answer is read once.

    Args:
        folder: A model that a recipe of `training.rewards.REWARDS` made.
        held_out: The judgements.
        device: Where the model runs.
        progress: Told how far reading is.

    Raises:
        InvalidData: The folder holds no reward model.
        TrainingFailed: A reward is not a number.
    """
    from training.rewards.comparing import (  # noqa: PLC0415 - torch, only where it is used
        PairwiseScorer,
        open_comparer,
    )

    comparer = open_comparer(folder, device=device)
    rows = held_out.comparisons
    gaps = np.full(len(rows), np.nan)
    if isinstance(comparer, PairwiseScorer):
        pairs = [(row.prompt, row.left, row.right) for row in rows]
        places = np.flatnonzero(comparer.fits(pairs))
        gaps[places] = comparer.gaps([pairs[place] for place in places], progress=progress)
        return Verdicts(gaps=gaps, spearman=None)
    conversations = _conversations(rows, held_out.ratings)
    fits = comparer.fits(list(conversations.values()))
    read = [key for key, fit in zip(conversations, fits, strict=True) if fit]
    scores = comparer.score([conversations[key] for key in read], progress=progress)
    reward = dict(zip(read, scores.tolist(), strict=True))
    for place, row in enumerate(rows):
        left, right = ((row.prompt_id, text) for text in (row.left, row.right))
        if left in reward and right in reward:
            gaps[place] = reward[right] - reward[left]
    rated = [row for row in held_out.ratings if (row.prompt_id, row.response) in reward]
    answers = RatedAnswers.of([reward[row.prompt_id, row.response] for row in rated], rated)
    try:
        spearman = answers.spearman(np.random.default_rng(BOOTSTRAP_SEED))
    except TooLittleData:
        spearman = None
    return Verdicts(gaps=gaps, spearman=spearman)


def _conversations(
    rows: Sequence[ComparisonRow], ratings: Sequence[RatingRow]
) -> dict[tuple[str, str], tuple[Sequence[Message], str]]:
    """Each answer once, by its prompt and text."""
    found: dict[tuple[str, str], tuple[Sequence[Message], str]] = {}
    for row in rows:
        found[row.prompt_id, row.left] = (row.prompt, row.left)
        found[row.prompt_id, row.right] = (row.prompt, row.right)
    for rating in ratings:
        found[rating.prompt_id, rating.response] = (rating.prompt, rating.response)
    return found
