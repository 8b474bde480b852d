"""Options that mean the same in several recipes; free of torch, as the configurations are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

Start = Annotated[
    str, Field(min_length=1, description="Model to start from: a Hugging Face name or a policy")
]
Rank = Annotated[
    int, Field(ge=0, le=512, description="Rank of the LoRA adapter; 0 trains every weight")
]


def _adapter_only(generator: str, info: ValidationInfo) -> str:
    if generator == "vllm" and info.data.get("rank") == 0:
        raise ValueError("vLLM follows an adapter, and rank 0 has none; choose transformers")
    return generator


Generator = Annotated[
    Literal["transformers", "vllm"],
    Field(
        description="What writes answers: transformers, where the policy learns, or vllm, in an"
        " environment of its own (docs/vllm.md)"
    ),
    AfterValidator(_adapter_only),
]
"""Below `rank` in a configuration."""
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
MaxNewTokens = Annotated[
    int, Field(ge=1, le=8192, description="Longest answer in tokens, its end token included")
]
MissingEndPenalty = Annotated[
    float, Field(ge=0, description="Taken from the reward of answers cut at max_new_tokens")
]
FinetuningRate = Annotated[
    float, Field(gt=0, le=1e-1, description="Peak AdamW step; whole weights want a tenth of it")
]
PolicySteps = Annotated[
    int, Field(ge=1, le=100_000, description="How often to answer and then learn from it")
]
PolicyTemperature = Annotated[
    float,
    Field(ge=0.1, le=2, description="Of the policy throughout: sampling, probabilities and KL"),
]
PolicyBatchTokens = Annotated[
    int,
    Field(ge=64, description="Tokens per pass, padding included; lower it if memory runs out"),
]
CheckpointEvery = Annotated[
    int, Field(ge=1, description="Steps between checkpoints, from which a killed run goes on")
]
ValidateEvery = Annotated[
    int,
    Field(
        ge=1,
        description="Steps between checkpoints, from which a killed run goes on; each is"
        " validated, as is the end of each pass",
    ),
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
