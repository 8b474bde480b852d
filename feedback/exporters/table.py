"""The shape of an export before it is written: columns, what they mean, and a stream of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from feedback.exporters.parts import Part
from storage.recipes import RecipeConfig
from storage.records import Message, Split

if TYPE_CHECKING:
    from storage.parquet import Column

MESSAGES: Column = [{"role": str, "content": str}]

Row = Mapping[str, Any]


class ExportConfig(RecipeConfig):
    """Options of every export format."""

    file_type: Literal["jsonl", "jsonl.gz", "json", "csv", "parquet"] = Field(
        default="jsonl",
        description="Type of the files: JSON lines, the same packed, one JSON array, CSV or"
        " Parquet.",
    )
    split: Split | None = Field(
        default=None, description="The only part that is wanted: train, validation or test."
    )
    licence: str = Field(
        default="unknown",
        pattern=r"^[a-z0-9][a-z0-9.+-]{0,60}$",
        description="Licence, for the card, as the Hub abbreviates it, such as cc-by-4.0",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One export. Rows are made anew, and in the same order, each time they are asked for."""

    columns: Mapping[str, Column]
    meaning: str
    """What a row and its columns mean, in Markdown, for the dataset card."""
    rows: Callable[[Counter[str]], Iterator[tuple[Split, Row]]]
    """Streams rows with the part they belong to; counts in the argument what it leaves out."""
    lacks: frozenset[Part]
    """What the columns have no place for."""
    beside: Callable[[Mapping[Split, str]], Mapping[str, str]] | None = None
    """Makes further files, name and text, of the names of the data files by part."""


def as_answer(text: str) -> Sequence[Message]:
    """A response as the one assistant message that TRL's conversational formats want."""
    return [Message(role="assistant", content=text)]
