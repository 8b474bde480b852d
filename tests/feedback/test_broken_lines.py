"""A broken line is named, and refuses the file or is left out, as the person chose."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from feedback.importers import entries
from feedback.importers.lines import read_lines
from feedback.importers.report import ImportReport
from feedback.importers.store import import_file
from storage.database import Database
from storage.errors import InvalidData
from storage.projects import projects

Bring = Callable[..., ImportReport]


def pair(number: int) -> dict[str, Any]:
    return {"prompt": f"p{number}", "chosen": "good", "rejected": "bad"}


GOOD = json.dumps(pair(0)).encode()
BROKEN: dict[str, tuple[bytes, str]] = {
    "bad JSON": (b'{"prompt": "p"', "this is not JSON"),
    "no object": (b"[1]", "needs to be a JSON object"),
    "missing field": (b'{"prompt": "p", "chosen": "c"}', "'rejected' needs some text; got None"),
    "wrong type": (b'{"prompt": 7, "chosen": "c", "rejected": "d"}', "A prompt is a text"),
    "latin-1": ('{"prompt": "é", "chosen": "c", "rejected": "d"}'.encode("latin-1"), "not UTF-8"),
}


@pytest.fixture
def bring(database: Database, now: datetime) -> Bring:
    def bring(path: Path, **more: Any) -> ImportReport:
        return import_file(database, path, project="demo", now=now, **more)

    return bring


@pytest.fixture
def nothing_there(database: Database) -> Callable[[], bool]:
    def nothing_there() -> bool:
        with database.read() as connection:
            return projects(connection) == []

    return nothing_there


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_line_refuses_the_file_or_is_left_out(
    bring: Bring, nothing_there: Callable[[], bool], tmp_path: Path, what: str
) -> None:
    line, sentence = BROKEN[what]
    path = tmp_path / "file.jsonl"
    rest = json.dumps(pair(1)).encode()
    path.write_bytes(b"\n".join([GOOD, line, b"", rest, line]))
    with pytest.raises(InvalidData, match=f"file.jsonl, line 2: .*{sentence}"):
        bring(path)
    assert nothing_there()
    report = bring(path, broken="skip")
    assert (report.lines, report.comparisons, report.broken) == (2, 2, 2)
    assert [reason.partition(": ")[0] for reason in report.reasons] == [
        f"{path}, line 2",
        f"{path}, line 5",
    ]
    assert sentence in report.reasons[0]
    assert f"2 broken lines were left out, the first: {path}, line 2" in report.sentence()


def test_a_line_of_fifty_megabytes_is_left_out_without_being_kept_in_memory(
    bring: Bring, tmp_path: Path
) -> None:
    path = tmp_path / "file.jsonl"
    # Whoever read it to the end would find a good line in it.
    long = json.dumps(pair(2)).encode().replace(b"good", b"x" * (50 * 10**6))
    whole = b"\n".join([GOOD, long, json.dumps(pair(1)).encode()])
    path.write_bytes(whole)
    with pytest.raises(InvalidData, match=r"line 2: the line is longer than 16 MiB"):
        bring(path)
    report = bring(path, broken="skip")
    assert (report.lines, report.broken) == (2, 1)
    left_out: list[InvalidData] = []
    tracemalloc.start()
    assert [line.number for line in read_lines(path, on_broken=left_out.append)] == [1, 3]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(left_out) == 1
    assert most < 40 * 10**6


def test_a_first_line_that_is_broken_does_not_hide_the_format(
    bring: Bring, write_lines: Callable[..., Path]
) -> None:
    report = bring(write_lines("{", pair(0)), broken="skip")
    assert (report.format, report.lines, report.broken) == ("pairs", 1, 1)


def test_of_a_gzip_file_cut_short_the_beginning_is_kept_and_the_break_is_told(
    bring: Bring, nothing_there: Callable[[], bool], tmp_path: Path
) -> None:
    path = tmp_path / "file.jsonl.gz"
    lines = [json.dumps(pair(n) | {"note": f"{n * n:x}" * 40}) + "\n" for n in range(500)]
    whole = gzip.compress("".join(lines).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidData, match=r"breaks off after line \d+: the file is only half"):
        bring(path)
    assert nothing_there()
    report = bring(path, broken="skip")
    assert 0 < report.lines < 500
    assert report.broken == 1
    assert f"breaks off after line {report.lines}:" in report.reasons[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["file.jsonl", "file.json", "file.csv"])
def test_utf_16_is_refused_either_way(
    bring: Bring, nothing_there: Callable[[], bool], tmp_path: Path, encoding: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(f"{json.dumps(pair(0))}\n".encode(encoding))
    for broken in ("refuse", "skip"):
        with pytest.raises(InvalidData, match=f"{name}, line 1: the text is UTF-16"):
            bring(path, broken=broken)
    assert nothing_there()


def test_a_file_with_broken_lines_alone_is_refused(
    bring: Bring, nothing_there: Callable[[], bool], write_lines: Callable[..., Path]
) -> None:
    path = write_lines("{", "[1]")
    with pytest.raises(InvalidData, match="no line that can be read"):
        bring(path, broken="skip")
    with pytest.raises(InvalidData, match=r"None of the 2 lines .* line 1: this is not JSON"):
        bring(path, format_name="pairs", broken="skip")
    assert nothing_there()


def test_only_the_first_reasons_are_told_and_all_are_counted(
    bring: Bring, write_lines: Callable[..., Path]
) -> None:
    report = bring(write_lines(pair(0), *["{"] * 30), broken="skip")
    assert (report.broken, len(report.reasons)) == (30, 10)


def test_a_tree_is_kept_whole_or_not_at_all(bring: Bring, write_lines: Callable[..., Path]) -> None:
    reply = {"text": "Yes.", "role": "assistant", "replies": []}
    deep = {"text": "No.", "role": "assistant", "replies": [{"text": "?", "role": "robot"}]}
    trees = [
        {"message_tree_id": f"{n}", "prompt": {"text": f"Q{n}", "role": "prompter", "replies": r}}
        for n, r in enumerate([[reply], [reply, deep]])
    ]
    report = bring(write_lines(*trees), broken="skip")
    assert (report.prompts, report.responses, report.broken) == (1, 1, 1)


# --- whole JSON files


def test_an_entry_of_a_list_is_left_out_by_its_place(bring: Bring, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([pair(0), 7, pair(1) | {"chosen": None}, pair(2)]), "utf-8")
    with pytest.raises(InvalidData, match=r"file\.json, entry 2: every entry needs to be a JSON"):
        bring(path)
    report = bring(path, broken="skip")
    assert (report.lines, report.broken) == (2, 2)
    assert "entry 3: 'chosen' needs some text" in report.reasons[1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'[{"prompt": "p"},\n{"prompt": ', r"line 2: this is not JSON \(Expecting value, column"),
        (b'[\n{"prompt": "\xe9"}]', "line 2: the text is not UTF-8"),
        (b'[{"rating": NaN}]', "NaN is not a JSON number"),
        (b"[" * 200_000, "this is not JSON"),
        (b"7", "neither a list of objects nor an object"),
        (b"[]", "holds no lines"),
        (b"", "is not JSON|holds no lines"),
    ],
)
def test_a_broken_list_is_refused_either_way(
    bring: Bring, tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    for broken in ("refuse", "skip"):
        with pytest.raises(InvalidData, match=sentence):
            bring(path, broken=broken)


def test_a_list_that_is_too_large_is_refused_with_what_to_do(
    bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([pair(n) for n in range(100)]), "utf-8")
    monkeypatch.setattr(entries, "LARGEST_JSON", 1000)
    with pytest.raises(InvalidData, match=r"would have to be read at once.*jq -c"):
        bring(path)


@pytest.mark.parametrize("gz", [False, True])
def test_json_is_told_from_json_lines_whatever_the_file_is_called(
    bring: Bring, tmp_path: Path, gz: bool
) -> None:
    lines = [pair(n) | {"chosen": "x" * 20_000} for n in range(3)]
    layouts = {
        "lines": "\n".join(map(json.dumps, lines)),
        "one line": json.dumps(lines),
        "indented": json.dumps(lines, indent=2),
        "around": json.dumps({"instances": lines, "type": "paired_text_to_text"}),
        "around, long": json.dumps({"data": lines}),
        "short lines": "\n".join(json.dumps(pair(n)) for n in range(3)),
        "one object": json.dumps(pair(0), indent=1),
    }
    for name, text in layouts.items():
        path = tmp_path / f"{name}.json{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(text.encode()) if gz else text.encode())
        assert bring(path).lines == (1 if name == "one object" else 3), name


# --- tables


def test_a_broken_row_is_left_out_by_its_line(bring: Bring, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(
        "prompt,chosen,rejected\n"
        'p0,"two\nlines",bad\n'  # lines 2 and 3
        "p1,good\n"
        "p2,good,\n"
        "p3,é,bad\n".encode("latin-1")
        + b"p4,good,bad\n"
    )
    with pytest.raises(InvalidData, match=r"file\.csv, line 4: the row has 2 cells, and the head"):
        bring(path)
    report = bring(path, broken="skip")
    assert (report.lines, report.comparisons, report.broken) == (2, 2, 3)
    places = [reason.partition(": ")[0].rpartition(" ")[2] for reason in report.reasons]
    assert sorted(places) == ["4", "5", "6"]


def test_what_follows_an_open_quotation_mark_is_not_taken_for_a_cell(
    bring: Bring, tmp_path: Path
) -> None:
    path = tmp_path / "file.csv"
    path.write_text('prompt,chosen,rejected\np0,good,bad\np1,"good,bad\np2,good,bad\n', "utf-8")
    with pytest.raises(InvalidData, match=r"line 3: the row that begins here is no CSV"):
        bring(path)
    report = bring(path, broken="skip")
    assert (report.lines, report.broken) == (1, 1)
    assert "from here on nothing can be read" in report.reasons[0]


@pytest.mark.parametrize("header", ["prompt,chosen,chosen", "prompt,,rejected", ",,"])
def test_a_table_without_a_header_is_refused(bring: Bring, tmp_path: Path, header: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"{header}\na,b,c\n", "utf-8")
    with pytest.raises(InvalidData, match="every column needs a name of its own"):
        bring(path, broken="skip")
