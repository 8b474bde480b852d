"""The options of DPO and of learning in rounds; free of torch, so that forms may read them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from storage.recipes import RecipeConfig
from training.options import (
    BatchTokens,
    CheckpointEvery,
    FinetuningRate,
    Generator,
    Layers,
    MaxNewTokens,
    MaxTokens,
    MissingEndPenalty,
    Rank,
    Seed,
    Start,
    ValidateEvery,
)
from training.places import DEFAULT_BASE
from training.policies.reward_options import Combine, Rewards, Uncertainty, WeightSchedule


class Preferring(RecipeConfig):
    """How to learn that one answer is better than another."""

    beta: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            description="How firmly the policy is held to its start: small lets it move far",
        ),
    ] = 0.1
    loss: Annotated[
        Literal["sigmoid", "ipo", "robust"],
        Field(
            description="sigmoid is DPO; ipo stops at a fixed margin, against overfitting; robust"
            " reckons with judgements that are wrong"
        ),
    ] = "sigmoid"
    label_smoothing: Annotated[
        float,
        Field(ge=0, lt=0.5, description="Share of the judgements that robust takes to be wrong"),
    ] = 0.0

    @field_validator("label_smoothing")
    @classmethod
    def _smoothing_is_used(cls, smoothing: float, info: ValidationInfo) -> float:
        if smoothing and info.data.get("loss") != "robust":
            raise ValueError("only the loss `robust` uses it; choose that, or leave this at 0")
        return smoothing


class DPOConfig(Preferring):
    """Learn from comparisons directly, without a reward model."""

    start: Start = DEFAULT_BASE
    epochs: Annotated[int, Field(ge=1, le=100, description="Passes over the comparisons")] = 1
    learning_rate: FinetuningRate = 5e-5
    rank: Rank = 16
    layers: Layers = None
    batch_tokens: BatchTokens = 4096
    max_tokens: MaxTokens = 1024
    max_new_tokens: MaxNewTokens = 64
    checkpoint_every: ValidateEvery = 50
    seed: Seed = 0


class InRounds(RecipeConfig):
    """Answer prompts, let reward models judge, learn from the best answers, and again."""

    start: Start = DEFAULT_BASE
    rewards: Rewards
    weight_schedule: WeightSchedule = Field(default_factory=dict)
    combine: Combine = "sum"
    uncertainty: Uncertainty = 0.0
    rounds: Annotated[
        int, Field(ge=1, le=1000, description="How often to answer and then learn from it")
    ] = 3
    prompts_per_round: Annotated[
        int, Field(ge=1, le=100_000, description="Prompts answered in a round; at most all")
    ] = 64
    answers_per_prompt: Annotated[
        int, Field(ge=2, le=256, description="Answers to each of them, to choose from")
    ] = 4
    max_new_tokens: MaxNewTokens = 64
    temperature: Annotated[
        float, Field(ge=0.1, le=2, description="Of the sampled answers and the reported KL")
    ] = 1.0
    missing_end_penalty: MissingEndPenalty = 1.0
    epochs: Annotated[
        int, Field(ge=1, le=100, description="Passes over what is learned in a round")
    ] = 1
    rank: Rank = 16
    layers: Layers = None
    generator: Generator = "transformers"
    batch_tokens: BatchTokens = 4096
    checkpoint_every: CheckpointEvery = 50
    seed: Seed = 0


class IterativeDPOConfig(InRounds, Preferring):
    """In each round, learn that a prompt's best answer is better than its worst."""

    learning_rate: FinetuningRate = 5e-5


class RejectionSamplingConfig(InRounds):
    """In each round, learn to write a prompt's best answer."""

    learning_rate: FinetuningRate = 2e-4
