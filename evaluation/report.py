"""The report of a whole loop: one HTML file that holds all it shows and loads nothing.

Whoever ran the loop fills a `LoopReport` with plain data. A part that was not run is left empty,
and its section is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from evaluation import figures
from evaluation.card_figures import DRAWN
from evaluation.report_parts import rendered
from evaluation.statistics import Agreement, Estimate
from evaluation.verdict import ArmComparison, StudyResult
from storage.files import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was collected before anything was trained."""

    prompts: int
    responses: int
    comparisons: int
    ratings: int
    annotators: int
    """People, programs and simulated raters together."""
    choices: Mapping[int, int] = field(default_factory=dict)
    """How often each choice was made: -3 left much better ... 0 tie ... +3 right much better."""
    rating_values: Mapping[int, int] = field(default_factory=dict)
    """How often each rating from 1 to 7 was given."""
    agreement: Agreement | None = None
    """Between annotators, on choices."""
    position_bias: Estimate | None = None
    """Share of left among decided choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelPart:
    """One reward model and its report card on held-out prompts."""

    name: str
    recipe: str
    card: Mapping[str, Any]
    """As `evaluation.report_card` returns it."""
    seconds: float | None = None
    """Time that training took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePart:
    """One metric over the steps of a run."""

    title: str
    points: Sequence[tuple[float, float]]
    """(step, value), in the order of steps."""
    unit: str = ""
    reference: float | None = None
    """A value to compare with, for example the target of the KL controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPart:
    """One policy: how its training went, and how its answers changed."""

    name: str
    summary: str = ""
    """In words: start, reward models with weights, steps."""
    curves: Sequence[CurvePart] = ()
    scores: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """Unit, for example "combined reward, standard deviations", to group (before) to scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePart:
    """One prompt with the answers of two policies to it."""

    prompt: str
    before: str
    after: str
    before_note: str = ""
    """For example "reward -0.4"."""
    after_note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPart:
    """What one step of the loop took."""

    step: str
    seconds: float
    detail: str = ""
    """For example how many judgements, steps or answers."""
    peak_memory: float | None = None
    """In bytes; None when it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopReport:
    """Everything the report shows, from top to bottom."""

    title: str
    created: datetime
    simulated: bool
    """True when simulated raters judged anywhere; then a banner says so."""
    summary: str = ""
    """One or two sentences on what was run."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Base model, snapshot, machine, versions: whatever identifies the run."""
    collected: Collected | None = None
    reward_models: Sequence[RewardModelPart] = ()
    policies: Sequence[PolicyPart] = ()
    studies: Sequence[StudyResult] = ()
    """The first one's verdict opens the report."""
    samples: Sequence[SamplePart] = ()
    before_name: str = "Before"
    after_name: str = "After"
    costs: Sequence[CostPart] = ()


def report_html(report: LoopReport) -> str:
    """The whole report as one HTML document. Everything in it that came from data is escaped."""
    comparisons = [pair for study in report.studies for pair in study.comparisons]
    return rendered(
        "report.html.jinja",
        report=report,
        collected_figures=_collected_figures(report.collected) if report.collected else [],
        accuracy_figure=_accuracy_figure(report.reward_models),
        win_rate_figure=_win_rate_figure(comparisons),
        figures=figures,
        card_figures=_card_figures,
        total=sum(cost.seconds for cost in report.costs),
    )


def write_report(report: LoopReport, target: Path) -> None:
    """Write the report to a file, whole or not at all.

    Raises:
        StorageFailed: The disk refuses.
    """
    write_text(target, report_html(report))


def _collected_figures(collected: Collected) -> list[tuple[str, go.Figure]]:
    drawn = []
    if collected.choices:
        numbers = {
            f"{step:+d}".replace("-", "−").replace("+0", "0"): collected.choices.get(step, 0)
            for step in range(-3, 4)
        }
        title = "Which is better, from −3 (left) to +3 (right)"
        drawn.append(("Choices", figures.counts(numbers, title=title)))
    if collected.rating_values:
        numbers = {str(value): collected.rating_values.get(value, 0) for value in range(1, 8)}
        drawn.append(("Ratings", figures.counts(numbers, title="How good, from 1 to 7")))
    return drawn


def _card_figures(card: Mapping[str, Any]) -> list[tuple[str, go.Figure]]:
    """The figures of a report card that have something to show, each with what that is."""
    drawn = [(label, draw(card)) for label, draw in DRAWN]
    return [(label, figure) for label, figure in drawn if figure is not None]


def _accuracy_figure(models: Sequence[RewardModelPart]) -> go.Figure | None:
    known = [model for model in models if model.card.get("pair_accuracy")]
    if not known:
        return None

    def values(name: str) -> list[float | None]:
        estimates = [model.card.get(name) for model in known]
        return [estimate["value"] if estimate else None for estimate in estimates]

    marks = {
        "length only": values("length_only_accuracy"),
        "human ceiling": values("human_ceiling"),
    }
    return figures.forest(
        [(model.name, Estimate(**model.card["pair_accuracy"])) for model in known],
        unit="pair accuracy",
        marks={name: found for name, found in marks.items() if any(found)},
    )


def _win_rate_figure(comparisons: Sequence[ArmComparison]) -> go.Figure | None:
    if not comparisons:
        return None
    rows = [(f"{pair.arm} against {pair.opponent}", pair.win_rate) for pair in comparisons]
    return figures.forest(rows, unit="win rate of the first named", limits=(-0.02, 1.02))
