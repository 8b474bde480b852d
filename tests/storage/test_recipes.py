"""A recipe's options are closed, bounded and named when they are wrong; errors show the way out."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field, field_validator

from storage.errors import InvalidOption, NotFound
from storage.recipes import Recipe, RecipeConfig, find


class TeaConfig(RecipeConfig):
    leaves: Annotated[str, Field(description="What to brew")]
    minutes: Annotated[int, Field(ge=1, le=10, description="How long")] = 3

    @field_validator("leaves")
    @classmethod
    def _known(cls, leaves: str) -> str:
        if leaves == "coffee":
            raise ValueError("Coffee is not tea")
        return leaves


TABLE = {"tea": Recipe(name="tea", summary="Brew", config=TeaConfig, run=print)}


def test_what_a_person_types_becomes_a_checked_configuration() -> None:
    assert TeaConfig.read({"leaves": "oolong", "minutes": "4"}) == TeaConfig(
        leaves="oolong", minutes=4
    )


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({}, r"leaves: field required \(got {}\)\."),
        (
            {"leaves": "x", "minutes": 11},
            r"minutes: input should be less than or equal to 10 \(got",
        ),
        ({"leaves": "coffee"}, r"leaves: coffee is not tea \(got 'coffee'\)\."),
        ({"leaves": "x", "sugar": 1}, r"sugar: there is no such option; known: leaves, minutes"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(typed: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidOption, match=sentence):
        TeaConfig.read(typed)


def test_a_recipe_is_found_or_its_nearest_neighbour_is_named() -> None:
    assert find(TABLE, "recipe", "tea") is TABLE["tea"]
    with pytest.raises(NotFound, match=r"There is no recipe called 'te'\. Did you mean 'tea'\?"):
        find(TABLE, "recipe", "te")
    with pytest.raises(NotFound, match=r"Known: tea\."):
        find(TABLE, "recipe", "juice")
    with pytest.raises(NotFound, match=r"Known: none yet\."):
        find({}, "recipe", "juice")
