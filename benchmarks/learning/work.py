"""How much arithmetic training takes, and how much of it the machine can do."""

from __future__ import annotations

import time

import torch
from transformers import AutoConfig, AutoModel


def flops_per_token(model: str, rank: int) -> float:
    """Floating point operations that one token costs in a training step with an adapter.

    With P weights in the frozen linear maps and A in the adapter: 2 P forward, 2 P backward (the
    gradient of what goes in; frozen weights need none of their own), 6 A for the adapter. Not
    counted are attention (4 % more at 250 tokens for SmolLM2-135M), norms, and what gradient
    checkpointing computes twice.

    Source:
        Appendix B of Chowdhery et al. (2022), PaLM, arXiv:2204.02311, for model FLOPs.
    """
    with torch.device("meta"):
        body = AutoModel.from_config(AutoConfig.from_pretrained(model))
    maps = [one for one in body.modules() if isinstance(one, torch.nn.Linear)]
    frozen = sum(one.weight.numel() for one in maps)
    adapter = sum(rank * (one.in_features + one.out_features) for one in maps)
    return 4.0 * frozen + 6.0 * adapter


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """The best rate of matrix products here, in floating point operations per second.

    The best of ten products of two square matrices, of side 2048 on a processor and 8192 elsewhere.
    """
    side = 2048 if device.type == "cpu" else 8192
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    fastest = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * side**3 / fastest


def bandwidth(device: torch.device) -> float:
    """The best rate at which memory is read here, in bytes per second, of ten sums."""
    numbers = torch.ones(2**28, dtype=torch.float32, device=device)  # 1 GiB: no cache holds it
    fastest = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        numbers.sum()
        if device.type == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - began)
    return numbers.nbytes / fastest
