"""Where the time of a training step goes, by kind of operator."""

from __future__ import annotations

from typing import Any

import torch
from torch.profiler import ProfilerActivity

PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::matmul", "aten::linear"}
COPIES = {"aten::copy_", "aten::cat", "aten::clone", "aten::_to_copy", "aten::contiguous"}


def look() -> Any:
    """Start to write down every operator and the shapes it is given."""
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    profiler: Any = torch.profiler.profile(activities=activities, record_shapes=True)
    profiler.__enter__()
    return profiler


def by_group(profiler: Any, seconds: float, *, rank: int) -> dict[str, float]:
    """Shares of a step's wall time, largest first; they add up to 1.

    On a processor an operator's own time counts, on an accelerator that of its kernels. What is
    left is Python, the bookkeeping of autograd and, on an accelerator, waiting.

    Args:
        profiler: What was seen.
        seconds: How long the step took.
        rank: Rank of the adapter: a product with a side of this length is one of the adapter.
    """
    groups: dict[str, float] = {}
    on_cuda = torch.cuda.is_available()
    for event in profiler.events():
        # Kernels are events too; their time is found again at the operator that launched them.
        if event.device_type.name == "CPU" and (on_cuda or event.name.startswith("aten::")):
            spent = event.self_device_time_total if on_cuda else event.self_cpu_time_total
            group = _group(event, rank)
            groups[group] = groups.get(group, 0.0) + spent / 1e6 / seconds
    groups["Python, autograd, waiting"] = max(0.0, 1 - sum(groups.values()))
    return dict(sorted(groups.items(), key=lambda one: -one[1]))


def _group(event: Any, rank: int) -> str:
    name: str = event.name
    parent = event
    while parent := parent.cpu_parent:
        if parent.name.startswith("Optimizer.step"):
            return "optimizer"
    if "_foreach_" in name or "vector_norm" in name:
        return "gradient clipping"
    if name in PRODUCTS or "mkldnn_linear" in name or "gemm" in name:
        sides = [side for shape in event.input_shapes[:3] for side in shape]
        return "products with the adapter" if rank in sides else "products with frozen weights"
    if "scaled_dot_product" in name or "attention" in name or "softmax" in name:
        return "attention"
    return "copies and casts" if name in COPIES else "norms, rotation, elementwise"
