"""The pairwise model: it reads both answers and says which is better, A or B."""

from __future__ import annotations

from training.rewards.config import PairwiseConfig
from training.rewards.recipe import reward_recipe

pairwise = reward_recipe(
    "pairwise", "Learn to read both responses and say which is better", PairwiseConfig
)
