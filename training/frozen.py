"""Keep what frozen lower layers make of a text, so that each pass over the data begins above them.

With only the top layers learning, the layers below give the same hidden states in every pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from training.adapters import blocks
from training.batching import Row


class FrozenLayers:
    """The lowest layers of a decoder, none of which learns."""

    def __init__(self, model: Any) -> None:
        """Those of a model as it is frozen now: all below the lowest layer with something to learn.

        None of them count where an input embedding learns.
        """
        stack = blocks(model)
        learns = [any(weight.requires_grad for weight in layer.parameters()) for layer in stack]
        count = learns.index(True) if True in learns else len(stack)
        if any(weight.requires_grad for weight in model.get_input_embeddings().parameters()):
            count = 0
        self._lower, self._upper = stack[:count], stack[count:]

    def __len__(self) -> int:
        return len(self._lower)

    @torch.no_grad()
    def run(self, read: Callable[[], object]) -> Tensor:
        """What the topmost of them gives, (B, T, width), when `read` sends a batch through."""
        seen: list[Tensor] = []
        hook = self._lower[-1].register_forward_hook(lambda *call: seen.append(call[2]))
        try:
            with _instead(self._upper, lambda hidden, *_, **__: hidden):
                read()
        finally:
            hook.remove()
        return seen[0]

    @contextmanager
    def skipped(self, below: Tensor) -> Iterator[None]:
        """Within, they compute nothing and give `below`, which `run` gave for the same batch."""
        with _instead(self._lower, lambda *_, **__: below):
            yield


class Kept:
    """Hidden states by row, so that they serve in whatever batch the row comes next."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[Row, Tensor]] = {}

    def keep(self, rows: Sequence[Row], hidden: Tensor) -> None:
        """Keep the states of a batch, shape (B, T, width), without its padding."""
        for row, states in zip(rows, hidden, strict=True):
            # The row comes along, so that its identity is not given to another one.
            self._states[id(row)] = (row, states[: row.tokens].clone())

    def recall(self, rows: Sequence[Row]) -> Tensor | None:
        """States of rows, padded on the right with zeros, (B, T, width); None if one is unknown."""
        found = [self._states.get(id(row)) for row in rows]
        if not all(found):
            return None
        states = [states for one in found if one for states in one[1:]]
        return nn.utils.rnn.pad_sequence(states, batch_first=True)


def free_memory(device: torch.device) -> int:
    """Bytes that are free where the model computes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@contextmanager
def _instead(layers: Sequence[nn.Module], forward: Any) -> Iterator[None]:
    """Let layers do something else for a while."""
    for layer in layers:
        vars(layer)["forward"] = forward
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]
