"""What a run asks of every trainer of TRL, whatever it learns: options, checkpoints, reports.

A row of the dataset that a trainer gets is a whole batch of a plan made beforehand, so "one epoch,
one row at a time, in order" is the plan, and a run that goes on from a checkpoint ends as it would
have.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from storage.errors import InvalidOption, TrainingFailed
from storage.files import write_text
from storage.recipes import Progress
from training.batching import by_length, in_batches

log = logging.getLogger(__name__)

WARMUP = 0.1
"""Share of the steps over which the step size rises."""

Arguments = TypeVar("Arguments", bound=TrainingArguments)


class Options(Protocol):
    """What the configuration of any recipe says that TRL teaches."""

    @property
    def learning_rate(self) -> float:
        """The peak step of AdamW."""

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""

    @property
    def seed(self) -> int:
        """Of whatever the trainer draws."""


class Passes(Options, Protocol):
    """What says how often to learn from the same examples, and how many at once."""

    @property
    def epochs(self) -> int:
        """Passes over the examples."""

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, padding included."""


def batches_of(
    sizes: Sequence[int], learned: int, config: Passes
) -> tuple[list[list[int]], list[int], list[list[int]]]:
    """Which examples to take at each step.

    Args:
        sizes: Tokens of each example: first of those to learn, then of the validation part.
        learned: How many are to be learned.
        config: How often, and how many tokens at once.

    Returns:
        The places of the examples in each step's batch, in an order drawn anew for each pass; the
        steps at which passes begin and end; batches of the validation part.
    """
    plan: list[list[int]] = []
    ends = [0]
    for epoch in range(config.epochs):
        plan += in_batches(sizes[:learned], config.batch_tokens, seed=config.seed, epoch=epoch)
        ends.append(len(plan))
    judged = by_length(sizes[learned:], config.batch_tokens)
    return plan, ends, [[learned + place for place in batch] for batch in judged]


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; one that was half-written when the process died is passed over.

    TRL writes the trainer's state last.
    """
    found = folder.glob("checkpoint-*")
    for candidate in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((candidate / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("passing over the broken checkpoint %s (%s)", candidate.name, error)
            continue
        return candidate
    return None


def claim(checkpoints: Path, identity: str, output: Path, *, resumed: bool) -> None:
    """See that a run's folders are its own, and mark them.

    Args:
        checkpoints: Where it keeps checkpoints.
        identity: Digest of all that the run depends on.
        output: Where its model is to be.
        resumed: There is a checkpoint to go on from, so `output` may hold an earlier try.

    Raises:
        InvalidOption: A folder belongs to something else.
    """
    mark = checkpoints / "run.txt"
    if mark.is_file() and mark.read_text(encoding="utf-8") != identity:
        raise InvalidOption(
            "checkpoints", "they are from a run with other options or data", str(checkpoints)
        )
    if not resumed and output.exists() and any(output.iterdir()):
        raise InvalidOption("output", "it already holds something; name another", str(output))
    write_text(mark, identity)


def arguments(
    kind: type[Arguments],
    config: Options,
    *,
    steps: int,
    validates: bool,
    autocast: bool,
    on_processor: bool,
    folder: Path,
    **own: Any,
) -> Arguments:
    """The options of a trainer.

    Args:
        kind: The trainer's class of options.
        config: Of the recipe.
        steps: Batches in the plan.
        validates: There is something to choose the best weights by.
        autocast: Multiply in bf16 although the weights are in fp32.
        on_processor: The model is not on an accelerator.
        folder: For checkpoints.
        own: What only this trainer knows.
    """
    made = kind(
        output_dir=str(folder),
        remove_unused_columns=False,
        num_train_epochs=1,
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        # Rounded down: the first step of a warm-up has length 0, which must not be the only one.
        warmup_steps=int(WARMUP * steps),
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
        **own,
    )
    # One process trains on one device; with several in sight transformers would split every batch,
    # which TRL refuses.
    made._n_gpu = min(1, made.n_gpu)
    return made


class Discreet:
    """Comes before a trainer of TRL among the bases, and keeps what it does to ourselves."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: checkpoints are nobody's model, and the finished one gets a card of ours."""

    def _send_telemetry(self) -> None:
        """Nothing: what is trained here is told to nobody, and a dead network costs no time."""


class Reporter(TrainerCallback):
    """Passes on what TRL logs, stops at numbers that are none, and looks at the end of a pass."""

    def __init__(
        self,
        progress: Progress,
        config: Options,
        names: Mapping[str, str],
        *,
        ends: Sequence[int],
    ) -> None:
        """Report under our `names` what TRL logs; `ends` are the steps at which passes end."""
        self.progress, self.config, self.names = progress, config, names
        self.total, self.ends = ends[-1], frozenset(ends)

    def on_train_begin(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        """Say where it goes on."""
        if state.global_step:
            self.progress.log(f"resumed from step {state.global_step}")
        self.progress.report(state.global_step, total=self.total)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Keep and judge the weights at the end of a pass."""
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
        """Pass on what was measured.

        Raises:
            TrainingFailed: It is not a finite number.
        """
        measured = named(logs, self.names)
        for name, value in measured.items():
            if not math.isfinite(value):
                raise TrainingFailed(
                    f"{name} was {value} at step {state.global_step}; lower learning_rate (now"
                    f" {self.config.learning_rate:g})."
                )
        if measured:
            self.progress.report(state.global_step, measured, total=self.total)


def named(logged: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """What TRL logged, under our names; what was measured on the validation part says so."""
    train = {ours: logged[theirs] for theirs, ours in names.items() if theirs in logged}
    validation = {
        f"validation/{ours}": logged[f"eval_{theirs}"]
        for theirs, ours in names.items()
        if f"eval_{theirs}" in logged
    }
    return {**train, **validation}


def outcome(
    state: TrainerState, names: Mapping[str, str], *, ends: Sequence[int]
) -> dict[str, float]:
    """What a finished run says of itself.

    Returns:
        `steps`, `best_step`, `train_loss` (mean over the steps of the last pass), and what was
        measured on the validation part at the best step.
    """
    last_pass = [
        logged["loss"]
        for logged in state.log_history
        if "loss" in logged and logged["step"] > ends[-2]
    ]
    best = state.best_global_step or state.global_step
    measured = next(
        (
            named(logged, names)
            for logged in state.log_history
            if "eval_loss" in logged and logged["step"] == best
        ),
        {},
    )
    return {
        "steps": state.global_step,
        "best_step": best,
        "train_loss": sum(last_pass) / len(last_pass),
        **measured,
    }
