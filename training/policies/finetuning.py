"""Supervised fine-tuning on token ids: the one place that knows TRL's `SFTTrainer`.

TRL brings the loop, the loss over the answers' tokens without ever holding all logits, mixed
precision and checkpoints. From here it gets what it would otherwise make in a way of its own: ids
encoded as everywhere in Tandem, batches of a given number of tokens, and an honest mean over the
validation part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig as TRLConfig
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from storage.errors import TrainingFailed
from storage.recipes import Progress
from training.batching import by_length, in_batches
from training.policies.config import SFTConfig

IGNORED = -100
"""The label of a token that is not learned, as in all of torch."""
WARMUP = 0.1
"""Share of the steps over which the step size rises."""
NAMES = {
    "loss": "loss",
    "mean_token_accuracy": "token_accuracy",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "entropy": "entropy",
}
"""What we call the metrics that TRL logs; the others are not ours to show."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation as token ids, and from which one on its answer begins."""

    ids: Sequence[int]
    answer_at: int

    @property
    def labels(self) -> list[int]:
        """What is to be predicted: the answer with its end token, and nothing before it."""
        return [IGNORED] * self.answer_at + list(self.ids[self.answer_at :])


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; one that was half-written when the process died is passed over.

    TRL writes the trainer's state last.
    """
    found = folder.glob("checkpoint-*")
    for candidate in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((candidate / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return candidate
    return None


def finetune(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    validation: Sequence[Example],
    config: SFTConfig,
    *,
    autocast: bool,
    checkpoints: Path,
    progress: Progress,
) -> dict[str, float]:
    """Teach a model the answers of examples; afterwards it has the best weights that were seen.

    Each step takes a batch of examples of similar length. The batches of all passes are drawn
    beforehand from the seed, so that a run that goes on from a checkpoint ends as it would have.

    Args:
        model: On its device. What requires a gradient learns, and is in fp32.
        tokenizer: Of the model; knows which token pads.
        train: What to learn.
        validation: What to choose the best weights by; without any, the last weights are kept.
        config: How to learn.
        autocast: Multiply in bf16 although the weights are in fp32.
        checkpoints: Where to keep checkpoints. A run that finds a whole one there goes on from it.
        progress: Told of every step: the loss in nats per token of the batch's answers, the share
            of these tokens that the model would have chosen itself, the entropy of its choice in
            nats, step size and length of the gradient. `validation/loss` is the mean over all
            tokens of the validation part's answers, `validation/token_accuracy` and
            `validation/entropy` are means over its batches.

    Returns:
        `steps`, `best_step`, `train_loss` (mean over the steps of the last pass), and what was
        measured on the validation part at the best step.

    Raises:
        TrainingFailed: The loss or its gradient is not a finite number.
        JobCancelled: A person stopped the job; the last checkpoint stays.
    """
    examples = [*train, *validation]
    lengths = [len(one.ids) for one in examples]
    plan: list[list[int]] = []
    ends = [0]
    """The steps at which passes begin and end."""
    for epoch in range(config.epochs):
        to_learn = lengths[: len(train)]
        plan += in_batches(to_learn, config.batch_tokens, seed=config.seed, epoch=epoch)
        ends.append(len(plan))
    judged = [
        [len(train) + place for place in batch]
        for batch in by_length(lengths[len(train) :], config.batch_tokens)
    ]
    trainer = _Trainer(
        model=model,
        args=_arguments(
            config,
            steps=len(plan),
            validates=bool(judged),
            autocast=autocast,
            on_processor=next(model.parameters()).device.type == "cpu",
            folder=checkpoints,
        ),
        data_collator=_Collator(examples, tokenizer.pad_token_id),
        train_dataset=Dataset.from_dict({"examples": plan}),
        eval_dataset=Dataset.from_dict({"examples": judged}) if judged else None,
        processing_class=tokenizer,
        callbacks=[_Reporter(progress, config, total=len(plan), ends=ends)],
    )
    trainer.remove_callback(PrinterCallback)
    found = newest_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(found) if found else None)

    state = trainer.state
    last_pass = [
        logged["loss"]
        for logged in state.log_history
        if "loss" in logged and logged["step"] > ends[-2]
    ]
    best = state.best_global_step or state.global_step
    measured = next(
        (_named(logged) for logged in state.log_history if _is_validation(logged, best)), {}
    )
    return {
        "steps": state.global_step,
        "best_step": best,
        "train_loss": sum(last_pass) / len(last_pass),
        **measured,
    }


class _Trainer(SFTTrainer):
    """TRL's trainer, with a validation loss that does not depend on the batches."""

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss over all tokens of all answers; TRL would take a mean over means of batches."""
        self.model.eval()
        batches = [self.data_collator([row]) for row in self.eval_dataset]
        tokens = sum(int((batch["labels"] != IGNORED).sum()) for batch in batches)
        loss = 0.0
        for batch in batches:
            inputs = {name: tensor.to(self.args.device) for name, tensor in batch.items()}
            with torch.no_grad(), self.compute_loss_context_manager():
                loss += float(self.compute_loss(self.model, inputs, num_items_in_batch=tokens))
        measured = {"eval_loss": loss}
        self.log(measured)
        self.model.train()
        return measured

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: checkpoints are nobody's model, and the finished one gets a card of ours."""

    def _send_telemetry(self) -> None:
        """Nothing: what is trained here is told to nobody, and a dead network costs no time."""


class _Reporter(TrainerCallback):
    """Passes on what TRL logs, stops at numbers that are none, and looks at the end of a pass."""

    def __init__(
        self, progress: Progress, config: SFTConfig, *, total: int, ends: Sequence[int]
    ) -> None:
        self.progress, self.config = progress, config
        self.total, self.ends = total, frozenset(ends)

    def on_train_begin(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step:
            self.progress.log(f"resumed from step {state.global_step}")
        self.progress.report(state.global_step, total=self.total)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step in self.ends:
            control.should_save = True
            control.should_evaluate = args.load_best_model_at_end

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        *,
        logs: Mapping[str, float],
        **_: Any,
    ) -> None:
        measured = _named(logs)
        for name, value in measured.items():
            if not math.isfinite(value):
                raise TrainingFailed(
                    f"{name} was {value} at step {state.global_step}; lower learning_rate (now"
                    f" {self.config.learning_rate:g})."
                )
        if measured:
            self.progress.report(state.global_step, measured, total=self.total)


class _Collator:
    """Makes a batch of a row of the plan, which says which examples belong to it."""

    def __init__(self, examples: Sequence[Example], pad: int) -> None:
        self.examples = examples
        self.padded = DataCollatorForLanguageModeling(pad_token_id=pad)

    def __call__(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
        chosen = [self.examples[place] for row in rows for place in row["examples"]]
        batch: dict[str, torch.Tensor] = self.padded(
            [{"input_ids": list(one.ids), "labels": one.labels} for one in chosen]
        )
        return batch


def _arguments(
    config: SFTConfig,
    *,
    steps: int,
    validates: bool,
    autocast: bool,
    on_processor: bool,
    folder: Path,
) -> TRLConfig:
    arguments = TRLConfig(
        output_dir=str(folder),
        # A row of the dataset is a whole batch of the plan, so "one epoch, one row at a time, in
        # order" is the plan.
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        num_train_epochs=1,
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        max_length=None,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(WARMUP * steps),
        seed=config.seed % 2**32,
        bf16=autocast,
        gradient_checkpointing=False,
        use_cpu=on_processor,
        dataloader_pin_memory=False,
        # Of the finished model's generation; the loss never uses a cache.
        use_cache=True,
        logging_steps=1,
        # The filter would hide a loss that is not a number.
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        eval_strategy="steps" if validates else "no",
        eval_steps=config.checkpoint_every,
        save_strategy="steps",
        save_steps=config.checkpoint_every,
        # Besides the best one, which is never dropped.
        save_total_limit=1,
        load_best_model_at_end=validates,
        metric_for_best_model="eval_loss" if validates else None,
        greater_is_better=False,
    )
    # One process trains on one device; with several in sight transformers would split every batch,
    # which TRL refuses.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def _named(logged: Mapping[str, float]) -> dict[str, float]:
    """What TRL logged, under our names."""
    train = {ours: logged[theirs] for theirs, ours in NAMES.items() if theirs in logged}
    validation = {
        f"validation/{ours}": logged[f"eval_{theirs}"]
        for theirs, ours in NAMES.items()
        if f"eval_{theirs}" in logged
    }
    return {**train, **validation}


def _is_validation(logged: Mapping[str, float], step: int) -> bool:
    return "eval_loss" in logged and logged["step"] == step
