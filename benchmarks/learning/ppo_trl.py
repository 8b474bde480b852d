"""The peer's side of ppo.py: `trl.experimental.ppo` of TRL 1.12, as its documentation shows it.

Run as a module in TRL's own environment, so nothing of Tandem is imported here; see `learning.pace`
for how the two talk.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

from learning.pace import Pace

PHASES = {
    "batch_generation": "writing",
    "get_reward": "value and reward",
    "forward": "policy and reference",
}


class Steps(TrainerCallback):  # type: ignore[misc]
    """Stands still before the first step and after each."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.phases: list[dict[str, float]] = []
        self.losses: list[float] = []
        self._began = 0.0
        for name, phase in PHASES.items():
            self._time(name, phase)

    def on_train_begin(
        self, _: PPOConfig, __: TrainerState, ___: TrainerControl, **____: Any
    ) -> None:
        """Stand before the first step."""
        self._stand()

    def on_step_end(self, _: PPOConfig, __: TrainerState, ___: TrainerControl, **____: Any) -> None:
        """Stand after each step."""
        timed = sum(self.phases[-1].values())
        self.phases[-1]["updating"] = time.process_time() - self._began - timed
        if len(self.phases) < self._pace.job["steps"]:
            self._stand()
        else:
            self._pace.stand(steps=self._pace.job["steps"])

    def on_log(
        self, _: PPOConfig, __: TrainerState, ___: TrainerControl, logs: Any, **____: Any
    ) -> None:
        """Keep the losses."""
        self.losses.append(float(logs.get("loss/policy_avg", float("nan"))))

    def _stand(self) -> None:
        self._pace.stand(steps=self._pace.job["steps"])
        self.phases.append(dict.fromkeys(PHASES.values(), 0.0))
        self._began = time.process_time()

    def _time(self, name: str, phase: str) -> None:
        original = getattr(ppo_trainer, name)

        def timed(*positional: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return original(*positional, **named)
            finally:
                if self.phases:
                    self.phases[-1][phase] += time.process_time() - began

        setattr(ppo_trainer, name, timed)


def main() -> None:
    pace = Pace()
    job = pace.job
    disable_progress_bars()
    on_cuda = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16)
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(
            job["model"], num_labels=1, dtype=torch.bfloat16
        )
        for _ in range(2)
    )
    prompts = Dataset.from_list(
        [
            {
                "input_ids": tokenizer.apply_chat_template(
                    prompt, add_generation_prompt=True, tokenize=True, return_dict=False
                )
            }
            for prompt in job["prompts"]
        ]
    )
    with tempfile.TemporaryDirectory(prefix="ppo-") as folder:
        config = PPOConfig(
            folder,
            per_device_train_batch_size=job["episodes"],
            num_mini_batches=1,
            num_ppo_epochs=job["epochs"],
            total_episodes=job["steps"] * job["episodes"],
            response_length=job["tokens"],
            local_rollout_forward_batch_size=job["episodes"],
            learning_rate=1e-5,
            bf16=False,  # the weights are in bf16 already; autocast would only copy them
            use_cpu=not on_cuda,
            gradient_checkpointing=False,
            num_sample_generations=0,
            logging_steps=1,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
        )
        steps = Steps(pace)
        trainer = PPOTrainer(
            args=config,
            processing_class=tokenizer,
            model=policy,
            ref_model=None,  # the policy without its adapter
            reward_model=reward,
            value_model=value,
            train_dataset=prompts,
            eval_dataset=prompts.select(range(2)),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM",
                r=job["rank"],
                lora_alpha=2 * job["rank"],
                target_modules="all-linear",
            ),
            callbacks=[steps],
        )
        trainer.train()
    pace.say(phases=steps.phases, loss=steps.losses)


if __name__ == "__main__":
    main()
