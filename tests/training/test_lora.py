"""Adapters computed in one piece, beside peft's own computation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from training.lora import LeanLinear, _LowRank, lean


def maps(*, bias: bool, dtype: torch.dtype, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Two linear maps one after the other with the same adapter: as here, and as peft does it."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 10, bias=bias), nn.Linear(10, 7, bias=bias)).to(dtype)
    asked: dict[str, Any] = {"r": 3, "lora_alpha": 6, "target_modules": ["0", "1"], **options}
    made = []
    for config in (lean(LoraConfig(**asked)), LoraConfig(**asked)):
        torch.manual_seed(1)
        model = get_peft_model(copy.deepcopy(plain), config)
        for name, weight in model.named_parameters():
            if "lora_" in name:
                nn.init.normal_(weight, std=0.3)
        made.append(model)
    assert any(isinstance(one, LeanLinear) for one in made[0].modules())
    assert not any(isinstance(one, LeanLinear) for one in made[1].modules())
    return made[0], made[1]


def gradients(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """What the model gives, and the gradients of input and adapter."""
    x = x.clone().requires_grad_()
    result = model(x)
    (result.float() ** 2).sum().backward()
    assert x.grad is not None
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return result.detach(), {"input": x.grad, **found}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 5, 12)])
def test_it_equals_peft_in_full_precision(bias: bool, shape: tuple[int, ...]) -> None:
    ours, theirs = maps(bias=bias, dtype=torch.float32)
    x = torch.randn(shape)
    (result, found), (expected, wanted) = gradients(ours, x), gradients(theirs, x)
    assert torch.allclose(result, expected, atol=1e-5)
    assert found.keys() == wanted.keys()
    assert len(found) == 5  # the input, and two matrices of each map: nothing frozen has any
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype == torch.float32
        assert torch.allclose(found[name], wanted[name], rtol=1e-5, atol=1e-4), name


def test_in_bf16_it_is_as_close_to_the_truth_as_peft() -> None:
    ours, theirs = maps(bias=True, dtype=torch.bfloat16)
    truth = copy.deepcopy(theirs).float()
    x = torch.randn(64, 12).bfloat16()
    (_, found), (_, peft), (_, exact) = (
        gradients(ours, x), gradients(theirs, x), gradients(truth, x.float())
    )  # fmt: skip
    for name, right in exact.items():
        errors = [float((one[name].float() - right).norm() / right.norm()) for one in (found, peft)]
        assert errors[0] < 0.02, name
        assert errors[0] < 2 * errors[1] + 0.002, name


def test_gradients_are_those_of_finite_differences() -> None:
    x, weight, bias, down, up = (
        torch.randn(shape, dtype=torch.float64) for shape in ((4, 6), (5, 6), (5,), (2, 6), (5, 2))
    )
    for one in (x, down, up):
        one.requires_grad_()
    assert torch.autograd.gradcheck(_LowRank.apply, (x, weight, bias, down, up, 1.7))


def test_the_first_map_after_frozen_layers_asks_for_no_gradient_of_its_input() -> None:
    ours, _ = maps(bias=False, dtype=torch.float32)
    ours(torch.randn(3, 12)).sum().backward()
    assert all(one.grad is not None for one in ours.parameters() if one.requires_grad)


def test_it_keeps_no_copies_in_full_precision() -> None:
    kept = []
    for model in maps(bias=False, dtype=torch.bfloat16):
        sizes: dict[int, int] = {}

        def note(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[tensor.untyped_storage()._cdata] = int(tensor.untyped_storage().nbytes())
            return tensor

        x = torch.randn(4096, 12, dtype=torch.bfloat16, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda one: one):
            model(x)
        kept.append(sum(sizes.values()))
    # Ours: the inputs of 12 and 10 numbers, and the 3 between the two matrices, 2 bytes each.
    assert kept[0] == pytest.approx(4096 * (12 + 3 + 10 + 3) * 2, rel=0.02)
    assert kept[0] < 0.55 * kept[1]


@pytest.mark.parametrize("asked", ["off", "merged", "dropout", "autocast", "two"])
def test_whatever_is_not_plain_lora_is_left_to_peft(asked: str) -> None:
    options = {"lora_dropout": 0.5} if asked == "dropout" else {}
    ours, theirs = maps(bias=True, dtype=torch.float32, **options)
    x = torch.randn(6, 12)
    answers = []
    for model in (ours, theirs):
        peft: Any = model
        torch.manual_seed(2)
        if asked == "off":
            with peft.disable_adapter():
                answers.append(peft(x))
            continue
        if asked == "autocast":
            with torch.autocast("cpu", torch.bfloat16):
                answers.append(peft(x))
            continue
        if asked == "merged":
            peft.merge_adapter()
        if asked == "two":
            peft.add_adapter("second", LoraConfig(r=2, target_modules=["0"]))
            peft.base_model.set_adapter(["default", "second"])
        answers.append(peft(x))
    assert torch.allclose(answers[0].float(), answers[1].float(), atol=1e-5)
    if asked == "off":
        assert not torch.allclose(answers[0], ours(x))
