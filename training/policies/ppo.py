"""The PPO recipe: open what the configuration names, train, and write the policy's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from storage.errors import InvalidOption, NotFound, TooLittleData
from storage.recipes import Progress
from storage.records import Message
from training import checkpoints as kept
from training.policies.actor import Actor
from training.policies.config import PPOConfig
from training.policies.folder import write_policy
from training.policies.health.record import markdown
from training.policies.learner import Learner
from training.policies.mixer import RewardMixer, Scorer
from training.policies.rollouts import Writer
from training.policies.trainer import Trainer
from training.policies.watching import Watch, held_out
from training.rewards.card import read_record
from training.rewards.scoring import RewardScorer
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
        rewards: The folder of each reward model that `config.rewards` or `config.watch` names.
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
        InvalidOption: A value does not suit this model, or `output` holds something.
        InvalidData: A folder holds no reward model, or a model or prompt cannot be used.
        TrainingFailed: The run diverged; says what to change.
        JobCancelled: A person stopped it; the last checkpoint stays.
    """
    scorers: dict[str, Scorer] = {}
    simulated = False
    for name in (*config.rewards, *config.watch):
        if name not in rewards:
            raise NotFound("reward model", name, rewards)
        scorers[name] = RewardScorer.load(rewards[name], device=device)
        # Also of one that only chooses the weights to keep, or the step to stop at.
        simulated |= bool(read_record(rewards[name])["simulated"])
    return train(
        config,
        prompts=prompts,
        scorers=scorers,
        output=output,
        checkpoints=checkpoints,
        progress=progress,
        device=device,
        dtype=dtype,
        simulated=simulated,
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
    mixer = RewardMixer(scorers, config.rewards)
    watched = RewardMixer(scorers, dict.fromkeys(config.watch, 1.0))
    places = held_out(len(prompts)) if config.watch else range(0)
    found = kept.newest(checkpoints)
    if found is None and output.exists() and any(output.iterdir()):
        raise InvalidOption("output", "it already holds something; name another", str(output))

    opened = open_policy(config.start, device=device, dtype=dtype)
    encoded = encode_prompts(opened.model, opened.tokenizer, prompts, config.max_new_tokens)
    actor = Actor(
        opened.model,
        rank=config.rank,
        layers=config.layers,
        temperature=config.temperature,
        seed=config.seed,
    )
    writer = Writer(
        opened.tokenizer,
        prompts,
        encoded,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        batch_tokens=config.batch_tokens,
        seed=config.seed,
    )
    trainer = Trainer(
        config=config,
        learner=Learner(actor, config, pad=opened.tokenizer.pad_token_id),
        writer=writer,
        mixer=mixer,
        checkpoints=checkpoints,
        progress=progress,
        watch=Watch(writer, mixer, watched, places) if config.watch else None,
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
        "metrics": {**metrics, "health": trainer.health()},
        "simulated": simulated or bool(opened.description.get("simulated")),
    }
    # A policy that started from another policy learned on top of that one's merged weights, which
    # nobody but us could load by name; so it stands on its own.
    write_policy(
        output,
        actor.peft.merge_and_unload() if opened.is_policy else actor.peft,
        opened.tokenizer,
        description=description,
        story=_story(config) + "\n" + markdown(trainer.health()),
        samples=trainer.samples_text(),
        replace=found is not None,
    )
    return metrics


def _story(config: PPOConfig) -> str:
    """What the model card tells besides names and numbers."""
    rewards = "\n".join(f"- {name}, weight {w:g}" for name, w in config.rewards.items())
    return f"""# A policy trained with PPO

Start: `{config.start}`. It was tuned with Tandem to earn more from these reward models, each
standardised, without straying far from its start:

{rewards}

The metrics are means over its last steps. A higher reward is what it was trained for and does not
show that people like its answers better; a blinded study does. `samples.jsonl` holds what it
answered to the same few prompts while it learned.
"""
