"""Direct preference optimisation on token ids: the one place that knows TRL's `DPOTrainer`.

TRL brings the loop, the losses, mixed precision and checkpoints. From here it gets what it would
otherwise make in a way of its own: ids encoded as everywhere in Tandem, batches of a given number
of tokens, the start as the reference also where an adapter has learned before, and an honest mean
over the validation part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import DPOConfig as TRLConfig
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from storage.recipes import Progress
from training.policies.dpo_config import DPOConfig, IterativeDPOConfig
from training.policies.trl_training import (
    Discreet,
    Reporter,
    arguments,
    batches_of,
    newest_checkpoint,
    outcome,
)

NAMES = {
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "implicit_margin",
    "rewards/chosen": "implicit_reward/chosen",
    "rewards/rejected": "implicit_reward/rejected",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "entropy": "entropy",
}
"""What we call the metrics that TRL logs; the others are not ours to show."""
REFERENCE = "ref"
"""TRL's name for the copy of an adapter that it takes as the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A prompt and two answers to it, as token ids."""

    prompt_ids: Sequence[int]
    chosen_ids: Sequence[int]
    """The better answer."""
    rejected_ids: Sequence[int]

    @property
    def tokens(self) -> int:
        """Places that the pair takes in a batch: two rows as long as the longer one."""
        return 2 * (len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids)))


def prefer(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Pair],
    validation: Sequence[Pair],
    config: DPOConfig | IterativeDPOConfig,
    *,
    reference: PreTrainedModel | None,
    autocast: bool,
    checkpoints: Path,
    progress: Progress,
) -> dict[str, float]:
    """Teach a model which of two answers is better; afterwards it has the best weights seen.

    For a prompt x with a better answer w and a worse one l, the loss `sigmoid` is

        -log sigmoid(beta * (log p(w|x)/p0(w|x) - log p(l|x)/p0(l|x)))

    where p0 is the reference. `ipo` is the squared distance of the same difference, per token, from
    1 / (2 beta). `robust` is `sigmoid` rid of the bias that wrong judgements give it.

    Each step takes a batch of pairs of similar length. The batches of all passes are drawn
    beforehand from the seed, so that a run that goes on from a checkpoint ends as it would have.

    Args:
        model: On its device. What requires a gradient learns, and is in fp32.
        tokenizer: Of the model; knows which token pads.
        train: What to learn.
        validation: What to choose the best weights by; without any, the last weights are kept.
        config: How to learn.
        reference: What the model is held to; None for a model with an adapter, whose reference is
            the model with the adapter off.
        autocast: Multiply in bf16 although the weights are in fp32.
        checkpoints: Where to keep checkpoints. A run that finds a whole one there goes on from it.
        progress: Told of every step. `implicit_reward` is beta * log p/p0 of an answer, in beta
            nats, `implicit_margin` that of the better one less that of the worse one, `accuracy`
            the share of pairs whose margin is above 0; the entropy of the next token is in nats.
            What begins with `validation/` is a mean over the pairs of the validation part.

    Returns:
        `steps`, `best_step`, `train_loss` (mean over the steps of the last pass), and what was
        measured on the validation part at the best step.

    Raises:
        TrainingFailed: The loss or its gradient is not a finite number.
        JobCancelled: A person stopped the job; the last checkpoint stays.

    Source:
        Rafailov et al. (2023), arXiv:2305.18290, eq. 7. `ipo`: Azar et al. (2023),
        arXiv:2310.12036, eq. 17. `robust`: Chowdhury et al. (2024), arXiv:2403.00409, eq. 8.
    """
    pairs = [*train, *validation]
    sizes = [pair.tokens for pair in pairs]
    plan, ends, judged = batches_of(sizes, len(train), config)
    trainer = _Trainer(
        model=model,
        ref_model=reference,
        args=arguments(
            TRLConfig,
            config,
            steps=len(plan),
            validates=bool(judged),
            autocast=autocast,
            on_processor=next(model.parameters()).device.type == "cpu",
            folder=checkpoints,
            beta=config.beta,
            loss_type=[config.loss],
            label_smoothing=config.label_smoothing,
            max_length=None,
        ),
        data_collator=_Collator(pairs, tokenizer.pad_token_id),
        train_dataset=Dataset.from_dict({"pairs": plan}),
        eval_dataset=Dataset.from_dict({"pairs": judged}) if judged else None,
        processing_class=tokenizer,
        callbacks=[Reporter(progress, config, NAMES, ends=ends)],
    )
    trainer.remove_callback(PrinterCallback)
    if isinstance(model, PeftModel):
        # TRL takes an adapter for one that was trained elsewhere, and a copy of it for the
        # reference; without the copy it switches the adapter off.
        model.delete_adapter(REFERENCE)
    found = newest_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    return outcome(trainer.state, NAMES, ends=ends)


class _Trainer(Discreet, DPOTrainer):
    """TRL's trainer, fed with ids, and with validation means that do not depend on the batches."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """The dataset as it is: what TRL would encode here is encoded already."""
        return dataset

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Means over all pairs; TRL would take means over means of batches."""
        self.model.eval()
        seen = self._metrics["eval"]
        seen.clear()
        sizes, losses = [], []
        for row in self.eval_dataset:
            batch = self.data_collator([row])
            inputs = {name: tensor.to(self.args.device) for name, tensor in batch.items()}
            with torch.no_grad(), self.compute_loss_context_manager():
                losses.append(float(self.compute_loss(self.model, inputs)))
            sizes.append(len(row["pairs"]))
        pairs = sum(sizes)
        measured = {
            f"eval_{name}": sum(n * value for n, value in zip(sizes, values, strict=True)) / pairs
            for name, values in [*seen.items(), ("loss", losses)]
            # The others are means over tokens.
            if name == "loss" or name.startswith("rewards/")
        }
        seen.clear()
        self.log(measured)
        self.model.train()
        return measured


class _Collator:
    """Makes a batch of a row of the plan, which says which pairs belong to it."""

    def __init__(self, pairs: Sequence[Pair], pad: int) -> None:
        self.pairs = pairs
        self.padded = DataCollatorForPreference(pad_token_id=pad)

    def __call__(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
        chosen = [self.pairs[place] for row in rows for place in row["pairs"]]
        batch: dict[str, torch.Tensor] = self.padded([asdict(pair) for pair in chosen])
        return batch
