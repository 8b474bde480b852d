"""A language model with a reward head, and the one way in which rewards are got out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.batching import Row, collate
from training.quiet import quietly


class RewardModel(torch.nn.Module):
    """The reward of an answer is the head's reading of the last hidden state at its end token."""

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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """The longest conversation the model can read, in tokens."""
        bare: Any = self.model
        return int(bare.config.max_position_embeddings)

    def save(self, folder: Path) -> None:
        """Write the adapter or the weights in safetensors, and the tokenizer."""
        bare: Any = self.model
        # peft would ask the Hub whether the vocabulary grew; ours never does.
        options = {"save_embedding_layers": False} if isinstance(bare, PeftModel) else {}
        with quietly():
            bare.save_pretrained(folder, **options)
            self.tokenizer.save_pretrained(folder)

    def forward(self, rows: Sequence[Row]) -> Tensor:
        """Rewards of all answers of the rows, in order, in logits and fp32, shape (N,)."""
        bare: Any = self.model
        if isinstance(bare, PeftModel):
            bare = bare.get_base_model()
        device = self.device
        batch = collate(rows, pad=self.tokenizer.pad_token_id, dtype=bare.dtype, device=device)
        precision = (
            torch.autocast(device.type, self.autocast)
            if self.autocast
            else contextlib.nullcontext()
        )
        with precision:
            hidden = bare.base_model(
                input_ids=batch.ids,
                position_ids=batch.positions,
                attention_mask=batch.mask,
                use_cache=False,
            ).last_hidden_state
        at_end = hidden[batch.row, batch.last].float()
        rewards: Tensor = bare.score(at_end).squeeze(-1)
        return rewards
