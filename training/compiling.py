"""Layers as machine code of their own instead of one operator after the other."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from torch.utils._triton import has_triton

from storage.errors import InvalidOption
from training.adapters import blocks


def compile_layers(model: Any, device: torch.device) -> None:
    """Let each layer that learns be compiled when it is first run, for any number of tokens.

    Layer by layer, as all of them share one piece of code, which the whole model would not. Frozen
    layers stay as they are: what they give is kept, or they are a small part of a step. To be
    called after `FrozenLayers.run`, which replaces what layers do.

    Args:
        model: A decoder, without PEFT around it.
        device: Where it is.

    Raises:
        InvalidOption: The machine has not got what compiling takes.
    """
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise InvalidOption("compile", "there is no C++ compiler here; install g++", True)
    if device.type == "cuda" and not has_triton():
        raise InvalidOption("compile", "this takes Triton, which is not installed", True)
    for layer in blocks(model):
        if any(weight.requires_grad for weight in layer.parameters()):
            layer.compile(dynamic=True)
