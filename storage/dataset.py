"""A snapshot on disk: a Hugging Face dataset in Parquet, named by the digest of its rows.

FOLDER/README.md        dataset card, so that load_dataset(FOLDER, "comparisons") works
FOLDER/snapshot.json    digest of the rows, their number, SHA-256 of each of the next
FOLDER/{comparisons,ratings}/{train,validation,test}.parquet        those that have rows
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from storage.errors import InvalidData, TooLittleData
from storage.files import write_folder
from storage.records import Kind, Message, PromptId, ResponseId, SnapshotId, Split, digest, split_of
from storage.sorting import RowSorter, sorting

if TYPE_CHECKING:
    from storage.parquet import Column

_LABEL = "snapshot.json"
_MESSAGES: Column = [{"role": str, "content": str}]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One comparison with everything that was shown."""

    prompt_id: PromptId
    prompt: tuple[Message, ...]
    left_id: ResponseId
    left: str
    right_id: ResponseId
    right: str
    choice: int
    """-3 left much better ... 0 tie ... +3 right much better."""
    graded: bool
    """False when only the direction was asked."""
    both_bad: bool
    annotator: str
    """Pseudonym."""
    kind: str
    """person, program or simulated."""
    left_policy: str = ""
    """What wrote the answer on the left; empty when unknown."""
    right_policy: str = ""
    tags: tuple[str, ...] = ()
    """Kinds of prompt that it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRow:
    """One rating with everything that was shown."""

    prompt_id: PromptId
    prompt: tuple[Message, ...]
    response_id: ResponseId
    response: str
    aspect: str
    value: float
    """1 worst ... 7 best."""
    annotator: str
    """Pseudonym."""
    kind: str
    """person, program or simulated."""
    policy: str = ""
    """What wrote the response; empty when unknown."""
    tags: tuple[str, ...] = ()
    """Kinds of prompt that it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What excluded annotators said, and a snapshot therefore does not hold."""

    annotators: int
    rows: int
    """Comparisons and ratings together."""


TABLES: Mapping[str, Mapping[str, Column]] = {
    "comparisons": {
        "prompt_id": str,
        "prompt": _MESSAGES,
        "left_id": str,
        "left": str,
        "right_id": str,
        "right": str,
        "choice": int,
        "graded": bool,
        "both_bad": bool,
        "annotator": str,
        "kind": str,
        "left_policy": str,
        "right_policy": str,
        "tags": [str],
    },
    "ratings": {
        "prompt_id": str,
        "prompt": _MESSAGES,
        "response_id": str,
        "response": str,
        "aspect": str,
        "value": float,
        "annotator": str,
        "kind": str,
        "policy": str,
        "tags": [str],
    },
}
BACKGROUND = ("left_policy", "right_policy", "policy", "tags")
"""What is known of prompts and responses beside what was shown and said. Left out of a row where it
is empty: a row without it has the digest, and a snapshot of such rows the name, that they had
before there were these columns."""


def write_snapshot(
    folder: Path,
    comparisons: Iterable[ComparisonRow],
    ratings: Iterable[RatingRow],
    *,
    splits: Mapping[PromptId, Split] | None = None,
) -> tuple[SnapshotId, dict[str, int]]:
    """Write rows as a snapshot. Rows in another order make the same snapshot.

    Args:
        folder: A folder that does not exist or is empty.
        comparisons: What was compared.
        ratings: What was rated.
        splits: The part that a prompt belongs to, where that is not left to `split_of`.

    Returns:
        Its identifier, and the number of rows by table and split: {"comparisons/train": 812, ...}.

    Raises:
        TooLittleData: There are no rows.
        InvalidData: A text is not Unicode.
        InvalidOption: The folder already holds something.
        StorageFailed: The disk refused.
    """
    with sorting(folder.absolute().parent) as rows:
        rows.add(place(row, splits) for row in comparisons)
        rows.add(place(row, splits) for row in ratings)
        with write_folder(folder) as partial:
            numbers = fill(partial, rows)
        return SnapshotId(rows.digest()), numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotData:
    """An opened snapshot folder, checked to be whole and as it was written."""

    folder: Path
    id: SnapshotId
    simulated: bool
    """True when some of its judgements are those of simulated raters."""
    rows: Mapping[str, int]
    """How many, by table and split: {"comparisons/train": 812, ...}."""
    left_out: LeftOut | None
    """What was said in the project and is not in here; None when nothing is."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder and compare every file with its digest.

        Raises:
            InvalidData: The folder is no snapshot, or a file is missing, half-written or edited.
        """
        label = folder / _LABEL
        try:
            said = json.loads(label.read_text(encoding="utf-8"))
            check = said.pop("check")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InvalidData(
                f"{folder} is not a whole snapshot: {label.name} is missing or unreadable."
            ) from error
        if check != digest(said):
            raise InvalidData(f"{label} was edited; freeze the project again.")
        for name, expected in said["files"].items():
            if _file_digest(folder / name) != expected:
                raise InvalidData(
                    f"{folder / name} is not as it was written: it is missing, half-copied or"
                    " edited. Copy the snapshot again or freeze the project again."
                )
        left_out = said.get("left_out")
        return cls(
            folder=folder,
            id=said["id"],
            simulated=said["simulated"],
            rows=said["rows"],
            left_out=LeftOut(**left_out) if left_out else None,
        )

    def comparisons(self, split: Split) -> list[ComparisonRow]:
        """The comparisons of one part of the data."""
        return [ComparisonRow(**_row(row)) for row in self.stream("comparisons", split)]

    def ratings(self, split: Split) -> list[RatingRow]:
        """The ratings of one part of the data."""
        return [RatingRow(**_row(row)) for row in self.stream("ratings", split)]

    def stream(self, table: str, split: Split) -> Iterator[dict[str, Any]]:
        """The rows of one file as plain values, a few at a time."""
        from storage.parquet import read_rows  # noqa: PLC0415, pyarrow is slow to import

        part = f"{table}/{split}"
        if self.rows[part]:
            yield from read_rows(self.folder / f"{part}.parquet")


def place(
    row: ComparisonRow | RatingRow, splits: Mapping[PromptId, Split] | None = None
) -> tuple[str, dict[str, Any]]:
    """The table and split that a row belongs to, and its fields as plain values."""
    table = "comparisons" if isinstance(row, ComparisonRow) else "ratings"
    fields = {name: getattr(row, name) for name in TABLES[table]}
    fields = {
        name: list(value) if name == "tags" else value
        for name, value in fields.items()
        if value or name not in BACKGROUND
    }
    if isinstance(row, RatingRow):
        fields["value"] = float(row.value)  # 3 and 3.0 are one rating and need one digest
    split = (splits or {}).get(row.prompt_id) or split_of(row.prompt)
    return f"{table}/{split}", fields


def fill(folder: Path, rows: RowSorter, *, left_out: LeftOut | None = None) -> dict[str, int]:
    """Write sorted rows as a snapshot into an empty folder, and tell how many each part has.

    The card says what was `left_out`.

    Raises:
        TooLittleData: There are no rows.
    """
    from storage.parquet import write_rows  # noqa: PLC0415, pyarrow is slow to import

    counted = rows.counts()
    if not counted:
        raise TooLittleData("A snapshot needs at least one judgement; there is none.")
    numbers = {f"{table}/{split}": 0 for table in TABLES for split in Split} | counted
    kinds: set[str] = set()
    files = {}
    for part in sorted(counted):
        target = folder / f"{part}.parquet"
        target.parent.mkdir(exist_ok=True)
        noted = _noting_kinds(rows.rows(part), kinds)
        write_rows(target, noted, TABLES[target.parent.name])
        files[f"{part}.parquet"] = _file_digest(target)
    said = {
        "id": rows.digest(),
        "rows": numbers,
        "simulated": Kind.SIMULATED in kinds,
        "files": files,
        **({"left_out": asdict(left_out)} if left_out else {}),
    }
    text = json.dumps(said | {"check": digest(said)}, indent=2) + "\n"
    (folder / _LABEL).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_card(said), encoding="utf-8")
    return numbers


def _row(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a row as it is kept in memory: lists become tuples, nothing can be changed."""
    return fields | {name: tuple(fields[name]) for name in ("prompt", "tags") if name in fields}


def _noting_kinds(rows: Iterable[dict[str, Any]], kinds: set[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        kinds.add(row["kind"])
        yield row


def _file_digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _card(said: Mapping[str, Any]) -> str:
    """The dataset card: its head tells `datasets` where the tables are, the rest is for people."""
    configs, table = [], []
    for name in TABLES:
        numbers = [said["rows"][f"{name}/{split}"] for split in Split]
        table.append(f"| {name} | {' | '.join(map(str, numbers))} |")
        if any(numbers):
            configs += [f"- config_name: {name}", "  data_files:"]
        for split, number in zip(Split, numbers, strict=True):
            if number:
                configs += [f"  - split: {split}", f"    path: {name}/{split}.parquet"]
    return _CARD.format(
        configs="\n".join(configs),
        table="\n".join(table),
        short=said["id"][:16],
        id=said["id"],
        who=_SIMULATED if said["simulated"] else _NOT_SIMULATED,
        without=_LEFT_OUT.format(**said["left_out"]) if "left_out" in said else "",
    )


_SIMULATED = "Some or all of these judgements are **simulated**: a program made them, not people."
_NOT_SIMULATED = "None of these judgements is simulated."
_LEFT_OUT = """
Left out were {rows} comparisons and ratings, because their annotators ({annotators} in number) were
excluded from the project with a reason.
"""
_CARD = """\
---
configs:
{configs}
---

# Snapshot {short}

Judgements of responses of language models, frozen by Tandem. {who}
{without}
| table | train | validation | test |
|---|---|---|---|
{table}

Splits are drawn by prompt, so no prompt is in two of them. `choice` goes from -3 (left much better)
over 0 (tie) to 3 (right much better), or from -1 to 1 where `graded` is false; `value` goes from 1
(worst) to 7 (best). Annotators appear under pseudonyms. Where they are known, `policy` columns say
what wrote a response, and `tags` what kind of prompt it answers.

The name is the SHA-256 of the rows: `{id}`.
"""
