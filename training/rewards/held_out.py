"""What a report card found on held-out prompts, as a part of a model card in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MARKUP = frozenset("\\`*_[]<>|~")
_FIGURES = {
    "pair_accuracy": "pair accuracy",
    "length_only_accuracy": "the same by length alone",
    "human_ceiling": "one annotator with the others",
    "spearman": "Spearman's correlation with ratings",
    "kendall": "Kendall's tau-b with ratings",
    "mean_absolute_error": "error of foretold ratings, points",
}
"""Estimates of a report card, in the order of the model card."""


def held_out_section(card: Mapping[str, Any] | None) -> str:
    """What the report card says, with numbers in tables.

    Annotators are not named here, not even by pseudonym: a model card is read by everybody.
    """
    if card is None:
        return ""
    rows = [
        f"| {title} | {_estimate(card[name])} | {card[name]['n']} |"
        for name, title in _FIGURES.items()
        if card.get(name)
    ]
    parts = [
        "## On prompts that it has not seen",
        unmarked(card.get("verdict", "")),
        _table("| | value, 95 % interval | judgements |", rows),
        _table(
            "| kind of prompt | pair accuracy | judgements |",
            [
                f"| {unmarked(one['kind'])} | {_estimate(one['pair_accuracy'])} |"
                f" {one['pair_accuracy']['n']} |"
                for one in card.get("kinds", ())
            ],
        ),
        _agreement(card.get("annotators", ())),
        "\n".join(f"- **Doubt:** {unmarked(warning)}" for warning in card.get("warnings", ())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _agreement(annotators: Sequence[Mapping[str, Any]]) -> str:
    """How far agreement differs between annotators."""
    if len(annotators) < 2:
        return ""
    shares = sorted(one["pair_accuracy"]["value"] for one in annotators)
    return (
        f"Of {len(annotators)} annotators it agrees with one in {shares[0]:.0%} of the decided"
        f" pairs and with another in {shares[-1]:.0%}; the others lie between."
    )


def _table(head: str, rows: Sequence[str]) -> str:
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *rows]) if rows else ""


def _estimate(one: Mapping[str, Any]) -> str:
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def unmarked(text: str) -> str:
    """Words with names from the data, so that none ends its cell or starts a link or an element."""
    return "".join(f"\\{sign}" if sign in _MARKUP else sign for sign in " ".join(text.split()))
