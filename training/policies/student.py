"""A policy that TRL's trainers teach, beside the model that it started as.

With an adapter the start is the same weights with the adapter off. Where the weights themselves
learn it is a second copy of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from training import backbone
from training.adapters import adapt
from training.batching import by_length
from training.policies.episodes import Batch
from training.policies.rollouts import Rollout, Writer
from training.ppo_objectives import token_log_probabilities
from training.sampling import Opened, open_policy

READ_AT_ONCE = 1024
"""Tokens per pass, padding included, whose logits over the whole vocabulary are held at once."""


class Student:
    """A policy that learns, and its start."""

    def __init__(
        self, opened: Opened, *, rank: int, layers: int | None, fast: torch.dtype, seed: int
    ) -> None:
        """Let a model learn.

        Args:
            opened: From `open_policy`; in fp32 where its own weights learn.
            rank: Of the adapter; 0 lets the weights themselves learn.
            layers: At most how many of the top layers learn; None for all.
            fast: The precision to multiply in.
            seed: For the adapter's first weights.
        """
        self.opened = opened
        self.autocasts = fast != opened.model.dtype
        self.fast = fast
        self.start = None
        if rank == 0:
            self.start = copy.deepcopy(opened.model).requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # Without the name of its base, which peft would look up on the Hub at every checkpoint.
            self.model: Any = adapt(
                opened.model, rank=rank, layers=layers, task="CAUSAL_LM", base=""
            )

    @classmethod
    def open(
        cls,
        start: str,
        *,
        rank: int,
        layers: int | None,
        device: str,
        dtype: torch.dtype | None,
        seed: int,
    ) -> Student:
        """Open a base model or a policy by name or folder, and let it learn.

        `dtype` is the precision to multiply in, by default the fastest. Weights that learn are kept
        in fp32, because small steps vanish in bf16's 8 bits; an adapter's always are.

        Raises:
            ModelNotFound: See `open_policy`.
            InvalidData: See `open_policy`.
            InvalidOption: It is a reward model.
        """
        place = backbone.pick_device(device)
        fast = dtype or backbone.default_dtype(start, place)
        stored = torch.float32 if rank == 0 else fast
        opened = open_policy(start, device=str(place), dtype=stored)
        return cls(opened, rank=rank, layers=layers, fast=fast, seed=seed)

    def write(self, writer: Writer, places: Sequence[int], *, step: int) -> Rollout:
        """Let the policy answer prompts; see `Writer.write`."""
        self.model.eval()
        with self._precision():
            return writer.write(self.opened.model, places, step=step)

    @torch.no_grad()
    def divergence(self, rollout: Rollout, *, temperature: float = 1.0) -> float:
        """KL(policy || start), in nats per answer, estimated on what the policy wrote.

        The mean over answers of log policy(answer) - log start(answer), which is "k1" of Schulman
        (2020), "Approximating KL divergence": unbiased, and below 0 by chance where few answers are
        given. All logits are divided by the temperature, as when the answers were written.
        """
        self.model.eval()
        policy, start = torch.zeros(2, len(rollout.responses), dtype=torch.float64)
        lengths = [
            len(prompt) + len(response)
            for prompt, response in zip(rollout.prompts, rollout.responses, strict=True)
        ]
        pad = self.opened.tokenizer.pad_token_id
        for places in by_length(lengths, READ_AT_ONCE):
            batch = Batch.of(
                places,
                rollout.prompts,
                rollout.responses,
                pad=pad,
                device=self.opened.model.device,
            )
            with self._precision():
                policy[places] = _log_probabilities(self.opened.model, batch, temperature)
                with self._as_start() as model:
                    start[places] = _log_probabilities(model, batch, temperature)
        return float((policy - start).mean())

    def learned(self) -> dict[str, Tensor]:
        """The weights that learn, by name."""
        return {
            name: weight for name, weight in self.model.named_parameters() if weight.requires_grad
        }

    def restore(self, learned: Mapping[str, Tensor]) -> None:
        """Put back what `learned` gave."""
        for name, weight in self.learned().items():
            weight.data.copy_(learned[name])

    def finished(self) -> PeftModel | PreTrainedModel:
        """The trained policy for its folder; nothing can be learned after that.

        A policy that started from another policy learned on top of that one's merged weights, which
        nobody but us could load by name; so it stands on its own.
        """
        self.model.eval()
        if not isinstance(self.model, PeftModel):
            return self.model.to(self.fast)
        return self.model.merge_and_unload() if self.opened.is_policy else self.model

    @contextmanager
    def _as_start(self) -> Iterator[PreTrainedModel]:
        if self.start is not None:
            yield self.start
            return
        with self.model.disable_adapter():
            yield self.opened.model

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.autocasts:
            return nullcontext()
        return torch.autocast(self.opened.model.device.type, self.fast)


def _log_probabilities(model: PreTrainedModel, batch: Batch, temperature: float) -> Tensor:
    """Log-probability of each answer of a batch as a whole, in nats, shape (B,), on the processor.

    Padding stands on the right, where causal attention does not look, so no mask is needed.
    """
    logits = model(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)[batch.before]
    chosen = token_log_probabilities(logits.float() / temperature, batch.tokens)
    row = batch.mask.nonzero()[:, 0].cpu()
    # There, because Apple's accelerators have no fp64.
    return torch.zeros(len(batch.mask), dtype=torch.float64).index_add(
        0, row, chosen.cpu().double()
    )
