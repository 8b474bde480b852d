"""Learning in rounds: answer prompts several times, let reward models judge, learn, and again.

What is learned in a round, from which of the answers, is the method's. A round is a function of the
round before and of the seed, so a run that was killed and goes on ends as it would have.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from storage.files import write_text
from storage.recipes import Progress
from training import checkpoints as kept
from training.best_of_n import divergence_bound, expected_best
from training.policies.dpo_config import InRounds
from training.policies.measured import ANSWERS
from training.policies.mixer import RewardMixer
from training.policies.reward_options import short
from training.policies.rollouts import Writer, prompts_of_step
from training.policies.student import Student
from training.policies.trainer import PROBES
from training.quiet import quietly

Config = TypeVar("Config", bound=InRounds)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """P prompts with k answers each, and what these earned."""

    prompts: list[list[int]]
    """Token ids up to where the answer begins."""
    answers: list[list[list[int]]]
    """Token ids, the end token included where there is one; k for each prompt."""
    scores: list[list[float]]
    """The mixed reward of each answer, less the penalty of those that were cut."""
    metrics: dict[str, float]
    """What they tell of the policy that wrote them."""


Learn = Callable[[Config, Student, Judged, Path, Progress], dict[str, float]]
"""Changes a student by what was judged, given a folder for checkpoints; returns metrics."""


@dataclass(kw_only=True)
class Rounds(Generic[Config]):
    """The loop of one run, and what it remembers between rounds."""

    config: Config
    learn: Learn[Config]
    student: Student
    writer: Writer
    mixer: RewardMixer
    checkpoints: Path
    progress: Progress
    done: int = 0
    """Rounds finished."""
    learned: dict[str, float] = field(default_factory=dict)
    """Metrics of the last round's learning."""
    history: list[dict[str, float]] = field(default_factory=list)
    """What was measured after 0, 1, 2, ... rounds."""
    best_of_n: list[dict[str, float]] = field(default_factory=list)
    """What best-of-n would have made of the start, for several n; see `_best_of_n`."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """What the policy answered to the same prompts after each round."""

    def run(self) -> None:
        """Take the rounds that are left, and measure the policy before, between and after them.

        The policy after n rounds is measured on the answers that the next round learns from; after
        the last round, on as many answers that nobody learns from.
        """
        self._measure()
        while True:
            judged = self._look()
            measured = {**judged.metrics, **self.learned}
            self.history = [*self.history[: self.done], measured]
            if not self.done:
                self.best_of_n = _best_of_n(judged.scores)
            self._report(
                measured, f"reward {measured['reward']:+.2f}, KL {measured['kl']:.2f} nats"
            )
            if self.done == self.config.rounds:
                return
            self._take_a_round(judged)

    def resume(self, done: int, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.student.restore(state["student"])
        self.done = done
        self.learned = state["learned"]
        self.history = state["history"]
        self.best_of_n = state["best_of_n"]
        self.samples = state["samples"]
        log.info("resumed from round %d", done)
        self.progress.log(f"resumed from round {done}")

    def final_metrics(self) -> dict[str, float]:
        """What was measured after the last round, the reward of the start, and the time it took."""
        first, last = self.history[0], self.history[-1]
        spent = [
            value
            for measured in self.history
            for name, value in measured.items()
            if name.startswith("seconds_")
        ]
        return {**last, "reward_at_start": first["reward"], "seconds": sum(spent)}

    def samples_text(self) -> str:
        """The samples as JSON lines."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.samples)

    def _take_a_round(self, judged: Judged) -> None:
        began = time.perf_counter()
        with quietly():
            learned = self.learn(
                self.config,
                self.student,
                judged,
                self._folder / "learning",
                _InRound(self.progress, self.done, self.config.rounds),
            )
        self.learned = {**learned, "seconds_learning": time.perf_counter() - began}
        finished = self._folder
        self.done += 1
        state = {
            "student": self.student.learned(),
            "learned": self.learned,
            "history": self.history,
            "best_of_n": self.best_of_n,
            "samples": self.samples,
        }
        kept.save(self.checkpoints, self.done, state)
        shutil.rmtree(finished)

    @property
    def _folder(self) -> Path:
        """Of the round that is under way."""
        return self.checkpoints / f"round-{self.done + 1:04d}"

    @property
    def _share(self) -> float:
        """Of the run that is done, from 0 to 1: 1 in the last round and after it."""
        return min(1.0, self.done / max(self.config.rounds - 1, 1))

    def _measure(self) -> None:
        """Give the rewards that have no scale yet one, by what the start policy answers."""
        if not (names := self.mixer.unmeasured()):
            return
        found = self.checkpoints / "scales.json"
        if found.is_file():
            self.mixer.restore(json.loads(found.read_text(encoding="utf-8")))
            return
        self.progress.log(f"Measuring what answers of the start earn from {', '.join(names)}.")
        places = prompts_of_step(
            0, episodes=ANSWERS, prompts=len(self.writer.prompts), seed=self.config.seed
        )
        # A round's number settles its random numbers, and this is that of no round.
        rollout = self.student.write(self.writer, places, step=self.config.rounds + 1)
        self.mixer.measure(rollout.conversations)
        # A service might say something else when it is asked again.
        write_text(found, json.dumps(self.mixer.scales()))

    def _look(self) -> Judged:
        """The judged answers that the next round learns from; those of an earlier try, if any."""
        self._probe()
        found = self._folder / "judged.json"
        if found.is_file():
            return Judged(**json.loads(found.read_text(encoding="utf-8")))
        judged = self._judge()
        write_text(found, json.dumps(asdict(judged)))
        return judged

    def _judge(self) -> Judged:
        """Answer the round's prompts, and let the reward models judge."""
        config = self.config
        places = prompts_of_step(
            self.done,
            episodes=min(config.prompts_per_round, len(self.writer.prompts)),
            prompts=len(self.writer.prompts),
            seed=config.seed,
        )
        shape = len(places), config.answers_per_prompt
        self._report(None, f"answering {shape[0]} prompts {shape[1]} times")
        began = time.perf_counter()
        rollout = self.student.write(
            self.writer, [place for place in places for _ in range(shape[1])], step=self.done
        )
        written = time.perf_counter()
        self._report(None, f"judging {len(rollout.answers)} answers")
        mixed = self.mixer.score(rollout.conversations, share=self._share)
        scored = time.perf_counter()
        divergence = self.student.divergence(rollout, temperature=config.temperature)
        finished = np.array([answer.finished for answer in rollout.answers])
        # As in PPO: an answer that was cut reads to a reward model like one that ended there.
        scores = (mixed.total - config.missing_end_penalty * ~finished).reshape(shape)
        metrics = {"reward": float(mixed.total.mean()), "kl": divergence}
        for name, raw in mixed.raw.items():
            metrics[f"reward/{short(name)}"] = float(mixed.standardised[name].mean())
            metrics[f"reward_raw/{short(name)}"] = float(raw.mean())
            if name in self.mixer.schedule:
                metrics[f"weight/{short(name)}"] = mixed.weights[name]
        step = shape[1]
        return Judged(
            prompts=rollout.prompts[::step],
            answers=[
                rollout.responses[start : start + step]
                for start in range(0, len(rollout.responses), step)
            ],
            scores=scores.tolist(),
            metrics={
                **metrics,
                "best_of_n_gain": expected_best(scores, step) - float(scores.mean()),
                "response_length": float(np.mean([answer.tokens for answer in rollout.answers])),
                "finished_fraction": float(finished.mean()),
                "seconds_writing": written - began,
                "seconds_scoring": scored - written,
            },
        )

    def _probe(self) -> None:
        """Answer the first prompts, with the same random numbers each time."""
        probes = list(range(min(PROBES, len(self.writer.prompts))))
        written = self.student.write(self.writer, probes, step=0)
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

    def _report(self, metrics: Mapping[str, float] | None, message: str) -> None:
        self.progress.report(self.done, metrics, total=self.config.rounds, message=message)


@dataclass(frozen=True, slots=True)
class _InRound:
    """Says in words how far a round's learning is: the steps of the run are its rounds."""

    progress: Progress
    done: int
    rounds: int

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        told = message or f"round {self.done + 1}: step {step} of {total}"
        if metrics and "loss" in metrics:
            told += f", loss {metrics['loss']:.3f}"
        self.progress.report(self.done, total=self.rounds, message=told)

    def log(self, line: str) -> None:
        self.progress.log(line)


def _best_of_n(scores: list[list[float]]) -> list[dict[str, float]]:
    """What taking the best of n answers would have brought, for n = 2, 4, 8, ... and for all.

    Returns:
        For each `n` the expected `reward`, the `gain` over a single answer, both as reward models
        rank answers, and `kl_at_most`, how far from the policy that is, in nats per answer.
    """
    answers = len(scores[0])
    choices = sorted({2**power for power in range(1, answers.bit_length())} | {answers})
    return [
        {
            "n": n,
            "reward": expected_best(scores, n),
            "gain": expected_best(scores, n) - expected_best(scores, 1),
            "kl_at_most": divergence_bound(n),
        }
        for n in choices
        if n <= answers
    ]
