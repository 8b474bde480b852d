"""Choose which weights of a model learn: a small adapter or the weights themselves, all or on top.

With only top layers learning, the frozen layers below keep nothing for the backward pass, which
saves most of its time and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from storage.errors import InvalidData
from training.quiet import quietly

if TYPE_CHECKING:
    from peft import LoraConfig


def adapt(
    model: PreTrainedModel, *, rank: int, layers: int | None, task: str, base: str
) -> torch.nn.Module:
    """Freeze the model but for a LoRA adapter on the linear maps of its top layers.

    Args:
        model: As loaded; it is changed in place.
        rank: Rank of the adapter, scaled by 2 as its authors do for small ranks; 0 trains the
            weights of those layers themselves.
        layers: At most how many layers, counted from the top; None for all of them.
        task: What peft is to make of it: `SEQ_CLS` (the head learns too) or `CAUSAL_LM`.
        base: The name under which the adapter is to find its base again.

    Returns:
        The PEFT model around `model`, or `model` itself for rank 0.

    Source:
        Hu et al. (2021), LoRA, arXiv:2106.09685.
    """
    stack = blocks(model)
    if layers is not None and layers >= len(stack):
        layers = None
    count = len(stack) if layers is None else layers
    top = range(len(stack) - count, len(stack))
    if rank == 0:
        model.requires_grad_(layers is None)
        for place in top:
            stack[place].requires_grad_(True)
        if isinstance(head := getattr(model, "score", None), torch.nn.Module):
            head.requires_grad_(True)
        return model

    from peft import get_peft_model

    with quietly():
        adapted = get_peft_model(model, lora(model, rank=rank, layers=layers, task=task))
    # peft wrote down where the base was found on this machine; others look it up by its name.
    adapted.peft_config["default"].base_model_name_or_path = base
    return adapted


def lora(model: PreTrainedModel, *, rank: int, layers: int | None, task: str) -> LoraConfig:
    """The adapter that `adapt` puts on a model, for a library that puts it there itself."""
    from peft import LoraConfig

    from training.lora import lean

    stack = blocks(model)
    linear = {
        name.rpartition(".")[2]
        for layer in stack
        for name, module in layer.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    options: dict[str, Any] = {}
    if layers is not None and layers < len(stack):
        options["layers_to_transform"] = list(range(len(stack) - layers, len(stack)))
    return lean(
        LoraConfig(
            task_type=task, r=rank, lora_alpha=2 * rank, target_modules=sorted(linear), **options
        )
    )


def blocks(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The layers of a decoder, bottom first, whatever the architecture calls them.

    Raises:
        InvalidData: They were not found.
    """
    for module in model.modules():
        if (
            isinstance(module, torch.nn.ModuleList)
            and len(module) == model.config.num_hidden_layers
        ):
            return list(module)
    raise InvalidData(
        f"The layers of a {model.config.model_type!r} model were not found; choose another base"
        " model."
    )
