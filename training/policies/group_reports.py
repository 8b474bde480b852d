"""Follow a run of GRPO or RLOO: rewards from the mixer, metrics by our names, samples over time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from storage.errors import TrainingFailed
from storage.files import write_text
from storage.recipes import Progress
from storage.records import Message
from training.policies.grpo_config import GroupConfig
from training.policies.measured import ANSWERS
from training.policies.mixer import RewardMixer
from training.policies.reward_options import short
from training.policies.rollouts import Rollout, Writer, prompts_of_step
from training.policies.trainer import LAST, PROBES
from training.sampling import answer_of

NAMES = {
    "loss": "policy_loss",
    "entropy": "entropy",
    "grad_norm": "gradient_norm",
    "frac_reward_zero_std": "tied_groups",
}
"""What we call the metrics that TRL logs; the others are measured here or not ours to show."""


class Judge:
    """The mixer as a reward function of TRL, and what it saw in the last step."""

    def __init__(
        self,
        mixer: RewardMixer,
        prompts: Sequence[Sequence[Message]],
        tokenizer: PreTrainedTokenizerBase,
        ends: Sequence[int],
        config: GroupConfig,
    ) -> None:
        self.mixer, self.prompts, self.config = mixer, prompts, config
        self.tokenizer, self.ends = tokenizer, ends
        self.began = self.finished = 0.0
        self.failed = False
        """Whether the rewards of the step are not known, because asking for them failed."""
        self.tokens = 0
        self.metrics: dict[str, float] = {}

    def __call__(
        self,
        *,
        completion_ids: Sequence[Sequence[int]],
        place: Sequence[int],
        trainer_state: TrainerState,
        **_: Any,
    ) -> list[float]:
        """What each answer earns.

        The texts are decoded here, though TRL has some: those of a tokenizer that parses answers
        are without the thoughts.
        """
        self.began = time.perf_counter()
        answers = [answer_of(ids, self.tokenizer, self.ends) for ids in completion_ids]
        self.failed = True
        mixed = self.mixer.score(
            [(self.prompts[at], one.text) for at, one in zip(place, answers, strict=True)],
            share=trainer_state.global_step / max(self.config.steps - 1, 1),
        )
        self.failed = False
        cut = np.array([not one.finished for one in answers])
        # TRL goes on in fp32, and takes what is no number there for a missing reward.
        with np.errstate(over="ignore"):
            earned = (mixed.total - self.config.missing_end_penalty * cut).astype(np.float32)
        if not np.isfinite(earned).all():
            raise TrainingFailed(
                f"A mixed reward of {mixed.total[~np.isfinite(earned)][0]:g} is too large to learn"
                f" from; lower the weights (now {self.config.rewards})."
            )
        tokens = [one.tokens for one in answers]
        self.tokens = sum(tokens)
        self.metrics = {"reward": float(mixed.total.mean())}
        for name in self.mixer.weights:
            self.metrics[f"reward/{short(name)}"] = float(mixed.standardised[name].mean())
            self.metrics[f"reward_raw/{short(name)}"] = float(mixed.raw[name].mean())
            if name in self.mixer.schedule:
                self.metrics[f"weight/{short(name)}"] = mixed.weights[name]
        self.metrics["response_length"] = float(np.mean(tokens))
        self.metrics["finished_fraction"] = float(1 - cut.mean())
        self.finished = time.perf_counter()
        return [float(one) for one in earned]


class Watcher(TrainerCallback):
    """Tells of every step, stops at numbers that are none, and shows samples."""

    def __init__(
        self,
        judge: Judge,
        writer: Writer,
        config: GroupConfig,
        checkpoints: Path,
        progress: Progress,
    ) -> None:
        self.judge, self.writer, self.config, self.progress = judge, writer, config, progress
        self.shown = checkpoints / "samples.jsonl"
        self.scales = checkpoints / "reward_scales.json"
        self.samples: list[dict[str, Any]] = []
        self.began = self.finished = self.divergence = 0.0
        self.random = _random_states()

    def watch(self, model: PeftModel) -> None:
        """Add up the step's log-probabilities as TRL has the model compute them.

        Only passes that learn and those with the adapter off, each over all answers of the step:
        the difference is the divergence. TRL logs the two recipes' divergence by two estimators.
        """
        layer = next(module for module in model.modules() if isinstance(module, LoraLayer))

        def add(_model: Any, _inputs: Any, output: Any) -> None:
            learns = torch.is_grad_enabled()
            if learns or layer.disable_adapters:
                # Far above its difference, which fp32 would round. Apple has no fp64.
                nats = float(output.log_probs.detach().cpu().double().sum())
                self.divergence += nats if learns else -nats

        model.register_forward_hook(add)
        # generate() hands the vocabulary a slice of the prompt's states; on a CPU, in bf16, a
        # product with what is not contiguous copies all weights once per row.
        model.get_output_embeddings().register_forward_pre_hook(
            lambda _, states: (states[0].contiguous(),)
        )

    def on_train_begin(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        *,
        model: Any,
        **_: Any,
    ) -> None:
        """Measure and show what the start answers, or say where the run goes on."""
        self._measure(model)
        if not state.global_step:
            self._probe(model, 0)
            return
        self.progress.log(f"resumed from step {state.global_step}")
        # What was written after the checkpoint comes again, the same.
        with self.shown.open(encoding="utf-8") as lines:
            written = [json.loads(line) for line in lines]
        self.samples = [one for one in written if one["step"] <= state.global_step]

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Before a step's answers are written."""
        self.random = _random_states()
        self.began = time.perf_counter()
        self.divergence = 0.0

    def on_step_end(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        *,
        model: Any,
        **_: Any,
    ) -> None:
        """After the weights have changed, and before that is told and kept."""
        self.finished = time.perf_counter()
        step = state.global_step
        if step == self.config.steps or step % self.config.probe_every == 0:
            self._probe(model, step)

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        *,
        logs: Mapping[str, float],
        **_: Any,
    ) -> None:
        """Tell what was measured.

        Raises:
            TrainingFailed: It is not a finite number.
            JobCancelled: A person stopped the job.
        """
        if "loss" not in logs:
            return
        metrics = self._measured(logs)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise TrainingFailed(
                    f"{name} was {value} at step {state.global_step}; lower learning_rate (now"
                    f" {self.config.learning_rate:g})."
                )
        # So that the checkpoint holds what the final metrics are made of, and not every step.
        state.log_history[-1] = {"step": state.global_step, **metrics}
        del state.log_history[1:-LAST]
        self.progress.report(
            state.global_step,
            metrics,
            total=self.config.steps,
            message=f"reward {metrics['reward']:+.2f}, KL {metrics['kl']:.2f} nats",
        )

    def rewind(self) -> None:
        """Let the generators stand where they stood before the step."""
        torch.set_rng_state(self.random[0])
        if self.random[1]:
            torch.cuda.set_rng_state_all(self.random[1])

    def samples_text(self) -> str:
        """The samples as JSON lines."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.samples)

    def _measured(self, logs: Mapping[str, float]) -> dict[str, float]:
        judge = self.judge
        return {
            **judge.metrics,
            "kl": self.divergence / self.config.episodes,
            **{ours: logs[theirs] for theirs, ours in NAMES.items()},
            "tokens_per_second": judge.tokens / (self.finished - self.began),
            "seconds_writing": judge.began - self.began,
            "seconds_scoring": judge.finished - judge.began,
            "seconds_learning": self.finished - judge.finished,
        }

    def _measure(self, model: PeftModel) -> None:
        """Give the rewards that have no scale yet one, by what the start policy answers."""
        mixer = self.judge.mixer
        if self.scales.is_file():
            # A service might say something else when it is asked again.
            mixer.restore(json.loads(self.scales.read_text(encoding="utf-8")))
        if not (names := mixer.unmeasured()):
            return
        self.progress.log(f"Measuring what answers of the start earn from {', '.join(names)}.")
        places = prompts_of_step(
            0, episodes=ANSWERS, prompts=len(self.writer.prompts), seed=self.config.seed
        )
        # Random numbers of their own: those of a step that there is not.
        mixer.measure(self._answers(model, places, step=self.config.steps).conversations)
        write_text(self.scales, json.dumps(mixer.scales()))

    def _probe(self, model: PeftModel, step: int) -> None:
        """Answer the first prompts, with the same random numbers each time."""
        probes = list(range(min(PROBES, len(self.writer.prompts))))
        written = self._answers(model, probes, step=0)
        for (prompt, text), answer in zip(written.conversations, written.answers, strict=True):
            self.samples.append(
                {
                    "step": step,
                    "prompt": list(prompt),
                    "response": text,
                    "tokens": answer.tokens,
                    "finished": answer.finished,
                }
            )
        write_text(self.shown, self.samples_text())

    def _answers(self, model: PeftModel, places: Sequence[int], *, step: int) -> Rollout:
        model.eval()
        try:
            return self.writer.write(model.get_base_model(), places, step=step)
        finally:
            model.train()


def _random_states() -> tuple[torch.Tensor, list[torch.Tensor]]:
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return torch.get_rng_state(), on_gpus


def final_metrics(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the last steps, and the reward of the first."""
    steps = [logged for logged in history if "reward" in logged]
    means = {
        name: float(np.mean([step[name] for step in steps[-LAST:]]))
        for name in steps[-1]
        if name != "step"
    }
    return {**means, "reward_at_start": steps[0]["reward"]}
