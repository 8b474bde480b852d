"""LoRA on a linear map, without the copies that adapters in fp32 on weights in bf16 cost.

peft casts the input of every map to fp32, keeps that copy for the backward pass, and adds two fp32
results. Here everything that has a place for each token stays in the precision of the frozen
weights; the adapter's own weights, their gradients and AdamW's numbers stay in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn
from torch.nn import functional as F


class _LowRank(torch.autograd.Function):
    """y = x Wᵀ + c + s (x Aᵀ) Bᵀ, with W and c frozen (equation 3 of Hu et al., 2021).

    Kept for the backward pass: x, which maps that read the same input share, and x Aᵀ.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes them by place
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        """Shapes: x (..., n), weight (m, n), bias (m,), down A (r, n), up B (m, r)."""
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ down.to(x.dtype).t()
        product = F.linear(flat, weight, bias).addmm_(low, (scale * up).to(x.dtype).t())
        context.save_for_backward(x, low, weight, down, up)
        context.scale = scale
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, low, weight, down, up = context.saved_tensors
        of_product = gradients[0].reshape(-1, weight.shape[0])
        of_low = of_product @ (context.scale * up).to(x.dtype)
        of_x = None
        if context.needs_input_grad[0]:
            of_x = (of_product @ weight).addmm_(of_low, down.to(x.dtype)).view(x.shape)
        of_down = of_low.t() @ x.reshape(-1, x.shape[-1])
        of_up = context.scale * (of_product.t() @ low).to(up.dtype)
        return of_x, None, None, of_down.to(down.dtype), of_up, None


class LeanLinear(lora.Linear):
    """peft's layer, computed as above where nothing but plain LoRA is asked for."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """See peft."""
        base, active = self.base_layer, self.active_adapters
        if (
            args
            or kwargs
            or self.disable_adapters
            or self.merged
            or len(active) != 1
            or active[0] not in self.lora_A
            or active[0] in self.lora_variant
            or not isinstance(self.lora_dropout[active[0]], nn.Identity)
            or base.weight.requires_grad
            or x.dtype != base.weight.dtype
            or _is_cast(x.device.type)
        ):
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        down, up = self.lora_A[active[0]].weight, self.lora_B[active[0]].weight
        product: Tensor = _LowRank.apply(
            x, base.weight, base.bias, down, up, self.scaling[active[0]]
        )
        return product


def _is_cast(device: str) -> bool:
    # The meta device, on which memory is estimated, knows no autocast and refuses to be asked.
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def lean(config: LoraConfig) -> LoraConfig:
    """Let adapters that are made with this configuration be computed as above.

    What is written to disk stays the same: any peft reads it.
    """
    config._register_custom_module({nn.Linear: LeanLinear})
    return config
