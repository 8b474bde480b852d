"""Tables whose columns the person names: `--option prompt=COLUMN --option chosen=COLUMN ...`.

A row is a pair (prompt, chosen, rejected), a rating (prompt, response, rating) or a prompt alone.
What has no option of its own is looked for under its own name, so a CSV file with these headers
needs no option. Cells of CSV files are texts; ratings are read as numbers. A rating needs its
scale: the options `scale_min` and `scale_max`, or columns of these names; without, 1 to 7 is meant.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import Field

from feedback.importers.lines import Line
from feedback.importers.pairs import read_pair
from feedback.importers.prompts import read_prompt
from feedback.importers.ratings import read_rating
from feedback.importers.records import (
    ImportConfig,
    JudgedPrompt,
    PairsConfig,
    PromptsConfig,
    RatingsConfig,
)

_PAIR, _RATING = ("chosen", "rejected"), ("response", "rating")
_OTHERS = ("annotator", "aspect", "chosen_model", "rejected_model", "model", "source")


def _column(what: str) -> Any:
    return Field(default="", max_length=500, description=f"Column of {what}.")


class ColumnsConfig(ImportConfig):
    """Which column is what."""

    prompt: str = _column("the prompt")
    chosen: str = _column("the response that was preferred")
    rejected: str = _column("the other response")
    response: str = _column("the response that was rated")
    rating: str = _column("its rating")
    annotator: str = _column("who judged")
    aspect: str = _column("what of the response was rated")
    chosen_model: str = _column("what wrote the preferred response")
    rejected_model: str = _column("what wrote the other response")
    model: str = _column("what wrote the rated response")
    source: str = _column("where the row comes from")
    scale_min: float | None = Field(
        default=None, allow_inf_nan=False, description="The lowest rating that could be given."
    )
    scale_max: float | None = Field(
        default=None, allow_inf_nan=False, description="The highest rating that could be given."
    )


def read_row(config: ColumnsConfig, line: Line) -> JudgedPrompt:
    """Read one row."""
    found = {
        name: _cell(config, line, name)
        for name in ("prompt", *_PAIR, *_RATING)
        if getattr(config, name) or name in line.fields
    }
    found |= {
        name: cell
        for name in _OTHERS
        if (getattr(config, name) or name in line.fields)
        and (cell := _cell(config, line, name)) not in (None, "")
    }
    if found.keys() & set(_PAIR) and found.keys() & set(_RATING):
        line.refuse(
            "a row is a pair or a rating, and this one has columns of both; import the two from"
            " files of their own."
        )
    kind = config.annotator_kind
    whole = replace(line, fields=found)
    if found.keys() & set(_PAIR):
        return read_pair(PairsConfig(annotator_kind=kind), whole)
    if found.keys() & set(_RATING):
        for name in ("scale_min", "scale_max"):
            end = getattr(config, name)
            end = line.fields.get(name) if end is None else end
            if end not in (None, ""):
                found[name] = _number(end)
        found["rating"] = _number(found.get("rating"))
        return read_rating(RatingsConfig(annotator_kind=kind), whole)
    return read_prompt(PromptsConfig(), whole)


def _cell(config: ColumnsConfig, line: Line, name: str) -> Any:
    column = getattr(config, name)
    if column and column not in line.fields:
        line.refuse(
            f"there is no column {column!r}, which the option {name} names; there are"
            f" {', '.join(line.fields)}."
        )
    return line.fields[column or name]


def _number(cell: Any) -> Any:
    if isinstance(cell, str):
        with suppress(ValueError):  # refused by whoever reads the number
            return float(cell)
    return cell
