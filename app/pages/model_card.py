"""A reward model's report card on the page, and reward models beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.forms import label
from app.pages.fragments import (
    Cell,
    Column,
    count,
    facts,
    interval,
    joined,
    lines,
    link,
    notice,
    section,
    table,
)
from app.pages.visit import Visit
from evaluation.card_comparison import accuracy_difference
from evaluation.card_figures import compared
from evaluation.card_words import verdict
from storage.records import Model

LENGTH_ONLY = "always choosing the {} answer:"
DIFFERENCE = (-0.3, 0.3)
"""Ends of the scale on which two accuracies are told apart."""


def held_out(model: Model) -> Mapping[str, Any]:
    """A reward model's report card on the test split; empty for a policy."""
    card = model.metrics.get("held_out")
    return card if isinstance(card, Mapping) else {}


def accuracy(card: Mapping[str, Any]) -> Markup:
    """Pair accuracy on a scale with the length-only baseline."""
    baseline = card.get("length_only_accuracy")
    return interval(
        card.get("pair_accuracy"),
        reference=baseline["value"] if baseline else None,
        reference_name=LENGTH_ONLY.format(card.get("length_only_direction", "longer")),
    )


def summary(card: Mapping[str, Any]) -> Markup:
    """What the card comes to, then the figures behind that."""
    if not card:
        return notice("This model was not judged on held-out prompts.", "warn")
    sentence = card.get("verdict") or verdict(card)
    error, spread = card.get("calibration_error"), card.get("reward_spread")
    ceiling = card.get("human_ceiling")
    direction = card.get("length_only_direction", "longer")
    shown: list[tuple[str, Cell]] = [
        ("Pair accuracy", accuracy(card) if card.get("pair_accuracy") else None),
        (f"Always the {direction} answer", _interval(card, "length_only_accuracy")),
        ("One annotator with the others", interval(ceiling) if ceiling else None),
        ("Spearman with ratings", _interval(card, "spearman", ranks=True)),
        ("Kendall's tau with ratings", _interval(card, "kendall", ranks=True)),
        ("Calibration error", None if error is None else f"{100 * error:.1f} percentage points"),
        ("Error of foretold ratings", _error_of_ratings(card)),
        ("Nine rewards in ten within", None if spread is None else f"{spread:.2f} logits"),
    ]
    return joined(
        [
            Markup('<h3 class="t-part">Report card, on held-out prompts</h3>'),
            Markup('<div class="t-verdict"><p>{}</p></div>').format(
                sentence.replace(" %", "\u00a0%")
            )
            if sentence
            else "",
            Markup('<div class="t-wide">{}</div>').format(
                facts([(name, value) for name, value in shown if value is not None])
            ),
        ]
    )


def doubts(card: Mapping[str, Any]) -> Markup:
    """What to doubt, the gravest first."""
    return joined(notice(warning, "warn") for warning in card.get("warnings", ()))


def numbers(card: Mapping[str, Any]) -> Markup:
    """What the figures show, as tables: for who cannot see them, and to copy from."""
    parts = [
        _parts(card, "kinds", "kind", "Kind of prompt"),
        _parts(card, "annotators", "annotator", "Annotator"),
        _calibration(card),
    ]
    known = [part for part in parts if part]
    if not known:
        return Markup("")
    return Markup(
        "<details><summary>The numbers in the figures</summary><div class='t-stack'>{}</div>"
        "</details>"
    ).format(joined(known))


def _interval(card: Mapping[str, Any], name: str, *, ranks: bool = False) -> Markup | None:
    if not card.get(name):
        return None
    return interval(card[name], scale=(-1, 1) if ranks else (0, 1), as_percent=not ranks)


def _error_of_ratings(card: Mapping[str, Any]) -> str | None:
    error, constant = (card.get(f"mean_absolute_error{ending}") for ending in ("", "_of_constant"))
    if not error or not constant:
        return None
    return f"{error['value']:.2f} points; the mean alone: {constant['value']:.2f}"


def _parts(card: Mapping[str, Any], part: str, name: str, heading: str) -> Markup | None:
    rows = [
        (one[name], interval(one["pair_accuracy"]), one["pair_accuracy"]["n"])
        for one in card.get(part, ())
    ]
    columns = (Column(heading), Column("Pair accuracy"), Column("Pairs", numeric=True))
    return table(columns, rows, caption=f"{heading} and pair accuracy") if rows else None


def _calibration(card: Mapping[str, Any]) -> Markup | None:
    rows = [
        (f"{100 * one['predicted']:.0f} %", interval(one["observed"]), one["observed"]["n"])
        for one in card.get("calibration_curve", ())
    ]
    columns = (Column("Stated"), Column("Preferred in fact"), Column("Pairs", numeric=True))
    return table(columns, rows, caption="Stated probability and share") if rows else None


def comparable(known: Sequence[Model], chosen: Model | None) -> list[Model]:
    """Reward models that the same judgements judged: as the chosen one, else the most of them.

    The best comes first. Empty where there are fewer than two.
    """
    groups: dict[str, list[Model]] = {}
    for model in known:
        card = held_out(model)
        if card.get("judged_by") and card.get("pair_accuracy"):
            groups.setdefault(card["judged_by"], []).append(model)
    mine = held_out(chosen).get("judged_by") if chosen else None
    found = groups.get(mine or "") or max(groups.values(), key=len, default=[])
    if len(found) < 2:
        return []
    return sorted(found, key=lambda one: -held_out(one)["pair_accuracy"]["value"])


def beside_each_other(
    models: Sequence[Model], chosen: Model | None, visit: Visit, *, others: int
) -> Markup:
    """Reward models that the same judgements judged, and how far each is from one of them.

    Args:
        models: As `comparable` gives them.
        chosen: The others are compared with this one; where it is not among them, with the best.
        visit: Knows addresses.
        others: How many reward models there are that were judged by something else.
    """
    if not models:
        return Markup("")
    base = next((model for model in models if model is chosen), models[0])
    first = held_out(base)
    columns = (
        Column("Reward model"),
        Column(f"Accuracy against {base.name}"),
        Column("Spearman"),
        Column("Calibration error", numeric=True),
        Column("Correlation with length", numeric=True),
        Column("Doubts", numeric=True),
    )
    rows = [_beside(model, base, visit) for model in models]
    left_out = (
        f" {count(others, 'reward model')} judged by other pairs cannot be compared with these."
        if others
        else ""
    )
    note = (
        f"All of them on the same {count(first['pairs'], 'held-out comparison')}, with the same"
        " length-only baseline. Differences are taken pair by pair, so their intervals are narrower"
        f" than those of two accuracies.{left_out}"
    )
    return joined(
        [
            section("Reward models compared", note),
            table(columns, rows, caption="Reward models on the same pairs, the best first"),
        ]
    )


def _beside(model: Model, base: Model, visit: Visit) -> tuple[Cell, ...]:
    card = held_out(model)
    name = link(model.name, visit.address("models", model=model.name))
    here = Markup('<span class="t-chosen">{}</span>') if model is base else Markup("{}")
    error, length = card.get("calibration_error"), card.get("length_correlation")
    difference: Cell = None
    if model is not base:
        found = accuracy_difference(card, held_out(base))
        difference = interval(found.as_json(), scale=DIFFERENCE, reference=0)
    return (
        here.format(lines(name, label(model.recipe))),
        difference,
        _interval(card, "spearman", ranks=True),
        None if error is None else f"{100 * error:.1f} points",
        None if length is None else f"{length:+.2f}".replace("-", "\u2212"),
        len(card.get("warnings", ())),
    )


def figure_of_all(models: Sequence[Model]) -> Any:
    """Their accuracies under each other, with the baseline and the ceiling as lines; or None."""
    return compared({model.name: held_out(model) for model in models}) if models else None
