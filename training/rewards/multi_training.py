"""Train a multi-objective reward model: read once, regress each aspect, then weigh them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from storage.errors import InvalidOption, TooLittleData, TrainingFailed
from storage.files import write_folder, write_text
from storage.recipes import Progress
from storage.records import Split
from storage.snapshots import SnapshotData
from training import backbone
from training.rewards.answers import JudgedAnswers, judged_answers
from training.rewards.aspect_fitting import (
    AspectFit,
    ReadAnswers,
    fit_aspects,
    measure_aspects,
    read_aspects,
)
from training.rewards.aspects import AspectHeads, MultiObjectiveModel
from training.rewards.card import finished_metrics, write_record
from training.rewards.features import base_of, batches_kept, batches_of, open_trunk, read
from training.rewards.gate import fit_gate
from training.rewards.model import RewardModel
from training.rewards.multi_config import MultiObjectiveConfig
from training.rewards.ridge import FOLDS
from training.rewards.verbosity import rank_correlation

RECIPE, FORM = "multi-objective", "multi_objective"
FEWEST = 10
"""Rated answers of an aspect, or comparisons, without which nothing is learned from them."""
RUN = "run.json"


def train(
    config: MultiObjectiveConfig,
    *,
    snapshot: Path,
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
) -> dict[str, Any]:
    """Learn a reward of several aspects from a snapshot and write it as a model folder.

    First the frozen model reads every answer, which is kept in `checkpoints`, so that a killed run
    goes on where it was. Then each aspect is regressed on what was read, the part of it that is
    length is taken out, and a gate is fitted to comparisons. Slopes and gate are learned from
    predictions for prompts that the regression had not seen. Without enough comparisons all
    aspects count the same.

    Reports after each batch read, and after each step of the gate its loss in nats per comparison,
    its pair accuracy, and both on the validation part.

    Args:
        config: What to learn from, and how.
        snapshot: Folder of the snapshot.
        output: Folder to write the model to; must not hold anything else.
        checkpoints: Folder for what was read in this run alone.
        progress: Told every step.
        device: `auto`, `cpu`, `cuda`, ...

    Returns:
        The metrics that are also in the model's record.

    Raises:
        TooLittleData: An aspect has too few ratings, or fewer than two aspects were rated.
        InvalidOption: An option does not fit the model, or a folder belongs to another run.
        TrainingFailed: The model reads no finite numbers, or nothing was learned.
        JobCancelled: A person stopped the job.
    """
    data = SnapshotData.open(snapshot)
    base = base_of(config.base)
    identity = {
        "recipe": RECIPE,
        "config": config.model_dump(mode="json"),
        "snapshot": data.id,
        "base_fingerprint": backbone.fingerprint(base),
        "adapter_fingerprint": None if base == config.base else backbone.fingerprint(config.base),
    }
    if finished := finished_metrics(output, identity):
        return finished

    names = _aspects(config, data)
    tokenizer = backbone.load_tokenizer(config.base)
    said, unseen = (
        judged_answers(tokenizer, config, names, data, split)
        for split in (Split.TRAIN, Split.VALIDATION)
    )
    _refuse_too_few(said, names, config)
    steps = _steps(config, said, unseen, progress)
    progress.log(
        f"learning {len(names)} aspects from {said.judgements} judgements; left out {said.left_out}"
        f" of conversations with more than {config.max_tokens} tokens"
    )
    trunk = open_trunk(config.base, device=backbone.pick_device(device))
    if config.max_tokens > trunk.context:
        raise InvalidOption(
            "max_tokens", f"{config.base} reads at most {trunk.context} tokens", config.max_tokens
        )
    batches = len(batches_of([*said.rows, *unseen.rows], config.batch_tokens))
    total = batches + steps
    _claim(checkpoints, identity)
    learned, validation = _read(
        trunk, config, said, unseen, checkpoints=checkpoints, progress=progress, total=total
    )

    torch.manual_seed(config.seed)
    width = learned.features.answers.shape[1]
    heads = AspectHeads(features=width, aspects=len(names), width=config.width)
    fits, rewards = fit_aspects(heads, learned, names, seed=config.seed)
    foretold = read_aspects(heads, validation)
    measured = measure_aspects(
        foretold.ratings.double().numpy(),
        unseen.ratings,
        names,
        constant=np.nanmean(said.ratings, axis=0),
    )
    _tell(fits, measured, progress)
    weighed: dict[str, Any] = {}
    if len(said.preference) >= FEWEST:
        best, found = fit_gate(
            heads.gate,
            learned.compared(rewards),
            validation.compared(foretold.rewards) if steps else None,
            steps=steps,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            report=lambda step, told: progress.report(batches + step, told, total=total),
        )
        weighed = {"best_step": batches + best, **found}
        if steps:
            progress.log(_verdict(best))

    metrics = {
        "steps": total,
        "judgements": said.judgements,
        "left_out": said.left_out,
        "validation_judgements": unseen.judgements,
        **weighed,
        **{f"validation/spearman/{name}": one["spearman"] for name, one in measured.items()},
    }
    record = {
        **identity,
        "purpose": "reward",
        "form": FORM,
        "base": base,
        "adapter": base != config.base,
        "simulated": data.simulated,
        "metrics": metrics,
        **_described(heads, learned, fits, measured),
    }
    with write_folder(output) as folder:
        MultiObjectiveModel(trunk, heads).save(folder)
        write_record(folder, record)
    return metrics


def _aspects(config: MultiObjectiveConfig, data: SnapshotData) -> list[str]:
    """The aspects to learn: those that were asked for, or all that were rated."""
    rated = sorted({one.aspect for one in data.ratings(Split.TRAIN)})
    for name in config.aspects:
        if name not in rated:
            raise TooLittleData(
                f"No ratings of the aspect {name!r} are in the train part of the snapshot. Rated"
                f" aspects: {', '.join(rated) or 'none'}."
            )
    names = sorted(set(config.aspects)) or rated
    if len(names) >= 2:
        return names
    instead = (
        f"there is only {names[0]!r}. Train the recipe absolute or combined on it, or rate more"
        " aspects"
        if names
        else "nothing was rated. Train the recipe preference, or rate answers"
    )
    raise TooLittleData(f"A multi-objective model needs at least two rated aspects; {instead}.")


def _refuse_too_few(
    said: JudgedAnswers, names: Sequence[str], config: MultiObjectiveConfig
) -> None:
    for name, ratings in zip(names, said.ratings.T, strict=True):
        rated = np.isfinite(ratings)
        answers, prompts = int(rated.sum()), len(np.unique(said.prompt[rated]))
        if answers < FEWEST or prompts < FOLDS:
            raise TooLittleData(
                f"The aspect {name!r} needs at least {FEWEST} rated answers to {FOLDS} prompts in"
                f" the train part of the snapshot; there are {answers} to {prompts}, not counting"
                f" conversations longer than max_tokens ({config.max_tokens}). Rate more, or name"
                " the aspects to learn with the option aspects."
            )
        if np.ptp(ratings[rated]) == 0:
            raise TooLittleData(
                f"All {answers} answers rated for {name!r} have the same rating,"
                f" {ratings[rated][0]:g}, so there is nothing to learn. Name the other aspects with"
                " the option aspects."
            )


def _steps(
    config: MultiObjectiveConfig, said: JudgedAnswers, unseen: JudgedAnswers, progress: Progress
) -> int:
    """How many steps the gate takes; says why none."""
    to_learn, to_validate = len(said.preference), len(unseen.preference)
    if to_learn < FEWEST:
        progress.log(f"too few comparisons to learn from ({to_learn}): all aspects count the same")
        return 0
    if to_validate < FEWEST:
        progress.log(
            f"too few comparisons to validate a gate on ({to_validate}): all aspects count the"
            " same, and only the scale of the reward is learned"
        )
        return 0
    return config.epochs


def _claim(checkpoints: Path, identity: Mapping[str, Any]) -> None:
    """Write down whose checkpoints these are.

    Raises:
        InvalidOption: They are another run's.
    """
    written = json.dumps(identity, sort_keys=True, indent=2) + "\n"
    place = checkpoints / RUN
    if not place.is_file():
        write_text(place, written)
    elif place.read_text(encoding="utf-8") != written:
        raise InvalidOption(
            "checkpoints", "they belong to a run with other options or data", str(checkpoints)
        )


def _read(
    trunk: RewardModel,
    config: MultiObjectiveConfig,
    said: JudgedAnswers,
    unseen: JudgedAnswers,
    *,
    checkpoints: Path,
    progress: Progress,
    total: int,
) -> tuple[ReadAnswers, ReadAnswers]:
    rows = [*said.rows, *unseen.rows]
    batches = len(batches_of(rows, config.batch_tokens))
    done = batches_kept(checkpoints, config.checkpoint_every, batches)
    if done:
        progress.log(f"resumed from step {done}")
    progress.report(done, total=total)
    features = read(
        trunk,
        rows,
        batch_tokens=config.batch_tokens,
        folder=checkpoints,
        every=config.checkpoint_every,
        report=lambda number: progress.report(
            number, total=total, message=f"reading answers: batch {number} of {batches}"
        ),
    )
    first, rest = features.split(rows=len(said.rows), answers=len(said.row))
    return ReadAnswers(said, first), ReadAnswers(unseen, rest)


def _tell(
    fits: Sequence[AspectFit], measured: Mapping[str, Mapping[str, float]], progress: Progress
) -> None:
    for fit in fits:
        line = (
            f"{fit.name}: {fit.answers} rated answers, {fit.explained:.0%} of the variance foretold"
            f" on prompts left out, {fit.slope:+.2f} points per factor e of length taken out"
        )
        if found := measured.get(fit.name):
            line += (
                f"; on {found['answers']} validation answers rank correlation"
                f" {found['spearman']:+.2f}, error {found['mean_absolute_error']:.2f} points"
                f" ({found['mean_absolute_error_of_constant']:.2f} without reading)"
            )
        progress.log(line)


def _verdict(best: int) -> str:
    if best:
        return f"kept the gate of its step {best}"
    return (
        "no gate did better on the validation part than equal weights: all aspects count the same"
    )


def _described(
    heads: AspectHeads,
    learned: ReadAnswers,
    fits: Sequence[AspectFit],
    measured: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """What the record says of the rewards of the training answers and of each aspect.

    Raises:
        TrainingFailed: All rewards are the same.
    """
    now = read_aspects(heads, learned)
    with torch.no_grad():
        rewards = heads.reward(now).numpy()
    std = float(rewards.std())
    if std < 1e-6:
        raise TrainingFailed(
            f"The model gives all {len(rewards)} responses the same reward: nothing that was rated"
            " can be told from what base makes of the answers. Choose another base."
        )
    return {
        "calibration": {
            "mean": float(rewards.mean()),
            "std": std,
            "responses": len(rewards),
            "length_correlation": rank_correlation(rewards, learned.answers.tokens),
        },
        "learned": {"scale": float(heads.gate.scale.detach())},
        "aspects": [
            {
                **asdict(fit),
                "std": float(now.rewards[:, place].std(correction=0)),
                "weight": float(now.weights[:, place].mean()),
                "validation": dict(measured.get(fit.name, {})),
            }
            for place, fit in enumerate(fits)
        ],
    }
