"""The gate: how much each aspect counts, given the prompt, learned from comparisons.

Shapes: B is prompts, H is features of a prompt, K is aspects, C is comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storage.errors import TrainingFailed
from training.objectives import preference_loss

SCALES = torch.logspace(-2, 2, 161)
"""Logits per rating point that are tried for equal weights, 6 % apart."""


class Gate(torch.nn.Module):
    """From features of a prompt to weights of the aspects that add up to 1.

    Source:
        Wang et al. (2024), arXiv:2406.12845, section 2.2. Theirs has three hidden layers of 1024
        and learns from 160,000 pairs; with few prompts one small layer is overfitted soon enough.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, features: int, aspects: int, width: int) -> None:
        """Equal weights, whatever the prompt."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.hidden = torch.nn.Linear(features, width)
        self.out = torch.nn.Linear(width, aspects)
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)
        self.log_scale = torch.nn.Parameter(torch.zeros(()))

    def standardise(self, prompts: Tensor) -> None:
        """Measure features from their mean over these prompts, shape (B, H)."""
        mean, std = centre_and_spread(prompts)
        self.mean.copy_(mean)
        self.std.copy_(std)

    @property
    def scale(self) -> Tensor:
        """Logits that a rating point is worth."""
        return self.log_scale.exp()

    def forward(self, prompts: Tensor) -> Tensor:
        """Weights, shape (B, K), of prompts, shape (B, H)."""
        hidden = torch.relu(self.hidden((prompts - self.mean) / self.std))
        return torch.softmax(self.out(hidden), dim=-1)


def centre_and_spread(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature, shapes (H,), over the first dimension.

    The deviation of a feature that varies by rounding alone is given as 1, so that dividing by it
    makes no feature of noise.
    """
    mean, std = features.mean(dim=0), features.std(dim=0, correction=0)
    return mean, torch.where(std > 1e-5 * mean.abs(), std, torch.ones_like(std))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Comparisons, as far as a gate needs them."""

    prompts: Tensor
    """Features of prompts, shape (B, H)."""
    prompt: Tensor
    """The prompt of each comparison, shape (C,)."""
    lead: Tensor
    """By how much the left answer leads in each aspect, in rating points, shape (C, K)."""
    preference: Tensor
    """1 for left, 0 for right, 1/2 for a tie, shape (C,)."""


def fit_gate(
    gate: Gate,
    train: Compared,
    validation: Compared | None,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    report: Callable[[int, Mapping[str, float]], None],
) -> tuple[int, dict[str, float]]:
    """Fit a new gate by Bradley-Terry, each step over all comparisons.

    It begins with equal weights and the scale that suits them best. The gate of the step with the
    lowest validation loss is kept; if no step improves on the beginning, weights stay equal.
    Without a validation part, which alone shows when a gate with as many parameters as this fits
    noise, no step is taken.

    Args:
        gate: Changed in place.
        train: Comparisons to learn from.
        validation: Comparisons of other prompts, to choose the step by.
        steps: AdamW steps.
        learning_rate: Of all steps.
        weight_decay: Pull of the gate's weights, but not of its scale, towards 0.
        report: Called with the number of steps done and what was measured.

    Returns:
        The step that was kept, and what was measured there: `train_loss`, and of the validation
        part `validation/loss` and `validation/pair_accuracy`.

    Raises:
        TrainingFailed: The loss is not a finite number.
    """
    _suit_scale(gate, train)
    if validation is None:
        return 0, {"train_loss": _measured("", gate, train)["loss"]}
    best, kept, found = 0, _copy(gate), _measured("validation/", gate, validation)
    weights = [*gate.hidden.parameters(), *gate.out.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": weights},
        {"params": [gate.log_scale], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        leads = _leads(gate, train)
        loss = _loss(leads, train)
        loss.backward()
        norm = torch.nn.utils.get_total_norm(
            [one.grad for one in gate.parameters() if one.grad is not None]
        )
        if not (math.isfinite(float(loss.detach())) and math.isfinite(float(norm))):
            raise TrainingFailed(
                f"The loss of the gate was {float(loss.detach())} and its gradient {float(norm)} at"
                f" step {step}; lower learning_rate (now {learning_rate})."
            )
        optimizer.step()
        now = _measured("validation/", gate, validation)
        if now["validation/loss"] < found["validation/loss"]:
            best, kept, found = step, _copy(gate), now
        told = {"loss": float(loss.detach()), "gradient_norm": float(norm)}
        told |= _accuracy("", leads.detach(), train)
        report(step, told | {"learning_rate": learning_rate} | now)
    gate.load_state_dict(kept)
    return best, {"train_loss": _measured("", gate, train)["loss"], **found}


def _leads(gate: Gate, compared: Compared) -> Tensor:
    """By how much the reward of the left answer leads, in logits, shape (C,)."""
    weights = gate(compared.prompts)[compared.prompt]
    return gate.scale * (weights * compared.lead).sum(dim=-1)


def _loss(leads: Tensor, compared: Compared) -> Tensor:
    return preference_loss(leads, torch.zeros_like(leads), compared.preference).mean()


@torch.no_grad()
def _suit_scale(gate: Gate, train: Compared) -> None:
    """Set the scale to the one with the lowest loss under the weights that the gate gives now."""
    gate.log_scale.zero_()
    leads = _leads(gate, train)
    losses = torch.stack([_loss(scale * leads, train) for scale in SCALES])
    gate.log_scale.copy_(SCALES[losses.argmin()].log())


@torch.no_grad()
def _measured(part: str, gate: Gate, compared: Compared) -> dict[str, float]:
    """Loss, and the share of decided comparisons that the rewards agree with.

    A lead of 0 agrees by half.
    """
    leads = _leads(gate, compared)
    return {f"{part}loss": float(_loss(leads, compared))} | _accuracy(part, leads, compared)


def _accuracy(part: str, leads: Tensor, compared: Compared) -> dict[str, float]:
    side = (compared.preference - 0.5).sign()
    agreement = (leads.sign() * side)[side != 0]
    return {f"{part}pair_accuracy": float((agreement.mean() + 1) / 2)} if len(agreement) else {}


def _copy(gate: Gate) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in gate.state_dict().items()}
