"""Raters that are programs: a written-down taste, and people-like ways of departing from it.

They stand in for people where there are none (`tandem demo`, tests) and show that the loop works.
Their judgements are kept under `Kind.SIMULATED` and are never shown as people's.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feedback.tasks import OVERALL, TASKS
from storage.records import Message, digest

# Cumulative-link thresholds of the measurement model, in logits. A choice is a step from "left much
# better" to "right much better"; symmetric, so that a rater without position bias favours no side.
CHOICE_THRESHOLDS = (-3.5, -2.0, -0.5, 0.5, 2.0, 3.5)
RATING_THRESHOLDS = (-4.0, -2.5, -1.0, 0.5, 2.0, 3.5)

WORDS_BEFORE_RAMBLING = 80
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SECOND_PERSON = {"you", "your", "yours", "yourself", "you're", "you'll", "you've", "you'd"}
_FIRST_PERSON = {"i", "i'm", "i'll", "i've", "i'd", "me", "my", "myself"}
_STRUCTURE = re.compile(r"^\s*(?:[-*•] |\d+[.)] |#{1,6} |```|\*\*)", re.MULTILINE)
_BARE_MARKER = re.compile(r"(?:^|\n)\s*(?:\d+[.)]|[-*•])$")
_ENDING = re.compile(r"[.!?…](?:[\"'”’)*\]]*)$|```$|[\"”]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFeatures:
    """What the gold program looks at. Each feature lies between 0 and 1."""

    address: float
    """Speaks to the reader: one word in twenty is "you" or "your" for the full mark."""
    structure: float
    """Lines that begin like a list item, heading, bold phrase or code block; two are enough."""
    complete: float
    """1 when the text ends with a sentence or a code block, 0 when it breaks off."""
    topic: float
    """Share of the long words of the last user turn that come back; half of them are enough."""
    repetition: float
    """Share of word trigrams that were there before; 30 % give the full mark."""
    self_reference: float
    """Talks about itself ("As an AI", "I", "my"); two words of that kind give the full mark."""
    rambling: float
    """Words beyond 80; 60 words too many give the full mark."""


# What each feature adds to the quality, in logits. With the constant below, the best text scores 3.
# Chosen so that length says little: a complete ending and no rambling favour short answers,
# structure and topic long ones, and the rest is a matter of what is said.
GOLD_WEIGHTS: Mapping[str, float] = {
    "address": 1.8,
    "structure": 0.8,
    "complete": 1.4,
    "topic": 0.8,
    "repetition": -1.5,
    "self_reference": -2.0,
    "rambling": -1.0,
}
GOLD_CONSTANT = -1.8


def gold_features(messages: Sequence[Message], text: str) -> GoldFeatures:
    """Measure what the gold program rewards and punishes."""
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    asked = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    wanted = {word.lower() for word in _WORD.findall(asked) if len(word) >= 5}
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    repeated = 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
    end = text.rstrip()
    you = sum(word in _SECOND_PERSON for word in words)
    me = sum(word in _FIRST_PERSON for word in words) + 2 * ("as an ai" in text.lower())
    return GoldFeatures(
        address=min(1.0, you / max(1, len(words)) / 0.05),
        structure=min(1.0, len(_STRUCTURE.findall(text)) / 2),
        complete=float(bool(_ENDING.search(end)) and not _BARE_MARKER.search(end)),
        topic=min(1.0, 2 * len(wanted.intersection(words)) / len(wanted)) if wanted else 1.0,
        repetition=min(1.0, repeated / 0.3),
        self_reference=min(1.0, me / 2),
        rambling=min(1.0, max(0, len(words) - WORDS_BEFORE_RAMBLING) / 60),
    )


def gold_quality(messages: Sequence[Message], text: str) -> float:
    """How good a response is by the taste of the simulated raters, from -3 to 3 (logits).

    A stand-in for people with a simple, learnable taste. It says nothing about whether a response
    is true, safe or useful, and a policy tuned on it is tuned on exactly the features of
    `GoldFeatures`.
    """
    features = gold_features(messages, text)
    quality = GOLD_CONSTANT + sum(
        weight * float(getattr(features, name)) for name, weight in GOLD_WEIGHTS.items()
    )
    return min(3.0, max(-3.0, quality))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRater:
    """A rater who answers by the measurement model, around the gold quality.

    With quality u of a response, as this rater perceives it, and F the logistic function:

        P(choice step <= c) = F(kappa_c - a (u_right - u_left) - p)
        P(rating <= c)      = F(tau_c - a (u + b))

    The same rater says the same of the same task again, whatever else was judged in between.
    """

    name: str
    seed: int = 0
    reliability: float = 2.5
    """a > 0: how sharply quality decides; logits per logit of quality."""
    leniency: float = 0.0
    """b: added to every quality before it is rated, logits of quality; no part in comparisons."""
    position_bias: float = 0.0
    """p: pull towards the right response in comparisons, in logits; negative pulls left."""
    noise: float = 0.3
    """Standard deviation of this rater's own taste around the gold quality, logits of quality."""

    def perceived(self, messages: Sequence[Message], text: str) -> float:
        """The quality this rater sees in a response: the gold quality and a taste of their own."""
        taste = self._rng("taste", messages, text).standard_normal()
        return gold_quality(messages, text) + self.noise * float(taste)

    def choice(self, messages: Sequence[Message], left: str, right: str) -> int:
        """Compare two responses: -3 left much better ... 0 tie ... +3 right much better."""
        gap = self.perceived(messages, right) - self.perceived(messages, left)
        drawn = self._rng("choice", messages, left, right).logistic()
        position = self.reliability * gap + self.position_bias + drawn
        steps = sum(position > threshold for threshold in CHOICE_THRESHOLDS)
        return steps - len(CHOICE_THRESHOLDS) // 2

    def rating(self, messages: Sequence[Message], text: str) -> int:
        """Rate one response from 1 to 7."""
        quality = self.perceived(messages, text) + self.leniency
        position = self.reliability * quality + self._rng("rating", messages, text).logistic()
        return 1 + sum(position > threshold for threshold in RATING_THRESHOLDS)

    def judge(
        self, task: Mapping[str, Any], *, aspects: Sequence[str] = (OVERALL,)
    ) -> dict[str, Any]:
        """Answer a task as the JSON API hands it out, in the form it takes back.

        Every aspect is rated alike, for this rater's taste knows only one.

        Args:
            task: {assignment, type, prompt: [{role, text}], responses: [{text}, ...]}.
            aspects: What the project wants rated.
        """
        messages = [Message(role=m["role"], content=m["text"]) for m in task["prompt"]]
        texts = [response["text"] for response in task["responses"]]
        ratings = [self.rating(messages, text) for text in texts]
        asks = TASKS[task["type"]].asks
        unique = digest("simulated", self.name, self.seed, task["assignment"], length=32)
        said: dict[str, Any] = {
            "submission": str(uuid.UUID(hex=unique)),
            "assignment": task["assignment"],
            "choice": None,
            "both_bad": False,
            "ratings": ratings if "ratings" in asks else None,
            "active_seconds": None,
            "interface": "simulated",
        }
        if "choice" in asks:
            choice = self.choice(messages, *texts)
            # Neither response is worth anything, and neither is better.
            said |= {"choice": choice, "both_bad": choice == 0 and max(ratings) <= 2}
        if "aspects" in asks:
            said["aspects"] = dict.fromkeys(aspects, ratings)
        if "ranks" in asks:
            seen = [self.perceived(messages, text) for text in texts]
            said["ranks"] = [1 + sum(other > one for other in seen) for one in seen]
        return said

    def _rng(self, purpose: str, messages: Sequence[Message], *texts: str) -> np.random.Generator:
        # One stream for each thing decided, so that no judgement depends on the order of the
        # others.
        key = digest(purpose, self.name, self.seed, messages, texts, length=32)
        return np.random.default_rng(int(key, 16))
