"""The policy in training, its reference and its value head, on one set of base weights.

The policy is a LoRA adapter on frozen weights, the reference the same weights with the adapter off,
and the value head one linear layer on the policy's last hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from storage.errors import InvalidData, InvalidOption
from training.adapters import blocks
from training.frozen import FrozenLayers
from training.lora import lean
from training.ppo_objectives import entropy, token_log_probabilities
from training.quiet import quietly

ADAPTER = "default"
"""PEFT's name for the adapter that `save_pretrained` writes into the folder itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Episodes that go through the model together, padded on the right.

    B episodes, L tokens in the longest conversation, T in the longest response, N in all responses.
    """

    episodes: Tensor
    """Which of the step's episodes these are, shape (B,)."""
    ids: Tensor
    """Prompt and response, shape (B, L)."""
    before: Tensor
    """Places, in the flattened (B * L), of the tokens before those of a response, shape (N,)."""
    tokens: Tensor
    """The responses' tokens, row after row, shape (N,)."""
    mask: Tensor
    """Where a response has a token, shape (B, T)."""

    @classmethod
    def of(
        cls,
        episodes: Sequence[int],
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        *,
        pad: int,
        device: torch.device,
    ) -> Batch:
        """Lay out the chosen episodes of a step's prompts and responses."""
        rows = [[*prompts[episode], *responses[episode]] for episode in episodes]
        starts = [len(prompts[episode]) for episode in episodes]
        width = max(map(len, rows))
        lengths = torch.tensor([len(responses[episode]) for episode in episodes])
        before = [
            place * width + token
            for place, (row, start) in enumerate(zip(rows, starts, strict=True))
            for token in range(start - 1, len(row) - 1)
        ]
        return cls(
            episodes=torch.tensor(list(episodes), device=device),
            ids=torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device),
            before=torch.tensor(before, device=device),
            tokens=torch.tensor([t for e in episodes for t in responses[e]], device=device),
            mask=(torch.arange(int(lengths.max())) < lengths[:, None]).to(device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the model says of a batch's response tokens; each (B, T), 0 outside the mask."""

    log_probabilities: Tensor
    """In nats."""
    values: Tensor
    """Expected sum of the rewards still to come, seen before each token."""
    entropy: Tensor | None = None
    """Of the distribution that each token was drawn from, in nats."""


class Actor:
    """Policy, reference and value head.

    Dropout stays off (evaluation mode) throughout: with it, log-probabilities of the same tokens
    would differ between writing and learning.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        rank: int,
        layers: int | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Put a new adapter and a value head of zeros on a model.

        Args:
            model: From `load_causal`, any start adapter merged, because the reference is what
                remains when the new adapter is off.
            rank: Of the adapter.
            layers: How many of the top layers to adapt; None for all.
            temperature: All logits are divided by it, those of the reference too.
            seed: For the adapter's first weights.

        Raises:
            InvalidOption: There are fewer layers.
            InvalidData: The model is not built in a way that this code knows.
        """
        stack = blocks(model)
        if layers is not None and layers > len(stack):
            raise InvalidOption("layers", f"the model has only {len(stack)}", layers)
        self.temperature = temperature
        with torch.random.fork_rng(devices=[]), quietly():
            torch.manual_seed(seed)
            self.peft: PeftModel = get_peft_model(
                model, lean(_lora(stack, rank, adapted=layers or len(stack)))
            ).eval()
        self.causal: PreTrainedModel = self.peft.get_base_model()
        self.frozen = FrozenLayers(self.causal)
        self.trunk: nn.Module = getattr(self.causal, self.causal.base_model_prefix)
        self.vocabulary: nn.Module = self.causal.get_output_embeddings()
        # fp32, as bf16 would lose small steps; 0, so that the first advantages are the rewards.
        self.value_head = nn.Linear(model.config.hidden_size, 1, device=model.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self._check()

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.causal.device

    def adapter(self) -> dict[str, nn.Parameter]:
        """The adapter's weights by name: all that is trained besides the value head."""
        return {name: p for name, p in self.peft.named_parameters() if p.requires_grad}

    def read(
        self, batch: Batch, *, below: Tensor | None = None, with_entropy: bool = False
    ) -> Reading:
        """Log-probabilities and values under the policy, with gradients where they are enabled.

        Args:
            batch: What to read.
            below: From `frozen_below` for the same batch, to spare the layers that never change.
            with_entropy: It costs another pass over the whole vocabulary.
        """
        states = self._states(batch, below)
        logits = self._logits(states)
        values = self.value_head(states.float()).squeeze(-1)
        return Reading(
            log_probabilities=_spread(token_log_probabilities(logits, batch.tokens), batch.mask),
            values=_spread(values, batch.mask),
            entropy=_spread(entropy(logits), batch.mask) if with_entropy else None,
        )

    @torch.no_grad()
    def reference(self, batch: Batch, *, below: Tensor | None = None) -> Tensor:
        """Log-probabilities under the reference, in nats, shape (B, T)."""
        with self._adapter_off():
            logits = self._logits(self._states(batch, below))
        return _spread(token_log_probabilities(logits, batch.tokens), batch.mask)

    @torch.no_grad()
    def frozen_below(self, batch: Batch) -> Tensor | None:
        """Output of the layers under the adapted ones, shape (B, L, width); None without any.

        Policy and reference share it, and it is the same in every epoch.
        """
        if not self.frozen:
            return None
        return self.frozen.run(lambda: self.trunk(input_ids=batch.ids, use_cache=False))

    @contextmanager
    def merged(self) -> Iterator[PreTrainedModel]:
        """The policy as a plain model, for writing: the adapter folded into copies of the weights.

        Folding in and out of the weights themselves would, in bf16, change the base a little each
        time and the reference with it. Here the pristine weights are put back.
        """
        pristine: list[tuple[nn.Linear, Tensor]] = []
        try:
            for module in self.peft.modules():
                if isinstance(module, LoraLayer):
                    layer: nn.Linear = module.get_base_layer()
                    weight = layer.weight.data
                    pristine.append((layer, weight))
                    delta = module.get_delta_weight(ADAPTER).detach()
                    layer.weight.data = (weight + delta).to(weight.dtype)
            with self._adapter_off():
                yield self.causal
        finally:
            for layer, weight in pristine:
                layer.weight.data = weight

    def state(self) -> dict[str, Any]:
        """Everything that training changes, for a checkpoint."""
        return {"adapter": self.adapter(), "value_head": self.value_head.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        for name, weight in self.adapter().items():
            weight.data.copy_(state["adapter"][name])
        self.value_head.load_state_dict(state["value_head"])

    @contextmanager
    def _adapter_off(self) -> Iterator[None]:
        """`PeftModel.disable_adapter` takes stock of all layers each time, which takes a while."""
        self.peft.base_model.disable_adapter_layers()
        try:
            yield
        finally:
            self.peft.base_model.enable_adapter_layers()

    def _states(self, batch: Batch, below: Tensor | None) -> Tensor:
        """Hidden states before each response token, shape (N, width).

        Padding stands on the right, where causal attention does not look, so no mask is needed. The
        tokens are picked here, before the vocabulary: prompts and padding never meet it.
        """
        replay: AbstractContextManager[None] = nullcontext()
        if below is not None:
            replay = self.frozen.skipped(below)
        with replay:
            hidden: Tensor = self.trunk(input_ids=batch.ids, use_cache=False).last_hidden_state
        return hidden.flatten(0, 1)[batch.before]

    def _logits(self, states: Tensor) -> Tensor:
        # Picking made `states` contiguous; on a slice the bf16 product is 47 times slower on a CPU.
        logits: Tensor = self.vocabulary(states).float()
        return logits if self.temperature == 1 else logits / self.temperature

    @torch.no_grad()
    def _check(self) -> None:
        """Compare our way to the logits with the model's own: some models do more than one product.

        Raises:
            InvalidData: They differ.
        """
        ids = torch.arange(8, device=self.device)[None]
        whole = self.causal(input_ids=ids, use_cache=False).logits.float()
        probe = Batch.of([0], [[0]], [list(range(1, 8))], pad=0, device=self.device)
        for below in (None, self.frozen_below(probe)):
            ours = self.vocabulary(self._states(probe, below)).float()
            if not torch.allclose(ours, whole[0, :-1], rtol=0.02, atol=0.02):
                raise InvalidData(
                    f"The model {self.causal.config.model_type!r} computes its logits in a way that"
                    " PPO here does not know; choose another base model."
                )


def _lora(blocks: Sequence[nn.Module], rank: int, *, adapted: int) -> LoraConfig:
    """An adapter on every linear layer of the topmost blocks."""
    linear = {
        name.rpartition(".")[2]
        for name, module in blocks[-1].named_modules()
        if isinstance(module, nn.Linear)
    }
    top = list(range(len(blocks) - adapted, len(blocks))) if adapted < len(blocks) else None
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=2 * rank,
        target_modules=sorted(linear),
        layers_to_transform=top,
    )


def _spread(numbers: Tensor, mask: Tensor) -> Tensor:
    """Numbers per response token (N,) as rows (B, T), 0 outside the mask."""
    rows = torch.zeros(mask.shape, dtype=numbers.dtype, device=numbers.device)
    return rows.masked_scatter(mask, numbers)
