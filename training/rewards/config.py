"""The options of the reward models; free of torch, so that the command line may read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from storage.recipes import RecipeConfig
from training.options import BatchTokens, Labels, Layers, MaxTokens, Prompts, Rank, Seed
from training.places import DEFAULT_BASE

Comparisons = Literal["ordinal", "bradley_terry", "margin", "scaled"]
BothOrders = Literal["both_orders"]
Ratings = Literal["ordinal", "squared_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Which judgements count, and how. None: that kind of judgement is not learned from."""

    comparison: Comparisons | BothOrders | None = None
    """`both_orders`: not of two rewards, but of what was read with both answers in sight."""
    rating: Ratings | None = None
    aspect: str | None = "overall"
    """None: the only one that was rated, or else `overall`."""
    leniency: bool = False
    """Whether each annotator's leniency is learned beside the rewards."""
    label_smoothing: float = 0.0
    """Chance that a comparison was entered the wrong way around."""
    shares: tuple[float, float] | None = None
    """Where comparisons and ratings are read off two heads: how much each counts in the reward."""

    @property
    def form(self) -> Literal["scalar", "pairwise"]:
        """Whether the model gives an answer a reward, or compares two answers."""
        return "pairwise" if self.comparison == "both_orders" else "scalar"


class RewardConfig(RecipeConfig):
    """What every reward model has to be told."""

    base: Annotated[
        str, Field(min_length=1, description="Model that gets a reward head: a name or a folder")
    ] = DEFAULT_BASE
    epochs: Annotated[int, Field(ge=1, le=100, description="Passes over the judgements")] = 2
    learning_rate: Annotated[
        float, Field(gt=0, le=1e-1, description="Peak AdamW step of adapter or weights")
    ] = 3e-4
    head_learning_rate: Annotated[
        float, Field(gt=0, le=1, description="Peak AdamW step of reward head and thresholds")
    ] = 3e-3
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Share of the steps over which the step size rises")
    ] = 0.1
    weight_decay: Annotated[
        float, Field(ge=0, le=1, description="AdamW pull of weights towards 0")
    ] = 0.01
    rank: Rank = 8
    layers: Layers = 8
    batch_tokens: BatchTokens = 1024
    max_tokens: MaxTokens = 1024
    accumulate: Annotated[
        int, Field(ge=1, le=4096, description="Batches whose gradients make one step")
    ] = 1
    members: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="Reward heads, each learned from its own resample of the prompts; the"
            " reward is their mean, their spread says how sure it is",
        ),
    ] = 1
    centring: Annotated[
        float,
        Field(ge=0, le=10, description="Pull of rewards towards 0, so that their mean is known"),
    ] = 0.0
    length_penalty: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="Nats that a reward costs which is nothing but length: weight of their"
            " squared correlation",
        ),
    ] = 0.0
    reliability: Annotated[
        bool,
        Field(
            description="Trust each annotator as far as the measurement model found them reliable"
        ),
    ] = False
    gradient_checkpointing: Annotated[
        bool | None,
        Field(description="Save memory by computing twice; empty: where memory would not do"),
    ] = None
    keep_frozen: Annotated[
        bool,
        Field(
            description="Keep what the frozen layers make of each answer, if memory allows, so that"
            " later passes begin above them"
        ),
    ] = True
    compile: Annotated[
        bool,
        Field(
            description="Compile the layers that learn (torch.compile), which takes minutes before"
            " the first step; for long runs"
        ),
    ] = False
    validate_every: Annotated[
        int | None,
        Field(ge=1, description="Steps between looks at the validation part; empty: each epoch"),
    ] = None
    checkpoint_every: Annotated[
        int, Field(ge=1, description="Steps between checkpoints, from which a killed run goes on")
    ] = 50
    prompts: Prompts = None
    labels: Labels = None
    seed: Seed = 0

    @property
    def objective(self) -> Objective:
        """What the recipe learns from."""
        raise NotImplementedError


Aspect = Annotated[
    str | None,
    Field(min_length=1, description="Which ratings to learn from; empty takes the only aspect"),
]
Leniency = Annotated[
    bool, Field(description="Learn how lenient each annotator is, beside the rewards")
]
LabelSmoothing = Annotated[
    float,
    Field(ge=0, lt=0.5, description="Chance that a comparison was entered the wrong way around"),
]


class PreferenceConfig(RewardConfig):
    """Learn a reward from which response people found better, and by how much."""

    comparison_loss: Annotated[
        Comparisons,
        Field(
            description="Learn how much better from the data (ordinal), only which is better"
            " (Bradley-Terry), ask for a lead that grows with it (margin), or count strong"
            " preferences more (scaled)"
        ),
    ] = "ordinal"
    label_smoothing: LabelSmoothing = 0.0

    @property
    def objective(self) -> Objective:
        """Comparisons alone."""
        return Objective(comparison=self.comparison_loss, label_smoothing=self.label_smoothing)


class AbsoluteConfig(RewardConfig):
    """Learn a reward from how good people found each response, from 1 to 7."""

    rating_loss: Annotated[
        Ratings,
        Field(description="Learn the distances between the 7 ratings, or take them as equal"),
    ] = "ordinal"
    aspect: Aspect = None
    leniency: Leniency = True

    @property
    def objective(self) -> Objective:
        """Ratings alone."""
        return Objective(rating=self.rating_loss, aspect=self.aspect, leniency=self.leniency)


class CombinedConfig(RewardConfig):
    """Learn one reward from comparisons and ratings together."""

    variant: Annotated[
        Literal["one_scale", "two_heads"],
        Field(
            description="Read both off one reward, each by its own likelihood, or train two heads"
            " (Bradley-Terry and squared error) and add them"
        ),
    ] = "one_scale"
    preference_share: Annotated[
        float,
        Field(ge=0, le=1, description="With two heads, the weight of the preference head"),
    ] = 0.5
    aspect: Aspect = None
    leniency: Leniency = True
    label_smoothing: LabelSmoothing = 0.0

    @property
    def objective(self) -> Objective:
        """Both kinds of judgements."""
        apart = self.variant == "two_heads"
        return Objective(
            comparison="bradley_terry" if apart else "ordinal",
            rating="squared_error" if apart else "ordinal",
            aspect=self.aspect,
            leniency=self.leniency,
            label_smoothing=self.label_smoothing,
            shares=(self.preference_share, 1 - self.preference_share) if apart else None,
        )

    @model_validator(mode="after")
    def _one_kind_of_heads(self) -> Self:
        if self.variant == "two_heads" and self.members > 1:
            raise ValueError("two heads cannot have members; set members to 1")
        return self


class PairwiseConfig(RewardConfig):
    """Let the model read both answers and say which is better, in both orders."""

    label_smoothing: LabelSmoothing = 0.0

    @property
    def objective(self) -> Objective:
        """Comparisons alone."""
        return Objective(comparison="both_orders", label_smoothing=self.label_smoothing)

    @model_validator(mode="after")
    def _no_length(self) -> Self:
        if self.length_penalty:
            raise ValueError("a model that reads both answers has no reward of one; set it to 0")
        return self
