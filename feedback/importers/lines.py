"""Reading files line by line, with errors that name the place.

A line is one JSON object or one table row: `.jsonl`, `.json`, `.csv`, `.parquet` and `.arrow` give
the same lines, and so does a folder of them. Files are streamed, so their size does not matter;
`feedback.importers.entries` says which are not.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from feedback.importers.entries import Entry, read_entries, shown
from feedback.importers.unpacking import unpacked
from storage.errors import InvalidData
from storage.layouts import data_files, split_named
from storage.records import Message, Split, as_messages, check_text

__all__ = ["LONGEST_NAME", "SUFFIXES", "Line", "OnBroken", "lines_of", "read_lines", "shown"]

SUFFIXES = (
    *(".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    *(".parquet", ".arrow"),
)
OnBroken = Callable[[InvalidData], None]
"""Told of each line that is left out because it is broken."""
LONGEST_NAME = 150
"""Characters of an annotator's name; storage adds a prefix to it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: what it holds and where it stands."""

    path: Path
    number: int
    """Counted from 1, as editors do."""
    fields: Mapping[str, Any]
    part: Split | None = None
    """The part of the data that the folder puts the file into."""
    unit: str = "line"
    """What is counted; the entries of a whole JSON list have no lines of their own."""
    around: Mapping[str, Any] = field(default_factory=dict)
    """What a whole JSON file says beside its list."""

    @property
    def is_table(self) -> bool:
        """Whether it is a row of a table without types, where everything is text."""
        return {".csv", ".tsv"} & set(self.path.suffixes) != set()

    def without_null(self) -> Line:
        """The line without fields that are null: they mean the same as missing ones."""
        fields = unpacked(self.fields) if self.is_table else self.fields
        return replace(self, fields=_without_null(fields))

    def refuse(self, problem: str) -> NoReturn:
        """Say what is wrong here.

        Raises:
            InvalidData: Always; names file and line.
        """
        raise InvalidData(f"{self.path}, {self.unit} {self.number}: {problem}")

    def text(self, value: object, what: str, *, longest: int | None = None) -> str:
        """A text that is not blank and that every database and file can hold."""
        if not isinstance(value, str) or not value.strip():
            self.refuse(f"{what} needs some text; got {shown(value)}.")
        if longest is not None and len(value) > longest:
            self.refuse(f"{what} has {len(value)} characters; shorten it to {longest} or fewer.")
        try:
            check_text(value, what)
        except InvalidData as error:
            self.refuse(str(error))
        return value

    def name(self, value: object, what: str, *, default: str) -> str:
        """A short text, or the default where there is none."""
        return default if value is None else self.text(value, what, longest=LONGEST_NAME)

    def number_of(self, value: object, what: str) -> float:
        """A finite number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(f"{what} needs to be a number; got {shown(value)}.")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.refuse(f"{what} needs to be a finite number; got {shown(value)}.")
        return number

    def objects(self, value: object, what: str) -> list[Mapping[str, Any]]:
        """A list of objects; none where the field is missing."""
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
            self.refuse(f"{what} needs to be a list of objects; got {shown(value)}.")
        return value

    def source(self) -> str:
        """Where the line says it comes from, else the file's name."""
        source = self.fields.get("source") or self.path.name
        return self.text(source, "'source'", longest=500)

    def tags(self) -> tuple[str, ...]:
        """The line's `tags`, with its `kind` of prompt and its `subset` if it has one."""
        tags = self.fields.get("tags") or []
        if not isinstance(tags, list):
            self.refuse(f"'tags' needs to be a list of texts; got {shown(tags)}.")
        named = [self.fields.get("kind"), self.fields.get("subset")]
        every = [*tags, *(tag for tag in named if tag is not None)]
        return tuple(dict.fromkeys(self.text(tag, "a tag", longest=LONGEST_NAME) for tag in every))

    def split(self) -> Split | None:
        """The part of the data that the folder or the field `split` puts the line into, if any."""
        name = self.fields.get("split")
        if self.part is not None or name is None:
            return self.part
        part = split_named(name) if isinstance(name, str) else None
        if part is None:
            self.refuse(
                f"the split {shown(name)} is none of train, validation and test; rename the field"
                " if it means something else."
            )
        return part

    def messages(self) -> tuple[Message, ...]:
        """The prompt of the line."""
        if self.fields.get("prompt") is None:
            self.refuse("there is no prompt; every line needs one.")
        return self.turns(self.fields["prompt"])

    def turns(self, value: Any) -> tuple[Message, ...]:
        """A conversation: a text, or a list of {role, content}."""
        try:
            return as_messages(value)
        except InvalidData as error:
            self.refuse(str(error))


def lines_of(path: Path, *, on_broken: OnBroken | None = None) -> Iterator[Line]:
    """Stream the lines of a file, or of all files of a folder with a dataset.

    Raises:
        InvalidData: As `read_lines`; or the folder holds no dataset.
    """
    if not path.is_dir():
        yield from read_lines(path, on_broken=on_broken)
        return
    for file, part in data_files(path):
        for line in read_lines(file, on_broken=on_broken):
            yield replace(line, part=part)


def read_lines(path: Path, *, on_broken: OnBroken | None = None) -> Iterator[Line]:
    """Stream the lines of a file; blank lines are passed over.

    Args:
        path: The file.
        on_broken: Told of each line that cannot be read, which is then left out. Without it, the
            first such line is the end.

    Raises:
        InvalidData: The file is missing, unreadable, of another type, without any line that can be
            read; or, without `on_broken`, is cut short or has a line that is no JSON object. Names
            the file and the line.
    """
    number = read = 0
    try:
        _check(path)
        for entry in _entries(path):
            number = entry.number
            line = Line(path, number, entry.fields, unit=entry.unit, around=entry.around)
            if entry.problem:
                _tell_broken(line, entry.problem, on_broken)
            else:
                read += 1
                yield line
    except (EOFError, zlib.error) as error:
        broken = InvalidData(
            f"{path} breaks off after line {number}: the file is only half there."
            " Copy or download it again."
        )
        if on_broken is None or not read:
            raise broken from error
        on_broken(broken)
    except gzip.BadGzipFile as error:
        raise InvalidData(
            f"{path} ends in .gz but is not a whole gzip file ({error})."
            " Copy it again, or rename it if it was never compressed."
        ) from error
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror or error}.") from error
    if not number:
        raise InvalidData(f"{path} holds no lines; nothing to import.")


def _entries(path: Path) -> Iterator[Entry]:
    if path.suffix not in (".parquet", ".arrow"):
        yield from read_entries(path)
        return
    from storage.parquet import read_rows  # noqa: PLC0415, loads pyarrow

    for number, fields in enumerate(read_rows(path), start=1):
        yield Entry(number=number, fields=fields)


def _tell_broken(line: Line, problem: str, on_broken: OnBroken | None) -> None:
    try:
        line.refuse(problem)
    except InvalidData as error:
        if on_broken is None:
            raise
        on_broken(error)


def _check(path: Path) -> None:
    if path.is_dir():
        raise InvalidData(f"{path} is a folder; name one file in it ({', '.join(SUFFIXES)}).")
    if not path.exists():
        raise InvalidData(f"There is no file {path}; check the path.")
    if not path.name.endswith(SUFFIXES):
        raise InvalidData(
            f"{path} is none of the file types that can be read ({', '.join(SUFFIXES)});"
            " convert or rename it."
        )


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_null(inner) for inner in value]
    return value
