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

    model: Annotated[str, Field(min_length=1, description="The reward model: name, id or folder")]
    device: Annotated[str, Field(description="Where it runs; auto chooses")] = "auto"


def reward_judge(config: RewardConfig) -> Judge:
    """A reward model, loaded and ready to vote. Only equal rewards are a tie."""
    from training.rewards.comparing import open_comparer  # noqa: PLC0415 - torch, only if used

    scorer = open_comparer(config.model, device=config.device)

    def ballots(tasks: Sequence[ShownTask]) -> list[Ballot]:
        pairs = [(task.prompt, task.responses[0], task.responses[1]) for task in tasks]
        gaps = scorer.gaps(pairs)
        return [Ballot(choice=int(np.sign(gap))) for gap in gaps]

    folder = Path(config.model)
    return Judge(
        name=f"judge: reward model {folder.parent.name}/{folder.name}",
        kind=Kind.PROGRAM,
        ballots=ballots,
    )
