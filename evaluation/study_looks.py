"""What a study's votes said of two arms after each prompt, by intervals that stand any look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evaluation.intervals import Estimate
from evaluation.sequential import Look, confidence_sequence


def looks(
    scores: Sequence[float],
    prompts: Sequence[str],
    *,
    identical: int = 0,
    overlap: int | None = None,
    confidence: float = 0.95,
) -> tuple[Look, ...]:
    """The win rate after each complete prompt, with prompts to which both arms answered alike.

    Which prompts these are was known before the first vote, so they move the mean of the others
    towards 1/2 by their share and add nothing to learn.

    Args:
        scores: As for `evaluation.sequential.confidence_sequence`.
        prompts: Likewise.
        identical: Prompts with identical answers, about which nobody was asked.
        overlap: As for `confidence_sequence`.
        confidence: Likewise.

    Returns:
        `decided` as told of a study: the interval excludes 1/2.

    Raises:
        TooLittleData: No prompt is complete.
    """
    share = identical / max(1, identical + len(set(prompts)))
    found = confidence_sequence(scores, prompts, overlap=overlap, confidence=confidence)
    return tuple(_with_share(look, share) for look in found)


def _with_share(look: Look, share: float) -> Look:
    seen = look.estimate
    value, low, high = ((1 - share) * one + share / 2 for one in (seen.value, seen.low, seen.high))
    # Prompts that come in no random order can leave the mean outside: then less is claimed.
    low, high = min(low, value), max(high, value)
    return replace(
        look,
        estimate=Estimate(value, low, high, seen.confidence, seen.n),
        decided=not low <= 0.5 <= high,
    )
