"""A tiny model that can learn, and simple things to train it with.

The weights of `tiny` are so small that no hidden state can make a token twice as likely as another,
so a policy on it has nothing to learn. This is the same model drawn wider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import torch
from transformers import LlamaForCausalLM

from storage.records import Message
from training import tiny
from training.policies.mixer import Conversation

PROMPTS = tuple(
    (Message(role="user", content=text),) for text in ("hello", "what now", "yes " * 5, "?")
)


def save_lively(folder: Path) -> str:
    config = tiny.config()
    config.initializer_range = 0.5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


class Letters:
    """Rewards each letter of a set; standardised, an answer of `full` letters earns 1."""

    def __init__(
        self, letters: str = ascii_lowercase, *, full: float = 8.0, mean: float = 0.0
    ) -> None:
        self.letters = letters
        self.full = full
        self.mean = mean
        self.asked: list[Sequence[Conversation]] = []

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        self.asked.append(conversations)
        return np.array([sum(text.count(c) for c in self.letters) for _, text in conversations])

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        return (rewards - self.mean) / self.full


class Heard:
    """Progress that remembers what it was told, and may stop the run at a step."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.lines: list[str] = []
        self.messages: list[str] = []
        self.total: int | None = None
        self.stop_at = stop_at

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        if step == self.stop_at:
            raise KeyboardInterrupt
        self.metrics.setdefault(step, {}).update(metrics or {})
        self.messages += [message] if message else []
        self.total = total

    def log(self, line: str) -> None:
        self.lines.append(line)
