"""The loop of PPO: answer prompts, let reward models judge the answers, learn from that, and again.

The recipe of openai/lm-human-preferences (Ziegler et al. 2019, arXiv:1909.08593) with the clipped
objective of Schulman et al. (2017): a penalty per token for leaving the start, one reward at the
end of the answer, generalised advantages, and a few passes over each step's answers. A step is a
function of the step before and of the seed, so a run that was killed and goes on ends as it would
have.
"""

from __future__ import annotations

import copy
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
from training.policies.health import findings
from training.policies.health.history import History, correlated, repeated_text
from training.policies.health.record import health_record, told, warned_too
from training.policies.health.stopping import reason_to_stop
from training.policies.learner import Learner
from training.policies.measured import ANSWERS
from training.policies.mixer import RewardMixer
from training.policies.reward_options import short
from training.policies.rollouts import Rollout, Writer, prompts_of_step
from training.policies.watching import Watch
from training.processes import Processes

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
    watch: Watch | None = None
    processes: Processes = field(default_factory=Processes)
    """All of them take the same steps; the first one keeps what came out."""
    done: int = 0
    """Steps finished."""
    reward_at_start: float | None = None
    recent: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the last steps."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """What the policy answered to the probe prompts as it learned."""
    history: History = field(default_factory=History)
    warned: dict[str, Any] = field(default_factory=dict)
    """What went wrong so far; see `training.policies.health.record`."""
    stopped: str = ""
    """Why the run ended early."""
    best: dict[str, Any] = field(default_factory=dict)
    """Where it is to be kept: the step with the best watched reward, with its weights and the
    metrics that led to it."""

    def train(self) -> None:
        """Take the steps that are left."""
        if not self.samples:
            self._measure()
            look = self._look()
            if look:
                self.history = self.history.after(0, look)
                self.progress.report(0, look, total=self.config.steps)
        while self.done < self.config.steps and not self.stopped:
            metrics = self._step()
            self.done += 1
            if self.reward_at_start is None:
                self.reward_at_start = metrics["reward"]
            last = self.done == self.config.steps
            due = last or self.done % self.config.probe_every == 0
            if due:
                metrics |= self._look(metrics)
            self.history = self.history.after(self.done, metrics)
            self._judge()
            if self.stopped and not due:
                look = self._look(metrics)
                self.history = self.history.after(self.done, look)
                metrics |= look
            self.recent = [*self.recent, metrics][-LAST:]
            if self.done == 1 and self.best and self.best["step"] == 0:
                # A step's metrics are those of the weights that it began with.
                self.best["recent"] = [{**metrics, **self.best["recent"][0]}]
            self.progress.report(
                self.done,
                metrics,
                total=self.config.steps,
                message=f"reward {metrics['reward']:+.2f}, KL {metrics['kl']:.2f} nats",
            )
            # After the report: a run killed in between reports the step again, the same, instead
            # of never.
            if last or self.stopped or self.done % self.config.checkpoint_every == 0:
                self._keep()
        if self.config.keep == "best":
            self.learner.actor.restore(self.best["actor"])
            self.progress.log(f"The weights of step {self.best['step']} are kept, the best.")

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
        self.history = History(state["history"])
        self.warned = state["warned"]
        self.stopped = state["stopped"]
        self.best = state["best"]
        self.mixer.restore(state["reward_scales"])
        log.info("resumed from step %d", step)
        self.progress.log(f"resumed from step {step}")

    def final_metrics(self) -> dict[str, float]:
        """Means over the last steps before the weights that are kept; and the first reward."""
        recent = self.best["recent"] if self.config.keep == "best" else self.recent
        means = {
            name: float(np.mean([step[name] for step in recent if name in step]))
            for name in recent[-1]
        }
        return {**means, "reward_at_start": float(self.reward_at_start or 0.0)}

    def health(self) -> dict[str, Any]:
        """What went wrong, why it stopped, and of which step the weights are; as JSON."""
        step = self.best["step"] if self.config.keep == "best" else self.done
        return health_record(self.warned, steps=self.done, kept=step, stopped=self.stopped)

    def samples_text(self) -> str:
        """The samples as JSON lines."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.samples)

    def _step(self) -> dict[str, float]:
        began = time.perf_counter()
        places = prompts_of_step(
            self.done,
            episodes=self.config.episodes,
            prompts=len(self.writer.prompts) - (len(self.watch.places) if self.watch else 0),
            seed=self.config.seed,
        )
        try:
            with self.learner.actor.merged() as model:
                rollout = self.writer.write(model, places, step=self.done)
            written = time.perf_counter()
            mixed = self.mixer.score(rollout.conversations, share=self._share())
        except TrainingFailed:
            # Nothing of this step was learned, so the run can go on from here when, say, a reward
            # service is back.
            self._keep()
            raise
        scored = time.perf_counter()
        cut = np.array([not answer.finished for answer in rollout.answers])
        scores = self._scores(mixed.total, cut)
        learned = self.learner.learn(rollout, scores, step=self.done)
        finished = time.perf_counter()
        tokens = [answer.tokens for answer in rollout.answers]
        metrics = {
            "reward": float(mixed.total.mean()),
            "reward_spread": float(mixed.total.std()),
            **learned,
        }
        measured = {
            "repeated_text": repeated_text(rollout.responses),
            "length_correlation": correlated(tokens, mixed.total.tolist()),
        }
        metrics |= {name: value for name, value in measured.items() if value is not None}
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

    def _share(self) -> float:
        """How much of the run is done."""
        return min(1.0, self.done / max(self.config.steps - 1, 1))

    def _scores(self, rewards: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """What is learned from, of mixed rewards and of whether each answer was cut."""
        limit = self.config.reward_clip
        if limit is not None:
            rewards = rewards.clip(-limit, limit)
        # An answer that was cut reads to a reward model like one that ended there. TRL, too, takes
        # a penalty off (`missing_eos_penalty`); lm-human-preferences puts a fixed score in place of
        # the reward, which leaves nothing to learn from where nearly all answers are cut.
        if not self.config.score_cut:
            rewards = np.where(cut, 0.0, rewards)
        return rewards - self.config.missing_end_penalty * cut

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
        self._keep()

    def _look(self, metrics: Mapping[str, float] | None = None) -> dict[str, float]:
        """Answer the first prompts, and ask those who only watch about the held-out ones.

        Args:
            metrics: Of the step just taken; none before the first.
        """
        probes = list(range(min(PROBES, len(self.writer.prompts))))
        with self.learner.actor.merged() as model:
            # With the same random numbers each time.
            self._show(self.writer.write(model, probes, step=0))
            look = self.watch.look(model, share=self._share()) if self.watch else {}
        looks = self.history.after(self.done, look).looks()
        if self.config.keep == "best" and all(looks[-1][1] > earlier for _, earlier in looks[:-1]):
            self.best = {
                "step": self.done,
                "actor": copy.deepcopy(self.learner.actor.state()),
                "recent": [*self.recent, {**(metrics or {}), **look}][-LAST:],
            }
        return look

    def _show(self, written: Rollout) -> None:
        """Put answers to the first prompts among the samples."""
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
        if self.processes.is_first:
            write_text(self.checkpoints / "samples.jsonl", self.samples_text())

    def _judge(self) -> None:
        """Say what goes wrong, each thing once, and see whether that is a reason to stop."""
        found = findings(self.history, self.config)
        known = set(self.warned)
        self.warned = warned_too(self.warned, found, step=self.done)
        for name in self.warned.keys() - known:
            warning = self.warned[name]
            self.progress.log(f"Warning at step {self.done}: {warning['title']}. {told(warning)}")
        self.stopped = reason_to_stop(self.history, found, self.config)
        if self.stopped:
            self.progress.log(f"Stopped after step {self.done}. {self.stopped}")

    def _keep(self) -> None:
        """Write a checkpoint."""
        state = self._state()
        if self.processes.is_first:
            kept.save(self.checkpoints, self.done, state)

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity(),
            "learner": self.learner.state(),
            "reward_at_start": self.reward_at_start,
            "recent": self.recent,
            "samples": self.samples,
            "history": self.history.points,
            "warned": self.warned,
            "stopped": self.stopped,
            "best": self.best,
            "reward_scales": self.mixer.scales(),
        }

    def _identity(self) -> str:
        return digest(self.config.model_dump(mode="json"), self.writer.encoded)
