"""The loop of PPO: answer prompts, let reward models judge the answers, learn from that, and again.

The recipe of openai/lm-human-preferences (Ziegler et al. 2019, arXiv:1909.08593) with the clipped
objective of Schulman et al. (2017): a penalty per token for leaving the start, one reward at the
end of the answer, generalised advantages, and a few passes over each step's answers. A step is a
function of the step before and of the seed, so a run that was killed and goes on ends as it would
have.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import InvalidOption, TrainingFailed
from storage.files import write_text
from storage.recipes import Progress
from storage.records import digest
from training import checkpoints as kept
from training.policies.config import PPOConfig
from training.policies.learner import Learner
from training.policies.measured import ANSWERS
from training.policies.mixer import RewardMixer
from training.policies.reward_options import short
from training.policies.rollouts import Rollout, Writer, prompts_of_step

PROBES = 4
"""How many prompts are answered again and again to show what changes."""
LAST = 10
"""Over how many of the last steps a run's final metrics are means."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Trainer:
    """The loop of one run, and what it remembers between steps."""

    config: PPOConfig
    learner: Learner
    writer: Writer
    mixer: RewardMixer
    checkpoints: Path
    progress: Progress
    done: int = 0
    """Steps finished."""
    reward_at_start: float | None = None
    recent: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the last steps."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """What the policy answered to the probe prompts as it learned."""

    def train(self) -> None:
        """Take the steps that are left."""
        if not self.samples:
            self._measure()
            self._probe()
        while self.done < self.config.steps:
            metrics = self._step()
            self.done += 1
            if self.reward_at_start is None:
                self.reward_at_start = metrics["reward"]
            self.recent = [*self.recent, metrics][-LAST:]
            last = self.done == self.config.steps
            if last or self.done % self.config.probe_every == 0:
                self._probe()
            self.progress.report(
                self.done,
                metrics,
                total=self.config.steps,
                message=f"reward {metrics['reward']:+.2f}, KL {metrics['kl']:.2f} nats",
            )
            # After the report: a run killed in between reports the step again, the same, instead
            # of never.
            if last or self.done % self.config.checkpoint_every == 0:
                kept.save(self.checkpoints, self.done, self._state())

    def resume(self, step: int, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            InvalidOption: It was made with other options or prompts.
        """
        if state["identity"] != self._identity():
            raise InvalidOption(
                "checkpoints",
                "they are from a run with other options or prompts; name another folder or remove"
                " them",
                str(self.checkpoints),
            )
        self.learner.restore(state["learner"])
        self.done = step
        self.reward_at_start = state["reward_at_start"]
        self.recent = state["recent"]
        self.samples = state["samples"]
        self.mixer.restore(state["reward_scales"])
        log.info("resumed from step %d", step)
        self.progress.log(f"resumed from step {step}")

    def final_metrics(self) -> dict[str, float]:
        """Means over the last steps, and the reward of the first."""
        names = self.recent[-1]
        means = {
            name: float(np.mean([step[name] for step in self.recent if name in step]))
            for name in names
        }
        return {**means, "reward_at_start": float(self.reward_at_start or 0.0)}

    def samples_text(self) -> str:
        """The samples as JSON lines."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.samples)

    def _step(self) -> dict[str, float]:
        began = time.perf_counter()
        places = prompts_of_step(
            self.done,
            episodes=self.config.episodes,
            prompts=len(self.writer.prompts),
            seed=self.config.seed,
        )
        with self.learner.actor.merged() as model:
            rollout = self.writer.write(model, places, step=self.done)
        written = time.perf_counter()
        try:
            share = self.done / max(self.config.steps - 1, 1)
            mixed = self.mixer.score(rollout.conversations, share=share)
        except TrainingFailed:
            # Nothing of this step was learned, so the run can go on from here when, say, a reward
            # service is back.
            kept.save(self.checkpoints, self.done, self._state())
            raise
        scored = time.perf_counter()
        cut = np.array([not answer.finished for answer in rollout.answers])
        # An answer that was cut reads to a reward model like one that ended there. TRL, too, takes
        # a penalty off (`missing_eos_penalty`); lm-human-preferences puts a fixed score in place of
        # the reward, which would leave nothing to learn from where nearly all answers are cut.
        scores = mixed.total - self.config.missing_end_penalty * cut
        learned = self.learner.learn(rollout, scores, step=self.done)
        finished = time.perf_counter()
        tokens = [answer.tokens for answer in rollout.answers]
        metrics = {"reward": float(mixed.total.mean()), **learned}
        for name in self.mixer.weights:
            metrics[f"reward/{short(name)}"] = float(mixed.standardised[name].mean())
            metrics[f"reward_raw/{short(name)}"] = float(mixed.raw[name].mean())
            if name in self.mixer.schedule:
                metrics[f"weight/{short(name)}"] = mixed.weights[name]
        return {
            **metrics,
            "response_length": float(np.mean(tokens)),
            "finished_fraction": float(1 - cut.mean()),
            "tokens_per_second": sum(tokens) / (finished - began),
            "seconds_writing": written - began,
            "seconds_scoring": scored - written,
            "seconds_learning": finished - scored,
        }

    def _measure(self) -> None:
        """Give the rewards that have no scale yet one, by what the start policy answers."""
        names = self.mixer.unmeasured()
        if not names:
            return
        self.progress.log(f"Measuring what answers of the start earn from {', '.join(names)}.")
        places = prompts_of_step(
            0, episodes=ANSWERS, prompts=len(self.writer.prompts), seed=self.config.seed
        )
        with self.learner.actor.merged() as model:
            # A step's number settles its random numbers, and this is that of no step.
            rollout = self.writer.write(model, places, step=self.config.steps)
        self.mixer.measure(rollout.conversations)
        # A service might say something else when it is asked again.
        kept.save(self.checkpoints, self.done, self._state())

    def _probe(self) -> None:
        """Answer the first prompts, with the same random numbers each time."""
        probes = list(range(min(PROBES, len(self.writer.prompts))))
        with self.learner.actor.merged() as model:
            written: Rollout = self.writer.write(model, probes, step=0)
        for (prompt, text), answer in zip(written.conversations, written.answers, strict=True):
            self.samples.append(
                {
                    "step": self.done,
                    "prompt": list(prompt),
                    "response": text,
                    "tokens": answer.tokens,
                    "finished": answer.finished,
                }
            )
        write_text(self.checkpoints / "samples.jsonl", self.samples_text())

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity(),
            "learner": self.learner.state(),
            "reward_at_start": self.reward_at_start,
            "recent": self.recent,
            "samples": self.samples,
            "reward_scales": self.mixer.scales(),
        }

    def _identity(self) -> str:
        return digest(self.config.model_dump(mode="json"), self.writer.encoded)
