"""Supervised fine-tuning on token ids: the one place that knows TRL's `SFTTrainer`.

TRL brings the loop, the loss over the answers' tokens without ever holding all logits, mixed
precision and checkpoints. From here it gets what it would otherwise make in a way of its own: ids
encoded as everywhere in Tandem, batches of a given number of tokens, and an honest mean over the
validation part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig as TRLConfig
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from storage.recipes import Progress
from training.policies.config import SFTConfig
from training.policies.trl_training import (
    Discreet,
    Reporter,
    arguments,
    batches_of,
    newest_checkpoint,
    outcome,
)

IGNORED = -100
"""The label of a token that is not learned, as in all of torch."""
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
    plan, ends, judged = batches_of(lengths, len(train), config)
    trainer = _Trainer(
        model=model,
        args=arguments(
            TRLConfig,
            config,
            steps=len(plan),
            validates=bool(judged),
            autocast=autocast,
            on_processor=next(model.parameters()).device.type == "cpu",
            folder=checkpoints,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        data_collator=_Collator(examples, tokenizer.pad_token_id),
        train_dataset=Dataset.from_dict({"examples": plan}),
        eval_dataset=Dataset.from_dict({"examples": judged}) if judged else None,
        processing_class=tokenizer,
        callbacks=[Reporter(progress, config, NAMES, ends=ends)],
    )
    trainer.remove_callback(PrinterCallback)
    found = newest_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    return outcome(trainer.state, NAMES, ends=ends)


class _Trainer(Discreet, SFTTrainer):
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
