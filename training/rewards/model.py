"""A language model with a reward head, and the one way in which rewards are got out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.attention import look_in_squares, squares_of
from training.batching import Batch, Row, by_length, collate
from training.frozen import FrozenLayers, Kept, free_memory
from training.quiet import quietly

MEMBERS = "members.safetensors"
"""The heads of an ensemble, shape (members, width), beside the one that is their mean."""
SHARE_OF_MEMORY = 0.25
"""Of what is free, at most this is used to keep hidden states."""
FIRST_SPREAD = 0.02
"""Standard deviation of the weights that several heads start from, so that they differ where the
data leave it open."""


class RewardModel(torch.nn.Module):
    """The reward of an answer is the head's reading of the last hidden state at its end token.

    While it learns, the head may have several rows, each with a reward of its own; the model that
    is written has one row.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        autocast: torch.dtype | None = None,
    ) -> None:
        """Wrap a scalar model.

        Args:
            model: `AutoModelForSequenceClassification` with one label, bare or inside PEFT.
            tokenizer: Its tokenizer.
            autocast: Precision to multiply in when the weights are kept in fp32 to be trained.
        """
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.autocast = autocast
        self._frozen: FrozenLayers | None = None
        self._kept = Kept()
        self._in_squares = look_in_squares(self.bare)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """The longest conversation the model can read, in tokens."""
        bare: Any = self.model
        return int(bare.config.max_position_embeddings)

    @property
    def bare(self) -> Any:
        """The scalar model itself, without PEFT around it."""
        model: Any = self.model
        return model.get_base_model() if isinstance(model, PeftModel) else model

    @property
    def head(self) -> torch.nn.Linear:
        """The reward head that is in use, in fp32."""
        score: Any = self.bare.score
        head: torch.nn.Linear = (
            score.modules_to_save["default"] if isinstance(self.model, PeftModel) else score
        )
        return head

    def save(self, folder: Path) -> None:
        """Write the adapter or the weights in safetensors, and the tokenizer."""
        bare: Any = self.model
        # peft would ask the Hub whether the vocabulary grew; ours never does.
        options = {"save_embedding_layers": False} if isinstance(bare, PeftModel) else {}
        with quietly():
            bare.save_pretrained(folder, **options)
            self.tokenizer.save_pretrained(folder)

    def forward(self, rows: Sequence[Row]) -> Tensor:
        """Rewards of all answers of the rows, in order, in logits and fp32, shape (N,).

        With several heads, their mean.
        """
        return self.all_heads(rows).mean(1)

    def all_heads(self, rows: Sequence[Row]) -> Tensor:
        """The reward that each head gives each answer, in logits and fp32, shape (N, heads)."""
        rewards: Tensor = self.bare.score(self.at_end(rows))
        return rewards

    def at_end(self, rows: Sequence[Row]) -> Tensor:
        """What the head reads of each answer: its last hidden state, in fp32, shape (N, width)."""
        hidden, batch = self.read(rows)
        return hidden[batch.row, batch.last].float()

    def keep_frozen(self, rows: Sequence[Row], batch_tokens: int) -> int:
        """Compute what the layers that do not learn make of rows, and keep it for later passes.

        It is done in batches that depend on the rows alone, so that a resumed run keeps the same.

        Returns:
            How many layers are spared; 0 where every layer learns or memory would not do.
        """
        frozen = FrozenLayers(self.bare)
        per_token = self.bare.config.hidden_size * torch.finfo(self.bare.dtype).bits // 8
        needed = sum(row.tokens for row in rows) * per_token
        if not frozen or needed > SHARE_OF_MEMORY * free_memory(self.device):
            return 0
        for places in by_length([row.tokens for row in rows], batch_tokens):
            batch = self._batch(members := [rows[place] for place in places])
            with self._precision():
                self._kept.keep(members, frozen.run(partial(self._through, members, batch)))
        self._frozen = frozen
        return len(frozen)

    def read(self, rows: Sequence[Row]) -> tuple[Tensor, Batch]:
        """Last hidden states of every place, shape (B, T, width), and the batch they are of."""
        batch = self._batch(rows)
        below = self._kept.recall(rows) if self._frozen else None
        with self._precision():
            if below is None or self._frozen is None:
                return self._through(rows, batch), batch
            with self._frozen.skipped(below):
                return self._through(rows, batch), batch

    def _through(self, rows: Sequence[Row], batch: Batch) -> Tensor:
        more: dict[str, Any] = {}
        if self._in_squares:
            more["squares"] = squares_of(rows, dtype=batch.mask.dtype, device=self.device)
        hidden: Tensor = self.bare.base_model(
            input_ids=batch.ids,
            position_ids=batch.positions,
            attention_mask=batch.mask,
            use_cache=False,
            **more,
        ).last_hidden_state
        return hidden

    def _batch(self, rows: Sequence[Row]) -> Batch:
        pad: Any = self.tokenizer.pad_token_id
        return collate(rows, pad=pad, dtype=self.bare.dtype, device=self.device)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)


def with_heads(model: Any, heads: int, *, seed: int) -> Any:
    """Give a freshly loaded scalar model so many reward heads; one is left as it is, at zero."""
    if heads > 1:
        old = model.score
        model.score = torch.nn.Linear(old.in_features, heads, bias=False, dtype=torch.float32)
        drawn = torch.randn(model.score.weight.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            model.score.weight.copy_(FIRST_SPREAD * drawn)
        model.score.to(old.weight.device)
    return model


@torch.no_grad()
def join_heads(model: RewardModel, shares: Sequence[float]) -> Tensor:
    """Make one head of several: their weighted sum, which gives the weighted sum of their rewards.

    Returns:
        The heads as they were, shape (heads, width).
    """
    head = model.head
    apart = head.weight.detach().clone()
    joined = (apart.new_tensor(list(shares)) @ apart)[None]
    head.weight = torch.nn.Parameter(joined, requires_grad=False)
    head.out_features = 1
    return apart
