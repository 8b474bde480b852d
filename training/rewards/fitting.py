"""A reward model while it learns: weights, optimizer, schedule, and the best weights so far."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from storage.errors import TrainingFailed
from training.batching import by_length, in_batches
from training.processes import Weights, learning, whole
from training.rewards.config import RewardConfig
from training.rewards.judgements import JudgedRow
from training.rewards.learner import Learner, Reading
from training.rewards.length import LengthCorrelation, moments_of, squared_correlation
from training.rewards.likelihood import Likelihood
from training.rewards.measures import pair_accuracy
from training.rewards.model import RewardModel

LONGEST_GRADIENT = 1.0


class Fit:
    """Everything that changes during training; what it is now is a checkpoint.

    Where several processes were started by accelerate's launcher, each of them holds a Fit, reads
    its share of every step's batches, and they change the same weights in the same way.
    """

    def __init__(
        self,
        config: RewardConfig,
        model: RewardModel,
        likelihood: Likelihood,
        *,
        train: Sequence[JudgedRow],
        validation: Sequence[JudgedRow],
        accelerator: Accelerator,
    ) -> None:
        """Plan all steps ahead. Without rows for validation the last weights are the best."""
        self.config, self.model, self.likelihood = config, model, likelihood
        self.train, self.validation = train, validation
        self.step = 0
        self.best: dict[str, Any] = {}
        self.epoch_loss, self.epoch_judgements = 0.0, 0
        """Summed loss of the judgements seen in this epoch, and their number."""

        self._accelerator = accelerator
        self._processes = int(accelerator.num_processes)
        together = config.accumulate * self._processes
        lengths = [row.row.tokens for row in train]
        self.plan: list[list[list[int]]] = []
        """For each step its batches, and in each batch the places of rows in `train`."""
        self.epoch_ends: set[int] = set()
        for epoch in range(config.epochs):
            batches = in_batches(lengths, config.batch_tokens, seed=config.seed, epoch=epoch)
            self.plan += [
                batches[start : start + together] for start in range(0, len(batches), together)
            ]
            self.epoch_ends.add(len(self.plan))
        self._judgements = sum(map(likelihood.count, train))
        self._typical = config.epochs * self._judgements / len(self.plan)

        learner = Learner(
            model,
            likelihood,
            members=config.members,
            prompts=1 + max((row.prompt for row in train), default=0),
            seed=config.seed,
        )
        self._length = LengthCorrelation().to(model.device)
        self._squared_correlation = 0.0
        learns = {name: w for name, w in learner.named_parameters() if w.requires_grad}
        # Decay would pull thresholds together, that is, make every opinion certain.
        thresholds = [w for name, w in learns.items() if name.startswith("likelihood.")]
        head = [w for name, w in learns.items() if ".score." in name]
        body = [w for name, w in learns.items() if w not in {*head, *thresholds}]
        optimizer = torch.optim.AdamW(
            [
                {"params": body, "lr": config.learning_rate},
                {"params": head, "lr": config.head_learning_rate},
                {"params": thresholds, "lr": config.head_learning_rate, "weight_decay": 0.0},
            ],
            weight_decay=config.weight_decay,
        )
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._learner, self._optimizer = accelerator.prepare(learner, optimizer)
        self._weights = Weights(learning(accelerator.unwrap_model(self._learner)), self._optimizer)

    def take_step(self) -> dict[str, float]:
        """Learn from the batches of the next step.

        Every judgement weighs the same, in whichever step it falls: the gradient is that of the
        summed loss over the number of judgements in an average step.

        Raises:
            TrainingFailed: The loss or its gradient is not a finite number; nothing was changed.
        """
        share = self._step_size()
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = share * peak
        rate = share * self.config.learning_rate
        loss_sum, judgements, agreeing, decided = self._gradients()
        gradient = self._accelerator.clip_grad_norm_(self._weights.parameters(), LONGEST_GRADIENT)
        norm = float(whole(gradient))
        loss = loss_sum / judgements
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingFailed(
                f"The loss was {loss} and its gradient {norm} at step {self.step + 1}; lower"
                f" learning_rate (now {self.config.learning_rate}) or head_learning_rate (now"
                f" {self.config.head_learning_rate})."
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self.step in self.epoch_ends:
            self.epoch_loss, self.epoch_judgements = 0.0, 0
        self.epoch_loss += loss_sum
        self.epoch_judgements += int(judgements)
        self.step += 1
        measured = {"loss": loss, "learning_rate": rate, "gradient_norm": norm}
        if decided:
            measured["pair_accuracy"] = agreeing / decided
        if self.config.length_penalty:
            measured["length_correlation"] = math.sqrt(self._squared_correlation)
        return measured

    def is_time_to_validate(self) -> bool:
        """True after each epoch, or every so many steps, if there is something to validate on."""
        every = self.config.validate_every
        due = self.step in self.epoch_ends if every is None else self.step % every == 0
        return bool(self.validation) and (due or self.step == len(self.plan))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure on the validation part, and keep the weights if no others were better there.

        Better is a lower loss, and with a length penalty what is punished there counts, too.

        Returns:
            Loss per judgement; the pair accuracy if some comparison there is decided; and with a
            length penalty the correlation of reward and length.
        """
        self._learner.eval()
        found, moments = [0.0] * 4, [0.0] * 3
        lengths = [row.row.tokens for row in self.validation]
        for rows, counts in self._share(
            by_length(lengths, self.config.batch_tokens), self.validation
        ):
            reading = self._learner(rows)
            if counts:
                found = _sum(found, _told(reading))
                said = reading.judgements
                moments = _sum(moments, moments_of(reading.rewards, said.length, said.row).tolist())
        losses, judgements, agreeing, decided = self._over_processes(found)
        measured = {"validation/loss": losses / judgements}
        if decided:
            measured["validation/pair_accuracy"] = agreeing / decided
        costs = measured["validation/loss"]
        if self.config.length_penalty:
            squared = squared_correlation(self._over_processes(moments))
            measured["validation/length_correlation"] = math.sqrt(squared)
            costs += self.config.length_penalty * squared
        if not self.best or costs < self.best["costs"]:
            self.best = {
                "step": self.step,
                "measured": measured,
                "costs": costs,
                "weights": self.weights(),
            }
        return measured

    def weights(self) -> dict[str, Tensor]:
        """What was learned by now, by its name in `Learner`; to be asked for in every process."""
        return self._weights.copy()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds; to be asked for in every process."""
        return {
            "step": self.step,
            "best": self.best,
            "epoch": [self.epoch_loss, self.epoch_judgements],
            "weights": self.weights(),
            "optimizer": self._weights.optimizer(),
            "length": dict(self._length.state_dict()),
        }

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Take up where `state` was."""
        self.step, self.best = state["step"], state["best"]
        self.epoch_loss, self.epoch_judgements = state["epoch"]
        self._weights.put(state["weights"])
        self._weights.put_optimizer(state["optimizer"])
        self._length.load_state_dict(state["length"])

    def _gradients(self) -> list[float]:
        """Add up the gradients of the next step's batches, in all processes.

        Returns:
            Summed loss, judgements, comparisons agreed with, comparisons decided.
        """
        self._learner.train()
        batches = self._share(self.plan[self.step], self.train)
        told = [0.0] * 4
        for number, (rows, counts) in enumerate(batches):
            last = number == len(batches) - 1
            with contextlib.nullcontext() if last else self._accelerator.no_sync(self._learner):
                reading = self._learner(rows)
                # Processes average their gradients where one process adds those of its batches up.
                loss = self._objective(reading) * (self._processes if counts else 0)
                self._accelerator.backward(loss)
            if counts:
                told = _sum(told, _told(reading))
        return self._over_processes(told)

    def _objective(self, reading: Reading) -> Tensor:
        """What a batch adds to the loss whose gradient is followed."""
        count = len(reading.losses)
        total = reading.weighted.sum()
        if self.likelihood.has_leniency:
            total = total + self.likelihood.prior() * (count / self._judgements)
        if self.config.centring:
            total = total + self.config.centring * reading.spread.sum()
        if self.config.length_penalty:
            said = reading.judgements
            squared = self._length(reading.rewards, said.length, said.row)
            self._squared_correlation = float(squared.detach())
            total = total + self.config.length_penalty * squared * count
        return total / self._typical

    def _share(
        self, batches: Sequence[Sequence[int]], rows: Sequence[JudgedRow]
    ) -> list[tuple[list[JudgedRow], bool]]:
        """This process' batches, and whether each counts.

        Every process gets as many, so that none waits for another for ever: one for which none is
        left reads the first one once more, for nothing.
        """
        mine = [
            (batch, True) for batch in batches[self._accelerator.process_index :: self._processes]
        ]
        if len(mine) < math.ceil(len(batches) / self._processes):
            mine.append((batches[0], False))
        return [([rows[place] for place in batch], counts) for batch, counts in mine]

    def _over_processes(self, numbers: Sequence[float]) -> list[float]:
        if self._processes == 1:
            return list(numbers)
        here = torch.tensor(numbers, dtype=torch.float64, device=self._accelerator.device)
        total: list[float] = self._accelerator.reduce(here, "sum").tolist()
        return total

    def _step_size(self) -> float:
        """Share of the peak step size: a linear rise, then a linear fall towards 0."""
        total = len(self.plan)
        rising = math.ceil(self.config.warmup * total)
        return min((self.step + 1) / (rising + 1), (total - self.step) / max(1, total - rising))


def _told(reading: Reading) -> list[float]:
    """Summed loss, judgements, comparisons agreed with, comparisons decided."""
    agreeing, decided = pair_accuracy(reading.rewards.detach(), reading.judgements)
    return [float(reading.losses.detach().sum()), float(len(reading.losses)), agreeing, decided]


def _sum(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [one + other for one, other in zip(first, second, strict=True)]
