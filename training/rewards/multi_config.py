"""The options of the multi-objective reward model; free of torch, as `training.rewards.config`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from storage.recipes import RecipeConfig
from training.options import BatchTokens, Labels, MaxTokens, Prompts, Seed
from training.places import DEFAULT_BASE


class MultiObjectiveConfig(RecipeConfig):
    """Learn every rated aspect by itself, and from comparisons how much each counts where."""

    base: Annotated[
        str,
        Field(
            min_length=1,
            description="Frozen model that reads: a name, a folder, or the folder of a reward"
            " model or tuned policy",
        ),
    ] = DEFAULT_BASE
    aspects: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1)], ...],
        Field(description="Which rated aspects to learn, two or more; none takes all"),
    ] = ()
    epochs: Annotated[
        int, Field(ge=1, le=10_000, description="Steps of the gate, each over all comparisons")
    ] = 200
    learning_rate: Annotated[
        float, Field(gt=0, le=1, description="AdamW step of the gate and of the reward's scale")
    ] = 3e-3
    weight_decay: Annotated[
        float, Field(ge=0, le=10, description="AdamW pull of the gate's weights towards 0")
    ] = 0.1
    width: Annotated[int, Field(ge=1, le=4096, description="Hidden units of the gate")] = 32
    batch_tokens: BatchTokens = 1024
    max_tokens: MaxTokens = 1024
    checkpoint_every: Annotated[
        int,
        Field(
            ge=1, description="Batches read between checkpoints, from which a killed run goes on"
        ),
    ] = 50
    prompts: Prompts = None
    labels: Labels = None
    seed: Seed = 0
