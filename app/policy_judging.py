"""Let reward models compare a new policy's answers with those of the model it started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.policy_card import against_start
from storage.recipes import Progress
from storage.records import Message
from training.sampling_config import SamplingConfig

MOST = 100
"""Held-out prompts at most: a win rate is then known to 10 points either way."""
FEWEST = 8
"""Held-out prompts below which nothing is said."""


def judge_policy(
    policy: Path,
    start: str,
    *,
    prompts: Sequence[Sequence[Message]],
    judges: Mapping[str, Path],
    max_new_tokens: int,
    progress: Progress,
    device: str,
) -> dict[str, Any]:
    """The policy's win rates against its start on prompts it has not seen.

    Args:
        policy: Its folder.
        start: What it started from: a folder or the name of a Hugging Face model.
        prompts: Held-out ones, of which at most 100 are asked.
        judges: The folder of each reward model that judges, by its name.
        max_new_tokens: Of an answer.
        progress: Where to say how far it is.
        device: Where everything runs.

    Returns:
        As `evaluation.policy_card.against_start`.

    Raises:
        InvalidData: A judge gives no answer a reward of its own (a pairwise one), or an answer is
            longer than it can read.
        TrainingFailed: A reward is not a number.
    """
    from training.rewards.scoring import RewardScorer
    from training.sampling import Policy

    asked = list(prompts[:MOST])
    config = SamplingConfig(max_new_tokens=max_new_tokens)
    answers = [
        Policy.load(source, device=device).answer(asked, config) for source in (str(policy), start)
    ]
    progress.log(f"{', '.join(judges)} compare answers to {len(asked)} held-out prompts.")
    given: list[dict[str, np.ndarray]] = [{}, {}]
    for name, folder in judges.items():
        scorer = RewardScorer.load(folder, device=device)
        for rewards, texts in zip(given, answers, strict=True):
            said = [(prompt, one.text) for prompt, one in zip(asked, texts, strict=True)]
            rewards[name] = scorer.score(said)
    ours, theirs = answers
    return against_start(
        *given,
        tokens=[one.tokens for one in ours],
        tokens_of_start=[one.tokens for one in theirs],
        prompts=range(len(asked)),
    )
