"""Options that mean the same in several recipes; free of torch, as the configurations are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Rank = Annotated[
    int, Field(ge=0, le=512, description="Rank of the LoRA adapter; 0 trains every weight")
]
Layers = Annotated[
    int | None,
    Field(ge=1, description="Train at most this many top layers, faster; empty trains all"),
]
BatchTokens = Annotated[
    int, Field(ge=64, le=1 << 20, description="Tokens read at once, padding included")
]
MaxTokens = Annotated[
    int, Field(ge=8, le=1 << 20, description="Longer conversations are left out, never cut")
]
Prompts = Annotated[
    int | None,
    Field(
        ge=1,
        description="Learn from so many prompts, drawn by the seed, and validate on as many;"
        " empty takes all",
    ),
]
Labels = Annotated[
    int | None,
    Field(
        ge=1,
        description="Learn from so many judgements, drawn by the seed, half of them comparisons"
        " where there are enough; empty takes all",
    ),
]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="The same seed gives the same run")]
