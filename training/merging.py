"""Write a model as whole weights, any adapter folded in, and see that they say what it says here.

Adapters are folded in fp32 and the sum is rounded once. What was written is opened again with plain
Transformers and asked about two conversations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from storage.errors import InvalidData, InvalidOption
from storage.recipes import Progress
from training import backbone
from training.export_config import Precision
from training.generation import end_tokens
from training.places import TINY, resolve
from training.quiet import quietly
from training.rewards.answer_end import end_at_answer, probes
from training.rewards.scoring import RewardScorer
from training.sampling import open_policy

STEPS = 4
"""Of which progress is told: opened, folded, written, opened again."""
SHARD = "5GB"
"""Weights beyond that are spread over several files."""
EXACT = 1e-3
"""How far merged weights in fp32 may be from the model here: rounding in another order."""
MOST_ROUNDING = 0.25
"""The same in bf16 and fp16; what is farther away is another model."""
PRECISIONS: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What was written."""

    dtype: Precision
    weights: int
    """How many numbers they are."""
    difference: float
    """From the model here in fp32, on the conversations asked about: of rewards the largest, in
    standard deviations of the reward on its snapshot; of policies the Kullback-Leibler divergence
    of the next token, in nats, the mean over tokens."""
    template_ends: bool = True
    """Whether the chat template ends where a reward is read; see `training.rewards.answer_end`."""


def merge_reward(
    source: Path,
    folder: Path,
    record: Mapping[str, Any],
    *,
    dtype: Precision | None,
    progress: Progress,
) -> Merged:
    """Write a scalar reward model as a sequence classifier with one label.

    Args:
        source: Its folder.
        folder: Where to write.
        record: Its tandem.json.
        dtype: Of the weights; the head stays in fp32. None for fp32.
        progress: Told each of `STEPS`.

    Raises:
        InvalidData: Its base is found with other weights than it was trained on.
        InvalidOption: `dtype` cannot hold the weights, or changes the rewards too much.
    """
    if record["adapter"] and backbone.fingerprint(record["base"]) != record["base_fingerprint"]:
        raise InvalidData(
            f"The weights of {record['base']!r} that are found here are not those that the model"
            " was trained on, so merged weights would not give the rewards that were measured."
        )
    scorer = RewardScorer.load(source, device="cpu", dtype=torch.float32)
    tokenizer, scale = scorer.model.tokenizer, scorer.calibration
    expected = torch.from_numpy(scorer.score(probes(tokenizer)))
    progress.report(1, total=STEPS, message="folding the adapter in")
    scalar: Any = scorer.model.model
    if isinstance(scalar, PeftModel):
        scalar = scalar.merge_and_unload(safe_merge=True)
    chosen = dtype or "fp32"
    # Not the head: rounded to bf16, it moves rewards by a third of their spread.
    scalar.base_model.to(PRECISIONS[chosen])
    _refuse_overflow(scalar, chosen)
    settings = scalar.config
    settings.pad_token_id = tokenizer.pad_token_id
    settings.id2label, settings.label2id = {0: "reward"}, {"reward": 0}
    # Else pipelines, and vLLM, would give the logistic function of the reward.
    settings.problem_type = "regression"
    settings.mean, settings.std = scale.mean, scale.std  # where OpenRLHF looks for them
    rows = _rows(tokenizer)
    ends = end_at_answer(tokenizer)
    progress.report(2, total=STEPS, message="writing the weights")
    weights = _write(scalar, tokenizer, folder)
    # Readers who are told nothing else compute in this precision, which the head needs.
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    del scorer, scalar
    progress.report(3, total=STEPS, message="opening what was written")
    again = _reopened(AutoModelForSequenceClassification, folder)
    with torch.inference_mode():
        found = [
            again(**tokenizer.pad({"input_ids": rows}, padding_side=side, return_tensors="pt"))
            for side in ("left", "right")
        ]
    apart = max(float((one.logits[:, 0] - expected).abs().max()) for one in found) / scale.std
    _refuse_difference(apart, chosen, "standard deviations of its rewards")
    return Merged(dtype=chosen, weights=weights, difference=apart, template_ends=ends)


def merge_policy(
    source: Path, folder: Path, *, dtype: Precision | None, progress: Progress
) -> Merged:
    """Write a policy as a causal model. A value head or a reference is no part of a policy.

    Args:
        source: Its folder.
        folder: Where to write.
        dtype: Of the weights; None for that of its base, or of its own whole weights.
        progress: Told each of `STEPS`.

    Raises:
        InvalidOption: `dtype` cannot hold the weights, or changes the policy too much.
    """
    opened = open_policy(str(source), device="cpu", dtype=torch.float32)
    model, tokenizer = opened.model, opened.tokenizer
    rows = _rows(tokenizer)
    expected = _next_token(model, rows)
    progress.report(1, total=STEPS, message="folding the adapter in")
    chosen = dtype or _stored(opened.base)
    model.to(PRECISIONS[chosen])
    _refuse_overflow(model, chosen)
    # Whoever generates with the folder stops where Tandem stops.
    model.generation_config.eos_token_id = end_tokens(model, tokenizer)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    progress.report(2, total=STEPS, message="writing the weights")
    weights = _write(model, tokenizer, folder)
    del opened, model
    progress.report(3, total=STEPS, message="opening what was written")
    found = _next_token(_reopened(AutoModelForCausalLM, folder), rows)
    apart = float((expected.exp() * (expected - found)).sum(-1).mean())
    _refuse_difference(apart, chosen, "nats per token")
    return Merged(dtype=chosen, weights=weights, difference=apart)


def _rows(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return [
        backbone.chat_ids(tokenizer, messages, answer=answer)
        for messages, answer in probes(tokenizer)
    ]


@torch.inference_mode()
def _next_token(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities of the token after each token of each row, (tokens, vocabulary)."""
    logits = [model(input_ids=torch.tensor([list(row)])).logits[0].float() for row in rows]
    return torch.cat(logits).log_softmax(-1)


def _stored(base: str) -> Precision:
    """The precision in which a base model is kept, where it is one of ours."""
    if base == TINY:
        return "fp32"
    kept = AutoConfig.from_pretrained(resolve(base), trust_remote_code=False).dtype
    return next((name for name, one in PRECISIONS.items() if one == kept), "fp32")


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> int:
    with quietly():
        model.save_pretrained(folder, max_shard_size=SHARD)
        tokenizer.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def _reopened(auto_class: Any, folder: Path) -> Any:
    """What was written, as a program opens it that knows nothing of Tandem."""
    with quietly():
        return auto_class.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        ).eval()


def _refuse_overflow(model: PreTrainedModel, dtype: Precision) -> None:
    for name, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            raise InvalidOption(
                "dtype", f"the weights {name} do not fit into it; take bf16 or fp32", dtype
            )


def _refuse_difference(apart: float, dtype: Precision, unit: str) -> None:
    """Raise where what was written is not the model: in fp32 by a fault, else by rounding."""
    if dtype == "fp32" and not abs(apart) <= EXACT:
        raise InvalidData(
            f"The exported model is {apart:.2g} {unit} away from the model here, so its"
            " architecture is one that cannot be exported faithfully; nothing was written."
        )
    if not abs(apart) <= MOST_ROUNDING:
        raise InvalidOption(
            "dtype", f"rounding moves the model by {apart:.2g} {unit}; take fp32", dtype
        )
