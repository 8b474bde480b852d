"""A report card in words: what it comes to, and what to doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evaluation.statistics import Estimate

FEW_PAIRS = 100
"""Below this the interval of an accuracy is wider than most differences between models."""
NO_SCALE = 0.01
"""Within so many nats of ln 2, a loss is that of a model that gives all answers the same reward."""
COLLAPSED = 0.1
"""Logits; whoever states every preference by less than this says at most 52.5 % against 47.5 %."""
LENGTH_BOUND = 0.6
"""Rank correlation with length above which a reward is mostly about length."""


def verdict(card: Mapping[str, Any]) -> str:
    """What a report card comes to, in one or two sentences; empty where it has no figure.

    Args:
        card: JSON, as `evaluation.report_card` returns it, also of an older version.
    """
    accuracy, baseline, ceiling = (
        _estimate(card, name) for name in ("pair_accuracy", "length_only_accuracy", "human_ceiling")
    )
    if accuracy is None or baseline is None:
        return _verdict_on_ratings(card)
    above = _estimate(card, "above_length_only")
    clearly_above = above.low > 0 if above else accuracy.low > baseline.value
    clearly_below = above.high < 0 if above else accuracy.high < baseline.value
    if clearly_below:
        worth = "Counting characters does better."
    elif not clearly_above:
        worth = "Not clearly better than counting characters."
    elif ceiling is None:
        worth = "Clearly better than counting characters."
    elif accuracy.low > ceiling.value:
        worth = "Agrees with annotators more often than they agree with one another."
    elif accuracy.high >= ceiling.value:
        worth = "Agrees with annotators about as often as they agree with one another."
    else:
        worth = (
            "Better than counting characters, and behind what annotators agree on with one another."
        )
    direction = card.get("length_only_direction", "longer")
    beside = f" always choosing the {direction} one is right in {_percent(baseline)}"
    if ceiling is not None:
        beside += f", and one annotator agrees with the others in {_percent(ceiling)}"
    return (
        f"{worth} It prefers the answer that annotators preferred in {accuracy} of {accuracy.n}"
        f" held-out comparisons;{beside}."
    )


def _verdict_on_ratings(card: Mapping[str, Any]) -> str:
    rho = _estimate(card, "spearman")
    if rho is None:
        return ""
    worth = (
        "Orders answers as their ratings do more often than not."
        if rho.low > 0
        else "No clear connection with ratings."
    )
    return (
        f"{worth} Rank correlation with the ratings of {rho.n} held-out answers:"
        f" {rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}]; 1 is the same order, 0 is none."
    )


def warnings(card: Mapping[str, Any]) -> list[str]:
    """What to doubt, the gravest first.

    Args:
        card: The figures by the names of `evaluation.report_card`, estimates not yet as JSON.
    """
    found = []
    if card["simulated"]:
        found.append("Simulated raters judged here: this says nothing about what people prefer.")
    if card["leaked_prompts"]:
        found.append(
            f"{card['leaked_prompts']} of the {card['prompts']} prompts were in the training data"
            " too (the same letters and digits): the figures flatter the model."
        )
    if card["pair_accuracy"] is not None:
        found += _on_pairs(card)
    spread = card["reward_spread"]
    if spread is not None and spread < COLLAPSED:
        found.append(
            f"The scale has collapsed: nine in ten rewards lie within {spread:.2g} logits of each"
            " other, so they tell answers apart by next to nothing."
        )
    correlation = card["length_correlation"]
    if correlation is not None and abs(correlation) > LENGTH_BOUND:
        found.append(
            f"Rewards go with length: rank correlation {correlation:+.2f} with the number of"
            " characters."
        )
    return found


def _on_pairs(card: Mapping[str, Any]) -> list[str]:
    found = []
    accuracy, baseline = card["pair_accuracy"], card["length_only_accuracy"]
    direction = card["length_only_direction"]
    if accuracy.value < baseline.value:
        found.append(
            f"Below the length-only baseline: {accuracy} against {baseline} for always choosing"
            f" the {direction} answer. The model has learnt less than counting characters."
        )
    elif card["above_length_only"].low <= 0:
        found.append(
            f"Not clearly above the length-only baseline: {accuracy} against {baseline} for"
            f" always choosing the {direction} answer."
        )
    if accuracy.low <= 0.5:
        found.append(f"Not clearly better than guessing: pair accuracy {accuracy}.")
    if abs(card["loss"] - math.log(2)) < NO_SCALE:
        found.append(
            f"The loss, {card['loss']:.3f} nats, is that of a model that cannot tell answers"
            " apart (ln 2 = 0.693): its rewards hardly differ, whatever their order."
        )
    found += [
        f"Worse on prompts of the kind {one['kind']!r}: {one['pair_accuracy']} against {accuracy}"
        " on all, more than chance explains with so many kinds looked at."
        for one in card["kinds"]
        if one["clearly_worse"]
    ]
    if card["pairs"] < FEW_PAIRS:
        found.append(
            f"Only {card['pairs']} decided test pairs; with fewer than {FEW_PAIRS} two models"
            " can hardly be told apart."
        )
    return found


def _estimate(card: Mapping[str, Any], name: str) -> Estimate | None:
    found = card.get(name)
    return Estimate(**found) if found else None


def _percent(estimate: Estimate) -> str:
    return f"{estimate.value:.0%}".replace("%", " %")
