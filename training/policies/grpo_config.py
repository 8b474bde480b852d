"""The options of GRPO and RLOO; free of torch, so that command line and web form may read them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from storage.recipes import RecipeConfig
from training.options import (
    CheckpointEvery,
    Layers,
    MaxNewTokens,
    MissingEndPenalty,
    PolicyBatchTokens,
    PolicySteps,
    PolicyTemperature,
    Seed,
    Start,
)
from training.places import DEFAULT_BASE
from training.policies.reward_options import Combine, Rewards, Uncertainty, WeightSchedule


class GroupConfig(RecipeConfig):
    """Raise what rewards a policy's answers earn, each held against its siblings.

    What PPO knows, too, has its name and its meaning, so that runs can be compared.
    """

    start: Start = DEFAULT_BASE
    rewards: Rewards
    weight_schedule: WeightSchedule = Field(default_factory=dict)
    combine: Combine = "sum"
    uncertainty: Uncertainty = 0.0
    steps: PolicySteps = 50
    episodes: Annotated[int, Field(ge=2, le=4096, description="Answers per step")] = 32
    answers_per_prompt: Annotated[
        int, Field(ge=2, le=256, description="Answers to each prompt, held against each other")
    ] = 8
    max_new_tokens: MaxNewTokens = 64
    temperature: PolicyTemperature = 1.0
    learning_rate: Annotated[
        float, Field(ge=0, le=1e-2, description="AdamW step of the adapter")
    ] = 2e-4
    kl_coefficient: Annotated[
        float, Field(ge=0, le=10, description="Price of going away from the start, per nat")
    ]
    missing_end_penalty: MissingEndPenalty = 1.0
    rank: Annotated[int, Field(ge=1, le=512, description="Rank of the LoRA adapter")] = 16
    layers: Layers = None
    batch_tokens: PolicyBatchTokens = 4096
    checkpoint_every: CheckpointEvery = 10
    probe_every: Annotated[
        int, Field(ge=1, description="Steps between sample answers to the first four prompts")
    ] = 10
    seed: Seed = 0

    @field_validator("answers_per_prompt")
    @classmethod
    def _groups_are_whole(cls, size: int, info: ValidationInfo) -> int:
        episodes = info.data.get("episodes")
        if episodes is not None and episodes % size:
            raise ValueError(f"must divide the episodes, of which there are {episodes}")
        return size


class GRPOConfig(GroupConfig):
    """Raise what rewards a policy's answers earn, scaled by the spread of each group."""

    # Shao et al. (2024), section 4.2. TRL's default is 0, which suits rewards that cannot be fooled
    # (a sum is right or wrong). What people like is known of answers near the start alone, and the
    # further a policy goes, the less its reward means.
    kl_coefficient: Annotated[
        float,
        Field(ge=0, le=10, description="Price, in the loss of a token, of one nat from the start"),
    ] = 0.04


class RLOOConfig(GroupConfig):
    """Raise what reward models say of a policy's answers beyond the mean of the others."""

    answers_per_prompt: Annotated[
        int, Field(ge=2, le=256, description="Answers to each prompt, held against each other")
    ] = 4
    kl_coefficient: Annotated[
        float, Field(ge=0, le=10, description="Price, in rewards, of one nat away from the start")
    ] = 0.05
