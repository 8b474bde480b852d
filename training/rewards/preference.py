"""The preference model: rewards whose differences explain comparisons; their mean is arbitrary."""

from __future__ import annotations

from training.rewards.config import PreferenceConfig
from training.rewards.recipe import reward_recipe

preference = reward_recipe(
    "preference",
    "Learn which of two responses people find better, and by how much",
    PreferenceConfig,
)
