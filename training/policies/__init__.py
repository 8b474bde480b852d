"""Ways to make a better policy, by name. Nothing here imports torch until a recipe runs."""

from __future__ import annotations

from typing import Any

from storage.recipes import Recipe
from training.policies.config import PPOConfig


def _ppo(*positional: Any, **named: Any) -> dict[str, Any]:
    from training.policies.ppo import run

    return run(*positional, **named)


POLICIES: dict[str, Recipe] = {
    "ppo": Recipe(
        name="ppo",
        summary="PPO against one or several reward models, with a KL penalty to the start",
        config=PPOConfig,
        run=_ppo,
    ),
}
