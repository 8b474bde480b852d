"""One PPO step by hand, on a problem of two tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.policies.actor import Reading
from training.policies.config import PPOConfig
from training.policies.episodes import Batch
from training.policies.learner import Learner
from training.policies.rollouts import Rollout
from training.sampling import Answer


class TwoTokens:
    """A policy that says one of two tokens, each with its logit; the value is one number."""

    device = torch.device("cpu")
    is_spread = False

    def __init__(self) -> None:
        self.logits = nn.Parameter(torch.zeros(2))
        self.value_head = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.value_head.weight)

    def learned(self) -> dict[str, nn.Parameter]:
        return {"logits": self.logits}

    def value_adapter(self) -> dict[str, nn.Parameter]:
        return {}

    def frozen_below(self, batch: Batch) -> None:
        return None

    def lay_out(self, *chosen: Any, pad: int) -> Batch:
        return Batch.of(*chosen, pad=pad, device=self.device)

    def read(self, batch: Batch, *, below: None = None, with_entropy: bool = False) -> Reading:
        logs = self.logits.log_softmax(0)
        count = len(batch.tokens)
        return Reading(
            log_probabilities=logs[batch.tokens][:, None],
            values=self.value_head(torch.ones(count, 1)),
            entropy=-(logs.exp() * logs).sum().expand(count, 1),
        )

    def reference(self, batch: Batch, *, below: None = None) -> Tensor:
        return torch.tensor([0.25, 0.75]).log()[batch.tokens][:, None]


ROLLOUT = Rollout(
    conversations=[],
    prompts=[[0], [0], [0]],
    responses=[[0], [1], [1]],
    answers=[Answer("", 1, finished=True)] * 3,
)
SCORES = np.array([1.0, -1.0, 0.0])


def step(optimizer: Any, **options: Any) -> tuple[TwoTokens, dict[str, float]]:
    actor: Any = TwoTokens()
    config = PPOConfig.read(
        {
            "rewards": {"any": 1.0},
            "episodes": 3,
            "minibatches": 1,
            "epochs": 1,
            "warmup_steps": 0,
            "learning_rate": 0.01,
            "value_learning_rate": 0.1,
            "kl_coefficient": 0.5,
            **options,
        }
    )
    learner = Learner(actor, config, pad=0)
    if optimizer is not torch.optim.AdamW:
        learner.optimizer = optimizer([{"params": group} for group in learner.groups])
    return actor, learner.learn(ROLLOUT, SCORES, step=0)


# Policy (1/2, 1/2), reference (1/4, 3/4): a nat costs 1/2, so
#   rewards     1 - ln 2 / 2 = 0.653426, -1 + ln 1.5 / 2 = -0.797267, ln 1.5 / 2 = 0.202733
#   mean 0.019631, variance 0.367515, whitened 1.045470, -1.347505, 0.302034
#   gradient    of the first logit: -(0.5 * 1.045470 - 0.5 * (-1.347505 + 0.302034)) / 3
GRADIENT = -0.3484903


def test_a_step_down_the_gradient_by_hand() -> None:
    actor, metrics = step(torch.optim.SGD)
    expected = [-0.01 * GRADIENT, 0.01 * GRADIENT]
    assert actor.logits.tolist() == pytest.approx(expected, abs=1e-7)
    # A tenth (the coefficient) of the mean of value - return, which is -0.019631.
    assert actor.value_head.weight.item() == pytest.approx(0.1 * 0.1 * 0.0196305, abs=1e-7)
    kl = (math.log(2) + 2 * math.log(2 / 3)) / 3
    assert metrics["kl"] == pytest.approx(kl, abs=1e-6)
    assert metrics["ratio_mean"] == pytest.approx(1)
    # Whitened advantages have mean 0, so the loss is 0 before anything moves.
    assert metrics["policy_loss"] == pytest.approx(0, abs=1e-6)
    assert metrics["entropy"] == pytest.approx(math.log(2))


def test_a_step_of_adam_by_hand() -> None:
    # Its first step divides the gradient by its own size plus eps.
    actor, _ = step(torch.optim.AdamW)
    moved = 0.01 * GRADIENT / (abs(GRADIENT) + 1e-5)
    assert actor.logits.tolist() == pytest.approx([-moved, moved], abs=1e-7)


def test_a_long_gradient_is_shortened() -> None:
    # Both logits have the same gradient but for its sign: a length of 0.1 gives each 0.1 / sqrt 2.
    actor, _ = step(torch.optim.SGD, max_gradient_norm=0.1)
    expected = 0.01 * 0.1 / math.sqrt(2)
    assert actor.logits.tolist() == pytest.approx([expected, -expected], abs=1e-6)


def test_the_calmer_estimate_prices_what_it_should() -> None:
    # k3: 1/2 - 1 - ln 1/2 = 0.193147 and 3/2 - 1 - ln 3/2 = 0.094535; rewards 0.903426, -1.047267
    # and -0.047267; mean -0.063703, variance 0.634346, whitened 1.214290, -1.234926, 0.020636.
    actor, _ = step(torch.optim.SGD, kl_estimator="k3")
    gradient = -(0.5 * 1.214290 - 0.5 * (-1.234926 + 0.020636)) / 3
    assert actor.logits.tolist() == pytest.approx([-0.01 * gradient, 0.01 * gradient], abs=1e-7)


def test_whitened_rewards_keep_their_mean() -> None:
    # The value learns the whitened rewards' mean, which is that of the rewards; the policy's
    # advantages are whitened again and stay.
    actor, _ = step(torch.optim.SGD, whiten_rewards=True)
    assert actor.value_head.weight.item() == pytest.approx(0.1 * 0.1 * 0.0196305, abs=1e-7)
    assert actor.logits[0].item() == pytest.approx(-0.01 * GRADIENT, abs=1e-7)
