"""The absolute model: rewards that explain ratings, on the scale that the raters used."""

from __future__ import annotations

from training.rewards.config import AbsoluteConfig
from training.rewards.recipe import reward_recipe

absolute = reward_recipe(
    "absolute", "Learn how good people find a response, from 1 to 7", AbsoluteConfig
)
