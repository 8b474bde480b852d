"""The rejection sampling recipe: learn to write the best of several answers, round after round.

The policy answers prompts several times, reward models rank the answers, and it is fine-tuned on
the best answer of each prompt: RAFT of Dong et al. (2023), arXiv:2304.06767, algorithm 1. Each
round goes on from the policy of the round before, and nothing but the few steps holds it to its
start: watch `kl`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from storage.recipes import Progress
from training.policies import in_rounds
from training.policies.config import SFTConfig
from training.policies.dpo_config import RejectionSamplingConfig
from training.policies.finetuning import Example, finetune
from training.policies.in_rounds import Method
from training.policies.rounds import Judged
from training.policies.student import Student


def run(config: RejectionSamplingConfig, **named: Any) -> dict[str, Any]:
    """Train a policy and write its folder; see `in_rounds.run` for what is to be named.

    Besides what is told there, a round tells its `loss`, in nats per token of the best answers.
    """
    return in_rounds.run(REJECTION_SAMPLING, config, **named)


def winners_of(judged: Judged) -> list[Example]:
    """The best answer of each prompt; of answers that earned the same the first."""
    return [
        Example([*prompt, *answers[int(np.argmax(scores))]], answer_at=len(prompt))
        for prompt, answers, scores in zip(
            judged.prompts, judged.answers, judged.scores, strict=True
        )
    ]


def _learn(
    config: RejectionSamplingConfig,
    student: Student,
    judged: Judged,
    checkpoints: Path,
    progress: Progress,
) -> dict[str, float]:
    as_sft = SFTConfig(
        base=config.start,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        rank=config.rank,
        layers=config.layers,
        batch_tokens=config.batch_tokens,
        checkpoint_every=config.checkpoint_every,
        seed=config.seed,
    )
    found = finetune(
        student.model,
        student.opened.tokenizer,
        winners_of(judged),
        [],
        as_sft,
        autocast=student.autocasts,
        checkpoints=checkpoints,
        progress=progress,
    )
    return {"loss": found["train_loss"]}


def _story(_: RejectionSamplingConfig) -> str:
    return "Of each prompt's answers it learned to write the one that earned most (RAFT)."


REJECTION_SAMPLING = Method(
    recipe="rejection-sampling",
    learn=_learn,
    title="A policy trained by rejection sampling",
    story=_story,
)
