"""A reward model while it learns: weights, optimizer, schedule, and the best weights so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from storage.errors import TrainingFailed
from training.batching import in_batches
from training.rewards.config import RewardConfig
from training.rewards.judgements import JudgedRow, gather
from training.rewards.likelihood import Likelihood
from training.rewards.measures import pair_accuracy, validate
from training.rewards.model import RewardModel

LONGEST_GRADIENT = 1.0


class Fit:
    """Everything that changes during training; what it is now is a checkpoint."""

    def __init__(
        self,
        config: RewardConfig,
        model: RewardModel,
        likelihood: Likelihood,
        *,
        train: Sequence[JudgedRow],
        validation: Sequence[JudgedRow],
    ) -> None:
        """Plan all steps ahead. Without rows for validation the last weights are the best."""
        self.config, self.model, self.likelihood = config, model, likelihood
        self.train, self.validation = train, validation
        self.step = 0
        self.best: dict[str, Any] = {}
        self.epoch_loss, self.epoch_judgements = 0.0, 0
        """Summed loss of the judgements seen in this epoch, and their number."""

        lengths = [row.row.tokens for row in train]
        self.plan: list[list[int]] = []
        self.epoch_ends: set[int] = set()
        for epoch in range(config.epochs):
            self.plan += in_batches(lengths, config.batch_tokens, seed=config.seed, epoch=epoch)
            self.epoch_ends.add(len(self.plan))
        judgements = config.epochs * sum(likelihood.count(row) for row in train)
        self._typical = judgements / len(self.plan)

        self._weights = {
            name: weight for name, weight in model.named_parameters() if weight.requires_grad
        }
        head = {name: weight for name, weight in self._weights.items() if ".score." in name}
        body = [weight for name, weight in self._weights.items() if name not in head]
        thresholds = dict(likelihood.named_parameters(prefix="likelihood"))
        self._weights |= thresholds
        fast = config.head_learning_rate
        self._optimizer = torch.optim.AdamW(
            [
                {"params": body, "lr": config.learning_rate},
                {"params": list(head.values()), "lr": fast},
                # Decay would pull thresholds together, that is, make every opinion certain.
                {"params": list(thresholds.values()), "lr": fast, "weight_decay": 0.0},
            ],
            weight_decay=config.weight_decay,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._step_size)

    def take_step(self) -> dict[str, float]:
        """Learn from the next batch.

        Every judgement weighs the same, in whichever batch it falls: the gradient is that of the
        summed loss over the number of judgements in an average batch.

        Raises:
            TrainingFailed: The loss or its gradient is not a finite number; nothing was changed.
        """
        rows = [self.train[place] for place in self.plan[self.step]]
        self.model.train()
        rewards = self.model([row.row for row in rows])
        judgements = gather(rows, device=rewards.device)
        losses = self.likelihood(rewards, judgements)
        (losses.sum() / self._typical).backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self._weights.values(), LONGEST_GRADIENT))
        loss = float(losses.detach().mean())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingFailed(
                f"The loss was {loss} and its gradient {norm} at step {self.step + 1}; lower"
                f" learning_rate (now {self.config.learning_rate}) or head_learning_rate (now"
                f" {self.config.head_learning_rate})."
            )
        rate = float(self._schedule.get_last_lr()[0])
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        if self.step in self.epoch_ends:
            self.epoch_loss, self.epoch_judgements = 0.0, 0
        self.epoch_loss += float(losses.detach().sum())
        self.epoch_judgements += len(losses)
        self.step += 1
        measured = {"loss": loss, "learning_rate": rate, "gradient_norm": norm}
        agreeing, decided = pair_accuracy(rewards.detach(), judgements)
        if decided:
            measured["pair_accuracy"] = agreeing / decided
        return measured

    def is_time_to_validate(self) -> bool:
        """True after each epoch, or every so many steps, if there is something to validate on."""
        every = self.config.validate_every
        due = self.step in self.epoch_ends if every is None else self.step % every == 0
        return bool(self.validation) and (due or self.step == len(self.plan))

    def validate(self) -> dict[str, float]:
        """Measure on the validation part, and keep the weights if no others were better there."""
        self.model.eval()
        budget = self.config.batch_tokens
        measured = validate(self.model, self.likelihood, self.validation, budget)
        if not self.best or measured["validation/loss"] < self.best["measured"]["validation/loss"]:
            weights = {name: weight.detach().clone() for name, weight in self._weights.items()}
            self.best = {"step": self.step, "measured": measured, "weights": weights}
        return measured

    def take_best(self) -> None:
        """Go back to the weights with the lowest validation loss."""
        if self.best:
            self._set_weights(self.best["weights"])
        self.model.eval()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "step": self.step,
            "best": self.best,
            "epoch": [self.epoch_loss, self.epoch_judgements],
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Take up where `state` was."""
        self.step, self.best = state["step"], state["best"]
        self.epoch_loss, self.epoch_judgements = state["epoch"]
        self._set_weights(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])

    @torch.no_grad()
    def _set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(weights[name])

    def _step_size(self, step: int) -> float:
        """Share of the peak step size: a linear rise, then a linear fall towards 0."""
        total = len(self.plan)
        rising = math.ceil(self.config.warmup * total)
        return min((step + 1) / (rising + 1), (total - step) / max(1, total - rising))
