"""One training run in a folder of its own: train, judge on held-out prompts, put in place.

A run may be killed at any moment and started again in the same folder: what is there already, a
whole model or a checkpoint, is not made twice.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage import files
from storage.errors import TooLittleData
from storage.recipes import Progress, Recipe, RecipeConfig
from storage.records import Message, Split, as_messages

MODEL = "model"
"""The run's folder holds the finished model here, until it is put in its place."""


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

    Returns:
        What the model's tandem.json says; its `metrics` have the report card as `held_out`.

    Raises:
        TooLittleData: The snapshot has too little to learn from.
    """
    from evaluation.report_card import evaluate_reward_model

    built = folder / MODEL
    if not (built / "tandem.json").is_file():
        recipe.run(
            options,
            snapshot=snapshot,
            output=built,
            checkpoints=folder / "checkpoints",
            progress=progress,
            device=device,
        )
    progress.log("Judging the model on prompts that it has not seen.")
    try:
        # Without the progress: its steps are those of training, which are over.
        card = evaluate_reward_model(built, snapshot, split=Split.TEST, device=device)
    except TooLittleData as error:
        # The model is sound; only nothing can be said about it yet, and that is what its card says.
        card = {"warnings": [str(error)]}
    described = read_description(built)
    described["metrics"] = {**described["metrics"], "held_out": card}
    files.write_text(
        built / "tandem.json", json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    )
    return described


def train_policy(
    recipe: Recipe,
    options: RecipeConfig,
    *,
    prompts: Sequence[tuple[Message, ...]],
    rewards: Mapping[str, Path],
    folder: Path,
    progress: Progress,
    device: str,
) -> dict[str, Any]:
    """Train a policy in `folder`/model.

    The prompts are frozen at the first start, so that a run that goes on after a crash sees the
    same ones.

    Returns:
        What the model's tandem.json says.
    """
    built = folder / MODEL
    frozen = folder / "prompts.json"
    if not frozen.is_file():
        files.write_text(frozen, json.dumps(list(prompts), ensure_ascii=False))
    kept = [as_messages(prompt) for prompt in json.loads(frozen.read_text(encoding="utf-8"))]
    if not (built / "tandem.json").is_file():
        recipe.run(
            options,
            prompts=kept,
            rewards=rewards,
            output=built,
            checkpoints=folder / "checkpoints",
            progress=progress,
            device=device,
        )
    return read_description(built)


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
