"""What text files hold, one entry after the other: lines of JSON, a whole JSON list, rows of CSV.

Lines and rows are streamed, so the size of a file does not matter. A whole JSON list is read at
once, and refused when it is too large for that. An entry that cannot be read does not end the file:
it says what is wrong with it, and whoever reads decides.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from storage.errors import InvalidData

LONGEST_LINE = 16 * 2**20
"""Bytes of one line; what is longer is no line of a data set, and would fill the memory."""
LARGEST_JSON = 128 * 2**20
"""Bytes of a whole JSON list. Python objects take some four times as much."""
LISTS = ("instances", "data", "records", "rows", "examples")
"""What the list is called where a whole JSON file is an object around a list."""
_OPENS_LIST = re.compile(rb'"(?:' + "|".join(LISTS).encode() + rb')"\s*:\s*\[')


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object of a file, or what keeps it from being one."""

    number: int
    """Counted from 1: the line, or the place in the list."""
    unit: str = "line"
    fields: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    around: Mapping[str, Any] = field(default_factory=dict)
    """What a whole JSON file says beside its list."""


def read_entries(path: Path) -> Iterator[Entry]:
    """Stream the entries of a `.jsonl`, `.json`, `.csv` or `.tsv` file, `.gz` or not.

    Raises:
        InvalidData: The file as a whole cannot be read: UTF-16, a JSON list that is broken or too
            large, a CSV file without a header.
        OSError, EOFError, zlib.error: As `gzip` has it.
    """
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    with ExitStack() as files:
        source = files.enter_context(path.open("rb"))
        if path.suffix == ".gz":
            source = io.BufferedReader(files.enter_context(gzip.open(source)))
        _check_encoding(path, source.peek(4)[:4])
        if kind in (".csv", ".tsv"):
            yield from _rows(path, source)
        elif kind == ".json" and not _is_lines(source):
            yield from _whole(path, source)
        else:
            yield from _lines(source)


def _check_encoding(path: Path, start: bytes) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise InvalidData(
            f"{path}, line 1: the text is UTF-16 or UTF-32; save the file as UTF-8, for instance"
            " with: iconv -f UTF-16 -t UTF-8"
        )


def _lines(source: io.BufferedReader) -> Iterator[Entry]:
    number = 0
    while raw := source.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            while raw and not raw.endswith(b"\n"):
                raw = source.readline(io.DEFAULT_BUFFER_SIZE)
            size = f"{LONGEST_LINE >> 20} MiB"
            yield Entry(number=number, problem=f"the line is longer than {size}; split or mend it.")
            continue
        entry = _line(number, raw)
        if entry is not None:
            yield entry


def _line(number: int, raw: bytes) -> Entry | None:
    """The object of one line; None where the line is blank."""
    try:
        # Some editors put a byte order mark at the start of a file.
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        problem = f"the text is not UTF-8 ({error.reason}); save the file as UTF-8."
        return Entry(number=number, problem=problem)
    if not text:
        return None
    try:
        fields = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        problem = f"this is not JSON ({error}); every line needs to be one whole JSON object."
        return Entry(number=number, problem=problem)
    if not isinstance(fields, dict):
        problem = f"every line needs to be a JSON object; got {shown(fields)}."
        return Entry(number=number, problem=problem)
    return Entry(number=number, fields=fields)


def _is_lines(source: io.BufferedReader) -> bool:
    """True when a `.json` file holds an object a line, as `datasets` writes them by that name."""
    start = source.peek(1)
    if not start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return False
    first, newline, _ = start.partition(b"\n")
    try:
        fields = json.loads(first.decode("utf-8-sig"))
    except ValueError:
        # The beginning of one long line, as LMFlow writes its files, or of an indented object.
        return not newline and _OPENS_LIST.search(start) is None
    return isinstance(fields, dict) and _list_of(fields) is None


def _whole(path: Path, source: io.BufferedReader) -> Iterator[Entry]:
    raw = source.read(LARGEST_JSON + 1)
    if len(raw) > LARGEST_JSON:
        raise InvalidData(
            f"{path} is one JSON list of more than {LARGEST_JSON >> 20} MiB, which would have to be"
            " read at once. Write it as an object a line, for instance with:"
            " jq -c '.[]' FILE.json > FILE.jsonl"
        )
    try:
        whole = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise InvalidData(
            f"{path}, line {number}: the text is not UTF-8 ({error.reason}); save the file as"
            " UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise InvalidData(
            f"{path}, line {error.lineno}: this is not JSON ({error.msg}, column {error.colno})."
            " Nothing of a JSON list can be kept when it is broken; mend it or download it again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path}, line 1: this is not JSON ({error}).") from error
    del raw
    around: Mapping[str, Any] = {}
    if isinstance(whole, dict):
        name = _list_of(whole)
        around = {key: value for key, value in whole.items() if key != name}
        whole = [whole] if name is None else whole[name]
    if not isinstance(whole, list):
        raise InvalidData(
            f"{path} holds neither a list of objects nor an object with one; got {shown(whole)}."
        )
    for number, fields in enumerate(whole, start=1):
        if isinstance(fields, dict):
            yield Entry(number=number, unit="entry", fields=fields, around=around)
        else:
            problem = f"every entry needs to be a JSON object; got {shown(fields)}."
            yield Entry(number=number, unit="entry", problem=problem)


def _list_of(fields: Mapping[str, Any]) -> str | None:
    """Name of the list that an object stands around."""
    return next((name for name in LISTS if isinstance(fields.get(name), list)), None)


def _rows(path: Path, source: io.BufferedReader) -> Iterator[Entry]:
    # What is no UTF-8 goes into characters that no text may have, and is found in its row.
    text = io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline="")
    first = source.peek(1).partition(b"\n")[0]
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(text, strict=True, delimiter=chr(max(b",;\t", key=first.count)))
    header = [name.strip() for name in next(reader, [])]
    if not all(header) or len(set(header)) < len(header) or not header:
        raise InvalidData(
            f"{path}, line 1: every column needs a name of its own; got {shown(header)}."
        )
    number = 2
    try:
        for row in reader:
            if row:
                yield _row(number, header, row)
            number = reader.line_num + 1
    except csv.Error as error:
        problem = (
            f"the row that begins here is no CSV ({error}); from here on nothing can be read."
            " Is a quotation mark open?"
        )
        yield Entry(number=number, problem=problem)


def _row(number: int, header: list[str], row: list[str]) -> Entry:
    if len(row) != len(header):
        problem = f"the row has {len(row)} cells, and the header {len(header)}."
        return Entry(number=number, problem=problem)
    if any("\udc80" <= character <= "\udcff" for cell in row for character in cell):
        problem = "the text is not UTF-8; save the file as UTF-8."
        return Entry(number=number, problem=problem)
    return Entry(
        number=number,
        fields=dict(zip(header, row, strict=True)),
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def shown(value: object, longest: int = 80) -> str:
    """A value for an error sentence, cut to a length that can be read."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."
