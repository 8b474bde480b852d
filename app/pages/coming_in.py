"""The part of the data page where a file comes in: its format, its columns, its broken lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from app.forms import draw_form
from app.importing import FILE_TYPES, import_into
from app.pages.fragments import count, html, joined, notice, section
from app.pages.visit import Guard, Visit
from feedback.importers import IMPORTERS
from feedback.importers.columns import ColumnsConfig
from feedback.importers.lines import Line, lines_of
from feedback.importers.report import pass_over
from feedback.importers.unpacking import unpacked
from storage.database import Database
from storage.errors import InvalidData, InvalidOption

DETECT = "detect"
COLUMNS = "columns"
BROKEN = [("refuses the whole file", "refuse"), ("is left out, and told", "skip")]
CELLS = tuple(
    name for name, option in ColumnsConfig.model_fields.items() if option.annotation is str
)
"""Options that name a column."""


def draw(guard: Guard, database: Database) -> None:
    """Place the file, what is to be known of it, and the button."""
    html(
        section(
            "Import a file",
            "Prompts, responses, judgements: the whole file or nothing of it. JSON lines, JSON or"
            " CSV, each also as .gz, or Parquet.",
        )
    )
    file = gr.File(label="File", file_types=FILE_TYPES, height=132, elem_classes="t-drop")
    formats = [("Find out from the file", DETECT)]
    formats += [(f"{name}: {recipe.summary}", name) for name, recipe in IMPORTERS.items()]
    chosen = gr.Dropdown(formats, value=DETECT, label="Format")
    with gr.Accordion("Which column is what", visible=False) as columns:
        form = draw_form(
            ColumnsConfig,
            first=("prompt", "chosen", "rejected", "response", "rating", "scale_min", "scale_max"),
            choices={name: [] for name in CELLS},
        )
    broken = gr.Radio(BROKEN, value="refuse", label="A broken line")
    with gr.Row(elem_classes="t-actions"):
        go = gr.Button("Import", variant="primary")
    report = html()
    menus = [form.inputs[name] for name in CELLS]

    def offer(_: Visit, path: str | None, name: str) -> list[Any]:
        """The columns of a table, each where an option has its name."""
        found = _columns(path, name)
        return [
            gr.Accordion(visible=bool(found)),
            *(gr.Dropdown(found, value=one if one in found else "") for one in CELLS),
        ]

    def bring_in(visit: Visit, path: str | None, name: str, broken: str, *values: Any) -> list[Any]:
        if path is None:
            raise InvalidOption("file", "choose a file first", path)
        table = bool(_columns(path, name))
        try:
            told = import_into(
                database,
                Path(path),
                project=visit.chosen().name,
                format_name=COLUMNS if table else None if name == DETECT else name,
                options=form.typed(values) if table else None,
                broken="skip" if broken == "skip" else "refuse",
                now=visit.now,
            )
        except InvalidData as error:
            raise _by_name(error, path) from error
        told["reasons"] = [one.replace(path, Path(path).name) for one in told["reasons"]]
        # What was uploaded may be confidential, and is in the database now.
        Path(path).unlink(missing_ok=True)
        return [None, _report(told)]

    guard.show([file.change, chosen.change], offer, [columns, *menus], inputs=[file, chosen])
    guard.do(
        go.click,
        bring_in,
        [file, chosen, broken, *form.inputs.values()],
        [file, report],
        busy="Reading the whole file …",
    )


def _columns(path: str | None, name: str) -> list[str]:
    """The columns of a file that is read as a table; none where it is not."""
    if path is None or name not in (DETECT, COLUMNS):
        return []
    if name == DETECT and not Line(Path(path), 0, {}).is_table:
        return []
    try:
        first = next(lines_of(Path(path), on_broken=pass_over))
    except InvalidData as error:
        raise _by_name(error, path) from error
    if name == DETECT and unpacked(first.fields) is not first.fields:
        return []  # a CSV file that we exported, whose columns are known
    return list(map(str, first.fields))


def _by_name(error: InvalidData, path: str) -> InvalidData:
    """People know their file by its name, not by the place where the server keeps it."""
    return InvalidData(str(error).replace(path, Path(path).name))


def _report(told: Mapping[str, Any]) -> Markup:
    """What an import added, changed, and left out."""
    added = [("prompts", "prompt"), ("responses", "response"), ("comparisons", "choice"),
             ("ratings", "rating"), ("tasks", "task"),
             ("known_items", "known item")]  # fmt: skip
    new = [count(told[key], noun) for key, noun in added if told[key]]
    left = [
        f"{count(told[key], noun)} {remark}"
        for key, noun, remark in (
            ("duplicates", "judgement", "known already"),
            ("skipped", "comparison", "not of two different answers left out"),
            ("dependent", "comparison", "computed from the ratings beside it"),
        )
        if told[key]
    ]
    left += [f"{number} {what} left out" for what, number in told["left_out"].items()]
    if told["rescaled"]:
        scales = " and ".join(told["scales"])
        left.append(f"{count(told['rescaled'], 'rating')} mapped from {scales} to 1 to 7")
    text = f"{', '.join(new) or 'Nothing new'} from {told['file']} ({told['format']})."
    more = f" {'; '.join(left)}." if left else ""
    good = notice(text + more, "good" if new else "plain", title="Imported.")
    if not told["broken"]:
        return good
    reasons = Markup("").join(Markup("<br>{}").format(one) for one in told["reasons"])
    title = f"{count(told['broken'], 'broken line')} left out."
    return Markup('<div class="t-stack">{}</div>').format(
        joined([good, notice(reasons, "warn", title=title)])
    )
