"""Reward models: what a response is worth, learned from what people said. One line per recipe."""

from __future__ import annotations

from storage.recipes import Recipe
from training.rewards.absolute import absolute
from training.rewards.combined import combined
from training.rewards.multi_objective import multi_objective
from training.rewards.pairwise import pairwise
from training.rewards.preference import preference

REWARDS: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (preference, absolute, combined, pairwise, multi_objective)
}
