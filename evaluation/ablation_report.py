"""The report of an ablation: one HTML file with its sentences, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.ablation import Ablation
from evaluation.ablation_figures import differences, learning_curves
from evaluation.ablation_words import (
    chance,
    findings,
    in_words,
    number,
    signed,
    verdict,
    warnings,
)
from evaluation.report_parts import rendered


def ablation_html(found: Ablation, *, facts: Mapping[str, str]) -> str:
    """The whole report as one HTML document.

    Args:
        found: What the trials said.
        facts: What identifies the run: snapshot, base model, options.
    """
    seeds = max(len(one.seeds) for one in found.accuracies)
    return rendered(
        "ablation.html.jinja",
        found=found,
        verdict=verdict(found),
        findings=findings(found),
        warnings=warnings(found),
        budgets=in_words([number(labels) for labels in found.labels]),
        seeds="one seed" if seeds == 1 else f"{seeds} seeds",
        curves=learning_curves(found),
        forest=differences(found),
        signed=signed,
        chance=chance,
        facts=facts,
    )
