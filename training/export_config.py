"""How a model is to be written for other programs; free of torch, for the command line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage.recipes import RecipeConfig

Precision = Literal["fp32", "bf16", "fp16"]


class ExportConfig(RecipeConfig):
    """The form of an exported model, and what its card says of the licence."""

    merge: Annotated[
        bool,
        Field(description="Fold an adapter into the weights of its base; else the adapter alone"),
    ] = True
    dtype: Annotated[
        Precision | None,
        Field(
            description="Precision of merged weights; empty: fp32 for a reward model, that of its"
            " base for a policy"
        ),
    ] = None
    licence: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$",
            description="For the card, as the Hub abbreviates it, such as apache-2.0",
        ),
    ] = "unknown"
