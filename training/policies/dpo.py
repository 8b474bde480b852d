"""The DPO recipe: read who won, learn from it directly, and write the policy's folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from storage.errors import InvalidData, InvalidOption, TooLittleData
from storage.recipes import Progress
from storage.records import Message, Split, digest
from storage.snapshots import ComparisonRow, SnapshotData
from training import backbone
from training.policies.dpo_config import DPOConfig
from training.policies.folder import write_policy
from training.policies.preference_tuning import Pair, prefer
from training.policies.rollouts import Writer
from training.policies.student import Student
from training.policies.trl_training import claim, newest_checkpoint
from training.quiet import quietly

FEWEST = 10
"""Pairs without which nothing is learned, or nothing is told by validation."""
ASKED = 64
"""How many prompts the finished policy answers, at most, to tell how far it went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The comparisons that have a winner, as pairs, and what was left out."""

    pairs: list[Pair]
    ties: int
    """Comparisons that found no difference, or compared a text with itself."""
    both_bad: int
    """Comparisons in which both answers were found bad: neither is to be learned."""
    too_long: int


def run(
    config: DPOConfig,
    *,
    data: Path,
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """Teach a policy which answers of a snapshot won, and write its folder.

    The weights with the lowest validation loss are kept; with fewer than 10 pairs to validate on
    the last ones are.

    Args:
        config: All options.
        data: A snapshot's folder.
        output: The policy's folder; see `write_policy`.
        checkpoints: Where to keep checkpoints. A run that finds its own there goes on from it.
        progress: Where to say how far it is; see `prefer` for the metrics.
        device: Where everything runs.
        dtype: Precision to multiply in, and of weights that do not learn; by default the fastest.

    Returns:
        `pairs` learned from, how many comparisons were left out as `ties`, `both_bad` and
        `left_out` (for their length), `validation_pairs`, what `prefer` returns, and of answers to
        held-out prompts `kl` (from the start, in nats per answer), `response_length` (in tokens)
        and `finished_fraction`; `seconds` that all of it took, since it was last taken up. There is
        no `reward`: no reward model takes part.

    Raises:
        TooLittleData: Fewer than 10 comparisons have a winner and are short enough.
        InvalidOption: An option does not fit the model, or a folder belongs to something else.
        InvalidData: The data, the model or a prompt cannot be used.
        TrainingFailed: The loss became infinite or not a number.
        JobCancelled: A person stopped it; the last checkpoint stays.
    """
    began = time.perf_counter()
    if not data.is_dir():
        raise InvalidData(
            f"DPO learns from comparisons, and {data.name} holds answers alone; learn from them"
            " with SFT."
        )
    snapshot = SnapshotData.open(data)
    said = {split: snapshot.comparisons(split) for split in (Split.TRAIN, Split.VALIDATION)}
    student = Student.open(
        config.start,
        rank=config.rank,
        layers=config.layers,
        device=device,
        dtype=dtype,
        seed=config.seed,
    )
    tokenizer = student.opened.tokenizer
    _refuse_too_long(config, student)
    train = decided_pairs(tokenizer, said[Split.TRAIN], max_tokens=config.max_tokens)
    _refuse_too_few(train, config)
    validation = decided_pairs(
        tokenizer, said[Split.VALIDATION], max_tokens=config.max_tokens
    ).pairs
    to_validate = len(validation)
    if to_validate < FEWEST:
        progress.log(f"too few pairs to validate on ({to_validate}); keeping the last weights")
        validation = []
    resumed = newest_checkpoint(checkpoints) is not None
    identity = digest(
        config.model_dump(mode="json"), backbone.fingerprint(config.start), snapshot.id
    )
    claim(checkpoints, identity, output, resumed=resumed)
    progress.log(
        f"learning from {len(train.pairs)} comparisons; left out {train.ties} without a winner,"
        f" {train.both_bad} whose answers were both bad, and {train.too_long} of conversations with"
        f" more than {config.max_tokens} tokens"
    )
    with quietly():
        learned = prefer(
            student.model,
            tokenizer,
            train.pairs,
            validation,
            config,
            reference=student.start,
            autocast=student.autocasts,
            checkpoints=checkpoints,
            progress=progress,
        )
    asked = {row.prompt_id: row.prompt for row in said[Split.VALIDATION] or said[Split.TRAIN]}
    progress.log("answering prompts to see how far it went")
    metrics = {
        "pairs": len(train.pairs),
        "ties": train.ties,
        "both_bad": train.both_bad,
        "left_out": train.too_long,
        "validation_pairs": to_validate,
        **learned,
        **_measured(student, list(asked.values()), config),
        "seconds": time.perf_counter() - began,
    }
    write_policy(
        output,
        student.finished(),
        tokenizer,
        description={
            "recipe": "dpo",
            "purpose": "policy",
            "config": config.model_dump(mode="json"),
            "base": student.opened.base,
            "start": config.start,
            "snapshot": snapshot.id,
            "metrics": metrics,
            "simulated": snapshot.simulated or bool(student.opened.description.get("simulated")),
        },
        story=_story(config, snapshot),
        replace=resumed,
    )
    return metrics


def decided_pairs(
    tokenizer: PreTrainedTokenizerBase, comparisons: Iterable[ComparisonRow], *, max_tokens: int
) -> Decided:
    """The comparisons that have a winner, as token ids, in their order.

    How strongly an answer was preferred does not matter. An answer that several people preferred is
    in as many pairs.

    Args:
        tokenizer: With a chat template.
        comparisons: In any order.
        max_tokens: A comparison of which a conversation (prompt and one answer) is longer is left
            out, never cut.
    """
    pairs = []
    ties = both_bad = too_long = 0
    for one in comparisons:
        if one.both_bad:
            both_bad += 1
            continue
        if not one.choice or one.left == one.right:
            ties += 1
            continue
        won, lost = (one.right, one.left) if one.choice > 0 else (one.left, one.right)
        pair = Pair(
            prompt_ids=backbone.chat_ids(tokenizer, one.prompt),
            chosen_ids=backbone.answer_ids(tokenizer, won),
            rejected_ids=backbone.answer_ids(tokenizer, lost),
        )
        if pair.tokens > 2 * max_tokens:
            too_long += 1
            continue
        pairs.append(pair)
    return Decided(pairs=pairs, ties=ties, both_bad=both_bad, too_long=too_long)


def _measured(
    student: Student, prompts: Sequence[tuple[Message, ...]], config: DPOConfig
) -> dict[str, float]:
    """How far the policy is from its start and how long its answers are; nothing without prompts.

    Of prompts whose answer would not fit into the model's context nothing is asked.
    """
    tokenizer = student.opened.tokenizer
    room = student.opened.model.config.max_position_embeddings - config.max_new_tokens
    encoded = [(prompt, backbone.chat_ids(tokenizer, prompt)) for prompt in prompts]
    asked = [(prompt, ids) for prompt, ids in encoded if len(ids) <= room][:ASKED]
    if not asked:
        return {}
    writer = Writer(
        tokenizer,
        [prompt for prompt, _ in asked],
        [ids for _, ids in asked],
        max_new_tokens=config.max_new_tokens,
        temperature=1.0,
        batch_tokens=config.batch_tokens,
        seed=config.seed,
    )
    rollout = student.write(writer, range(len(asked)), step=0)
    answers = rollout.answers
    return {
        "kl": student.divergence(rollout),
        "response_length": sum(answer.tokens for answer in answers) / len(answers),
        "finished_fraction": sum(answer.finished for answer in answers) / len(answers),
    }


def _refuse_too_long(config: DPOConfig, student: Student) -> None:
    context = student.opened.model.config.max_position_embeddings
    for option, least in (("max_tokens", 0), ("max_new_tokens", 1)):
        asked = getattr(config, option)
        if asked + least > context:
            raise InvalidOption(option, f"{config.start} reads at most {context} tokens", asked)


def _refuse_too_few(found: Decided, config: DPOConfig) -> None:
    if len(found.pairs) < FEWEST:
        raise TooLittleData(
            f"DPO needs at least {FEWEST} comparisons with a winner; the train part of the snapshot"
            f" has {len(found.pairs)}, and besides {found.ties} without a winner, {found.both_bad}"
            f" whose answers were both bad, and {found.too_long} of conversations longer than"
            f" max_tokens ({config.max_tokens})."
        )


def _story(config: DPOConfig, snapshot: SnapshotData) -> str:
    """What the model card tells besides names and numbers."""
    return f"""# A policy trained with direct preference optimisation

Start: `{config.start}`. With Tandem it learned from the comparisons of snapshot
`{snapshot.id[:16]}` which of two answers won (loss `{config.loss}`, beta {config.beta:g}), without
straying far from its start; no reward model took part. Comparisons without a winner, and those
whose answers were both bad, were left out.

`validation/accuracy` is the share of held-out comparisons in which the policy, measured against its
start, leans towards the answer that won. `kl` is how far its answers to held-out prompts lie from
the start, in nats per answer. None of that shows that people like its answers better; a blinded
study does.
"""
