"""Tandem's side: the recipe `preference` as `tandem train reward` runs it.

Run as a module by reward_training.py; see `learning.pace` for how the two talk.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from learning import work
from learning.pace import Pace
from storage.errors import JobCancelled
from storage.records import PromptId, ResponseId
from storage.snapshots import ComparisonRow, write_snapshot
from training import backbone
from training.rewards import loop
from training.rewards.config import PreferenceConfig
from training.rewards.likelihood import Likelihood
from training.rewards.scoring import RewardScorer


class Steps:
    """A run's `Progress`, which stands still where the run reports a step."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.total = 0
        self.losses: list[float] = []

    def report(
        self,
        step: int,  # noqa: ARG002
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> None:
        """Stand before the first step and after each."""
        if metrics:
            self.losses.append(metrics["loss"])
        self.total = total or self.total
        if not self._pace.stand(steps=self.total):
            raise JobCancelled

    def log(self, line: str) -> None:
        """Keep quiet."""


class Planning(Steps):
    """Learns how many steps a run would take, and stops it before the first."""

    def report(self, *_: Any, total: int | None = None, **__: Any) -> None:
        """Stop at once."""
        self.total = total or 0
        raise JobCancelled


def main() -> None:
    pace = Pace()
    job = pace.job
    tokenizer = backbone.load_tokenizer(job["model"])
    pace.count_tokens(tokenizer.pad_token_id)
    _count_pairs(pace)
    with tempfile.TemporaryDirectory(prefix="learning-") as folder:
        snapshot = Path(folder) / "snapshot"
        write_snapshot(snapshot, [_row(*pair) for pair in job["train"]], [])
        options = {
            "base": job["model"],
            "epochs": 1,
            "learning_rate": job["learning_rate"],
            "comparison_loss": "bradley_terry",
            "rank": job["rank"],
            "layers": None,
            "max_tokens": job["longest"],
            "batch_tokens": job["batch_tokens"],
            "checkpoint_every": 1_000_000,
            "gradient_checkpointing": job["checkpointing"],
        }
        plan = Planning(pace)
        _train(options, snapshot, plan)
        # A batch of tokens is not a number of pairs. So many batches make one step, or else they
        # are made so much smaller, that the epoch takes about as many steps as the peer's.
        per_step = plan.total / (len(job["train"]) / job["batch"])
        options |= {
            "accumulate": max(1, round(per_step)),
            "batch_tokens": int(job["batch_tokens"] * min(1.0, per_step)),
        }
        steps = Steps(pace)
        model = _train(options, snapshot, steps)
        rewards = None
        if model and job["test"]:
            scorer = RewardScorer.load(model)
            asked = [(prompt, answer) for prompt, *answers in job["test"] for answer in answers]
            rewards = scorer.score(asked).reshape(-1, 2).tolist()
        device = backbone.pick_device()
        pace.say(
            losses=steps.losses,
            rewards=rewards,
            dtype=str(backbone.best_dtype(device)).removeprefix("torch."),
            ceiling={
                str(dtype).removeprefix("torch."): work.ceiling(device, dtype)
                for dtype in (torch.float32, torch.bfloat16)
            },
            about={"machine": machine(device), "batches_per_step": options["accumulate"]},
        )


def machine(device: torch.device) -> str:
    """What figures were measured on."""
    here = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    if device.type == "cuda":
        return f"{here}, {torch.cuda.get_device_name()}"
    fast = [name for name in ("amx_bf16", "avx512_bf16") if torch.cpu.get_capabilities().get(name)]
    return ", ".join([here, *fast])


def _train(options: dict[str, Any], snapshot: Path, progress: Steps) -> Path | None:
    """Train; gives the model's folder, or None when the run was stopped."""
    output = snapshot.parent / "model"
    try:
        loop.train(
            "preference",
            PreferenceConfig.read(options),
            snapshot=snapshot,
            output=output,
            checkpoints=snapshot.parent / "checkpoints",
            progress=progress,
        )
    except JobCancelled:
        return None
    return output


def _row(prompt: list[Any], chosen: str, rejected: str) -> ComparisonRow:
    """A pair as a snapshot keeps it; equal texts are one response."""

    def name(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    asked = name(str(prompt))
    return ComparisonRow(
        prompt_id=PromptId(asked),
        prompt=tuple(prompt),
        left_id=ResponseId(f"{asked}-{name(chosen)}"),
        left=chosen,
        right_id=ResponseId(f"{asked}-{name(rejected)}"),
        right=rejected,
        choice=-1,
        graded=False,
        both_bad=False,
        annotator="data",
        kind="person",
    )


def _count_pairs(pace: Pace) -> None:
    """Count the comparisons of every batch as its likelihood is computed."""
    compute = Likelihood.forward

    def counted(self: Likelihood, rewards: torch.Tensor, judgements: Any) -> torch.Tensor:
        pace.pairs += len(judgements.left)
        return compute(self, rewards, judgements)

    Likelihood.forward = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
