"""The options of SFT and PPO; free of torch, so that command line and web form may read them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from storage.recipes import RecipeConfig
from storage.records import HIGHEST_RATING, LOWEST_RATING
from training.options import (
    BatchTokens,
    CheckpointEvery,
    FinetuningRate,
    Generator,
    Layers,
    MaxNewTokens,
    MaxTokens,
    MissingEndPenalty,
    PolicyBatchTokens,
    PolicySteps,
    PolicyTemperature,
    Rank,
    Seed,
    Start,
    ValidateEvery,
)
from training.places import DEFAULT_BASE
from training.policies.health import RULES
from training.policies.reward_options import (
    Combine,
    Rewards,
    Uncertainty,
    WeightSchedule,
    is_reward_model,
)


class SFTConfig(RecipeConfig):
    """Learn to write such answers as people found good."""

    base: Start = DEFAULT_BASE
    preferred: Annotated[
        bool, Field(description="Learn from answers that won more comparisons than they lost")
    ] = True
    min_rating: Annotated[
        float | None,
        Field(
            ge=LOWEST_RATING,
            le=HIGHEST_RATING,
            description="Learn from answers whose mean rating is at least this; empty: from none",
        ),
    ] = 6.0
    aspect: Annotated[
        str | None,
        Field(min_length=1, description="Which ratings count; empty takes the only aspect"),
    ] = None
    answers_per_prompt: Annotated[
        int, Field(ge=1, description="At most so many answers of a prompt, the best first")
    ] = 1
    epochs: Annotated[int, Field(ge=1, le=100, description="Passes over the answers")] = 2
    learning_rate: FinetuningRate = 2e-4
    rank: Rank = 16
    layers: Layers = None
    batch_tokens: BatchTokens = 1024
    max_tokens: MaxTokens = 1024
    checkpoint_every: ValidateEvery = 50
    seed: Seed = 0

    @field_validator("min_rating")
    @classmethod
    def _something_is_good(cls, rating: float | None, info: ValidationInfo) -> float | None:
        if rating is None and info.data.get("preferred") is False:
            raise ValueError("with `preferred` off too, no answer would be good; set one of them")
        return rating


class PPOConfig(RecipeConfig):
    """Raise what rewards a policy's answers earn, without straying far from its start."""

    start: Start = DEFAULT_BASE
    rewards: Rewards
    weight_schedule: WeightSchedule = Field(default_factory=dict)
    combine: Combine = "sum"
    uncertainty: Uncertainty = 0.0
    steps: PolicySteps = 50
    episodes: Annotated[int, Field(ge=2, le=4096, description="Answers per step")] = 16
    max_new_tokens: MaxNewTokens = 64
    temperature: PolicyTemperature = 1.0
    learning_rate: Annotated[
        float, Field(ge=0, le=1e-2, description="AdamW step of the adapter after warm-up")
    ] = 2e-4
    value_learning_rate: Annotated[
        float, Field(ge=0, le=1e-1, description="AdamW step of the value head after warm-up")
    ] = 1e-3
    warmup_steps: Annotated[
        int, Field(ge=0, description="Steps over which the learning rates rise from near 0")
    ] = 3
    epochs: Annotated[
        int, Field(ge=1, le=20, description="How often to learn from the same answers")
    ] = 2
    minibatches: Annotated[
        int, Field(ge=1, le=256, description="Parts of a step's answers, one update each")
    ] = 2
    kl_coefficient: Annotated[
        float, Field(ge=0, le=10, description="Price, in rewards, of one nat away from the start")
    ] = 0.05
    kl_target: Annotated[
        float, Field(gt=0, description="Divergence from the start to aim at, in nats per answer")
    ] = 8.0
    kl_gain: Annotated[
        float,
        Field(ge=0, le=1, description="How fast the price follows the target; 0 keeps it fixed"),
    ] = 0.1
    kl_estimator: Annotated[
        Literal["k1", "k3"],
        Field(
            description="Estimate of the divergence that is priced: k1 is noisy and pulls back as"
            " the divergence does, k3 is calm and hardly pulls while near"
        ),
    ] = "k1"
    reference: Annotated[
        Literal["start", "moving_average"],
        Field(
            description="What the divergence is measured from: the start, or an average that"
            " follows the policy slowly"
        ),
    ] = "start"
    reference_decay: Annotated[
        float,
        Field(ge=0, lt=1, description="Of a moving average: how much of it stays at each step"),
    ] = 0.99
    entropy_coefficient: Annotated[
        float, Field(ge=0, le=1, description="What one nat of the policy's entropy is worth")
    ] = 0.0
    gamma: Annotated[
        float, Field(gt=0, le=1, description="Discount per token of what is still to come")
    ] = 1.0
    lam: Annotated[
        float, Field(ge=0, le=1, description="GAE: 0 trusts the value head, 1 what in fact came")
    ] = 0.95
    clip: Annotated[
        float, Field(gt=0, lt=1, description="How far a token's probability may move in a step")
    ] = 0.2
    value_clip: Annotated[
        float, Field(gt=0, description="How far a predicted reward may move in a step")
    ] = 0.2
    value_trunk: Annotated[
        Literal["policy", "own_adapter"],
        Field(
            description="Read the value off the policy's hidden states, or off those of an adapter"
            " of its own, which costs another pass"
        ),
    ] = "policy"
    value_coefficient: Annotated[
        float, Field(ge=0, le=10, description="Weight of the value loss beside the policy loss")
    ] = 0.1
    max_gradient_norm: Annotated[
        float, Field(gt=0, description="Longer gradients are shortened to this")
    ] = 1.0
    missing_end_penalty: MissingEndPenalty = 1.0
    score_cut: Annotated[
        bool,
        Field(description="Score cut answers, too; off leaves them the penalty and nothing else"),
    ] = True
    reward_clip: Annotated[
        float | None,
        Field(gt=0, description="Mixed rewards beyond this, either way, are cut to it"),
    ] = None
    whiten_rewards: Annotated[
        bool, Field(description="Scale each step's token rewards to variance 1, keeping their mean")
    ] = False
    rank: Rank = 16
    layers: Layers = None
    generator: Generator = "transformers"
    batch_tokens: PolicyBatchTokens = 4096
    checkpoint_every: CheckpointEvery = 10
    probe_every: Annotated[
        int,
        Field(
            ge=1,
            description="Steps between looks: sample answers to the first four prompts, and what"
            " the watched reward models say",
        ),
    ] = 10
    watch: Annotated[
        tuple[str, ...],
        Field(
            description="Reward models that are never learned from, only asked about answers to"
            " the last few prompts, which are then held out"
        ),
    ] = ()
    stop_kl: Annotated[
        float | None,
        Field(
            gt=0,
            description="Stop once the divergence from the start, in nats per answer and averaged"
            " over 5 steps, is above this; empty: never",
        ),
    ] = None
    stop_patience: Annotated[
        int | None,
        Field(
            ge=1,
            description="Stop after so many looks without a new best of the watched reward; empty:"
            " never",
        ),
    ] = None
    stop_on: Annotated[
        tuple[str, ...],
        Field(description=f"Stop as soon as one of these warnings is given: {', '.join(RULES)}"),
    ] = ()
    keep: Annotated[
        Literal["last", "best"],
        Field(description="Which weights to keep: the last, or those with the best watched reward"),
    ] = "last"
    seed: Seed = 0

    @field_validator("watch")
    @classmethod
    def _watched_is_not_learned(cls, watch: tuple[str, ...], info: ValidationInfo) -> object:
        for name in watch:
            if name in info.data.get("rewards", ()):
                raise ValueError(f"{name!r} is learned from, so watching it shows nothing")
            if not is_reward_model(name):
                raise ValueError(f"{name!r} is no reward model; only these can be watched")
        return tuple(dict.fromkeys(watch))

    @field_validator("stop_patience")
    @classmethod
    def _something_to_wait_for(cls, patience: int | None, info: ValidationInfo) -> int | None:
        if patience is not None and not info.data.get("watch"):
            raise ValueError("needs a reward model in watch")
        return patience

    @field_validator("stop_on")
    @classmethod
    def _rules_are_known(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            if rule not in RULES:
                raise ValueError(f"there is no warning {rule!r}; known: {', '.join(RULES)}")
        return rules

    @field_validator("keep")
    @classmethod
    def _best_by_something(cls, keep: str, info: ValidationInfo) -> str:
        if keep == "best" and not info.data.get("watch"):
            raise ValueError(
                "the best needs a reward model in watch: the reward that is learned from rises"
                " also when it is fooled"
            )
        return keep

    @field_validator("rank")
    @classmethod
    def _an_adapter_has_a_rank(cls, rank: int, info: ValidationInfo) -> int:
        if rank == 0 and info.data.get("value_trunk") == "own_adapter":
            raise ValueError("with whole weights the value has no adapter of its own")
        return rank

    @field_validator("minibatches")
    @classmethod
    def _minibatches_hold_something(cls, minibatches: int, info: ValidationInfo) -> int:
        episodes = info.data.get("episodes")
        if episodes is not None and minibatches > episodes:
            raise ValueError(f"at most one per episode, of which there are {episodes}")
        return minibatches
