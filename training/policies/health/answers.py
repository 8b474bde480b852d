"""Rules about what the policy writes, and about what rewards make of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, permutations
from statistics import fmean
from typing import TYPE_CHECKING

from training.policies.health.finding import Finding, changed, either
from training.policies.health.history import (
    FIRST,
    HELD_OUT_REWARD,
    PATIENCE,
    RECENT,
    WATCHED,
    History,
)
from training.policies.reward_options import short

if TYPE_CHECKING:
    from training.policies.config import PPOConfig

LOOKS = 3
"""Looks at held-out prompts that make a mean; one alone may be lucky."""
DROP = 0.1
"""Standard deviations of a watched reward; less is nothing that anybody would see."""
APART = 0.3
"""Standard deviations by which two rewards must have moved in opposite directions."""
NO_SPREAD = 0.02
"""Standard deviations of the reward on its snapshot, among the answers of a step."""
REPEATED, MORE_REPEATED = 0.2, 0.1
"""Share of repeated 4-grams, and how much of it must be new. Text by people has about a hundredth,
loops of greedy decoding about four tenths (Welleck et al. 2020, table 2)."""
LONGER, SHORTER, FEWEST_TOKENS = 1.5, 0.5, 10
"""Of the length at the start, and the change in tokens below which neither matters. Answers tuned
with PPO are often 1.5 times as long and more, and most of their reward is length (Singhal et al.
2023, arXiv:2310.03716)."""
FOLLOWS = 0.3
"""Correlation of reward and length among the answers of a step; conventionally a medium one."""


def over_optimised(history: History, config: PPOConfig) -> Iterator[Finding]:
    """On the same held-out answers, what is learned from rises and what is watched falls.

    Two looks make one figure, so that a single lucky one is no best.

    Source:
        Gao, Schulman and Hilton (2022), "Scaling Laws for Reward Model Overoptimization",
        arXiv:2210.10760, figure 1: the gold reward peaks and then falls as the proxy still rises.
    """
    learned = dict(history.points.get(HELD_OUT_REWARD, ()))
    for name in history.after_prefix(WATCHED):
        looks = [look for look in history.points[WATCHED + name] if look[0] in learned]
        if len(looks) < 4:
            continue
        pairs = [
            (second[0], (first[1] + second[1]) / 2, (learned[first[0]] + learned[second[0]]) / 2)
            for first, second in pairwise(looks)
        ]
        step, best, then = max(pairs, key=lambda pair: pair[1])
        _, now, today = pairs[-1]
        error = history.error_of_looks(name)
        if best - now > max(DROP, 3 * error) and today > then:
            yield Finding(
                rule="over_optimised",
                about=name,
                grave=True,
                title=f"The reward still rises while {name} falls",
                seen=f"On the held-out prompts, {name} fell from {best:+.2f} around step {step} to"
                f" {now:+.2f}, and the reward rose from {then:+.2f} to {today:+.2f}.",
                meaning="The policy now finds the faults of the reward models instead of better"
                " answers (over-optimisation).",
                remedy=either(
                    "" if config.keep == "best" else "set keep from last to best",
                    changed(config, "kl_coefficient", 2, from_zero=0.05),
                    changed(config, "kl_target", 0.5),
                ),
            )


def no_better(history: History, config: PPOConfig) -> Iterator[Finding]:
    """After two looks to learn in and three more, what is watched is no higher than at the start.

    The prompts and the random numbers of all looks are the same, so that the figures compare.
    """
    learned = [value for _, value in history.points.get(HELD_OUT_REWARD, ())]
    for name in history.after_prefix(WATCHED):
        looks = [value for _, value in history.points[WATCHED + name]]
        if len(looks) < 2 + LOOKS or (now := fmean(looks[-LOOKS:])) > (start := looks[0]):
            continue
        error = history.error_of_looks(name)
        worse = start - now > max(DROP, 3 * error)
        rose = bool(learned) and fmean(learned[-LOOKS:]) > learned[0]
        yield Finding(
            rule="no_better",
            about=name,
            grave=worse,
            title=f"{'Worse' if worse else 'No better'} than its start, by what {name} says",
            seen=f"On the held-out prompts, {name} was {start:+.2f} at the start and is {now:+.2f}"
            f" over the last {LOOKS} looks; the standard error of a look is {error:.2f}.",
            meaning=(
                f"The rewards that are learned from rose there, so they pay for what {name} does"
                " not call better."
                if rose
                else "The rewards that are learned from did not rise there either: what earns more"
                " in training does not carry over to other prompts."
            ),
            remedy=either(
                "have some of these answers judged and train the reward models again",
                changed(config, "kl_coefficient", 2, from_zero=0.05)
                if rose
                else changed(config, "episodes", 2),
                "" if config.keep == "best" else "set keep from last to best",
            ),
        )


def reward_not_rising(history: History, config: PPOConfig) -> Iterator[Finding]:
    """In training itself nothing has been gained, and there was time for it."""
    change = history.change("reward")
    if change and history.steps() >= PATIENCE and change.by <= 0:
        yield Finding(
            rule="reward_not_rising",
            grave=False,
            title="The reward has not risen",
            seen=f"It was {change.start:+.2f} over the first {FIRST} steps and is {change.now:+.2f}"
            f" over the last {RECENT} of {history.steps()}.",
            meaning="So far this policy is no better than its start: steps are too small, or the"
            " rewards are too noisy to learn from with so few answers in a step.",
            remedy=either(
                changed(config, "episodes", 2),
                changed(config, "learning_rate", 2, from_zero=2e-4),
                changed(config, "kl_coefficient", 0.5),
            ),
        )


def rewards_apart(history: History, config: PPOConfig) -> Iterator[Finding]:
    """One reward is bought with another. What is weighed below 0 gains by falling."""
    weights = {short(name): weight for name, weight in config.rewards.items()}
    moved = {
        name: (change, change.by if weight > 0 else -change.by)
        for name in history.after_prefix("reward/")
        if (weight := weights.get(name, 1.0))
        and (change := history.change(f"reward/{name}"))
        and change.is_clear
    }
    for up, down in permutations(moved, 2):
        (rise, gained), (fall, lost) = moved[up], moved[down]
        if gained > APART and lost < -APART:
            yield Finding(
                rule="rewards_apart",
                about=f"{up}, {down}",
                grave=False,
                title=f"{up} gains what {down} loses",
                seen=f"Since the start, {up} went from {rise.start:+.2f} to {rise.now:+.2f} and"
                f" {down} from {fall.start:+.2f} to {fall.now:+.2f}.",
                meaning="The two want different answers, and the mixture pays more for the first.",
                remedy=f"Change their weights in rewards (now {up}={weights.get(up, 1):g},"
                f" {down}={weights.get(down, 1):g}), or look at where they disagree: one of"
                " them may be wrong.",
            )


def no_spread(history: History, config: PPOConfig) -> Iterator[Finding]:
    """All answers earn the same, and whitening makes advantages out of the rest."""
    values = history.last("reward_spread", RECENT)
    if values and (mean := fmean(values)) < NO_SPREAD:
        yield Finding(
            rule="no_spread",
            grave=False,
            title="All answers earn the same",
            seen=f"Within a step their rewards differ by {mean:.2g} (standard deviation, last"
            f" {RECENT} steps).",
            meaning="There is nothing to prefer, so the policy learns from noise: the reward models"
            " do not tell these answers apart, or all that they teach is learned.",
            remedy=either(
                "stop here if the reward is as high as it can be",
                changed(config, "temperature", 1.2),
                changed(config, "episodes", 2),
            ),
        )


def repeated_text(history: History, config: PPOConfig) -> Iterator[Finding]:
    """Answers go round in circles, and did not at the start."""
    change = history.change("repeated_text")
    if change and change.now > max(REPEATED, change.start + MORE_REPEATED):
        yield Finding(
            rule="repeated_text",
            grave=True,
            title="Answers repeat themselves",
            seen=f"{change.now:.0%} of the 4-token phrases of an answer stood in it before; at the"
            f" start {change.start:.0%} did.",
            meaning="The reward models like more of the same, or do not mind it. People do.",
            remedy=either(
                changed(config, "kl_coefficient", 2, from_zero=0.05),
                changed(config, "max_new_tokens", 0.5),
                "have some of these answers judged and train the reward models again",
            ),
        )


def length_drift(history: History, config: PPOConfig) -> Iterator[Finding]:
    """Answers become much longer or shorter, and perhaps that is what the reward is for."""
    change = history.change("response_length")
    if not change or not change.is_clear or abs(change.by) < FEWEST_TOKENS:
        return
    longer = change.now > change.start
    if SHORTER * change.start < change.now < LONGER * change.start:
        return
    together = history.last("length_correlation", RECENT)
    correlation = fmean(together) if together else 0.0
    follows = correlation > FOLLOWS if longer else correlation < -FOLLOWS
    word = "longer" if longer else "shorter"
    meaning = (
        f"The reward follows length: among the answers of a step their correlation is"
        f" {correlation:+.2f}. What looks like quality may be {word} text."
        if follows
        else f"The reward does not follow length ({correlation:+.2f} among the answers of a step),"
        " so this may be what good answers need. Read the samples."
    )
    remedies = (
        [changed(config, "max_new_tokens", 0.5)]
        if longer
        else [changed(config, "missing_end_penalty", 0.5)]
    )
    yield Finding(
        rule="length_drift",
        grave=follows,
        title=f"Answers have become much {word}",
        seen=f"{change.now:.0f} tokens on average, {change.start:.0f} at the start.",
        meaning=meaning,
        remedy=either(
            changed(config, "kl_coefficient", 2, from_zero=0.05),
            *remedies,
            "weigh length against it in rewards" if follows else "",
        ),
    )


def answers_cut(history: History, config: PPOConfig) -> Iterator[Finding]:
    """Most answers are judged without their end. Who sets no penalty on that says it is meant."""
    values = history.last("finished_fraction", RECENT)
    if values and config.missing_end_penalty and (mean := fmean(values)) < 0.5:
        yield Finding(
            rule="answers_cut",
            grave=False,
            title="Most answers are cut",
            seen=f"{1 - mean:.0%} do not end within {config.max_new_tokens} tokens (last {RECENT}"
            " steps).",
            meaning="Reward models judge answers without their end, and the penalty for that"
            " drowns what they say.",
            remedy=either(
                changed(config, "max_new_tokens", 2), changed(config, "missing_end_penalty", 2)
            ),
        )
