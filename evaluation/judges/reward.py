"""A judge that is a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from evaluation.judges.voting import Ballot, Judge
from feedback.assignment import ShownTask
from storage.recipes import RecipeConfig
from storage.records import Kind


class RewardConfig(RecipeConfig):
    """Prefer the answer with the higher reward."""

    model: Annotated[str, Field(min_length=1, description="Folder of the reward model")]
    device: Annotated[str, Field(description="Where it runs; auto chooses")] = "auto"


def reward_judge(config: RewardConfig) -> Judge:
    """A reward model, loaded and ready to vote. Only equal rewards are a tie."""
    from training.rewards.scoring import RewardScorer  # noqa: PLC0415 - torch, only where it is used

    scorer = RewardScorer.load(config.model, device=config.device)

    def ballots(tasks: Sequence[ShownTask]) -> list[Ballot]:
        rewards = scorer.score([(task.prompt, text) for task in tasks for text in task.responses])
        return [
            Ballot(choice=int(np.sign(right - left)))
            for left, right in np.asarray(rewards).reshape(-1, 2)
        ]

    folder = Path(config.model)
    return Judge(
        name=f"judge: reward model {folder.parent.name}/{folder.name}",
        kind=Kind.PROGRAM,
        ballots=ballots,
    )
