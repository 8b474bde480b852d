"""Votes of people who do not exist, on models whose strengths are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import evalica
import numpy as np
import pandas as pd

MODELS, PER_PROMPT, PER_RATER, TIES = 100, 50, 200, 0.35
UNLIKE = 0.5
"""How much a model's strength differs from prompt to prompt, in logits."""


@dataclass(frozen=True)
class Planted:
    """A table of votes as people keep them, names as words, and the truth behind it."""

    table: pd.DataFrame
    """Columns model_a, model_b, winner, score (of model_a), prompt, rater."""
    strength: np.ndarray
    """In logits, mean 0, in the order of the models' names."""

    @classmethod
    def draw(cls, votes: int) -> Planted:
        """Ties are called by a third of the people who are torn; sides are drawn at random."""
        rng = np.random.default_rng(votes)
        strength = np.sort(rng.standard_normal(MODELS))
        strength -= strength.mean()
        first = rng.integers(MODELS, size=votes)
        second = (first + rng.integers(1, MODELS, size=votes)) % MODELS
        prompt = rng.integers(max(2, votes // PER_PROMPT), size=votes)
        rater = rng.integers(max(2, votes // PER_RATER), size=votes)
        here = UNLIKE * rng.standard_normal((prompt.max() + 1, MODELS), dtype=np.float32)
        odds = strength[first] - strength[second] + here[prompt, first] - here[prompt, second]
        won, lost = np.exp(odds / 2), np.exp(-odds / 2)
        at = rng.random(votes) * (won + lost + TIES)
        kind = np.where(at < won, 0, np.where(at < won + TIES, 1, 2))
        return cls(
            table=pd.DataFrame(
                {
                    "model_a": _words("model", first),
                    "model_b": _words("model", second),
                    "winner": np.array(["model_a", "tie", "model_b"], dtype=object)[kind],
                    "score": np.array([1.0, 0.5, 0.0])[kind],
                    "prompt": _words("prompt", prompt),
                    "rater": _words("rater", rater),
                }
            ),
            strength=strength,
        )

    @cached_property
    def winners(self) -> list[evalica.Winner]:
        """Who won each vote, in the type that evalica wants."""
        winner = evalica.Winner
        kinds = {"model_a": winner.X, "model_b": winner.Y, "tie": winner.Draw}
        return [kinds[each] for each in self.table.winner]


def _words(kind: str, numbers: np.ndarray) -> np.ndarray:
    words = [f"{kind} {number:06d}" for number in range(int(numbers.max()) + 1)]
    return np.array(words, dtype=object)[numbers]
