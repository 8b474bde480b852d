"""An ablation in words: which kind of model does better at which budget, and what to doubt."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

from evaluation.ablation import Ablation, Accuracy, Difference
from evaluation.card_words import FEW_PAIRS
from evaluation.paired import turned
from evaluation.statistics import Estimate

ALPHA = 0.05
"""A difference is told as one where its corrected probability is below this."""


def told(found: Ablation) -> dict[str, Any]:
    """An ablation as jobs, commands and pages carry it: in words, then in numbers."""
    return {
        "verdict": verdict(found),
        "findings": findings(found),
        "warnings": warnings(found),
        **found.as_json(),
    }


def verdict(found: Ablation) -> str:
    """What the largest budget says: first of the kinds, then of the best one's worth."""
    most = found.labels[-1]
    return f"{at_budget(found, most)} {_worth(found, most)}".strip()


def findings(found: Ablation) -> list[str]:
    """What else there is to say: of the smaller budgets, the largest first, and of more labels."""
    said = [at_budget(found, labels) for labels in reversed(found.labels[:-1])]
    said += [_gain(found, kind) for kind in found.kinds]
    return [sentence for sentence in said if sentence]


def at_budget(found: Ablation, labels: int) -> str:
    """Which kinds can be told apart with so many labels; empty where there is one kind."""
    known = [_turned(one) for one in found.differences if one.labels == labels]
    if not known:
        return ""
    right = {one.kind: one.pair_accuracy.value for one in found.accuracies if one.labels == labels}
    clear = sorted((one for one in known if one.p_holm < ALPHA), key=lambda one: -right[one.kind])
    unclear = [one for one in known if one.p_holm >= ALPHA]
    place = f"With {number(labels)} labels"
    if not clear and len(known) > 1:
        largest = max(unclear, key=lambda one: one.difference.value)
        return (
            f"{place} the kinds cannot be told apart; the largest difference is that of"
            f" {largest.kind} over {largest.other}, {_unclear(found, largest)}."
        )
    parts = [
        f"{kind} beats "
        + in_words(
            [f"{one.other} by {points(one.difference)}" for one in clear if one.kind == kind]
        )
        for kind in dict.fromkeys(one.kind for one in clear)
    ]
    alike = [kind for kind in found.kinds if any(kind in (one.kind, one.other) for one in unclear)]
    if len(unclear) == comb(len(alike), 2) > 1:
        parts.append(f"{in_words(alike)} cannot be told apart")
    else:
        parts += [
            f"{one.kind} and {one.other} cannot be told apart ({_unclear(found, one)})"
            for one in unclear
        ]
    return f"{place} {'; '.join(parts)}."


def _turned(one: Difference) -> Difference:
    """The same with the better kind first."""
    return one if one.difference.value >= 0 else one.turned()


def _unclear(found: Ablation, one: Difference) -> str:
    """A difference that may be chance; says so where its own interval does not hold 0."""
    low, high = one.difference.low, one.difference.high
    if low <= 0 <= high:
        return points(one.difference)
    return (
        f"{points(one.difference)}, which one of {len(found.differences)} differences may well be"
        " by chance"
    )


def _worth(found: Ablation, labels: int) -> str:
    """The best kind of a budget beside the baseline and the ceiling."""
    known = [one for one in found.accuracies if one.labels == labels]
    if not known:
        return ""
    best = max(known, key=lambda one: one.pair_accuracy.value)
    who = "It" if len(found.kinds) == 1 else best.kind.capitalize()
    sentence = (
        f"{who} is right in {best.pair_accuracy} of {number(found.pairs)} held-out comparisons;"
        f" always choosing the {found.length_only_direction} answer is right in"
        f" {percent(found.length_only_accuracy)}"
    )
    if found.human_ceiling is not None:
        sentence += f", and one annotator agrees with the others in {percent(found.human_ceiling)}"
    return f"{sentence}."


def _gain(found: Ablation, kind: str) -> str:
    """What more labels brought one kind."""
    gain = next((one for one in found.gains if one.kind == kind), None)
    if gain is None:
        return ""
    step = f"From {number(gain.fewer)} to {number(gain.more)} labels"
    if gain.difference.low > 0:
        return f"{step} {kind} gains {points(gain.difference)}."
    if gain.difference.high < 0:
        return f"{step} {kind} loses {points(turned(gain.difference))}."
    return f"{step} {kind} does not clearly change: {points(gain.difference, signed=True)}."


def warnings(found: Ablation) -> list[str]:
    """What to doubt, the gravest first."""
    doubts = []
    if found.simulated:
        doubts.append("Simulated raters judged here: this says nothing about what people prefer.")
    if found.to_come:
        doubts.append(
            f"{number(found.to_come)} models are still to be trained; the figures are of the rest."
        )
    doubts += found.failed
    doubts += [
        f"{one.kind.capitalize()} with {number(one.labels)} labels learned from no more than"
        f" {number(one.judgements)}: the other conversations are longer than max_tokens."
        for one in found.accuracies
        if one.judgements < one.labels
    ]
    if found.pairs < FEW_PAIRS:
        doubts.append(
            f"Only {found.pairs} decided test pairs; with fewer than {FEW_PAIRS} two models can"
            " hardly be told apart."
        )
    if any(len(one.seeds) == 1 for one in found.accuracies):
        doubts.append(
            "One seed says nothing of luck: another draw of labels and another start may turn a"
            " difference around. Take at least 3 seeds."
        )
    doubts += _seeds_that_disagree(found)
    doubts += _below_length(found)
    if found.left_out:
        doubts.append(
            f"{number(found.left_out)} held-out comparisons were left out, as one of the models"
            " cannot read them whole."
        )
    return doubts


def _seeds_that_disagree(found: Ablation) -> list[str]:
    """Clear differences that not every seed shares: the interval is about prompts, not seeds."""
    clear = [_turned(one) for one in found.differences if one.p_holm < ALPHA]
    return [
        f"With {number(one.labels)} labels not every seed finds {one.kind} better than {one.other}:"
        f" the seeds' differences reach from {signed(min(one.by_seed))} to"
        f" {signed(max(one.by_seed))} points."
        for one in clear
        if min(one.by_seed) <= 0
    ]


def _below_length(found: Ablation) -> list[str]:
    """Kinds that are no better than counting characters even with the most labels."""
    known = [one for one in found.accuracies if one.labels == found.labels[-1]]
    return [
        f"{one.kind.capitalize()} with {number(one.labels)} labels is not clearly above always"
        f" choosing the {found.length_only_direction} answer:"
        f" {points(one.above_length_only, signed=True)}."
        for one in known
        if one.above_length_only.low <= 0
    ]


def label(one: Accuracy | Difference) -> str:
    """What a line of a figure or a table is about."""
    budget = f"{number(one.labels)} labels"
    if isinstance(one, Difference):
        return f"{budget}: {one.kind} over {one.other}"
    return f"{one.kind}, {budget}"


def points(estimate: Estimate, *, signed: bool = False) -> str:
    """A difference of accuracies in percentage points: `3.1 points [0.4, 5.8]`."""
    value = _point(estimate.value, signed=signed)
    return f"{value} points [{_point(estimate.low)}, {_point(estimate.high)}]"


def signed(fraction: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    return _point(fraction, signed=True)


def _point(fraction: float, *, signed: bool = False) -> str:
    # Adding 0 turns a zero from below, which would be written -0.0, into a plain one.
    rounded = round(100 * fraction, 1) + 0.0
    return (f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}").replace("-", "−")


def percent(estimate: Estimate) -> str:
    """A share without its interval."""
    return f"{estimate.value:.0%}".replace("%", " %")


def number(amount: int) -> str:
    """A number as it is written in English sentences."""
    return f"{amount:,}"


def in_words(parts: Sequence[str]) -> str:
    """One, one and two, or one, two and three."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def chance(probability: float) -> str:
    """A probability to three places."""
    return "below 0.001" if probability < 0.001 else f"{probability:.3f}"
