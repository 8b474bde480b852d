"""Learn from groups of answers: the one place that knows TRL's `GRPOTrainer` and `RLOOTrainer`.

Both answer each prompt several times and hold every answer against its siblings, where PPO has a
value head. GRPO (Shao et al. 2024, arXiv:2402.03300, equation 3) measures the difference from the
group's mean in the group's standard deviations, and prices the KL divergence in the loss; RLOO
(Ahmadian et al. 2024, arXiv:2402.14740) takes the mean of the others off, and the price
of the divergence off the reward. One update follows each step's answers, as in both papers, so no
ratio is ever clipped.

TRL brings the loop, sampling, advantages, loss and checkpoints. From here it gets what it would
otherwise make in a way of its own: rewards from the mixer, by which every recipe is judged; the
order of the prompts for the whole run, because its own begins anew in a run that goes on; and a
model without preferences of its own about sampling. What it logs is told under the names that PPO
has for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from trl import GRPOConfig as TRLGRPOConfig
from trl import GRPOTrainer, RLOOTrainer
from trl import RLOOConfig as TRLRLOOConfig

from storage.errors import TrainingFailed
from storage.recipes import Progress
from storage.records import Message
from training.adapters import lora
from training.generation import end_tokens
from training.policies.group_reports import Judge, Watcher, final_metrics
from training.policies.grpo_config import GroupConfig, RLOOConfig
from training.policies.mixer import RewardMixer
from training.policies.rollouts import Writer, prompts_of_step
from training.policies.trl_training import Discreet, newest_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a run leaves."""

    model: PeftModel
    metrics: dict[str, float]
    """Means over the last steps, and `reward_at_start`."""
    samples: str
    """JSON lines: what the policy answered to the first prompts as it learned."""


def learn(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    prompts: Sequence[Sequence[Message]],
    encoded: Sequence[Sequence[int]],
    mixer: RewardMixer,
    config: GroupConfig,
    checkpoints: Path,
    progress: Progress,
) -> Learned:
    """Teach a model answers that earn more.

    Args:
        model: On its device, any start adapter merged; it gets a new adapter, and the reference is
            what remains when that is off.
        tokenizer: Of the model; knows which token pads.
        prompts: The conversations to answer.
        encoded: The same as token ids.
        mixer: Says what an answer earns.
        config: How to learn; its class says by which of the two recipes.
        checkpoints: Where to keep checkpoints. A run that finds a whole one there goes on from it.
        progress: Told of every step. Metrics that PPO has, too, mean the same: `reward` (mixed, no
            penalty in it), `kl` in nats per answer (k1, summed over its tokens), `entropy` in nats
            per token, `response_length` in tokens. `tied_groups` is the fraction of groups whose
            answers all earned the same, of which nothing is learned.

    Raises:
        InvalidOption: A reward is the same for all answers of the start.
        TrainingFailed: A reward, the loss or its gradient is not a finite number, or a reward
            service failed; then the run can go on from where it stands.
        JobCancelled: A person stopped the job; the last checkpoint stays.
    """
    ends = end_tokens(model, tokenizer)
    own = model.generation_config
    # What TRL does not tell generate() it takes from the model's own defaults, so these must be
    # plain: a top-k or a penalty hidden there would make the probabilities learned from wrong.
    model.generation_config = GenerationConfig(eos_token_id=ends)
    judge = Judge(mixer, prompts, tokenizer, ends, config)
    writer = Writer(
        tokenizer,
        prompts,
        encoded,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        batch_tokens=config.batch_tokens,
        seed=config.seed,
    )
    watcher = Watcher(judge, writer, config, checkpoints, progress)
    kind, arguments = (
        (_RLOO, TRLRLOOConfig) if isinstance(config, RLOOConfig) else (_GRPO, TRLGRPOConfig)
    )
    trainer = kind(
        model=model,
        reward_funcs=judge,
        args=_arguments(
            arguments,
            config,
            longest=max(map(len, encoded)),
            on_processor=model.device.type == "cpu",
            folder=checkpoints,
        ),
        train_dataset=_in_order(prompts, config),
        processing_class=tokenizer,
        callbacks=[watcher],
        peft_config=lora(model, rank=config.rank, layers=config.layers, task="CAUSAL_LM"),
    )
    trainer.remove_callback(PrinterCallback)
    peft: Any = trainer.model
    # peft would look the base up on the Hub at every checkpoint.
    peft.peft_config["default"].base_model_name_or_path = ""
    watcher.watch(peft)
    found = newest_checkpoint(checkpoints)
    try:
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    except TrainingFailed:
        if judge.failed and (step := trainer.state.global_step):
            # Nothing of this step was learned, so the run can go on from here when, say, a reward
            # service is back.
            watcher.rewind()
            if not (checkpoints / f"checkpoint-{step}").exists():
                trainer._save_checkpoint(peft, trial=None)
        raise
    model.generation_config = own
    metrics = final_metrics(trainer.state.log_history)
    return Learned(model=peft, metrics=metrics, samples=watcher.samples_text())


class _GRPO(Discreet, GRPOTrainer):
    """TRL's trainer, talking to nobody."""


class _RLOO(Discreet, RLOOTrainer):
    """TRL's trainer, talking to nobody."""


def _in_order(prompts: Sequence[Sequence[Message]], config: GroupConfig) -> Dataset:
    """The prompts of the whole run, one for each group, and where they stand among all.

    So "one epoch, in order" is the run, and the steps that are left are those of the whole one.
    """
    order = prompts_of_step(
        0,
        episodes=config.steps * config.episodes // config.answers_per_prompt,
        prompts=len(prompts),
        seed=config.seed,
    )
    each = {
        "prompt": [[dict(turn) for turn in prompt] for prompt in prompts],
        "place": list(range(len(prompts))),
    }
    return Dataset.from_dict(each).select(order)


def _arguments(
    kind: Any, config: GroupConfig, *, longest: int, on_processor: bool, folder: Path
) -> Any:
    rows = _rows(config, longest)
    own = {}
    if kind is TRLGRPOConfig:
        # Each token weighs the same. The mean of each answer's mean, as in the paper, makes long
        # answers that are bad cheaper (Yu et al. 2025, DAPO, arXiv:2503.14476, section 3.3).
        own = {"loss_type": "dapo", "scale_rewards": "group"}
    arguments = kind(
        output_dir=str(folder),
        num_train_epochs=1,
        shuffle_dataset=False,
        num_generations=config.answers_per_prompt,
        max_completion_length=config.max_new_tokens,
        temperature=config.temperature,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=config.episodes // rows,
        # At 0 TRL would leave the reference out, and nobody would know how far the policy went.
        beta=config.kl_coefficient or sys.float_info.min,
        # The reference would differ from a policy that has learned nothing.
        disable_dropout=True,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant",
        seed=config.seed % 2**32,
        # The weights are in the precision they are multiplied in, and the adapter is in fp32.
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=on_processor,
        dataloader_pin_memory=False,
        # Without it every token written costs a pass over all before it.
        use_cache=True,
        logging_steps=1,
        # The filter would hide a loss that is not a number.
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        save_strategy="steps",
        save_steps=config.checkpoint_every,
        save_total_limit=1,
        **own,
    )
    # One process trains on one device; with several in sight transformers would split every batch,
    # which TRL refuses.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def _rows(config: GroupConfig, longest: int) -> int:
    """How many answers go through the model together: a step's answers, or an even part of them."""
    width = longest + config.max_new_tokens
    fitting = [
        rows
        for rows in range(1, config.episodes + 1)
        if config.episodes % rows == 0 and rows * width <= config.batch_tokens
    ]
    return max(fitting, default=1)
