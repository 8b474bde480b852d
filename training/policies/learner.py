"""One PPO step's learning: from answers and what they earned to a changed policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from storage.errors import InvalidOption, TrainingFailed
from training import ppo_objectives as objectives
from training.policies.actor import Actor
from training.policies.config import PPOConfig
from training.policies.episodes import Batch
from training.policies.rollouts import FOR_MINIBATCHES, Rollout
from training.processes import Processes, Weights, shorten

EXPLODED = 20.0
"""A divergence of this many times the target cannot be meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A batch with what is known of it before learning begins."""

    batch: Batch
    counts: bool
    """Not, where it is only read so that all processes, which wait for each other, read as many."""
    below: Tensor | None
    """Output of the layers that do not learn; see `Actor.frozen_below`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minibatch:
    """Episodes that one update learns from."""

    pieces: list[Piece]
    """Those of this process."""
    tokens: int
    """In the answers of all its episodes, those of other processes included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What the policy thought of its answers when it gave them; each (E, T), 0 after the answer.

    E episodes in the step, T tokens in the longest of its answers.
    """

    mask: Tensor
    old: Tensor
    """Log-probabilities, in nats."""
    reference: Tensor
    """Log-probabilities under the reference, in nats."""
    values: Tensor
    entropy: Tensor


class Learner:
    """The optimizer and what it learns from. Its only randomness is a function of seed and step.

    Each of several processes reads a part of every minibatch; what they found is added up, so all
    change their weights, of which each has its own, in the same way.
    """

    def __init__(
        self, actor: Actor, config: PPOConfig, *, pad: int, processes: Processes | None = None
    ) -> None:
        """Learn with `actor`; `pad` is the token that fills batches up.

        Raises:
            InvalidOption: A minibatch is too small to give every process an episode.
        """
        self.actor = actor
        self.config = config
        self.pad = pad
        self.processes = processes or Processes()
        if config.episodes // config.minibatches < self.processes.number:
            raise InvalidOption(
                "minibatches",
                f"{self.processes.number} processes share a minibatch, of which the smallest has"
                f" {config.episodes // config.minibatches} episodes; take fewer, or more episodes",
                config.minibatches,
            )
        self.coefficient = config.kl_coefficient
        self.rates = [config.learning_rate, config.value_learning_rate, config.learning_rate]
        self.groups: list[list[torch.nn.Parameter]] = [
            list(actor.learned().values()),
            list(actor.value_head.parameters()),
            list(actor.value_adapter().values()),
        ]
        # Adam's eps 1e-5 instead of 1e-8, and no weight decay: openai/lm-human-preferences,
        # `train_policy.py`; shown to matter in Huang et al., "The N Implementation Details of RLHF
        # with PPO" (2023), detail "Adam".
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters} for parameters in self.groups], eps=1e-5, weight_decay=0.0
        )
        learned = {
            **actor.learned(),
            **actor.value_adapter(),
            **dict(actor.value_head.named_parameters(prefix="value_head")),
        }
        self._weights = Weights(learned, self.optimizer)

    def learn(self, rollout: Rollout, scores: np.ndarray, *, step: int) -> dict[str, float]:
        """Change the policy towards answers with higher scores.

        Args:
            rollout: E answers.
            scores: What each earned, shape (E,).
            step: Counted from 0; settles the minibatches and the warm-up.

        Returns:
            The step's metrics.

        Raises:
            TrainingFailed: The policy ran away from its start, or a number is none any more.
        """
        parts = self._minibatches(rollout, step)
        seen = self._look(parts, rollout)
        kl = {
            "k1": objectives.kl_k1(seen.old, seen.reference) * seen.mask,
            "k3": objectives.kl_k3(seen.old, seen.reference) * seen.mask,
        }
        divergence = float(kl["k1"].sum(1).mean())
        self._refuse_runaway(divergence)
        priced = kl[self.config.kl_estimator]
        rewards = objectives.shaped_rewards(
            torch.from_numpy(scores).to(priced), priced, self.coefficient, seen.mask
        )
        if self.config.whiten_rewards:
            rewards = objectives.whiten(rewards, seen.mask, keep_mean=True)
        advantages = objectives.advantages(
            rewards, seen.values, seen.mask, gamma=self.config.gamma, lam=self.config.lam
        )
        returns = advantages + seen.values
        metrics = {
            "kl": divergence,
            "kl_k3": float(kl["k3"].sum(1).mean()),
            "kl_coefficient": self.coefficient,
            "entropy": float(objectives.masked_mean(seen.entropy, seen.mask)),
        }
        explained = float(objectives.explained_variance(seen.values, returns, seen.mask))
        if math.isfinite(explained):
            metrics["explained_variance"] = explained
        self._set_learning_rates(step)
        whitened = objectives.whiten(advantages, seen.mask)
        metrics |= self._update(parts, seen, whitened, returns)
        self.coefficient = objectives.adapted_coefficient(
            self.coefficient,
            divergence,
            target=self.config.kl_target,
            gain=self.config.kl_gain,
        )
        if self.config.reference == "moving_average":
            self.actor.follow(self.config.reference_decay)
        return metrics

    def state(self) -> dict[str, Any]:
        """Everything that learning changes, for a checkpoint."""
        return {
            "actor": self.actor.state(),
            "optimizer": self._weights.optimizer(),
            "kl_coefficient": self.coefficient,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.actor.restore(state["actor"])
        self._weights.put_optimizer(state["optimizer"])
        self.coefficient = float(state["kl_coefficient"])

    def _minibatches(self, rollout: Rollout, step: int) -> list[Minibatch]:
        """The step's episodes in random parts, each cut into batches that fit into memory.

        The same rows stay together for the old log-probabilities and for every epoch, so that bf16
        rounding, which depends on a batch's shape, cancels in the ratio: it starts at exactly 1.
        """
        order = np.random.default_rng([FOR_MINIBATCHES, self.config.seed, step]).permutation(
            len(rollout.responses)
        )
        lengths = [
            len(prompt) + len(response)
            for prompt, response in zip(rollout.prompts, rollout.responses, strict=True)
        ]
        return [
            Minibatch(
                pieces=self._pieces(rollout, part.tolist(), lengths),
                tokens=sum(len(rollout.responses[episode]) for episode in part),
            )
            for part in np.array_split(order, self.config.minibatches)
        ]

    def _pieces(self, rollout: Rollout, part: Sequence[int], lengths: Sequence[int]) -> list[Piece]:
        """This process' pieces of a minibatch."""
        each = [
            _fitting(part[index :: self.processes.number], lengths, self.config.batch_tokens)
            for index in range(self.processes.number)
        ]
        mine = each[self.processes.index]
        idle = max(map(len, each)) - len(mine) if self.actor.is_spread else 0
        return [
            self._piece(rollout, episodes, counts=place < len(mine))
            for place, episodes in enumerate([*mine, *[mine[0]] * idle])
        ]

    def _piece(self, rollout: Rollout, episodes: Sequence[int], *, counts: bool) -> Piece:
        batch = self.actor.lay_out(episodes, rollout.prompts, rollout.responses, pad=self.pad)
        return Piece(batch=batch, counts=counts, below=self.actor.frozen_below(batch))

    @torch.no_grad()
    def _look(self, parts: Sequence[Minibatch], rollout: Rollout) -> Experience:
        """Recompute, on the path that learning takes, what the policy thought when it wrote.

        What the generator computed while writing (another batch shape, merged weights) differs by
        rounding, and the ratio would not begin at 1.
        """
        shape = len(rollout.responses), max(map(len, rollout.responses))
        old, reference, values, entropy = torch.zeros(4, *shape, device=self.actor.device)
        mask = torch.zeros(shape, dtype=torch.bool, device=self.actor.device)
        for piece in (piece for part in parts for piece in part.pieces):
            batch = piece.batch
            reading = self.actor.read(batch, below=piece.below, with_entropy=True)
            by_reference = self.actor.reference(batch, below=piece.below)
            if not piece.counts:
                continue
            columns = slice(batch.mask.shape[1])
            mask[batch.episodes, columns] = batch.mask
            old[batch.episodes, columns] = reading.log_probabilities
            values[batch.episodes, columns] = reading.values
            if reading.entropy is not None:
                entropy[batch.episodes, columns] = reading.entropy
            reference[batch.episodes, columns] = by_reference
        counts = mask.float()
        self.processes.add_up([counts, old, reference, values, entropy])
        mask = counts > 0
        return Experience(mask=mask, old=old, reference=reference, values=values, entropy=entropy)

    def _refuse_runaway(self, divergence: float) -> None:
        if not divergence <= EXPLODED * self.config.kl_target:
            raise TrainingFailed(
                f"The policy is {divergence:.1f} nats per answer away from its start, with"
                f" {self.config.kl_target:g} as the target; lower learning_rate (now"
                f" {self.config.learning_rate:g}) or raise kl_coefficient (now"
                f" {self.config.kl_coefficient:g})."
            )

    def _set_learning_rates(self, step: int) -> None:
        """Linear warm-up: Adam's first steps have full length whatever the gradient's is."""
        warm = min(1.0, (step + 1) / (self.config.warmup_steps + 1))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = warm * rate

    def _update(
        self,
        parts: Sequence[Minibatch],
        seen: Experience,
        advantages: Tensor,
        returns: Tensor,
    ) -> dict[str, float]:
        """All epochs over all minibatches; means over the updates.

        `ratio_error` alone is of the first minibatch: how far, as a root mean square, the logarithm
        of the ratio is from 0 before anything has changed.
        """
        totals: dict[str, float] = {}
        for _ in range(self.config.epochs):
            for part in parts:
                for piece in part.pieces:
                    losses = self._losses(piece, seen, advantages, returns)
                    # Each token of the minibatch weighs the same, however it was cut into batches.
                    share = piece.counts * len(piece.batch.tokens) / part.tokens
                    total = (
                        losses["policy_loss"] + self.config.value_coefficient * losses["value_loss"]
                    )
                    if "entropy_bonus" in losses:
                        total = total - losses["entropy_bonus"]
                    (share * total).backward()
                    for name, value in losses.items():
                        totals[name] = totals.get(name, 0.0) + share * float(value.detach())
                totals.setdefault("moved", totals["approx_kl"])
                self._descend()
        sums = torch.tensor(list(totals.values()), dtype=torch.float64)
        sums = sums.to(self.actor.device)
        self.processes.add_up([sums])
        totals = dict(zip(totals, sums.tolist(), strict=True))
        moved = totals.pop("moved")
        updates = self.config.epochs * len(parts)
        means = {name: total / updates for name, total in totals.items()}
        return {**means, "ratio_error": math.sqrt(2 * moved)}

    def _losses(
        self, piece: Piece, seen: Experience, advantages: Tensor, returns: Tensor
    ) -> dict[str, Tensor]:
        batch = piece.batch
        weight = self.config.entropy_coefficient
        reading = self.actor.read(batch, below=piece.below, with_entropy=weight > 0)

        def part_of(whole: Tensor) -> Tensor:
            return whole[batch.episodes, : batch.mask.shape[1]]

        policy = objectives.policy_loss(
            reading.log_probabilities,
            part_of(seen.old),
            part_of(advantages),
            batch.mask,
            clip=self.config.clip,
        )
        value = objectives.value_loss(
            reading.values,
            part_of(seen.values),
            part_of(returns),
            batch.mask,
            clip=self.config.value_clip,
        )
        losses = {
            "policy_loss": policy.loss,
            "value_loss": value,
            "clip_fraction": policy.clip_fraction,
            "approx_kl": policy.approximate_kl,
            "ratio_mean": policy.ratio,
        }
        if reading.entropy is not None:
            losses["entropy_bonus"] = weight * objectives.masked_mean(reading.entropy, batch.mask)
        return losses

    def _descend(self) -> None:
        # Apart, so that a value head which is far off does not shorten the policy's step.
        for parameters in filter(None, self.groups):
            gradients = [weight.grad for weight in parameters if weight.grad is not None]
            # Those that are spread come added up already.
            self.processes.add_up([one for one in gradients if not isinstance(one, DTensor)])
            norm = shorten(gradients, self.config.max_gradient_norm)
            if not torch.isfinite(norm):
                raise TrainingFailed(
                    "A gradient is no longer a number; lower learning_rate (now"
                    f" {self.config.learning_rate:g}) or value_learning_rate (now"
                    f" {self.config.value_learning_rate:g})."
                )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _fitting(episodes: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Episodes in groups of at most `budget` tokens with padding; a longer one stands alone."""
    groups: list[list[int]] = []
    width = 0
    for episode in episodes:
        width = max(width, lengths[episode])
        if groups and (len(groups[-1]) + 1) * width <= budget:
            groups[-1].append(episode)
        else:
            groups.append([episode])
            width = lengths[episode]
    return groups
