"""When a run ends before its last step, by the options that its researcher set."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from training.policies.health.finding import Finding
from training.policies.health.history import FIRST, History

if TYPE_CHECKING:
    from training.policies.config import PPOConfig


def reason_to_stop(history: History, found: Sequence[Finding], config: PPOConfig) -> str:
    """Why the run should end now, in words; empty while it should go on.

    Args:
        history: Of the run.
        found: What goes wrong now.
        config: Its `stop_kl`, `stop_patience` and `stop_on` rule.
    """
    kl = history.last("kl", FIRST)
    if config.stop_kl is not None and kl and (mean := fmean(kl)) > config.stop_kl:
        return (
            f"The KL budget is spent: {mean:.2f} nats per answer over the last {FIRST} steps, with"
            f" stop_kl at {config.stop_kl:g}."
        )
    looks = history.looks()
    if config.stop_patience is not None and looks:
        step, best = max(looks, key=lambda look: look[1])
        since = sum(look[0] > step for look in looks)
        if since >= config.stop_patience:
            return (
                f"The watched reward has not risen above its {best:+.2f} of step {step} for {since}"
                f" looks, with stop_patience at {config.stop_patience}."
            )
    for finding in found:
        if finding.rule in config.stop_on:
            return f"{finding.title}: {finding.seen} (stop_on {finding.rule})"
    return ""
