"""The PPO recipe: open what the configuration names, train, and write the policy's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers import PreTrainedModel

from storage.errors import InvalidOption, TooLittleData
from storage.recipes import Progress, Silent
from storage.records import Message
from training import backbone
from training import checkpoints as kept
from training.policies.actor import Actor
from training.policies.config import PPOConfig
from training.policies.folder import rewards_told, write_policy
from training.policies.health.record import markdown
from training.policies.learner import Learner
from training.policies.mixer import RewardMixer, Scorer
from training.policies.rollouts import Writer
from training.policies.sources import open_sources
from training.policies.trainer import Trainer
from training.policies.vllm_generator import generator_of
from training.policies.watching import Watch, held_out
from training.processes import Processes, accelerator_on
from training.sampling import encode_prompts, open_policy


def run(
    config: PPOConfig,
    *,
    prompts: Sequence[Sequence[Message]],
    rewards: Mapping[str, Path],
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """Train a policy against reward models and write its folder.

    Args:
        config: All options.
        prompts: The conversations to learn on.
        rewards: The folder of each reward model that `config.rewards` or `config.watch` names;
            functions and services have none.
        output: The policy's folder; see `write_policy`.
        checkpoints: Where to keep checkpoints. A run that finds its own there goes on from it.
        progress: Where to say how far it is.
        device: Where everything runs.
        dtype: Precision of the frozen weights; by default the fastest. What learns is always fp32.

    Returns:
        Means of the metrics over the last steps, and `reward_at_start`.

    Raises:
        NotFound: A reward model is not among `rewards`.
        TooLittleData: There are no prompts.
        InvalidOption: A value does not suit this model, `output` holds something, or a reward is
            the same for all answers of the start.
        InvalidData: A folder holds no reward model, or a model or prompt cannot be used.
        TrainingFailed: The run diverged, or a reward service failed; says what to change.
        JobCancelled: A person stopped it; the last checkpoint stays.
    """
    # Before anything is opened: it says which device is this process' own.
    accelerator_on(backbone.pick_device(device))
    where: dict[str, Any] = {"environment": os.environ, "device": device}
    opened = open_sources(config.rewards, rewards, uncertainty=config.uncertainty, **where)
    watched = open_sources(config.watch, rewards, **where)
    return train(
        config,
        prompts=prompts,
        scorers={**opened.scorers, **watched.scorers},
        output=output,
        checkpoints=checkpoints,
        progress=progress,
        device=device,
        dtype=dtype,
        # Also by one that only chooses the weights to keep, or the step to stop at.
        simulated=opened.simulated or watched.simulated,
    )


def train(
    config: PPOConfig,
    *,
    prompts: Sequence[Sequence[Message]],
    scorers: Mapping[str, Scorer],
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    simulated: bool = False,
) -> dict[str, Any]:
    """As `run`, with anything that scores in the place of reward models."""
    if not prompts:
        raise TooLittleData("PPO needs prompts to answer; there are none. Import some.")
    place = backbone.pick_device(device)
    accelerator = accelerator_on(place)
    if accelerator.num_processes > 1:
        place = accelerator.device
    processes = Processes(accelerator)
    if not processes.is_first:
        progress = Silent()
    mixer = RewardMixer(
        scorers,
        config.rewards,
        schedule=config.weight_schedule,
        combine=config.combine,
        processes=processes,
    )
    watched = RewardMixer(scorers, dict.fromkeys(config.watch, 1.0), processes=processes)
    places = held_out(len(prompts)) if config.watch else range(0)
    found = kept.newest(checkpoints)
    if found is None and output.exists() and any(output.iterdir()):
        raise InvalidOption("output", "it already holds something; name another", str(output))

    fast = dtype or backbone.default_dtype(config.start, place)
    # Weights that learn are kept in fp32, because small steps vanish in bf16's 8 bits. An adapter's
    # always are; then what lies frozen below can have the fastest precision.
    stored = torch.float32 if config.rank == 0 else fast
    opened = open_policy(config.start, device=str(place), dtype=stored)
    encoded = encode_prompts(opened.model, opened.tokenizer, prompts, config.max_new_tokens)

    def actor_on(model: PreTrainedModel) -> Actor:
        return Actor(
            model,
            rank=config.rank,
            layers=config.layers,
            temperature=config.temperature,
            value_trunk=config.value_trunk,
            moving_reference=config.reference == "moving_average",
            fast=fast,
            seed=config.seed,
        )

    actor = actor_on(opened.model)
    if accelerator.distributed_type == DistributedType.FSDP:
        actor.spread()
    with generator_of(
        config,
        opened,
        encoded,
        folder=checkpoints / "vllm",
        progress=progress,
        processes=processes.number,
    ) as generator:
        writer = Writer(
            opened.tokenizer,
            prompts,
            encoded,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
            processes=processes,
            generator=generator,
        )
        trainer = Trainer(
            config=config,
            learner=Learner(actor, config, pad=opened.tokenizer.pad_token_id, processes=processes),
            writer=writer,
            mixer=mixer,
            checkpoints=checkpoints,
            progress=progress,
            watch=Watch(writer, mixer, watched, places) if config.watch else None,
            processes=processes,
        )
        if found is not None:
            trainer.resume(*found)
        trainer.train()

    metrics = trainer.final_metrics()
    description = {
        "recipe": "ppo",
        "purpose": "policy",
        "config": config.model_dump(mode="json"),
        "base": opened.base,
        "start": config.start,
        "rewards": dict(config.rewards),
        "reward_scales": mixer.scales(),
        "metrics": {**metrics, "health": trainer.health()},
        "simulated": simulated or bool(opened.description.get("simulated")),
    }
    # A policy that started from another policy learned on top of that one's merged weights, which
    # nobody but us could load by name; so it stands on its own.
    learned = actor.state()
    if processes.is_first:
        if actor.is_spread:
            opened = open_policy(config.start, device=str(place), dtype=stored)
            actor = actor_on(opened.model)
            actor.restore(learned)
        write_policy(
            output,
            actor.finished(whole=opened.is_policy),
            opened.tokenizer,
            description=description,
            story=_story(config, mixer.scales()) + "\n" + markdown(trainer.health()),
            samples=trainer.samples_text(),
            replace=found is not None,
        )
    processes.wait()
    return metrics


def _story(config: PPOConfig, scales: Mapping[str, Mapping[str, float]]) -> str:
    """What the model card tells besides names and numbers."""
    rewards = rewards_told(config.rewards, config.weight_schedule, scales)
    worst = " Of these the worst counts." if config.combine == "worst" else ""
    return f"""# A policy trained with PPO

Start: `{config.start}`. It was tuned with Tandem to earn more from these rewards, each
standardised, without straying far from its start.{worst}

{rewards}

The metrics are means over its last steps. A higher reward is what it was trained for and does not
show that people like its answers better; a blinded study does. `samples.jsonl` holds what it
answered to the same few prompts while it learned.
"""
