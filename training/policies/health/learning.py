"""Rules about how the policy learns: its divergence, its ratio, its entropy, its value head."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING

from training.policies.health.finding import Finding, changed, either
from training.policies.health.history import LONG, PATIENCE, RECENT, History, mean_and_error

if TYPE_CHECKING:
    from training.policies.config import PPOConfig

NEGATIVE_KL = -0.1
"""Nats per answer; below this a mean is no rounding any more."""
RATIO_OFF = 0.01
"""Of a probability; a twentieth of the usual clip, and far more than fp32 rounds."""
FAR = 1.5
"""Of the KL target; the adaptive price moves by at most 2 percent a step (Ziegler et al. 2019), so
a while above the target is normal."""
COLLAPSED = 0.2
"""Of the entropy at the start. What a policy still gains falls with its entropy, and is used up
when that is (Cui et al. 2025, arXiv:2505.22617); a fifth leaves time to do something."""
MUCH_CLIPPED = 0.3
"""Of the tokens: their gradient is gone. Above, the updates between policies are too drastic (TRL's
documentation of PPO, "Cookbook": the ratio should float around 1)."""
UNMOVED = 1e-6
"""Nats per token and update: a probability of 0.1 changes by 0.0001."""
UNEXPLAINED = 0.05
"""Of the returns' variance: 0 is what predicting a constant explains, and less is worse (the
docstring of `explained_variance` in openai/baselines)."""


def negative_kl(history: History, config: PPOConfig) -> Iterator[Finding]:
    """A divergence is never negative, and so is no mean of many unbiased estimates of it.

    Source:
        TRL's documentation, "What is the concern with negative KL divergence?".
    """
    values = history.last("kl", RECENT)
    if not values:
        return
    mean, error = mean_and_error(values)
    if mean < NEGATIVE_KL and mean + 3 * error < 0:
        yield Finding(
            rule="negative_kl",
            grave=True,
            title="The KL from the start is negative",
            seen=f"It was {mean:.2f} nats per answer on average over the last {RECENT} steps.",
            meaning="No divergence is; its estimate can be when answers are drawn otherwise than"
            " from the probabilities that are compared: with top-k, top-p, another temperature, or"
            " weights in another precision. The policy is then paid for being off.",
            remedy="Stop this run. See that answers are drawn from the whole softmax at temperature"
            f" {config.temperature:g}, by the weights that learn. "
            + either(
                changed(config, "learning_rate", 0.5),
                changed(config, "kl_coefficient", 2, from_zero=0.05),
            ),
        )


def ratio_off(history: History, config: PPOConfig) -> Iterator[Finding]:
    """Before the first update of a step, old and new probabilities are those of one policy."""
    values = history.last("ratio_error", 3)
    if values and (off := fmean(values)) > RATIO_OFF:
        yield Finding(
            rule="ratio_off",
            grave=True,
            title="The ratio is not 1 before learning begins",
            seen=f"Before a step's first update, the probability of a token was already {off:.1%}"
            " off (root mean square, last 3 steps).",
            meaning="The same weights do not read the same answer the same way twice: dropout is"
            f" on, or precision or batches differ. The clip of {config.clip:g} then cuts noise.",
            remedy="Stop this run: what it learns is noise. Choose another start, or fp32.",
        )


def kl_above_target(history: History, config: PPOConfig) -> Iterator[Finding]:
    """The divergence does not come back to where it should be."""
    values = history.last("kl", LONG)
    if values and min(values) > config.kl_target and fmean(values) > FAR * config.kl_target:
        yield Finding(
            rule="kl_above_target",
            grave=False,
            title="The KL stays above its target",
            seen=f"{fmean(values):.1f} nats per answer over the last {LONG} steps; the target is"
            f" {config.kl_target:g}.",
            meaning="The policy leaves its start faster than the price of that rises, and reward"
            " models know little about answers so far away.",
            remedy=either(
                changed(config, "kl_coefficient", 2, from_zero=0.05),
                changed(config, "kl_gain", 2, from_zero=0.1),
                changed(config, "learning_rate", 0.5),
            ),
        )


def entropy_collapsed(history: History, config: PPOConfig) -> Iterator[Finding]:
    """A policy that says the same every time discovers nothing."""
    change = history.change("entropy")
    if change and change.is_clear and change.now < COLLAPSED * change.start:
        yield Finding(
            rule="entropy_collapsed",
            grave=True,
            title="The entropy has collapsed",
            seen=f"It is {change.now:.2g} nats per token, {change.now / change.start:.0%} of the"
            f" {change.start:.2g} at the start.",
            meaning="The policy says nearly the same every time, so it finds nothing better any"
            " more; often one phrase that the reward likes has taken over. Read the samples.",
            remedy=either(
                changed(config, "entropy_coefficient", 2, from_zero=0.01),
                changed(config, "kl_coefficient", 2, from_zero=0.05),
                changed(config, "learning_rate", 0.5),
            ),
        )


def much_clipped(history: History, config: PPOConfig) -> Iterator[Finding]:
    """Most of what a step could teach is cut off."""
    values = history.last("clip_fraction", RECENT)
    if values and (mean := fmean(values)) > MUCH_CLIPPED:
        yield Finding(
            rule="much_clipped",
            grave=False,
            title="Many updates are clipped",
            seen=f"The gradient of {mean:.0%} of the tokens was cut off, because their probability"
            f" had moved by more than {config.clip:g} within a step (last {RECENT} steps).",
            meaning="Steps are too large: the policy leaves the answers that it learns from.",
            remedy=either(changed(config, "learning_rate", 0.5), changed(config, "epochs", 0.5)),
        )


def hardly_moves(history: History, config: PPOConfig) -> Iterator[Finding]:
    """Nothing is ever clipped because nothing changes."""
    if config.epochs * config.minibatches == 1:
        return  # A step's only update begins where the answers were written: the ratio is 1.
    values, clipped = (history.last(name, LONG) for name in ("approx_kl", "clip_fraction"))
    if values and clipped and not any(clipped) and (mean := fmean(values)) < UNMOVED:
        yield Finding(
            rule="hardly_moves",
            grave=False,
            title="The policy hardly moves",
            seen=f"No update was clipped in the last {LONG} steps, and a step moves the policy by"
            f" {mean:.1g} nats per token.",
            meaning="Steps are too small to learn from so few answers.",
            remedy=either(
                changed(config, "learning_rate", 3, from_zero=2e-4), changed(config, "epochs", 2)
            ),
        )


def value_not_learning(history: History, config: PPOConfig) -> Iterator[Finding]:
    """The value head foretells no more than a constant would."""
    values = history.last("explained_variance", LONG)
    if not values or history.steps() < PATIENCE:
        return
    mean, error = mean_and_error(values)
    if mean + 3 * error < UNEXPLAINED:
        harmful = mean < -UNEXPLAINED
        yield Finding(
            rule="value_not_learning",
            grave=False,
            title="The value head does not learn",
            seen=f"It explains {mean:.0%} of what answers earn (last {LONG} steps)."
            + (" Below 0 is worse than a constant." if harmful else ""),
            meaning="Advantages are then as noisy as without it"
            + (", or noisier" if harmful else "")
            + ", and the policy learns slowly.",
            remedy=either(
                changed(config, "value_learning_rate", 1 / 3 if harmful else 3, from_zero=1e-3),
                changed(config, "episodes", 2),
            ),
        )
