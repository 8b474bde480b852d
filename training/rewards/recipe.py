"""Make an entry of `REWARDS`; torch is loaded only when the recipe runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.recipes import Progress, Recipe
from training.rewards.config import RewardConfig


def reward_recipe(name: str, summary: str, config: type[RewardConfig]) -> Recipe:
    """A recipe whose run learns what `config.objective` names."""

    def run(
        config: RewardConfig,
        *,
        snapshot: Path,
        output: Path,
        checkpoints: Path,
        progress: Progress,
        device: str = "auto",
        reliability: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Learn from a snapshot and write the model; see `training.rewards.loop.train`."""
        from training.rewards.loop import train

        return train(
            name,
            config,
            snapshot=snapshot,
            output=output,
            checkpoints=checkpoints,
            progress=progress,
            device=device,
            reliability=reliability,
        )

    def foretell(config: RewardConfig, *, snapshot: Path, device: str = "auto") -> Any:
        """How much memory that would take; see `training.rewards.loop.foretell`."""
        from training.rewards import loop

        return loop.foretell(config, snapshot=snapshot, device=device)

    return Recipe(
        name=name, summary=summary, config=config, run=run, foretell=foretell, together=True
    )
