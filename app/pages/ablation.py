"""An ablation on the page: what it comes to, its figures and its tables, also while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from app.ablation import SUMMARY
from app.pages.fragments import Column, interval, joined, lines, notice, number, section, table
from evaluation.ablation import Ablation
from evaluation.ablation_figures import differences, learning_curves
from evaluation.ablation_words import chance, findings, signed, verdict, warnings
from evaluation.statistics import Estimate
from storage.records import Job

FIGURES = ("Pair accuracy over the number of labels", "Differences of the kinds")


def found_so_far(job: Job, folder: Path) -> Ablation | None:
    """What the models that were judged already say; None before the first.

    Args:
        job: Whose result has it in the end.
        folder: The job's own, which has it while it runs.
    """
    known: dict[str, Any] | None = job.result.get("ablation")
    if known is None and (folder / SUMMARY).is_file():
        known = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return None if known is None else Ablation.read(known)


def figures(found: Ablation) -> list[Any]:
    """In the order of `FIGURES`; None where there is nothing to draw."""
    return [learning_curves(found), differences(found)]


def summary(found: Ablation) -> Markup:
    """What it comes to, and what to doubt."""
    return Markup('<div class="t-card t-stack">{}</div>').format(
        joined(
            [
                section("What does each signal buy?"),
                Markup('<div class="t-verdict"><p>{}</p></div>').format(_kept(verdict(found))),
                Markup('<ul class="t-findings">{}</ul>').format(
                    joined(
                        Markup("<li>{}</li>").format(_kept(finding)) for finding in findings(found)
                    )
                ),
                *(notice(warning, "warn") for warning in warnings(found)),
            ]
        )
    )


def tables(found: Ablation) -> Markup:
    """The numbers in the figures: for who cannot see them, and to copy from."""
    accuracies = table(
        (
            Column("Model"),
            Column("Pair accuracy"),
            Column("Seeds ±", numeric=True),
            Column("Above length only", numeric=True),
            Column("Spearman", numeric=True),
        ),
        [
            (
                lines(one.kind, f"{number(one.labels)} labels"),
                interval(
                    one.pair_accuracy.as_json(),
                    reference=found.length_only_accuracy.value,
                    reference_name=f"always choosing the {found.length_only_direction} answer:",
                ),
                None if one.seed_deviation is None else f"{100 * one.seed_deviation:.1f}",
                _difference(one.above_length_only),
                _rank(one.spearman) if one.spearman else None,
            )
            for one in found.accuracies
        ],
        caption="Accuracy of each kind with each number of labels",
    )
    pairs = table(
        (
            Column("Difference"),
            Column("Percentage points", numeric=True),
            Column("Of each seed", numeric=True),
            Column("p after Holm", numeric=True),
        ),
        [
            (
                lines(f"{one.kind} over {one.other}", f"{number(one.labels)} labels"),
                _difference(one.difference),
                ", ".join(map(signed, one.by_seed)),
                chance(one.p_holm),
            )
            for one in found.differences
        ],
        caption="Differences of the kinds with the same labels and seeds",
    )
    return Markup(
        '<details class="t-card"><summary>The numbers in the figures</summary><div class="t-stack">'
        "{}</div></details>"
    ).format(joined([accuracies, pairs] if found.differences else [accuracies]))


def _difference(estimate: Estimate) -> Markup:
    return lines(signed(estimate.value), f"{signed(estimate.low)} to {signed(estimate.high)}")


def _rank(estimate: Estimate) -> Markup:
    return lines(f"{estimate.value:.2f}", f"{estimate.low:.2f} to {estimate.high:.2f}")


def _kept(sentence: str) -> str:
    """A number stays with its sign for percent."""
    return sentence.replace(" %", "\u00a0%")
