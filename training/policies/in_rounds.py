"""The recipe of every method that learns in rounds: open what is named, learn, write the folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch

from storage.errors import TooLittleData
from storage.recipes import Progress
from storage.records import Message, digest
from training import checkpoints as kept
from training.backbone import fingerprint
from training.policies.folder import rewards_told, write_policy
from training.policies.mixer import RewardMixer, Scorer
from training.policies.rollouts import Writer
from training.policies.rounds import Config, Learn, Rounds
from training.policies.sources import open_sources
from training.policies.student import Student
from training.policies.trl_training import claim
from training.policies.vllm_generator import generator_of
from training.sampling import encode_prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[Config]):
    """What one way to learn in rounds does differently from the others."""

    recipe: str
    """Its name in `POLICIES`."""
    learn: Learn[Config]
    title: str
    """Of the model card."""
    story: Callable[[Config], str]
    """What the card tells of a round."""


def run(
    method: Method[Config],
    config: Config,
    *,
    prompts: Sequence[Sequence[Message]],
    rewards: Mapping[str, Path],
    output: Path,
    checkpoints: Path,
    progress: Progress,
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """Train a policy against reward models, in rounds, and write its folder.

    Args:
        method: How it learns.
        config: All options.
        prompts: The conversations to learn on.
        rewards: The folder of each reward model that `config.rewards` names; functions and
            services have none.
        output: The policy's folder; see `write_policy`. Its tandem.json also holds `best_of_n`:
            what taking the best of n answers of the start would have brought without any training.
        checkpoints: Where to keep checkpoints. A run that finds its own there goes on from it.
        progress: Told what the policy is like after each round, and of how the round was learned.
            `reward`, `reward/NAME`, `reward_raw/NAME`, `kl`, `response_length` and
            `finished_fraction` mean what they do in PPO. `best_of_n_gain` is how much more the best
            of a prompt's answers earns than one of them.
        device: Where everything runs.
        dtype: Precision to multiply in, and of weights that do not learn; by default the fastest.

    Returns:
        The metrics after the last round, `reward_at_start`, and the `seconds` it took.

    Raises:
        NotFound: A reward model is not among `rewards`.
        TooLittleData: There are no prompts, or nothing to learn from their answers.
        InvalidOption: A value does not suit this model, or `output` holds something.
        InvalidData: A folder holds no reward model, or a model or prompt cannot be used.
        TrainingFailed: The run diverged; says what to change.
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
        method,
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
    method: Method[Config],
    config: Config,
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
        raise TooLittleData("There are no prompts to answer. Import some.")
    mixer = RewardMixer(
        scorers, config.rewards, schedule=config.weight_schedule, combine=config.combine
    )
    student = Student.open(
        config.start,
        rank=config.rank,
        layers=config.layers,
        device=device,
        dtype=dtype,
        seed=config.seed,
    )
    opened = student.opened
    encoded = encode_prompts(opened.model, opened.tokenizer, prompts, config.max_new_tokens)
    identity = digest(
        method.recipe, config.model_dump(mode="json"), fingerprint(config.start), encoded
    )
    found = kept.newest(checkpoints)
    claim(checkpoints, identity, output, resumed=found is not None)
    folder = checkpoints / "vllm"
    with generator_of(config, opened, encoded, folder=folder, progress=progress) as generator:
        rounds = Rounds(
            config=config,
            learn=method.learn,
            student=student,
            writer=Writer(
                opened.tokenizer,
                prompts,
                encoded,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                batch_tokens=config.batch_tokens,
                seed=config.seed,
                generator=generator,
            ),
            mixer=mixer,
            checkpoints=checkpoints,
            progress=progress,
        )
        if found is not None:
            rounds.resume(*found)
        rounds.run()

    metrics = rounds.final_metrics()
    write_policy(
        output,
        student.finished(),
        opened.tokenizer,
        description={
            "recipe": method.recipe,
            "purpose": "policy",
            "config": config.model_dump(mode="json"),
            "base": opened.base,
            "start": config.start,
            "rewards": dict(config.rewards),
            "reward_scales": mixer.scales(),
            "metrics": metrics,
            "best_of_n": rounds.best_of_n,
            "simulated": simulated or bool(opened.description.get("simulated")),
        },
        story=_story(method, config, rounds.best_of_n, mixer.scales()),
        samples=rounds.samples_text(),
        replace=found is not None,
    )
    return metrics


def _story(
    method: Method[Config],
    config: Config,
    best_of_n: Sequence[Mapping[str, float]],
    scales: Mapping[str, Mapping[str, float]],
) -> str:
    """What the model card tells besides names and numbers."""
    rewards = rewards_told(config.rewards, config.weight_schedule, scales)
    table = "\n".join(
        f"| {row['n']} | {row['gain']:+.3g} | {row['kl_at_most']:.3g} |" for row in best_of_n
    )
    return f"""# {method.title}

Start: `{config.start}`. It was tuned with Tandem to earn more from these rewards, each
standardised:

{rewards}

In each of {config.rounds} rounds it answered up to {config.prompts_per_round} prompts
{config.answers_per_prompt} times. {method.story(config)}

The metrics were measured after the last round, `kl` in nats per answer. A higher reward is what it
was trained for and does not show that people like its answers better; a blinded study does.
`samples.jsonl` holds what it answered to the same few prompts while it learned.

Without any training, taking the best of n answers of the start would have brought this much more
reward than a single answer, at no more than this distance from the start:

| n | gain in reward | KL at most, in nats per answer |
|---|---|---|
{table}
"""
