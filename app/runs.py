"""One training run in a folder of its own: train, judge on held-out prompts, put in place.

A run may be killed at any moment and started again in the same folder: what is there already, a
whole model or a checkpoint, is not made twice.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checking import doubts_before_training
from app.processes import place_among_processes
from storage import files
from storage.errors import InvalidData, TooLittleData, TrainingFailed
from storage.recipes import Progress, Recipe, RecipeConfig
from storage.records import Message, Split, as_messages
from storage.snapshots import SnapshotData

MODEL = "model"
"""The run's folder holds the finished model here, until it is put in its place."""
ANSWER_TOKENS = 128
"""Of an answer that is compared, where the recipe itself writes none."""
FEWEST_TO_JUDGE_ON = 100
"""Held-out prompts that are always used, if there are as many: fewer make wide intervals."""


def train_reward(
    recipe: Recipe,
    options: RecipeConfig,
    *,
    snapshot: Path,
    folder: Path,
    progress: Progress,
    device: str,
) -> dict[str, Any]:
    """Train a reward model in `folder`/model and judge it on the held-out prompts.

    Of several processes that train together, the first alone judges.

    Returns:
        What the model's tandem.json says; its `metrics` have the report card as `held_out`. Nothing
        in processes other than the first.

    Raises:
        TooLittleData: The snapshot has too little to learn from.
    """
    from evaluation.report_card import evaluate_reward_model
    from training.rewards.card import write_record

    built = folder / MODEL
    if not (built / "tandem.json").is_file():
        extra: dict[str, Any] = {}
        if getattr(options, "reliability", False):
            progress.log("Measuring how reliable each annotator is.")
            extra["reliability"] = reliabilities(snapshot, getattr(options, "aspect", None))
        if place_among_processes()[0] == 0:
            for doubt in doubts_before_training(SnapshotData.open(snapshot)):
                progress.log(doubt)
        recipe.run(
            options,
            snapshot=snapshot,
            output=built,
            checkpoints=folder / "checkpoints",
            progress=progress,
            device=device,
            **extra,
        )
    if place_among_processes()[0] > 0:
        return {}
    progress.log("Judging the model on prompts that it has not seen.")
    steps = int(read_description(built)["metrics"]["steps"])
    try:
        card = evaluate_reward_model(
            built,
            snapshot,
            split=Split.TEST,
            prompts=_prompts_to_judge_on(options),
            progress=_Judging(progress, steps),
            device=device,
        )
    except TooLittleData as error:
        # The model is sound; only nothing can be said about it yet, and that is what its card says.
        card = {"warnings": [str(error)]}
    described = read_description(built)
    described["metrics"] = {**described["metrics"], "held_out": card}
    write_record(built, described)
    return described


def reliabilities(snapshot: Path, aspect: str | None = None) -> dict[str, float]:
    """How sharply each annotator tells good from bad, by the measurement model; 1 is typical.

    Measured on the training part alone, so that nothing of the held-out judgements gets into a
    model that is judged by them.

    Args:
        snapshot: Folder of the snapshot.
        aspect: Whose ratings count; None for the only one there is, or else `overall`.

    Raises:
        TooLittleData: The training part is empty.
        NoConvergence: The measurement did not settle.
    """
    from feedback.measurement import fit
    from feedback.said import OVERALL, said_in

    data = SnapshotData.open(snapshot)
    ratings = data.ratings(Split.TRAIN)
    aspects = {one.aspect for one in ratings}
    chosen = aspect or (aspects.pop() if len(aspects) == 1 else OVERALL)
    found = fit(said_in(data.comparisons(Split.TRAIN), ratings, aspect=chosen))
    return dict(zip(found.annotators, found.reliability.value.tolist(), strict=True))


def train_policy(
    recipe: Recipe,
    options: RecipeConfig,
    *,
    source: Mapping[str, Any],
    folder: Path,
    progress: Progress,
    device: str,
    held_out: Sequence[Sequence[Message]] = (),
    judges: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Train a policy in `folder`/model, and let reward models compare it with its start.

    Args:
        recipe: One of `training.policies.POLICIES`.
        options: Its options.
        source: What the recipe learns from, as its `learns_from` asks.
        folder: The run's own.
        progress: Where to say how far it is.
        device: Where it runs.
        held_out: Prompts that it does not learn on.
        judges: The folder of each reward model that compares, by its name.

    Returns:
        What the model's tandem.json says; its `metrics` have the win rates as `against_start`,
        where there is who judges and enough to judge.
    """
    from app.policy_judging import FEWEST, judge_policy
    from training.policies.folder import record_comparison

    built = folder / MODEL
    if not (built / "tandem.json").is_file():
        recipe.run(
            options,
            **source,
            output=built,
            checkpoints=folder / "checkpoints",
            progress=progress,
            device=device,
        )
    described = read_description(built)
    if not judges or "against_start" in described["metrics"] or place_among_processes()[0] > 0:
        return described
    if len(held_out) < FEWEST:
        progress.log(
            f"Not compared with its start: that needs {FEWEST} prompts for validation, and there"
            f" are {len(held_out)}."
        )
        return described
    known = options.model_dump()
    try:
        card = judge_policy(
            built,
            known["start"] if "start" in known else known["base"],
            prompts=held_out,
            judges=judges,
            max_new_tokens=known.get("max_new_tokens", ANSWER_TOKENS),
            progress=progress,
            device=device,
        )
    except (InvalidData, TrainingFailed) as error:
        # The policy is sound, and hours of work.
        progress.log(f"Not compared with its start: {error}")
        card = {"refused": str(error)}
    return record_comparison(built, card)


def frozen_prompts(
    folder: Path, prompts: Sequence[tuple[Message, ...]]
) -> list[tuple[Message, ...]]:
    """The prompts of a run as they were at its first start.

    So a run that goes on after a crash sees the same ones, also when others came in between.
    """
    frozen = folder / "prompts.json"
    if not frozen.is_file():
        files.write_text(frozen, json.dumps(list(prompts), ensure_ascii=False))
    return [as_messages(prompt) for prompt in json.loads(frozen.read_text(encoding="utf-8"))]


@dataclass(frozen=True, slots=True)
class _Judging:
    """Says in words how far judging is: the steps and curves of the job are those of training."""

    progress: Progress
    steps: int

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        told = message or f"held-out answers: {step} of {total}"
        self.progress.report(self.steps, metrics, message=told)

    def log(self, line: str) -> None:
        self.progress.log(line)


def _prompts_to_judge_on(options: RecipeConfig) -> int | None:
    """Whoever learns from a part does not want to wait long for the figures about it."""
    learned: int | None = getattr(options, "prompts", None)
    return None if learned is None else max(learned, FEWEST_TO_JUDGE_ON)


def read_description(model: Path) -> dict[str, Any]:
    """What a model's tandem.json says: base, config, metrics, and where it came from."""
    described: dict[str, Any] = json.loads((model / "tandem.json").read_text(encoding="utf-8"))
    return described


def publish(folder: Path, target: Path, *, replace: bool = False) -> None:
    """Put a run's finished model where it belongs, whole or not at all.

    Raises:
        InvalidOption: `target` holds something and `replace` is false.
        StorageFailed: There is no room, or no right to write.
    """
    with files.write_folder(target, replace=replace) as place:
        shutil.copytree(folder / MODEL, place, dirs_exist_ok=True)
    shutil.rmtree(folder / MODEL)
