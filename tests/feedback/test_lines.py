"""Files that can be read, and the sentence each unreadable one gets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.importers.lines import read_lines
from storage.errors import InvalidData
from storage.parquet import write_rows


def test_the_three_file_types_hold_the_same_lines(
    tmp_path: Path, write_lines: Callable[..., Path]
) -> None:
    rows = [{"prompt": f"p{number}", "responses": [{"text": "t"}]} for number in range(5)]
    plain, packed = write_lines(*rows), write_lines(*rows, name="file.jsonl.gz")
    table = tmp_path / "file.parquet"
    write_rows(table, rows, {"prompt": str, "responses": [{"text": str, "policy": str}]})
    for path in (plain, packed, table):
        lines = list(read_lines(path))
        assert [line.fields for line in lines] == rows
        assert [line.number for line in lines] == [1, 2, 3, 4, 5]


def test_blank_lines_are_passed_over_and_counted(write_lines: Callable[..., Path]) -> None:
    path = write_lines('\ufeff{"a": 1}', "", "   ", '{"a": null, "b": 2}')
    assert [(line.number, line.fields) for line in read_lines(path)] == [
        (1, {"a": 1}),
        (4, {"a": None, "b": 2}),
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", r"line 2: this is not JSON \(.*\); every line"),
        ('{"rating": NaN}', "NaN is not a JSON number"),
        ('{"rating": -Infinity}', "-Infinity is not a JSON number"),
        ("[1, 2]", r"needs to be a JSON object; got \[1, 2\]"),
        ("[" * 100_000, "this is not JSON"),
        ("9" * 5000, "this is not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_named(
    write_lines: Callable[..., Path], line: str, sentence: str
) -> None:
    path = write_lines({"prompt": "fine"}, line)
    with pytest.raises(InvalidData, match=sentence) as refused:
        list(read_lines(path))
    assert str(refused.value).startswith(f"{path}, line 2: ")


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"prompt": "é"}\n'.encode("latin-1"))
    with pytest.raises(InvalidData, match="line 1: the text is not UTF-8"):
        list(read_lines(path))


def test_a_file_that_cannot_be_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"There is no file .*missing\.jsonl"):
        list(read_lines(tmp_path / "missing.jsonl"))
    with pytest.raises(InvalidData, match="is a folder"):
        list(read_lines(tmp_path))
    with pytest.raises(InvalidData, match="cannot be read: File name too long"):
        list(read_lines(tmp_path / ("x" * 300 + ".jsonl")))


def test_an_unknown_file_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.xlsx"
    path.write_text("prompt,response\n", encoding="utf-8")
    with pytest.raises(
        InvalidData, match=r"none of the file types.*\.jsonl, \.jsonl\.gz, .*\.csv, .*\.parquet"
    ):
        list(read_lines(path))


def test_a_file_one_may_not_read_is_named(
    write_lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines({"prompt": "p"})

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidData, match=r"file\.jsonl cannot be read: Permission denied"):
        list(read_lines(path))


def test_an_empty_file_is_named(write_lines: Callable[..., Path]) -> None:
    with pytest.raises(InvalidData, match="holds no lines"):
        list(read_lines(write_lines("", "")))


def test_a_file_that_was_never_compressed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl.gz"
    path.write_text('{"prompt": "p"}\n', encoding="utf-8")
    with pytest.raises(InvalidData, match="is not a whole gzip file"):
        list(read_lines(path))


@given(kept=st.floats(0.02, 0.98))
def test_a_half_written_gzip_file_is_refused_wherever_it_breaks_off(
    tmp_path_factory: pytest.TempPathFactory, kept: float
) -> None:
    path = tmp_path_factory.mktemp("half") / "file.jsonl.gz"
    whole = gzip.compress(
        "".join(json.dumps({"n": n, "t": "x" * (n % 7)}) + "\n" for n in range(200)).encode()
    )
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InvalidData, match=r"only half there|not a whole gzip|is not JSON|no lines"):
        list(read_lines(path))
