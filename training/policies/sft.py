"""The SFT recipe: find good answers, learn to write such ones, and write the policy's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from storage.errors import InvalidOption, TooLittleData
from storage.recipes import Progress
from storage.records import digest
from training import backbone
from training.adapters import adapt
from training.policies.config import SFTConfig
from training.policies.demonstrations import Demonstration, Demonstrations, read_demonstrations
from training.policies.finetuning import Example, finetune
from training.policies.folder import write_policy
from training.policies.trl_training import claim, newest_checkpoint
from training.quiet import quietly
from training.sampling import open_policy

FEWEST = 10
"""Answers without which nothing is learned, or nothing is told by validation."""


def run(
    config: SFTConfig,
    *,
    data: Path,
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """Teach a model the good answers of a snapshot, or all of a file, and write its folder.

    The folder holds whole weights, so that any tool can start from it, and a reward model can have
    it as its base. The weights with the lowest validation loss are kept, because few answers are
    overfitted within few passes; with fewer than 10 answers to validate on the last ones are kept.

    Args:
        config: What is good, and how to learn it.
        data: A snapshot's folder, or a file of `write_demonstrations`.
        output: The policy's folder; see `write_policy`.
        checkpoints: Where to keep checkpoints. A run that finds its own there goes on from it.
        progress: Where to say how far it is; see `finetune` for the metrics.
        device: Where the model runs.
        dtype: Precision to multiply in and to write the weights in; by default the fastest. What
            learns is always fp32.

    Returns:
        `answers` learned from, how many were `left_out` for their length, `validation_answers`, and
        what `finetune` returns.

    Raises:
        TooLittleData: Fewer than 10 answers are good and short enough, or no ratings are of the
            aspect asked for.
        InvalidOption: An option does not fit the model, or a folder belongs to something else.
        InvalidData: The data, the model or a prompt cannot be used.
        TrainingFailed: The loss became infinite or not a number.
        JobCancelled: A person stopped it; the last checkpoint stays.
    """
    shown = read_demonstrations(data, config)
    place = backbone.pick_device(device)
    fast = dtype or backbone.default_dtype(config.base, place)
    # Weights that learn are kept in fp32, because small steps vanish in bf16's 8 bits. An adapter's
    # always are (peft sees to it); then what lies frozen below can have the fastest precision.
    stored = torch.float32 if config.rank == 0 else fast
    opened = open_policy(config.base, device=str(place), dtype=stored)
    context = opened.model.config.max_position_embeddings
    if config.max_tokens > context:
        raise InvalidOption(
            "max_tokens", f"{config.base} reads at most {context} tokens", config.max_tokens
        )
    train, left_out = _encoded(opened.tokenizer, shown.train, config.max_tokens)
    _refuse_too_few(len(train), left_out, config, shown)
    validation, _ = _encoded(opened.tokenizer, shown.validation, config.max_tokens)
    to_validate = len(validation)
    if to_validate < FEWEST:
        progress.log(f"too few answers to validate on ({to_validate}); keeping the last weights")
        validation = []
    identity = digest(
        config.model_dump(mode="json"),
        backbone.fingerprint(config.base),
        [list(one.ids) for one in (*train, *validation)],
    )
    resumed = newest_checkpoint(checkpoints) is not None
    claim(checkpoints, identity, output, resumed=resumed)
    progress.log(
        f"learning from {len(train)} answers; left out {left_out} of conversations with more than"
        f" {config.max_tokens} tokens"
    )

    torch.manual_seed(config.seed)
    # Without the name of its base, which peft would look up on the Hub at every checkpoint: this
    # adapter ends in the weights.
    learning: Any = adapt(
        opened.model, rank=config.rank, layers=config.layers, task="CAUSAL_LM", base=""
    )
    with quietly():
        learned = finetune(
            learning,
            opened.tokenizer,
            train,
            validation,
            config,
            autocast=fast != stored,
            checkpoints=checkpoints,
            progress=progress,
        )
    whole = learning.merge_and_unload() if config.rank else learning
    metrics = {
        "answers": len(train),
        "left_out": left_out,
        "validation_answers": to_validate,
        **learned,
    }
    write_policy(
        output,
        whole.to(fast),
        opened.tokenizer,
        description={
            "recipe": "sft",
            "purpose": "policy",
            "config": config.model_dump(mode="json"),
            "base": opened.base,
            "start": config.base,
            "snapshot": shown.snapshot,
            "metrics": metrics,
            "simulated": shown.simulated or bool(opened.description.get("simulated")),
        },
        story=_story(config, shown),
        replace=resumed,
    )
    return metrics


def _encoded(
    tokenizer: PreTrainedTokenizerBase, shown: Sequence[Demonstration], max_tokens: int
) -> tuple[list[Example], int]:
    """The demonstrations that are short enough, as token ids, and how many are not."""
    examples = []
    for one in shown:
        prompt = backbone.chat_ids(tokenizer, one.prompt)
        ids = prompt + backbone.answer_ids(tokenizer, one.answer)
        if len(ids) <= max_tokens:
            examples.append(Example(ids, answer_at=len(prompt)))
    return examples, len(shown) - len(examples)


def _refuse_too_few(answers: int, left_out: int, config: SFTConfig, shown: Demonstrations) -> None:
    if answers >= FEWEST:
        return
    where = "are in the file"
    if shown.snapshot is not None:
        wanted = [
            *(["won more comparisons than they lost"] if config.preferred else []),
            *([f"are rated {config.min_rating:g} or better"] if config.min_rating else []),
        ]
        where = f"in the train part of the snapshot {' or '.join(wanted)}"
    raise TooLittleData(
        f"SFT needs at least {FEWEST} good answers; {answers} {where}, and {left_out} more whose"
        f" conversation is longer than max_tokens ({config.max_tokens})."
    )


def _story(config: SFTConfig, shown: Demonstrations) -> str:
    """What the model card tells besides names and numbers."""
    source = f"snapshot `{shown.snapshot[:16]}`" if shown.snapshot else "a file"
    return f"""# A policy trained by supervised fine-tuning

Start: `{config.base}`. With Tandem it learned to write answers like those of {source} that were
found good. Learned were the tokens of the answers alone, their end tokens included.

Losses are in nats per token, `token_accuracy` is the share of tokens that the model would have
chosen itself. Both speak of answers like those it learned from and do not show that people like
what it writes better; a blinded study does.
"""
