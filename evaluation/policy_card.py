"""A policy beside the model it started from, as reward models see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from evaluation.intervals import Estimate, check_lengths, clustered_mean, vector
from evaluation.length_control import length_controlled_win_rate
from evaluation.statistics import win_rate
from storage.errors import NoConvergence


def against_start(
    rewards: Mapping[str, ArrayLike],
    rewards_of_start: Mapping[str, ArrayLike],
    *,
    tokens: ArrayLike,
    tokens_of_start: ArrayLike,
    prompts: Sequence[Any],
) -> dict[str, Any]:
    """How often a policy's answers get a higher reward than those of its start.

    Args:
        rewards: Of the policy's answers, by the reward model that judged, each of shape (n,).
        rewards_of_start: Of its start's answers to the same prompts, likewise.
        tokens: Lengths of the policy's answers, shape (n,).
        tokens_of_start: Lengths of its start's, shape (n,).
        prompts: Which prompt each answer is to, shape (n,).

    Returns:
        As JSON: `prompts`, their number; the mean `tokens` and `tokens_of_start`; and `judges`, by
        name: the `win_rate`, with equal rewards as half a win; `length_controlled`, None where that
        cannot be told; the mean `gain` in the judge's own unit; and in words whether the policy
        `is` better than its start by more than chance.

    Raises:
        TooLittleData: Fewer than two prompts.
        InvalidData: A reward or a length is no number.
    """
    ours, theirs = vector(tokens), vector(tokens_of_start)
    check_lengths(ours, theirs)
    judges = {}
    for name, given in rewards.items():
        difference = vector(given) - vector(rewards_of_start[name])
        check_lengths(difference, ours)
        scores = (np.sign(difference) + 1) / 2
        won = win_rate(scores, prompts)
        gain = mean_gain(difference, prompts)
        found: dict[str, Any] = {
            "win_rate": won.as_json(),
            "gain": gain.as_json(),
            "is": _verdict(won, gain),
        }
        try:
            controlled = length_controlled_win_rate(scores, ours - theirs, prompts)
            found["length_controlled"] = controlled.as_json()
        except NoConvergence:
            found["length_controlled"] = None
        judges[name] = found
    return {
        "prompts": len(set(prompts)),
        "tokens": float(ours.mean()),
        "tokens_of_start": float(theirs.mean()),
        "judges": judges,
    }


def mean_gain(differences: ArrayLike, prompts: Sequence[Any]) -> Estimate:
    """The mean of differences in reward, which no scale bounds but what was seen.

    Args:
        differences: Policy less start, in one unit, shape (n,).
        prompts: Which prompt each belongs to, shape (n,).

    Raises:
        TooLittleData: Fewer than two prompts.
        InvalidData: A difference is no number.
    """
    values = vector(differences)
    farthest = float(np.abs(values).max()) or 1.0
    return clustered_mean(values, prompts, what="A gain in reward", bounds=(-farthest, farthest))


def _verdict(won: Estimate, gain: Estimate) -> str:
    if won.low > 0.5:
        return "better than its start"
    if won.high < 0.5:
        return "worse than its start"
    # It may lose much where it loses, and win little where it wins.
    lower = ", and lower in mean reward" if gain.high < 0 else ""
    return f"not shown to be better than its start{lower}"
