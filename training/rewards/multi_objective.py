"""The multi-objective model: several rated aspects, each weighed as the prompt asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from storage.recipes import Progress, Recipe
from training.rewards.multi_config import MultiObjectiveConfig


def run(
    config: MultiObjectiveConfig,
    *,
    snapshot: Path,
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
) -> dict[str, Any]:
    """Learn from a snapshot and write the model; see `training.rewards.multi_training.train`."""
    from training.rewards.multi_training import train

    return train(
        config,
        snapshot=snapshot,
        output=output,
        checkpoints=checkpoints,
        progress=progress,
        device=device,
    )


multi_objective = Recipe(
    name="multi-objective",
    summary="Learn several rated aspects, and from comparisons how much each counts where",
    config=MultiObjectiveConfig,
    run=run,
)
