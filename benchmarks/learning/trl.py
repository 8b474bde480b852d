"""The peer's side: TRL's `RewardTrainer` with its defaults, as its documentation shows it.

Run as a module by reward_training.py in TRL's own environment, so nothing of Tandem is imported
here; see `learning.pace` for how the two talk.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback, TrainerControl, TrainerState
from trl import RewardConfig, RewardTrainer

from learning.pace import Pace


class Steps(TrainerCallback):  # type: ignore[misc]
    """Stands still before the first step and after each."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._left = len(pace.job["train"])
        self.losses: list[float] = []

    def on_step_begin(
        self, _: RewardConfig, state: TrainerState, __: TrainerControl, **___: Any
    ) -> None:
        """Stand before the first step."""
        if state.global_step == 0:
            self._pace.stand(steps=state.max_steps)

    def on_step_end(
        self, args: RewardConfig, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stand after each step."""
        self._pace.pairs = min(self._left, args.per_device_train_batch_size)
        self._left -= self._pace.pairs
        control.should_training_stop |= not self._pace.stand(steps=state.max_steps)

    def on_log(
        self, _: RewardConfig, __: TrainerState, ___: TrainerControl, logs: Any, **____: Any
    ) -> None:
        """Keep the losses."""
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def main() -> None:
    pace = Pace()
    job = pace.job
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    pace.count_tokens(tokenizer.pad_token_id)
    on_cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory(prefix="learning-") as folder:
        config = RewardConfig(
            folder,
            per_device_train_batch_size=job["batch"],
            num_train_epochs=1,
            learning_rate=job["learning_rate"],
            max_length=job["longest"] + 1,  # its template adds a line feed after the end token
            bf16=True,
            gradient_checkpointing=job["checkpointing"],
            model_init_kwargs={"dtype": job["trl_weights"]},
            use_cpu=not on_cuda,
            dataloader_pin_memory=on_cuda,
            logging_steps=1,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
        )
        steps = Steps(pace)
        trainer = RewardTrainer(
            job["model"],
            args=config,
            train_dataset=_dataset(job["train"]),
            eval_dataset=_dataset(job["test"] or job["train"][:2]),
            processing_class=tokenizer,
            peft_config=LoraConfig(
                task_type="SEQ_CLS",
                r=job["rank"],
                lora_alpha=2 * job["rank"],
                target_modules="all-linear",
                exclude_modules=["score"],
                modules_to_save=["score"],
            ),
            callbacks=[steps],
        )
        trainer.train()
        rewards = _rewards(trainer) if job["test"] else None
    pace.say(losses=steps.losses, rewards=rewards)


def _dataset(pairs: list[Any]) -> Dataset:
    """Pairs in the conversational form of TRL's documentation."""
    return Dataset.from_list(
        [
            {
                "prompt": prompt,
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }
            for prompt, chosen, rejected in pairs
        ]
    )


def _rewards(trainer: RewardTrainer) -> list[list[float]]:
    """Rewards of the chosen and of the rejected answer of every held-out pair, in order."""
    rewards: list[list[float]] = []
    for batch in trainer.get_eval_dataloader():
        # Not `predict`, which drops the second half of a last batch that is not full.
        _, found, _ = trainer.prediction_step(trainer.model, batch, prediction_loss_only=False)
        rewards += found.float().reshape(2, -1).T.tolist()
    return rewards


if __name__ == "__main__":
    main()
