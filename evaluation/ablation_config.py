"""The options of an ablation, and what each of its trials is told; free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, cast

from pydantic import Field, create_model, field_validator, model_validator

from storage.errors import InvalidOption
from storage.recipes import Recipe, RecipeConfig, find
from training.rewards import REWARDS
from training.rewards.config import RewardConfig

SET_HERE = {"labels", "seed"}
"""Options of the recipes that each trial gets from the ablation."""
NOT_FAIR = {"prompts", "reliability"}
"""Options that no trial has: the first draws prompts and not labels, and reliabilities would be
measured on more labels than a trial may learn from."""

BUDGETED = {
    name: recipe
    for name, recipe in REWARDS.items()
    if recipe.config.model_fields.keys() >= SET_HERE
}
"""The kinds that learn from as many labels as they are given."""

Labels = Annotated[int, Field(ge=10, le=10_000_000)]


def _options() -> type[RecipeConfig]:
    """Every other option of these kinds, declared by them."""
    fields: dict[str, Any] = {}
    for recipe in BUDGETED.values():
        for name, field in recipe.config.model_fields.items():
            if name not in SET_HERE | NOT_FAIR:
                fields[name] = (field.annotation, field)
    return create_model("Options", __base__=RecipeConfig, **fields)


Options = _options()


class AblationConfig(RecipeConfig):
    """Train every kind with every number of labels and every seed, on the same snapshot."""

    kinds: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="Kinds of reward model to compare"),
    ] = ("preference", "absolute", "combined")
    labels: Annotated[
        tuple[Labels, ...],
        Field(
            min_length=1,
            max_length=12,
            description="Budgets: how many judgements a model learns from. A kind that learns from"
            " comparisons and ratings spends half on each",
        ),
    ] = (250, 500, 1000)
    seeds: Annotated[
        int,
        Field(
            ge=1,
            le=20,
            description="Models of each kind and budget; each seed draws its own labels and start",
        ),
    ] = 3
    held_out: Annotated[
        int | None,
        Field(ge=2, description="Judge on so many held-out prompts, faster; empty takes all"),
    ] = None
    keep_models: Annotated[
        bool, Field(description="Keep each model's folder instead of its outcome alone")
    ] = False

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if find(REWARDS, "reward recipe", kind).name not in BUDGETED:
                raise ValueError(f"{kind} cannot be given a number of labels; leave it out")
        if len(set(kinds)) < len(kinds):
            raise ValueError("name each kind once")
        return kinds

    @field_validator("labels")
    @classmethod
    def _ascending(cls, labels: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(labels)))

    @model_validator(mode="after")
    def _kinds_take_them(self) -> AblationConfig:
        for kind in self.kinds:
            self.trial(kind, self.labels[0], 0)
        return self

    def trial(self, kind: str, labels: int, seed: int) -> RewardConfig:
        """The options of one trial; those that its kind does not have are passed over.

        Raises:
            InvalidOption: They contradict one another.
        """
        wanted = cast("type[RewardConfig]", BUDGETED[kind].config)
        told = {name: value for name, value in self if name in wanted.model_fields}
        return wanted.read({**told, "labels": labels, "seed": seed})

    def check_enough(self, *, comparisons: int, ratings: int) -> None:
        """Refuse budgets that the judgements to learn from cannot fill.

        Args:
            comparisons: How many there are in the train part.
            ratings: Likewise, of the aspect to learn from.

        Raises:
            InvalidOption: A kind has too few for the largest budget, or one signal is missing.
        """
        most = self.labels[-1]
        for kind in self.kinds:
            objective = self.trial(kind, most, 0).objective
            there = {"comparisons": comparisons} if objective.comparison else {}
            there |= {"ratings": ratings} if objective.rating else {}
            for signal in (name for name, amount in there.items() if not amount):
                raise InvalidOption(
                    "kinds", f"{kind} learns from {signal}, and there are none to learn from", kind
                )
            if sum(there.values()) < most:
                had = " and ".join(f"{amount} {name}" for name, amount in there.items())
                raise InvalidOption(
                    "labels",
                    f"{kind} has only {had} to learn from; take smaller numbers of labels",
                    most,
                )

    def trials(self) -> Iterator[tuple[Recipe, int, int]]:
        """Kind, labels and seed of every trial, seed by seed: so the first figures come early."""
        for seed in range(self.seeds):
            for labels in self.labels:
                for kind in self.kinds:
                    yield BUDGETED[kind], labels, seed


class Ablated(Options, AblationConfig):  # type: ignore[misc, valid-type]
    """An ablation with the options of its kinds."""
