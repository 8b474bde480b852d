"""Made-up judgements with a known cause: an answer is good when it says `please`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.records import Message, PromptId, ResponseId
from storage.snapshots import ComparisonRow, RatingRow, write_snapshot

WORDS = ["apple", "bread", "cloud", "dream", "eagle", "flame", "grass", "house"]
GOOD = "please"

QUICK: dict[str, Any] = {
    "base": "tiny",
    "rank": 0,
    "layers": None,
    "learning_rate": 1e-2,
    "head_learning_rate": 1e-2,
    "epochs": 4,
    "checkpoint_every": 10,
}
"""Options with which the tiny model learns in seconds."""
OTHERWISE: dict[str, dict[str, Any]] = {
    "multi-objective": {"base": "tiny", "epochs": 60, "batch_tokens": 512, "checkpoint_every": 10}
}
"""The same for recipes that have other options."""


def quick(recipe: str) -> dict[str, Any]:
    """Options with which the tiny model learns a recipe in seconds."""
    return OTHERWISE.get(recipe, QUICK)


def judgements(
    prompts: int, *, seed: int = 0, graded: bool = True
) -> tuple[list[ComparisonRow], list[RatingRow]]:
    """For each prompt two answers, one of which holds the word; compared once, rated once each."""
    rng = random.Random(seed)
    comparisons, ratings = [], []
    for number in range(prompts):
        said = (Message(role="user", content=f"{rng.choice(WORDS)} {seed}-{number}?"),)
        words = [[rng.choice(WORDS) for _ in range(rng.randint(3, 6))] for _ in range(2)]
        good = rng.randrange(2)
        words[good].insert(rng.randrange(4), GOOD)
        texts = [" ".join(one) for one in words]
        prompt = PromptId(f"p{seed}-{number}")
        ids = [ResponseId(f"{prompt}-{side}") for side in "lr"]
        strength = rng.choice((1, 2, 3)) if graded else 1
        comparisons.append(
            ComparisonRow(
                prompt_id=prompt,
                prompt=said,
                left_id=ids[0],
                left=texts[0],
                right_id=ids[1],
                right=texts[1],
                choice=strength if good else -strength,
                graded=graded,
                both_bad=False,
                annotator="amber-heron-1",
                kind="simulated",
            )
        )
        for side in (0, 1):
            value = rng.choice((5.0, 6.0, 7.0)) if side == good else rng.choice((1.0, 2.0, 3.0))
            ratings.append(
                RatingRow(
                    prompt_id=prompt,
                    prompt=said,
                    response_id=ids[side],
                    response=texts[side],
                    aspect="overall",
                    value=value,
                    annotator="amber-heron-1",
                    kind="simulated",
                )
            )
    return comparisons, ratings


def snapshot(
    folder: Path, prompts: int, *, seed: int = 0, comparisons: bool = True, ratings: bool = True
) -> Path:
    """A snapshot of such judgements."""
    compared, rated = judgements(prompts, seed=seed)
    write_snapshot(folder, compared if comparisons else [], rated if ratings else [])
    return folder


def with_brevity(ratings: Sequence[RatingRow]) -> list[RatingRow]:
    """The ratings, and beside each one of a second aspect: how few words there are."""
    return [
        *ratings,
        *(
            replace(one, aspect="brevity", value=max(1.0, 10.0 - len(one.response.split())))
            for one in ratings
        ),
    ]


class Notes:
    """A progress that writes down what it is told, and can stop the run at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.steps: list[int] = []
        self.metrics: list[dict[str, float]] = []
        self.lines: list[str] = []

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        self.steps.append(step)
        self.metrics.append(dict(metrics or {}))
        if step == self.stop_at:
            raise KeyboardInterrupt

    def log(self, line: str) -> None:
        self.lines.append(line)
