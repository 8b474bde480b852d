"""What is going wrong in a PPO run, in words, each with what to do about it.

A rule looks at the run's history and says nothing, or what it saw, what that usually means, and
which option to change from which value. Rules are pure, so the loop that trains, the page that
watches it and the model card say the same. Nothing here imports torch: the web server reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from training.policies.health.answers import (
    answers_cut,
    length_drift,
    no_better,
    no_spread,
    over_optimised,
    repeated_text,
    reward_not_rising,
    rewards_apart,
)
from training.policies.health.finding import Finding
from training.policies.health.history import History
from training.policies.health.learning import (
    entropy_collapsed,
    hardly_moves,
    kl_above_target,
    much_clipped,
    negative_kl,
    ratio_off,
    value_not_learning,
)

if TYPE_CHECKING:
    from training.policies.config import PPOConfig

Rule = Callable[[History, "PPOConfig"], Iterator[Finding]]

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        negative_kl,
        ratio_off,
        over_optimised,
        no_better,
        entropy_collapsed,
        repeated_text,
        length_drift,
        kl_above_target,
        rewards_apart,
        much_clipped,
        hardly_moves,
        reward_not_rising,
        value_not_learning,
        answers_cut,
        no_spread,
    )
}
"""Every rule by its name, the most telling first."""


def findings(history: History, config: PPOConfig) -> list[Finding]:
    """What goes wrong now, the gravest first."""
    found = [finding for rule in RULES.values() for finding in rule(history, config)]
    return sorted(found, key=lambda finding: not finding.grave)
