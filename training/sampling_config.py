"""How a policy is asked to answer; free of torch, so that the command line may read it at start."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from storage.recipes import RecipeConfig


class SamplingConfig(RecipeConfig):
    """Sample one answer to each prompt."""

    max_new_tokens: Annotated[
        int, Field(ge=1, le=32768, description="Longest answer in tokens, its end token included")
    ] = 256
    temperature: Annotated[
        float,
        Field(ge=0, le=5, description="Below 1 plays safe, above 1 dares; 0 takes the likeliest"),
    ] = 0.7
    top_p: Annotated[
        float,
        Field(gt=0, le=1, description="Draw from the likeliest tokens with this share of chance"),
    ] = 0.95
    seed: Annotated[
        int, Field(ge=0, lt=2**63, description="The same seed gives the same answers")
    ] = 0
    batch_size: Annotated[
        int,
        Field(ge=1, le=1024, description="Prompts answered at a time; lower it if memory runs out"),
    ] = 16
