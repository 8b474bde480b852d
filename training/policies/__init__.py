"""Ways to make a better policy, by name. Nothing here imports torch until a recipe runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from storage.recipes import Recipe
from training.policies.config import PPOConfig, SFTConfig
from training.policies.dpo_config import DPOConfig, IterativeDPOConfig, RejectionSamplingConfig
from training.policies.grpo_config import GRPOConfig, RLOOConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecipe(Recipe):
    """An entry of `POLICIES`. All `run` take `output`, `checkpoints`, `progress` and `device`."""

    learns_from: Literal["snapshot", "prompts"]
    """A snapshot of judgements: `run` takes `data`, its folder. Or prompts and what reward models
    say of the answers: `run` takes `prompts` and `rewards`, the folder of each by its name."""


def _run_of(module: str) -> Callable[..., dict[str, Any]]:
    """The `run` of a module here, which is imported, and torch with it, only when it is called."""

    def run(*positional: Any, **named: Any) -> dict[str, Any]:
        outcome: dict[str, Any] = import_module(f"{__name__}.{module}").run(*positional, **named)
        return outcome

    return run


POLICIES: dict[str, PolicyRecipe] = {
    "sft": PolicyRecipe(
        name="sft",
        summary="Learn to write answers like those that people found good (supervised fine-tuning)",
        config=SFTConfig,
        run=_run_of("sft"),
        learns_from="snapshot",
    ),
    "ppo": PolicyRecipe(
        name="ppo",
        summary="PPO against one or several reward models, with a KL penalty to the start",
        config=PPOConfig,
        run=_run_of("ppo"),
        together=True,
        learns_from="prompts",
    ),
    "grpo": PolicyRecipe(
        name="grpo",
        summary="GRPO: of the answers to a prompt, each is rewarded against the mean of all",
        config=GRPOConfig,
        run=_run_of("grpo"),
        learns_from="prompts",
    ),
    "rloo": PolicyRecipe(
        name="rloo",
        summary="RLOO: of the answers to a prompt, each is rewarded against the mean of the others",
        config=RLOOConfig,
        run=_run_of("grpo"),
        learns_from="prompts",
    ),
    "dpo": PolicyRecipe(
        name="dpo",
        summary="DPO: learn from comparisons directly, without a reward model",
        config=DPOConfig,
        run=_run_of("dpo"),
        learns_from="snapshot",
    ),
    "iterative-dpo": PolicyRecipe(
        name="iterative-dpo",
        summary="DPO in rounds, on the best and the worst of several answers by reward models",
        config=IterativeDPOConfig,
        run=_run_of("iterative_dpo"),
        learns_from="prompts",
    ),
    "rejection-sampling": PolicyRecipe(
        name="rejection-sampling",
        summary="Learn to write the best of several answers by reward models, in rounds (RAFT)",
        config=RejectionSamplingConfig,
        run=_run_of("rejection_sampling"),
        learns_from="prompts",
    ),
}
