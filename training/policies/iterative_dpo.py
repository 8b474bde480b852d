"""The iterative DPO recipe: prefer the best of several answers to the worst, round after round.

The policy answers prompts several times, reward models rank the answers, and of each prompt the
best and the worst become a pair for DPO (as in Yuan et al. 2024, "Self-Rewarding Language Models",
arXiv:2401.10020, section 2.2, where the policy judges itself). So it learns from answers like those
it gives now, which DPO on a fixed set of comparisons does not. The reference is the start
throughout, as in Xiong et al. (2023), arXiv:2312.11456, so the divergence of all rounds together is
held in check and not only that of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import TooLittleData
from storage.recipes import Progress
from training.policies import in_rounds
from training.policies.dpo_config import IterativeDPOConfig
from training.policies.in_rounds import Method
from training.policies.preference_tuning import Pair, prefer
from training.policies.rounds import Judged
from training.policies.student import Student


def run(config: IterativeDPOConfig, **named: Any) -> dict[str, Any]:
    """Train a policy and write its folder; see `in_rounds.run` for what is to be named.

    Besides what is told there, a round tells its `loss` and `pairs`, and how many prompts were
    `tied`: their answers earned the same, and nothing is learned from them.
    """
    return in_rounds.run(ITERATIVE_DPO, config, **named)


def pairs_of(judged: Judged) -> list[Pair]:
    """The best and the worst answer of each prompt, but of those whose answers all earned the same.

    Of answers that earned the same the first is taken.
    """
    pairs = []
    for prompt, answers, scores in zip(judged.prompts, judged.answers, judged.scores, strict=True):
        best, worst = int(np.argmax(scores)), int(np.argmin(scores))
        if scores[best] > scores[worst]:
            pairs.append(
                Pair(prompt_ids=prompt, chosen_ids=answers[best], rejected_ids=answers[worst])
            )
    return pairs


def _learn(
    config: IterativeDPOConfig,
    student: Student,
    judged: Judged,
    checkpoints: Path,
    progress: Progress,
) -> dict[str, float]:
    pairs = pairs_of(judged)
    if not pairs:
        raise TooLittleData(
            "All answers to a prompt earned the same, with every prompt of the round, so there is"
            " nothing to learn; raise answers_per_prompt (now"
            f" {config.answers_per_prompt}) or temperature (now {config.temperature:g})."
        )
    found = prefer(
        student.model,
        student.opened.tokenizer,
        pairs,
        [],
        config,
        reference=student.start,
        autocast=student.autocasts,
        checkpoints=checkpoints,
        progress=progress,
    )
    return {
        "loss": found["train_loss"],
        "pairs": len(pairs),
        "tied": len(judged.prompts) - len(pairs),
    }


def _story(config: IterativeDPOConfig) -> str:
    return f"""Of each prompt's answers the one that earned most and the one that earned
least became a pair for direct preference optimisation (loss `{config.loss}`, beta {config.beta:g}),
with the start as the reference throughout."""


ITERATIVE_DPO = Method(
    recipe="iterative-dpo",
    learn=_learn,
    title="A policy trained with iterative direct preference optimisation",
    story=_story,
)
