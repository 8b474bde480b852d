"""Policies beside each other, whatever recipe made them: what it brought, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.forms import label
from app.pages.fragments import (
    Cell,
    Column,
    duration,
    interval,
    joined,
    lines,
    link,
    section,
    table,
)
from app.pages.runs import elapsed
from app.pages.visit import Visit
from storage.records import Job, JobId, Model


def policies_compared(
    known: Sequence[Model], runs: Mapping[JobId, Job], chosen: Model | None, visit: Visit
) -> Markup:
    """A table of the policies, with their win rates against what each started from.

    Args:
        known: Models of every purpose, newest first.
        runs: The jobs that made them, where they are known.
        chosen: The one whose details are shown.
        visit: Who looks.

    Returns:
        Nothing where there is no policy.
    """
    policies = [one for one in known if one.purpose == "policy"]
    if not policies:
        return Markup("")
    columns = (
        Column("Policy"),
        Column("Reward", numeric=True),
        Column("KL", numeric=True),
        Column("Tokens", numeric=True),
        Column("Wins against its start"),
        Column("At equal length"),
        Column("Time", numeric=True),
    )
    rows = [
        row
        for one in policies
        for row in _rows(one, runs.get(JobId(one.job or "")), visit, here=one is chosen)
    ]
    return joined(
        [
            section(
                "Policies compared",
                "Rewards in standard deviations, KL from the start in nats per answer. Judges are"
                " reward models: where one was learned from, its verdict shows that learning"
                " worked, not that people agree.",
            ),
            table(columns, rows, caption="Policies, what each gained and what it cost"),
        ]
    )


def _rows(model: Model, run: Job | None, visit: Visit, *, here: bool) -> list[tuple[Cell, ...]]:
    """One row for each judge, the first with the figures of the run."""
    metrics = model.metrics
    card = metrics.get("against_start") or {}
    judges: Mapping[str, Any] = card.get("judges") or {}
    name = link(model.name, visit.address("models", model=model.name))
    place = Markup('<span class="t-chosen">{}</span>') if here else Markup("{}")
    learned = model.config.get("rewards") or {}
    spent = elapsed(run, visit.now) if run else None
    first: tuple[Cell, ...] = (
        place.format(lines(name, label(model.recipe))),
        _from_to(metrics.get("reward_at_start"), metrics.get("reward"), "{:+.2f}"),
        _number(metrics.get("kl"), "{:.1f}"),
        _from_to(
            card.get("tokens_of_start"),
            card.get("tokens", metrics.get("response_length")),
            "{:.0f}",
        ),
    )
    time = None if spent is None else duration(spent)
    if not judges:
        return [(*first, card.get("refused"), None, time)]
    rows = []
    for place_of, (judge, said) in enumerate(judges.items()):
        told = lines(
            interval(said["win_rate"], reference=0.5, reference_name="no difference"),
            f"{judge}, {'learned from' if judge in learned else 'not learned from'}"
            + (f": {said['is']}" if "is" in said else ""),
        )
        controlled = said["length_controlled"]
        # Said once; the rows beneath have only another judge.
        figures = first if place_of == 0 else (lines("", model.name), "", "", "")
        rows.append(
            (
                *figures,
                told,
                controlled and interval(controlled, reference=0.5, reference_name="no difference"),
                time if place_of == 0 else "",
            )
        )
    return rows


def _from_to(before: Any, after: Any, form: str) -> str | None:
    """How a number changed; only what it is now, where nothing is known of before."""
    now, then = _number(after, form), _number(before, form)
    return f"{then} → {now}" if now and then else now


def _number(value: Any, form: str) -> str | None:
    return form.format(value) if isinstance(value, (int, float)) else None
