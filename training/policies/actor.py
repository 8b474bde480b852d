"""The policy in training, its reference and its value head, on one set of base weights.

The policy is a LoRA adapter on frozen weights, or the weights themselves. The reference is the same
model with the adapter off, or with other numbers in the weights that learn: those of the start, or
an average that follows. The value head is one linear layer on the policy's last hidden states, or
on those of an adapter of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from transformers import PreTrainedModel

from storage.errors import InvalidData, InvalidOption
from training.adapters import adapt, blocks
from training.attention import look_in_squares
from training.frozen import FrozenLayers
from training.policies.episodes import Batch
from training.ppo_objectives import entropy, token_log_probabilities
from training.processes import like, whole
from training.quiet import quietly

ADAPTER = "default"
"""PEFT's name for the adapter that `save_pretrained` writes into the folder itself."""
VALUE = "value"
"""The adapter whose hidden states the value is read off, where it has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the model says of a batch's response tokens; each (E, T), 0 outside the mask."""

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
        value_trunk: Literal["policy", "own_adapter"] = "policy",
        moving_reference: bool = False,
        fast: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        """Put a new adapter and a value head of zeros on a model.

        Args:
            model: From `load_causal`, any start adapter merged, because the reference is what
                remains when the new adapter is off. For rank 0 in fp32: small steps vanish in the 8
                bits of bf16.
            rank: Of the adapter; 0 trains the weights themselves.
            layers: How many of the top layers to adapt; None for all.
            temperature: All logits are divided by it, those of the reference too.
            value_trunk: What the value is read off.
            moving_reference: The reference follows the policy, by `follow`.
            fast: The precision to multiply in, where it is not that of the weights.
            seed: For the adapter's first weights.

        Raises:
            InvalidOption: There are fewer layers.
            InvalidData: The model is not built in a way that this code knows.
        """
        stack = blocks(model)
        if layers is not None and layers > len(stack):
            raise InvalidOption("layers", f"the model has only {len(stack)}", layers)
        self.temperature = temperature
        self._fast = None if fast == model.dtype else fast
        self._values_apart = value_trunk == "own_adapter"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            learning: Any = adapt(model, rank=rank, layers=layers, task="CAUSAL_LM", base="")
            self.model = learning.eval()
            if self._values_apart:
                with quietly():
                    learning.add_adapter(VALUE, learning.peft_config[ADAPTER])
                self._let_learn()
        self._layers = [one for one in self.model.modules() if isinstance(one, LoraLayer)]
        self.causal: PreTrainedModel = model
        self.frozen = FrozenLayers(self.causal)
        self.trunk: nn.Module = getattr(self.causal, self.causal.base_model_prefix)
        self.vocabulary: nn.Module = self.causal.get_output_embeddings()
        # fp32, as bf16 would lose small steps; 0, so that the first advantages are the rewards.
        self.value_head = nn.Linear(model.config.hidden_size, 1, device=model.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self._parts: list[FSDPModule] = []
        """The layers, where processes hold a part of each."""
        self._of_reference: dict[str, Tensor] = {}
        """What the weights that learn are in the reference; empty where its adapter is off."""
        if moving_reference or not self._layers:
            self._of_reference = {n: p.detach().clone() for n, p in self.learned().items()}
        self._in_one_row = False
        self._check()
        # A window would have to be seen to in the squares.
        windowed = getattr(model.config, "sliding_window", None) is not None
        self._in_one_row = look_in_squares(model) and not windowed and self._separates()

    def spread(self) -> None:
        """Let each of several processes hold a part of every layer's weights (FSDP2).

        What is outside the layers, such as the vocabulary, stays whole in each. Gradients are the
        sums over all processes.

        Source:
            Zhao et al. (2023), "PyTorch FSDP", arXiv:2304.11277.
        """
        stack = blocks(self.causal)
        inside = {weight for block in stack for weight in block.parameters()}
        for block in stack:
            # It spreads whatever has a class of its own to answer for it.
            self._parts.append(fully_shard(block))
        fully_shard(self.trunk, ignored_params=set(self.trunk.parameters()) - inside)
        for part in self._parts:
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(enable=True)  # gloo knows nothing else
        with torch.no_grad():
            for name, weight in self.learned().items():
                if name in self._of_reference:
                    self._of_reference[name] = like(weight, self._of_reference[name])

    @property
    def is_spread(self) -> bool:
        """Whether this process holds a part of the weights alone."""
        return bool(self._parts)

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.causal.device

    def learned(self) -> dict[str, nn.Parameter]:
        """The policy's weights that learn, by name: the adapter's, or those of its top layers."""
        return {
            name: weight
            for name, weight in self.model.named_parameters()
            if weight.requires_grad and f".{VALUE}." not in name
        }

    def value_adapter(self) -> dict[str, nn.Parameter]:
        """The weights of the value's own adapter by name; empty where it has none."""
        return {
            name: weight
            for name, weight in self.model.named_parameters()
            if weight.requires_grad and f".{VALUE}." in name
        }

    def lay_out(
        self,
        episodes: Sequence[int],
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        *,
        pad: int,
    ) -> Batch:
        """The chosen episodes of a step's prompts and responses, in the way that is faster here."""
        if self._in_one_row:
            dtype = self._fast or self.causal.dtype
            return Batch.in_one_row(episodes, prompts, responses, dtype=dtype, device=self.device)
        return Batch.of(episodes, prompts, responses, pad=pad, device=self.device)

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
        if self._values_apart:
            with self._value_adapter():
                states = self._states(batch, below)
        values = self.value_head(states.float()).squeeze(-1)
        return Reading(
            log_probabilities=batch.as_rows(token_log_probabilities(logits, batch.tokens)),
            values=batch.as_rows(values),
            entropy=batch.as_rows(entropy(logits)) if with_entropy else None,
        )

    @torch.no_grad()
    def reference(self, batch: Batch, *, below: Tensor | None = None) -> Tensor:
        """Log-probabilities under the reference, in nats, shape (E, T)."""
        with self._as_reference():
            logits = self._logits(self._states(batch, below))
        return batch.as_rows(token_log_probabilities(logits, batch.tokens))

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Let a moving reference come nearer: decay * reference + (1 - decay) * policy.

        Averaged are the weights that learn, of an adapter both its factors.

        Source:
            Rame et al. (2024), "WARP: On the Benefits of Weight Averaged Rewarded Policies",
            arXiv:2406.16768, section 3.1.
        """
        for name, weight in self.learned().items():
            self._of_reference[name].lerp_(weight, 1 - decay)

    @torch.no_grad()
    def frozen_below(self, batch: Batch) -> Tensor | None:
        """Output of the layers under those that learn, shape (B, L, width); None without any.

        Policy and reference share it, and it is the same in every epoch.
        """
        if not self.frozen:
            return None
        with self._precision():
            return self.frozen.run(lambda: self._through(batch))

    @contextmanager
    def merged(self) -> Iterator[PreTrainedModel]:
        """The policy as a plain model, for writing, in the precision to multiply in.

        An adapter is folded into copies of the weights. Folding in and out of the weights
        themselves would, in bf16, change the base a little each time and the reference with it.
        Here the pristine weights are put back. Where weights are spread, each process holds all of
        them for as long.
        """
        with self._unspread(), self._folded() as model:
            yield model

    @contextmanager
    def _unspread(self) -> Iterator[None]:
        for part in self._parts:
            part.set_reshard_after_forward(False)
            part.unshard()
        try:
            yield
        finally:
            for part in self._parts:
                part.set_reshard_after_forward(True)
                part.reshard()

    @contextmanager
    def _folded(self) -> Iterator[PreTrainedModel]:
        pristine: list[tuple[nn.Parameter, Tensor]] = []

        def put(parameter: nn.Parameter, weight: Tensor) -> None:
            pristine.append((parameter, parameter.data))
            parameter.data = weight

        try:
            for module in self._layers:
                weight = module.get_base_layer().weight
                delta = module.get_delta_weight(ADAPTER).detach()
                put(weight, (weight.data + delta).to(self._fast or weight.dtype))
            if self._fast is not None:
                for weight in self.causal.parameters():
                    if weight.dtype != self._fast:
                        put(weight, weight.data.to(self._fast))
            with self._adapter_off():
                yield self.causal
        finally:
            for parameter, weight in pristine:
                parameter.data = weight

    def finished(self, *, whole: bool) -> Any:
        """The trained policy, for its folder; nothing is to be trained after that.

        Args:
            whole: As a plain model, any adapter folded into the weights.
        """
        if not self._layers:
            return self.causal.to(self._fast or self.causal.dtype)
        if self._values_apart:
            self.model.delete_adapter(VALUE)
        return self.model.merge_and_unload() if whole else self.model

    def state(self) -> dict[str, Any]:
        """Everything that training changes, whole, for a checkpoint; to be asked in each process.

        Where nothing is spread, these are the weights themselves, which go on changing.
        """

        def all_of(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: whole(weight.detach()) for name, weight in weights.items()}

        return {
            "policy": all_of(self.learned()),
            "value_adapter": all_of(self.value_adapter()),
            "value_head": self.value_head.state_dict(),
            "reference": all_of(self._of_reference),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        for kept, ours in (
            (state["policy"], self.learned()),
            (state["value_adapter"], self.value_adapter()),
            (state["reference"], self._of_reference),
        ):
            for name, weight in ours.items():
                weight.data.copy_(like(weight, kept[name]))
        self.value_head.load_state_dict(state["value_head"])

    @contextmanager
    def _adapter_off(self) -> Iterator[None]:
        """`PeftModel.disable_adapter` takes stock of all layers each time, which takes a while."""
        if not self._layers:
            yield
            return
        self.model.base_model.disable_adapter_layers()
        try:
            yield
        finally:
            self.model.base_model.enable_adapter_layers()
            self._let_learn()

    @contextmanager
    def _value_adapter(self) -> Iterator[None]:
        self.model.set_adapter(VALUE)
        try:
            yield
        finally:
            self.model.set_adapter(ADAPTER)
            self._let_learn()

    def _let_learn(self) -> None:
        """Both adapters; peft lets the active one learn and no other."""
        self.model.base_model.set_requires_grad(list(self.model.peft_config), requires_grad=True)

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        if not self._of_reference:
            with self._adapter_off():
                yield
            return
        learned = self.learned()
        if self._parts:
            # FSDP2 knows its parts by where they lie, so their values change places.
            self._swap(learned)
            try:
                yield
            finally:
                self._swap(learned)
            return
        own = {name: weight.data for name, weight in learned.items()}
        try:
            for name, weight in learned.items():
                weight.data = self._of_reference[name]
            yield
        finally:
            for name, weight in learned.items():
                weight.data = own[name]

    def _swap(self, learned: Mapping[str, nn.Parameter]) -> None:
        for name, weight in learned.items():
            kept = weight.detach().clone()
            weight.data.copy_(self._of_reference[name])
            self._of_reference[name].copy_(kept)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._fast is None:
            return nullcontext()
        return torch.autocast(self.device.type, self._fast)

    def _states(self, batch: Batch, below: Tensor | None) -> Tensor:
        """Hidden states before each response token, shape (N, width).

        Padding stands on the right, where causal attention does not look, so no mask is needed. The
        tokens are picked here, before the vocabulary: prompts and padding never meet it.
        """
        replay: AbstractContextManager[None] = nullcontext()
        if below is not None:
            replay = self.frozen.skipped(below)
        with replay, self._precision():
            hidden = self._through(batch)
        return hidden.flatten(0, 1)[batch.before]

    def _through(self, batch: Batch) -> Tensor:
        more: dict[str, Any] = {}
        if batch.squares is not None:
            more = {"position_ids": batch.positions, "squares": batch.squares}
        hidden: Tensor = self.trunk(input_ids=batch.ids, use_cache=False, **more).last_hidden_state
        return hidden

    def _logits(self, states: Tensor) -> Tensor:
        # Picking made `states` contiguous; on a slice the bf16 product is 47 times slower on a CPU.
        with self._precision():
            logits: Tensor = self.vocabulary(states)
        logits = logits.float()
        return logits if self.temperature == 1 else logits / self.temperature

    @torch.no_grad()
    def _check(self) -> None:
        """Compare our way to the logits with the model's own: some models do more than one product.

        Raises:
            InvalidData: They differ.
        """
        ids = torch.arange(8, device=self.device)[None]
        with self._precision():
            whole = self.causal(input_ids=ids, use_cache=False).logits.float()
        probe = self.lay_out([0], [[0]], [list(range(1, 9))], pad=0)
        for below in (None, self.frozen_below(probe)):
            ours = self._logits(self._states(probe, below)) * self.temperature
            if not torch.allclose(ours, whole[0], rtol=0.02, atol=0.02):
                raise InvalidData(
                    f"The model {self.causal.config.model_type!r} computes its logits in a way that"
                    " PPO here does not know; choose another base model."
                )

    @torch.no_grad()
    def _separates(self) -> bool:
        """Whether the model, with several episodes in one row, reads each as if it stood alone."""
        prompts, responses = [[5, 6, 7], [5, 6, 8, 9]], [[10, 11, 12], [13, 14]]
        rows = Batch.of([0, 1], prompts, responses, pad=0, device=self.device)
        dtype = self._fast or self.causal.dtype
        row = Batch.in_one_row([0, 1], prompts, responses, dtype=dtype, device=self.device)
        apart, together = (self._states(batch, None).float() for batch in (rows, row))
        # Rounding in bf16 is a hundredth; another token in sight changes more than a tenth.
        return bool((apart - together).abs().mean() < 0.05 * apart.std())
