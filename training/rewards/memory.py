"""How much memory training will take, before a single weight is loaded.

The model is laid out without weights (on PyTorch's meta device), the largest batch of the plan is
sent through it, and what autograd would keep for the backward pass is added up. So it holds for any
architecture, any choice of layers, adapters or precision, and takes a second or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from training import backbone, tiny
from training.adapters import adapt
from training.batching import Row, in_batches
from training.rewards.config import RewardConfig
from training.rewards.model import RewardModel, with_heads

ADAMW = 2
"""Numbers that AdamW keeps for each weight, all in fp32 like the weights that learn."""
HOLES = 1.2
"""Allocators hold this times what is asked of them. Measured on processors with SmolLM2-135M: 1.22
with an adapter on all layers, where the activations are most of the memory."""
WORKSPACE = 240 << 20
"""What processors' kernels and their threads set aside when they first run; measured likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes at the moment when most is taken."""

    program: int
    """What the libraries and the encoded judgements take; 0 on a device of its own."""
    weights: int
    """The model, its adapter and its head."""
    learning: int
    """Gradients, what the optimizer remembers, and the best weights so far."""
    activations: int
    """What the backward pass of the largest batch needs, and what it makes on its way."""
    kept: int
    """Hidden states of frozen layers, kept for later passes."""
    largest_batch: tuple[int, int]
    """Rows and tokens of each, padding included."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.program + self.weights + self.learning + self.activations + self.kept


def estimate(
    config: RewardConfig,
    rows: Sequence[Row],
    tokenizer: PreTrainedTokenizerBase,
    *,
    heads: int,
    device: torch.device,
    checkpointing: bool = False,
) -> MemoryEstimate:
    """Foretell the peak of training.

    Args:
        config: As for training.
        rows: What is learned from and validated on, encoded.
        tokenizer: Of the base model.
        heads: Reward heads while learning.
        device: Where it will be trained.
        checkpointing: Whether the layers' states are computed twice instead of being kept.
    """
    fast = backbone.default_dtype(config.base, device)
    dtype = torch.float32 if config.rank == 0 else fast
    model = _without_weights(
        config, tokenizer, heads=heads, dtype=dtype, checkpointing=checkpointing
    )
    lengths = [row.tokens for row in rows]
    plan = in_batches(lengths, config.batch_tokens, seed=config.seed)
    largest = max(plan, key=lambda batch: len(batch) * max(lengths[place] for place in batch))
    batch = [rows[place] for place in largest]
    shape = (len(batch), max(row.tokens for row in batch))

    parameters = list(model.parameters())
    learned = sum(weight.numel() for weight in parameters if weight.requires_grad)
    saved, widest = _saved(model, batch, autocast=None if fast == dtype else fast)
    kept = 0
    frozen = config.layers is not None and config.layers < model.bare.config.num_hidden_layers
    if config.keep_frozen and frozen:
        kept = sum(lengths) * model.bare.config.hidden_size * _bytes(dtype)
    return MemoryEstimate(
        program=psutil.Process().memory_info().rss + WORKSPACE if device.type == "cpu" else 0,
        weights=sum(weight.numel() * weight.element_size() for weight in parameters),
        learning=learned * _bytes(torch.float32) * (1 + ADAMW + 1),
        # On the way back, a layer's widest state and its gradient stand beside what was saved.
        activations=int(HOLES * (saved + 2 * widest)),
        kept=kept,
        largest_batch=shape,
    )


def _without_weights(
    config: RewardConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    heads: int,
    dtype: torch.dtype,
    checkpointing: bool,
) -> RewardModel:
    source = backbone.resolve(config.base)
    architecture = tiny.config() if source == backbone.TINY else AutoConfig.from_pretrained(source)
    architecture.num_labels = 1
    architecture.pad_token_id = tokenizer.pad_token_id
    with torch.device("meta"):
        scalar: Any = AutoModelForSequenceClassification.from_config(architecture, dtype=dtype)
        scalar.score = torch.nn.Linear(architecture.hidden_size, 1, bias=False)
        if checkpointing:
            scalar.activation_checkpointing_enable({"use_reentrant": False})
        scalar = with_heads(scalar, heads, seed=0)
        adapted = adapt(
            scalar, rank=config.rank, layers=config.layers, task="SEQ_CLS", base=config.base
        )
    return RewardModel(adapted, tokenizer).train()


def _saved(
    model: RewardModel, rows: Sequence[Row], *, autocast: torch.dtype | None
) -> tuple[int, int]:
    """Bytes that autograd keeps of a forward pass, and of the largest tensor among them."""
    storages: dict[int, int] = {weight.untyped_storage()._cdata: 0 for weight in model.parameters()}
    alive: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in storages:
            size = int(storage.nbytes())
            if autocast and tensor.is_floating_point() and tensor.dim() > 2:
                # The meta device knows no autocast; products would keep half of fp32's bytes.
                size = size * _bytes(autocast) // tensor.element_size()
            storages[storage._cdata] = size
            alive.append(tensor)  # so that its place is not given to another one
        return tensor

    with _fused_attention(), torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        model.all_heads(rows)
    return sum(storages.values()), max(storages.values())


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Attention as devices compute it, which keeps no scores; the meta device would."""
    with patch.object(F, "scaled_dot_product_attention", _attention):
        yield


def _attention(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
    result: Tensor = _Attention.apply(query, key, value)
    return result


class _Attention(torch.autograd.Function):
    """Keeps what a fused attention keeps: its inputs, its output, and one number per query."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        context.save_for_backward(query, key, value, output, sums)
        return output

    @staticmethod
    def backward(context: Any, *_: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError("nothing is computed here")


def _bytes(dtype: torch.dtype) -> int:
    return torch.finfo(dtype).bits // 8
