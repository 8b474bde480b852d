"""Tandem's side of ppo.py: the recipe `ppo` as `tandem train policy` runs it.

Run as a module; see `learning.pace` for how the two talk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from learning import work
from learning.pace import Pace
from learning.tandem import machine
from storage.recipes import Silent
from storage.records import Message
from training import backbone
from training.policies import rollouts
from training.policies.config import PPOConfig
from training.policies.learner import Learner
from training.policies.mixer import RewardMixer
from training.policies.ppo import train
from training.policies.trainer import Trainer
from training.rewards.model import RewardModel
from training.rewards.scoring import Calibration, RewardScorer


class Clock:
    """Processor seconds of the phases of every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def around(self, owner: Any, name: str, phase: str) -> None:
        """Count what a method takes as a phase of the step that is being taken."""
        original: Callable[..., Any] = getattr(owner, name)

        @wraps(original)
        def timed(*positional: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return original(*positional, **named)
            finally:
                if self.steps:
                    spent = self.steps[-1].setdefault(phase, 0.0)
                    self.steps[-1][phase] = spent + time.process_time() - began

        setattr(owner, name, timed)


def main() -> None:
    pace = Pace()
    job = pace.job
    device = backbone.pick_device()
    clock = Clock()
    clock.around(rollouts.Writer, "write", "writing")
    clock.around(RewardMixer, "score", "scoring")
    clock.around(Learner, "_look", "looking")
    clock.around(Learner, "_update", "updating")
    heard = in_steps(pace, clock)
    # No answer ends before its time, so that both sides write as many tokens.
    rollouts.end_tokens = lambda *_: [-1]  # type: ignore[assignment]
    torch.manual_seed(0)
    scalar = AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=1, dtype=backbone.best_dtype(device)
    ).to(device)
    scalar.score.float()
    reward = RewardModel(scalar.eval(), backbone.load_tokenizer(job["model"]))
    with tempfile.TemporaryDirectory(prefix="ppo-") as folder:
        train(
            PPOConfig.read(
                {
                    "start": job["model"],
                    "rewards": {"random": 1.0},
                    "steps": job["steps"],
                    "episodes": job["episodes"],
                    "max_new_tokens": job["tokens"],
                    "temperature": 0.7,
                    "epochs": job["epochs"],
                    "minibatches": 1,
                    "rank": job["rank"],
                    "learning_rate": 1e-5,
                    "kl_target": 1e6,
                    "checkpoint_every": 1_000_000,
                    "probe_every": 1_000_000,
                }
            ),
            prompts=[tuple(Message(**one) for one in prompt) for prompt in job["prompts"]],
            scorers={"random": RewardScorer(reward, Calibration(mean=0.0, std=1.0))},
            output=Path(folder) / "policy",
            checkpoints=Path(folder) / "checkpoints",
            progress=Silent(),
        )
    weights = sum(p.numel() * p.element_size() for p in scalar.parameters())
    read = weights / work.bandwidth(device)
    counted = heard[1:-1]
    written = sum(step["seconds_writing"] for step in counted) / len(counted)
    pace.say(
        phases=clock.steps,
        loss=[step["policy_loss"] for step in heard],
        about={
            "machine": machine(device),
            "share_of_streaming": job["tokens"] * read / written,
        },
    )


def in_steps(pace: Pace, clock: Clock) -> list[dict[str, float]]:
    """Stand before the first step and after each; gives the metrics of the steps as they come."""
    heard: list[dict[str, float]] = []
    step = Trainer._step

    def standing(self: Trainer) -> dict[str, float]:
        if not clock.steps:
            pace.stand(steps=self.config.steps)
        clock.steps.append({})
        metrics = step(self)
        heard.append(metrics)
        pace.stand(steps=self.config.steps)
        return metrics

    Trainer._step = standing  # type: ignore[method-assign]
    return heard


if __name__ == "__main__":
    main()
