"""Weights that learn and their optimizer, the same whether one process holds them or several.

Accelerate's launcher may start one process per device. With DDP each holds all weights, with FSDP2
a part of each; a checkpoint always holds whole ones, so a run may go on in either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor, distribute_tensor

from storage.errors import InvalidOption, TrainingFailed

T = TypeVar("T")
R = TypeVar("R")


def accelerator_on(device: torch.device) -> Accelerator:
    """What knows of all processes. Precision and placing of weights stay with whoever trains.

    Raises:
        InvalidOption: The launcher asks for DeepSpeed, which takes the steps itself.
    """
    accelerator = Accelerator(
        cpu=device.type == "cpu", mixed_precision="no", device_placement=False
    )
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        raise InvalidOption(
            "launcher",
            "this does not run under DeepSpeed; FSDP2 spreads weights likewise",
            "deepspeed",
        )
    return accelerator


class Processes:
    """All processes that do one thing together, each of which holds the same; or one alone."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        """Those that the accelerator knows of; without one, this process alone."""
        self._accelerator = accelerator
        self.number: int = accelerator.num_processes if accelerator else 1
        self.index: int = accelerator.process_index if accelerator else 0
        """Of this one, from 0."""

    @property
    def is_first(self) -> bool:
        """Whether this one writes and tells what all know."""
        return self.index == 0

    def own(self, items: Sequence[T]) -> Sequence[T]:
        """Every so-manieth item: this process' part of the work."""
        return items[self.index :: self.number]

    def in_parts(self, items: Sequence[T], work: Callable[[Sequence[T]], Iterable[R]]) -> list[R]:
        """Let each process work on its part, and give all of them all that came out.

        Args:
            items: The same in each process.
            work: Makes one thing of each item; not asked where a process has none.

        Raises:
            TrainingFailed: It was raised in one of them, and now is in all: if it were not, the
                others would wait for ever.
        """
        if self.number == 1:
            return list(work(items))
        mine = self.own(items)
        made: list[R] = []
        failure = ""
        try:
            if mine:
                made = list(work(mine))
        except TrainingFailed as error:
            failure = str(error)
        everywhere = gather_object([(made, failure)])
        for _, said in everywhere:
            if said:
                raise TrainingFailed(said)
        parts = [part for part, _ in everywhere]
        return [parts[place % self.number][place // self.number] for place in range(len(items))]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put in place of each tensor its sum over all processes."""
        if self.number > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def wait(self) -> None:
        """Until all are here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()


def is_spread(model: torch.nn.Module) -> bool:
    """Whether each process holds a part of the weights alone."""
    return any(isinstance(weight, DTensor) for weight in model.parameters())


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be spread over processes; to be called in each of them."""
    if isinstance(tensor, DTensor):
        full: Tensor = tensor.full_tensor()
        return full
    return tensor


class Weights:
    """Weights that learn, by name."""

    def __init__(self, weights: Mapping[str, Tensor], optimizer: Any) -> None:
        """By name, and the optimizer that changes them."""
        self._weights = weights
        self._optimizer = optimizer

    def parameters(self) -> list[Tensor]:
        """They themselves."""
        return list(self._weights.values())

    def copy(self) -> dict[str, Tensor]:
        """Whole copies of them."""
        return {name: whole(weight.detach()).clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Give them the values that `copy` gave."""
        for name, weight in self._weights.items():
            weight.copy_(like(weight, weights[name]))

    def optimizer(self) -> dict[str, dict[str, Tensor]]:
        """What the optimizer remembers of each weight."""
        known = self._optimizer.state
        return {
            name: {key: whole(value) for key, value in known[weight].items()}
            for name, weight in self._weights.items()
            if weight in known
        }

    def put_optimizer(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Let the optimizer remember what `optimizer` gave."""
        for name, remembered in state.items():
            weight = self._weights[name]
            self._optimizer.state[weight] = {
                # The number of steps is a scalar, and stays where the optimizer wants it.
                key: value.clone() if key == "step" else like(weight, value).clone()
                for key, value in remembered.items()
            }


def learning(module: torch.nn.Module) -> dict[str, Tensor]:
    """The weights of a module that learn now, by name."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def shorten(gradients: Sequence[Tensor], longest: float) -> Tensor:
    """Shorten what is longer, taken together, than `longest`; gives the length it had.

    As `torch.nn.utils.clip_grad_norm_`, of which some may be spread over processes and others not.
    """
    norm = torch.linalg.vector_norm(
        torch.stack([whole(torch.linalg.vector_norm(one)) for one in gradients])
    )
    for one in gradients:
        one.mul_((longest / (norm + 1e-6)).clamp(max=1.0))
    return norm


def like(weight: Tensor, value: Tensor) -> Tensor:
    """A whole value in the place and form of a weight."""
    value = value.to(device=weight.device, dtype=weight.dtype)
    if isinstance(weight, DTensor):
        spread: Tensor = distribute_tensor(value, weight.device_mesh, weight.placements)
        return spread
    return value
