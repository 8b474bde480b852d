"""The GRPO and RLOO recipes: open what is named, learn, and write the policy's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from storage.errors import TooLittleData
from storage.recipes import Progress
from storage.records import Message, digest
from training import backbone
from training.policies.folder import rewards_told, write_policy
from training.policies.groups import learn
from training.policies.grpo_config import GroupConfig, RLOOConfig
from training.policies.mixer import RewardMixer, Scorer
from training.policies.sources import open_sources
from training.policies.trl_training import claim, newest_checkpoint
from training.quiet import quietly
from training.sampling import encode_prompts, open_policy


def run(
    config: GroupConfig,
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
        config: All options; its class says whether this is GRPO or RLOO.
        prompts: The conversations to learn on.
        rewards: The folder of each reward model that `config.rewards` names; functions and
            services have none.
        output: The policy's folder; see `write_policy`.
        checkpoints: Where to keep checkpoints. A run that finds its own there goes on from it.
        progress: Where to say how far it is; see `learn` for the metrics.
        device: Where everything runs.
        dtype: Precision of the frozen weights; by default the fastest. What learns is always fp32.

    Returns:
        Means of the metrics over the last steps, and `reward_at_start`.

    Raises:
        NotFound: A reward model is not among `rewards`.
        TooLittleData: There are no prompts.
        InvalidOption: A value does not suit this model, a folder belongs to something else, or a
            reward is the same for all answers of the start.
        InvalidData: A folder holds no reward model, or a model or prompt cannot be used.
        TrainingFailed: The run diverged, or a reward service failed; says what to change.
        JobCancelled: A person stopped it; the last checkpoint stays.
    """
    opened = open_sources(
        config.rewards,
        rewards,
        uncertainty=config.uncertainty,
        environment=os.environ,
        device=device,
    )
    return train(
        config,
        prompts=prompts,
        scorers=opened.scorers,
        output=output,
        checkpoints=checkpoints,
        progress=progress,
        device=device,
        dtype=dtype,
        simulated=opened.simulated,
    )


def train(
    config: GroupConfig,
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
    recipe = "rloo" if isinstance(config, RLOOConfig) else "grpo"
    if not prompts:
        raise TooLittleData(
            f"{recipe.upper()} needs prompts to answer; there are none. Import some."
        )
    mixer = RewardMixer(
        scorers, config.rewards, schedule=config.weight_schedule, combine=config.combine
    )
    opened = open_policy(config.start, device=device, dtype=dtype)
    encoded = encode_prompts(opened.model, opened.tokenizer, prompts, config.max_new_tokens)
    identity = digest(
        recipe, config.model_dump(mode="json"), backbone.fingerprint(config.start), encoded
    )
    resumed = newest_checkpoint(checkpoints) is not None
    claim(checkpoints, identity, output, resumed=resumed)
    with quietly():
        learned = learn(
            opened.model,
            opened.tokenizer,
            prompts=prompts,
            encoded=encoded,
            mixer=mixer,
            config=config,
            checkpoints=checkpoints,
            progress=progress,
        )
    description = {
        "recipe": recipe,
        "purpose": "policy",
        "config": config.model_dump(mode="json"),
        "base": opened.base,
        "start": config.start,
        "rewards": dict(config.rewards),
        "reward_scales": mixer.scales(),
        "metrics": learned.metrics,
        "simulated": simulated or bool(opened.description.get("simulated")),
    }
    # A policy that started from another policy learned on top of that one's merged weights, which
    # nobody but us could load by name; so it stands on its own.
    write_policy(
        output,
        learned.model.merge_and_unload() if opened.is_policy else learned.model,
        opened.tokenizer,
        description=description,
        story=_story(
            config, recipe, rewards_told(config.rewards, config.weight_schedule, mixer.scales())
        ),
        samples=learned.samples,
        replace=resumed,
    )
    return learned.metrics


def _story(config: GroupConfig, recipe: str, rewards: str) -> str:
    """What the model card tells besides names and numbers."""
    worst = " Of these the worst counts." if config.combine == "worst" else ""
    return f"""# A policy trained with {recipe.upper()}

Start: `{config.start}`. It was tuned with Tandem to earn more from these rewards, each
standardised, without straying far from its start. Each of its answers was held against
{config.answers_per_prompt - 1} others to the same prompt.{worst}

{rewards}

The metrics are means over its last steps. A higher reward is what it was trained for and does not
show that people like its answers better; a blinded study does. `samples.jsonl` holds what it
answered to the same few prompts while it learned.
"""
