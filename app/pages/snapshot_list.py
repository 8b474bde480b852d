"""The part of the data page about snapshots: versions, what changed, and what learned from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.pages.fragments import (
    Cell,
    Column,
    ago,
    badge,
    code,
    empty,
    html,
    joined,
    lines,
    link,
    notice,
    number,
    section,
    table,
)
from app.pages.visit import Guard, Visit
from storage import models, snapshots
from storage.database import Database
from storage.errors import InvalidOption
from storage.records import Model, ModelId, Snapshot, SnapshotId, Split
from storage.settings import Settings


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the list, the button that freezes, and the comparison of two versions."""
    database = guard.database
    html(
        section(
            "Snapshots",
            "A frozen selection of judgements, named by its content. Training reads snapshots only,"
            " so a model always says what it learnt from.",
        )
    )
    told, listed = html(), html()
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Freeze a snapshot now", variant="primary")
    with gr.Column(elem_classes="t-card", visible=False) as comparing:
        html(section("What changed", "From an earlier snapshot to a later one, in rows."))
        with gr.Row(elem_classes="t-form"):
            first = gr.Dropdown([], label="From")
            second = gr.Dropdown([], label="To")
        with gr.Row(elem_classes="t-actions"):
            compare = gr.Button("Compare")
        changes = html()
    shown = [listed, first, second, comparing]

    def show(visit: Visit) -> list[Any]:
        return _shown(visit, database)

    def freeze(visit: Visit) -> list[Any]:
        frozen = snapshots.freeze(
            database, visit.chosen().id, data_dir=settings.data_dir, now=visit.now
        )
        text = Markup("{} is ready to learn from. ").format(code(frozen.id[:10]))
        way = Markup('<a href="{}">Train a reward model</a>.').format(visit.address("train"))
        return [notice(text + way, "good", title="Frozen."), *_shown(visit, database)]

    def difference(visit: Visit, one: str | None, other: str | None) -> Markup:
        earlier, later = (_of_project(visit, database, name) for name in (one, other))
        found = snapshots.difference(
            settings.data_dir / earlier.folder, settings.data_dir / later.folder
        )
        return _changes(found, earlier, later)

    guard.show(page.load, show, shown)
    guard.do(go.click, freeze, [], [told, *shown], busy="Writing the snapshot …")
    guard.do(compare.click, difference, [first, second], [changes], busy="Reading both …")


def _shown(visit: Visit, database: Database) -> list[Any]:
    """The list, what can be compared, and whether there is anything to compare."""
    known: list[Snapshot] = []
    learned: Mapping[SnapshotId, Sequence[Model]] = {}
    if visit.project:
        with database.read() as connection:
            known = snapshots.snapshots(connection, visit.project.id)
            learned = _learned(models.models(connection))
    choices = [(f"{one.id[:10]}, {one.created:%Y-%m-%d %H:%M}", str(one.id)) for one in known]
    newest = [choice[1] for choice in choices[:2]]
    return [
        _snapshot_table(visit, known, learned),
        gr.Dropdown(choices, value=newest[1] if len(newest) == 2 else None),
        gr.Dropdown(choices, value=newest[0] if newest else None),
        gr.Column(visible=len(known) > 1),
    ]


def _learned(known: Sequence[Model]) -> Mapping[SnapshotId, Sequence[Model]]:
    """Which models learned from each snapshot, themselves or through those they were made with."""
    by_id = {model.id: model for model in known}
    found: dict[SnapshotId, list[Model]] = defaultdict(list)
    for model in known:
        met: set[ModelId] = set()
        waiting = [model.id]
        while waiting:
            place = waiting.pop()
            if place in by_id and place not in met:
                met.add(place)
                waiting += by_id[place].parents
        read = (by_id[place].snapshot for place in met)
        for snapshot in sorted({one for one in read if one is not None}):
            found[snapshot].append(model)
    return found


def _snapshot_table(
    visit: Visit, known: Sequence[Snapshot], learned: Mapping[SnapshotId, Sequence[Model]]
) -> Markup:
    if not known:
        return empty("No snapshot yet", "Freeze one as soon as some judgements are there.")
    columns = [
        Column("Snapshot"),
        *(Column(split.value.capitalize(), numeric=True) for split in Split),
        Column("Learned from it"),
        Column("Frozen", numeric=True),
    ]
    rows: list[Sequence[Cell]] = []
    for snapshot in known:
        mark = Markup(" {}").format(badge("simulated", "warn")) if snapshot.simulated else ""
        rows.append(
            (
                lines(
                    Markup("{}{}").format(code(snapshot.id[:10]), mark),
                    link("Check it", visit.address("check", snapshot=snapshot.id)),
                ),
                *(_rows(snapshot, split) for split in Split),
                _names(visit, learned.get(snapshot.id, ())),
                ago(snapshot.created, visit.now),
            )
        )
    return table(columns, rows, caption="Snapshots, newest first")


def _names(visit: Visit, learned: Sequence[Model]) -> Markup | None:
    if not learned:
        return None
    names = (link(model.name, visit.address("models", model=model.name)) for model in learned)
    # One element: on a narrow screen the parts of a cell would stand side by side.
    return Markup("<span>{}</span>").format(Markup(", ").join(names))


def _rows(snapshot: Snapshot, split: Split) -> Markup:
    pairs = snapshot.rows.get(f"comparisons/{split}", 0)
    rated = snapshot.rows.get(f"ratings/{split}", 0)
    return lines(f"{number(pairs)} choices", f"{number(rated)} ratings")


def _of_project(visit: Visit, database: Database, name: str | None) -> Snapshot:
    """A snapshot that somebody chose, which needs to be of the project that they look at."""
    if not name:
        raise InvalidOption("snapshot", "choose two of them", name)
    with database.read() as connection:
        found = snapshots.snapshot(connection, name)
    if found.project != visit.chosen().id:
        raise InvalidOption("snapshot", "it is of another project", name)
    return found


def _changes(found: Mapping[str, snapshots.Changes], earlier: Snapshot, later: Snapshot) -> Markup:
    columns = [
        Column("Rows"),
        *(Column(name, numeric=True) for name in ("Added", "Superseded", "Withdrawn", "Unchanged")),
    ]
    names = {"comparisons": "Choices", "ratings": "Ratings"}
    rows = [
        (
            names[name],
            *map(number, (one.added, one.superseded, one.withdrawn, one.unchanged)),
        )
        for name, one in found.items()
    ]
    caption = f"From {earlier.id[:10]} to {later.id[:10]}"
    meaning = Markup(
        '<p class="t-told">From {} to {}. Superseded: the same annotator said something else of the'
        " same answers. Withdrawn: taken back, or its annotator was excluded.</p>"
    ).format(code(earlier.id[:10]), code(later.id[:10]))
    return joined([table(columns, rows, caption=caption), meaning])
