"""The card of an export: what it is, for people, and how to open it, for `datasets`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feedback.exporters.files import flat
from feedback.exporters.table import Table
from storage.records import Kind, Split

if TYPE_CHECKING:
    from storage.parquet import Column

_SIMULATED = """\
Some or all of these judgements are **simulated**: a program made them, not people. Where
`annotator_kind` is simulated, that is so."""
_NOT_SIMULATED = "None of these judgements is simulated."
_KINDS = {
    Kind.PERSON: ("person", "people"),
    Kind.PROGRAM: ("program", "programs"),
    Kind.SIMULATED: ("simulated rater", "simulated raters"),
}
_CARD = """\
---
{head}
---

# {title}

{summary}. Exported by Tandem on {now:%Y-%m-%d}. {who}

{meaning}{pseudonyms}{flat}
| train | validation | test |
|---|---|---|
| {rows} |
{left_out}
Parts are drawn by the text of the prompt, so no prompt is in two of them.

## Who judged, and how

{raters}
{agreement}
{guidelines}

## Licence and lineage

{licence}
{lineage}
"""
_PSEUDONYMS = "`annotator` is a pseudonym, and `annotator_kind` is person, program or simulated.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What is known of a project beside its rows, in sentences for the card."""

    agreement: Sequence[str] = ()
    """How far annotators agree, with intervals; empty when nobody worked it out."""
    lineage: Sequence[str] = ()
    """What the data come from: snapshots and plans, by their digests."""


def dataset_card(
    table: Table,
    *,
    title: str,
    summary: str,
    files: Mapping[Split, Sequence[str]],
    rows: Mapping[Split, int],
    left_out: Mapping[str, int],
    no_place: Sequence[str],
    raters: Mapping[Kind, int],
    simulated: bool,
    guidelines: str,
    licence: str,
    background: Background,
    now: datetime,
) -> str:
    """Describe an export. The head is YAML, written as the JSON that YAML also understands."""
    parts = [
        {"split": str(split), "path": names[0] if len(names) == 1 else list(names)}
        for split, names in files.items()
    ]
    name = next(iter(files.values()))[0]
    columns = flat(table.columns, name)
    head = {
        "license": licence,
        "configs": [{"config_name": "default", "data_files": parts}],
        # Without types, a column that is empty in one file would not fit the same in the next.
        "dataset_info": {"features": [_feature(*column) for column in columns.items()]},
        "tags": ["tandem", *(["simulated"] if simulated else [])],
    }
    return (
        _CARD.format(
            head="\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items()),
            title=title,
            summary=summary,
            now=now,
            who=_SIMULATED if simulated else _NOT_SIMULATED,
            meaning=table.meaning,
            pseudonyms=_PSEUDONYMS if "annotator" in columns else "",
            flat=_flattened(table, columns),
            rows=" | ".join(str(rows[split]) for split in Split),
            left_out="".join(f"\nLeft out: {number} {what}.\n" for what, number in left_out.items())
            + (f"\nThis format has no place for {in_words(no_place)}.\n" if no_place else ""),
            raters=_raters(raters),
            agreement="".join(f"\n{line}" for line in background.agreement)
            or "\nHow far annotators agree was not worked out.",
            guidelines=_guidelines(guidelines),
            licence="The licence of these data is not known."
            if licence == "unknown"
            else f"Licence: {licence}.",
            lineage="".join(f"\n{line}" for line in background.lineage),
        ).rstrip("\n")
        + "\n"
    )


def in_words(listed: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))


def _flattened(table: Table, columns: Mapping[str, Column]) -> str:
    """Which columns are JSON text that are lists or records elsewhere."""
    text = [f"`{name}`" for name, column in columns.items() if column != table.columns[name]]
    return f"\nIn this CSV file, {', '.join(text)} hold JSON text.\n" if text else ""


def _raters(raters: Mapping[Kind, int]) -> str:
    told = [
        f"{raters[kind]} {_KINDS[kind][raters[kind] != 1]}" for kind in Kind if raters.get(kind)
    ]
    return f"Judged by {', '.join(told)}." if told else "There are no judgements in these rows."


def _guidelines(guidelines: str) -> str:
    """The guidelines as a quotation, whatever Markdown they hold."""
    if not guidelines.strip():
        return "\nThere were no guidelines."
    quoted = "\n".join(f"> {line}".rstrip() for line in guidelines.strip().splitlines())
    return f"\nWhat annotators were told:\n\n{quoted}"


def _feature(name: str, column: Column) -> dict[str, Any]:
    """A column as `datasets` describes it in a card."""
    kind = _kind(column)
    return {"name": name, **(kind if isinstance(kind, dict) else {"dtype": kind})}


def _kind(column: Column) -> Any:
    if isinstance(column, list):
        inner = _kind(column[0])
        return {"list": inner["struct"] if isinstance(column[0], dict) else inner}
    if isinstance(column, dict):
        return {"struct": [_feature(*field) for field in column.items()]}
    return {str: "string", int: "int64", float: "float64", bool: "bool"}[column]
