"""Train a reward model: the one loop behind the preference, absolute and combined recipes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from storage.errors import InvalidOption, TooLittleData, TrainingFailed
from storage.files import write_folder
from storage.recipes import Progress, Silent
from storage.records import Split
from storage.snapshots import SnapshotData
from training import backbone
from training import checkpoints as kept
from training.adapters import adapt
from training.compiling import compile_layers
from training.frozen import free_memory
from training.processes import accelerator_on, is_spread
from training.rewards.budget import drawn_prompts, within_budget
from training.rewards.card import finished_metrics, write_record
from training.rewards.config import Objective, RewardConfig
from training.rewards.fitting import Fit
from training.rewards.judgements import JudgedRow, judged_rows
from training.rewards.likelihood import Likelihood
from training.rewards.measures import calibrate, rewards_of
from training.rewards.memory import MemoryEstimate, estimate
from training.rewards.model import MEMBERS, RewardModel, join_heads, with_heads
from training.rewards.side_by_side import paired_rows, start_head

FEWEST = 10
"""Judgements without which nothing is learned, or nothing is told by validation."""

SHARE_OF_FREE = 0.9
"""Of the free memory, what training may plan to take before it computes twice to save some."""

log = logging.getLogger(__name__)


def train(
    recipe: str,
    config: RewardConfig,
    *,
    snapshot: Path,
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
    reliability: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Learn a reward from a snapshot and write it as a model folder.

    Reports after each step the loss in nats per judgement, the pair accuracy on the batch before
    the step, the learning rate and the length of the gradient; and now and then loss and pair
    accuracy on the validation part. The weights with the lowest validation loss are kept, because
    few judgements are overfitted within few passes; with fewer than 10 validation judgements the
    last weights are kept. A killed run goes on from its newest checkpoint, and of a finished run
    the metrics are given back.

    Args:
        recipe: Name for the record.
        config: What to learn from, and how.
        snapshot: Folder of the snapshot.
        output: Folder to write the model to; must not hold anything else.
        checkpoints: Folder for the checkpoints of this run alone.
        progress: Told every step.
        device: `auto`, `cpu`, `cuda`, ...
        reliability: How sharply each annotator tells good from bad, 1 being typical, where
            `config.reliability` asks for it; who is not in it counts as typical.

    Returns:
        The metrics that are also in the model's record.

    Raises:
        TooLittleData: Fewer than 10 judgements are there to learn from, or they all say the same.
        InvalidOption: An option does not fit the model, or a folder belongs to another run.
        TrainingFailed: The loss became infinite or not a number, or nothing was learned.
        JobCancelled: A person stopped the job.
    """
    data = SnapshotData.open(snapshot)
    identity: dict[str, Any] = {
        "recipe": recipe,
        "config": config.model_dump(mode="json"),
        "snapshot": data.id,
        "base_fingerprint": backbone.fingerprint(config.base),
    }
    if config.reliability:
        identity["reliability"] = _known(reliability)
    if finished := finished_metrics(output, identity):
        return finished

    place = backbone.pick_device(device)
    accelerator = accelerator_on(place)
    if accelerator.num_processes > 1:
        place = accelerator.device
    if not accelerator.is_main_process:
        progress = Silent()
    objective = _objective(config, data, progress)
    tokenizer = backbone.load_tokenizer(config.base)
    rows, left_out = _rows(tokenizer, config, objective, data, Split.TRAIN)
    likelihood = Likelihood(objective, rows, identity.get("reliability")).to(place)
    judgements = sum(map(likelihood.count, rows))
    _refuse_too_few(judgements, left_out, config, objective, data)
    _refuse_alike(rows, objective)
    validation, _ = _rows(tokenizer, config, objective, data, Split.VALIDATION)
    to_validate = sum(map(likelihood.count, validation))
    if to_validate < FEWEST:
        progress.log(f"too few judgements to validate on ({to_validate}); keeping the last weights")
        validation = []
    progress.log(
        f"learning from {judgements} judgements; left out {left_out} of conversations with more"
        f" than {config.max_tokens} tokens"
    )
    twice = config.gradient_checkpointing
    if twice is None:
        twice = _is_short_of_memory(config, objective, [*rows, *validation], tokenizer, place)
        if twice:
            progress.log("memory is short: each layer's states are computed twice")
    torch.manual_seed(config.seed)
    model = _model(config, objective, place, checkpointing=twice)
    if config.keep_frozen:
        _keep_frozen(model, config, [*rows, *validation], progress)
    if config.compile:
        compile_layers(model.bare, place)

    fit = Fit(config, model, likelihood, train=rows, validation=validation, accelerator=accelerator)
    _resume(fit, checkpoints, identity, progress)
    _learn(fit, checkpoints if accelerator.is_main_process else None, identity, progress)
    metrics = {
        "steps": fit.step,
        "judgements": judgements,
        "left_out": left_out,
        "train_loss": fit.epoch_loss / fit.epoch_judgements,
        "validation_judgements": to_validate,
        "best_step": fit.best.get("step", fit.step),
        **fit.best.get("measured", {}),
    }
    weights = fit.best.get("weights") or fit.weights()
    if accelerator.is_main_process:
        if is_spread(model):
            model = _model(config, objective, place)
        _put(weights, model, likelihood)
        _write(
            output,
            config=config,
            model=model,
            likelihood=likelihood,
            rows=rows,
            record={**identity, "metrics": metrics, "simulated": data.simulated},
        )
    accelerator.wait_for_everyone()
    return metrics


def _write(
    output: Path,
    *,
    config: RewardConfig,
    model: RewardModel,
    likelihood: Likelihood,
    rows: Sequence[JudgedRow],
    record: Mapping[str, Any],
) -> None:
    """Write the model with one head, and the heads it was made of where they are members."""
    shares = [1 / config.members] * config.members
    if wanted := likelihood.objective.shares:
        # Each head counts by its share in units of its own spread; where they lie is no matter.
        deviations = [one.std() for one in rewards_of(model, rows, config.batch_tokens)[0].T]
        if not all(deviation > 0 for deviation in deviations):
            raise TrainingFailed("One of the two heads gives every response the same reward.")
        shares = [float(w / d) for w, d in zip(wanted, deviations, strict=True)]
    apart = join_heads(model, shares)
    calibration = calibrate(model, rows, config.batch_tokens)
    with write_folder(output) as folder:
        model.save(folder)
        if config.members > 1:
            save_file({"heads": apart.cpu()}, folder / MEMBERS)
        write_record(
            folder,
            {
                **record,
                "purpose": "reward",
                "base": config.base,
                "adapter": config.rank > 0,
                "form": "scalar"
                if likelihood.objective.comparison != "both_orders"
                else "pairwise",
                "members": config.members,
                "calibration": calibration,
                "learned": likelihood.learned(),
            },
        )


def _known(reliability: Mapping[str, float] | None) -> dict[str, float]:
    if reliability is None:
        raise InvalidOption(
            "reliability", "there is no measurement of the annotators here; leave it out", True
        )
    return {name: round(float(value), 6) for name, value in sorted(reliability.items())}


@torch.no_grad()
def _put(weights: Mapping[str, torch.Tensor], model: RewardModel, likelihood: Likelihood) -> None:
    """Give whole weights, by the names that a `Learner` has for them, to the parts they are of."""
    for prefix, part in (("model.", model), ("likelihood.", likelihood)):
        for name, weight in part.named_parameters():
            if prefix + name in weights:
                weight.copy_(weights[prefix + name])


def _keep_frozen(
    model: RewardModel, config: RewardConfig, rows: Sequence[JudgedRow], progress: Progress
) -> None:
    spared = model.keep_frozen([one.row for one in rows], config.batch_tokens)
    if spared:
        progress.log(f"the lowest {spared} layers learn nothing and were run once for all passes")


def foretell(config: RewardConfig, *, snapshot: Path, device: str = "auto") -> MemoryEstimate:
    """How much memory training would take; nothing is trained, and no weights are loaded.

    Args:
        config: As for `train`.
        snapshot: Folder of the snapshot.
        device: As for `train`.

    Raises:
        TooLittleData: Nothing is there to learn from.
        InvalidOption: There is no such device.
    """
    data = SnapshotData.open(snapshot)
    objective = _objective(config, data, Silent())
    tokenizer = backbone.load_tokenizer(config.base)
    rows, left_out = _rows(tokenizer, config, objective, data, Split.TRAIN)
    judgements = sum(map(Likelihood(objective, rows).count, rows))
    _refuse_too_few(judgements, left_out, config, objective, data)
    _refuse_alike(rows, objective)
    validation, _ = _rows(tokenizer, config, objective, data, Split.VALIDATION)
    return estimate(
        config,
        [one.row for one in (*rows, *validation)],
        tokenizer,
        heads=2 if objective.shares else config.members,
        device=backbone.pick_device(device),
        checkpointing=bool(config.gradient_checkpointing),
    )


def _is_short_of_memory(
    config: RewardConfig,
    objective: Objective,
    rows: Sequence[JudgedRow],
    tokenizer: PreTrainedTokenizerBase,
    device: torch.device,
) -> bool:
    needed = estimate(
        config,
        [one.row for one in rows],
        tokenizer,
        heads=2 if objective.shares else config.members,
        device=device,
    )
    return needed.total - needed.program > SHARE_OF_FREE * free_memory(device)


def _model(
    config: RewardConfig, objective: Objective, device: torch.device, *, checkpointing: bool = False
) -> RewardModel:
    # Weights that learn are kept in fp32, because small steps vanish in bf16's 8 bits. An adapter's
    # always are (peft sees to it); then what lies frozen below can have the fastest precision.
    fast = backbone.default_dtype(config.base, device)
    dtype = torch.float32 if config.rank == 0 else fast
    scalar = backbone.load_scalar(config.base, dtype=dtype, device=device)
    if checkpointing:
        scalar.activation_checkpointing_enable({"use_reentrant": False})
    tokenizer = backbone.load_tokenizer(config.base)
    scalar = with_heads(scalar, 2 if objective.shares else config.members, seed=config.seed)
    if objective.form == "pairwise":
        start_head(scalar, tokenizer, config.base)
    adapted = adapt(
        scalar, rank=config.rank, layers=config.layers, task="SEQ_CLS", base=config.base
    )
    autocast = None if fast == dtype else fast
    model = RewardModel(adapted, tokenizer, autocast=autocast)
    if config.max_tokens > model.context:
        raise InvalidOption(
            "max_tokens", f"{config.base} reads at most {model.context} tokens", config.max_tokens
        )
    return model


def _objective(config: RewardConfig, data: SnapshotData, progress: Progress) -> Objective:
    """What to learn from, with the aspect that is meant when none was named.

    A kind of judgements that is missing altogether leaves the recipe of the other kind, and that is
    said in the log.

    Raises:
        TooLittleData: There are ratings, but none of the aspect; names those there are.
    """
    asked = config.objective
    if not asked.rating:
        return asked
    aspects = sorted({one.aspect for one in data.ratings(Split.TRAIN)})
    aspect = asked.aspect or (aspects[0] if len(aspects) == 1 else "overall")
    if aspects and aspect not in aspects:
        raise TooLittleData(
            f"No ratings of the aspect {aspect!r} are in the train part of the snapshot. Rated"
            f" aspects: {', '.join(aspects)}. Choose one of them with the option aspect."
        )
    if asked.comparison and not aspects:
        progress.log("no ratings in the train part: learning from comparisons alone")
    if asked.comparison and not data.comparisons(Split.TRAIN):
        progress.log("no comparisons in the train part: learning from ratings alone")
    return replace(asked, aspect=aspect)


def _rows(
    tokenizer: PreTrainedTokenizerBase,
    config: RewardConfig,
    objective: Objective,
    data: SnapshotData,
    split: Split,
) -> tuple[list[JudgedRow], int]:
    comparisons, ratings = data.comparisons(split), data.ratings(split)
    asked = {one.prompt_id for one in comparisons} | {one.prompt_id for one in ratings}
    wanted = drawn_prompts(asked, config.prompts, seed=config.seed)
    comparisons = [one for one in comparisons if one.prompt_id in wanted]
    ratings = [one for one in ratings if one.prompt_id in wanted]
    if config.labels is not None and split is Split.TRAIN:
        comparisons, ratings = within_budget(
            comparisons if objective.comparison else [],
            [one for one in ratings if objective.rating and one.aspect == objective.aspect],
            config.labels,
            seed=config.seed,
        )
    if objective.form == "pairwise":
        return paired_rows(tokenizer, comparisons, max_tokens=config.max_tokens)
    return judged_rows(
        tokenizer,
        objective,
        comparisons,
        ratings,
        max_tokens=config.max_tokens,
        row_tokens=config.batch_tokens,
    )


def _refuse_too_few(
    judgements: int,
    left_out: int,
    config: RewardConfig,
    objective: Objective,
    data: SnapshotData,
) -> None:
    if judgements >= FEWEST:
        return
    wanted = [
        *(["comparisons"] if objective.comparison else []),
        *([f"ratings of the aspect {objective.aspect!r}"] if objective.rating else []),
    ]
    aspects = sorted({one.aspect for one in data.ratings(Split.TRAIN)})
    rated = f" Rated aspects: {', '.join(aspects)}." if objective.rating and aspects else ""
    raise TooLittleData(
        f"Training needs at least {FEWEST} {' or '.join(wanted)} in the train part of the snapshot;"
        f" there are {judgements}, and {left_out} more whose conversation is longer than max_tokens"
        f" ({config.max_tokens}).{rated}"
    )


def _refuse_alike(rows: Sequence[JudgedRow], objective: Objective) -> None:
    """Refuse judgements of which none says that one answer is better than another."""
    choices = {one[2] for row in rows for one in row.comparisons if objective.comparison}
    values = {one[1] for row in rows for one in row.ratings if objective.rating}
    if choices - {0} or len(values) > 1:
        return
    alike = [
        *(["every comparison is a tie"] if choices else []),
        *(f"every rating is {value:g}" for value in values),
    ]
    raise TooLittleData(
        f"In the train part of the snapshot {' and '.join(alike)}, so nothing tells a better answer"
        " from a worse one. Collect judgements of answers that differ more."
    )


def _resume(fit: Fit, checkpoints: Path, identity: dict[str, Any], progress: Progress) -> None:
    found = kept.newest(checkpoints)
    if found is None:
        return
    step, state = found
    if state["identity"] != identity:
        raise InvalidOption(
            "checkpoints", "they belong to a run with other options or data", str(checkpoints)
        )
    fit.go_on_from(state["fit"])
    progress.log(f"resumed from step {step}")


def _learn(
    fit: Fit, checkpoints: Path | None, identity: dict[str, Any], progress: Progress
) -> None:
    total = len(fit.plan)
    progress.report(fit.step, total=total)
    while fit.step < total:
        measured = fit.take_step()
        if fit.is_time_to_validate():
            measured |= fit.validate()
        if fit.step % fit.config.checkpoint_every == 0:
            state = fit.state()
            if checkpoints is not None:
                kept.save(checkpoints, fit.step, {"identity": identity, "fit": state})
        progress.report(fit.step, measured, total=total)
