"""The combined model: one reward explains comparisons and ratings, each by its own likelihood."""

from __future__ import annotations

from training.rewards.config import CombinedConfig
from training.rewards.recipe import reward_recipe

combined = reward_recipe(
    "combined", "Learn from comparisons and ratings together, on one scale", CombinedConfig
)
