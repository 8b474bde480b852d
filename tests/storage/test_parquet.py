"""What is written to Parquet comes back, and half a file is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import InvalidData
from storage.parquet import (
    Column,
    RowWriter,
    columns_of,
    columns_with,
    no_columns,
    read_rows,
    widened,
    write_rows,
)

COLUMNS: dict[str, Column] = {
    "text": str,
    "whole": int,
    "share": float,
    "flag": bool,
    "turns": [{"role": str, "content": str}],
}
words = st.text(st.characters(codec="utf-8"))
rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": words,
            "whole": st.integers(-(2**63), 2**63 - 1),
            "share": st.floats(allow_nan=False),
            "flag": st.booleans(),
            "turns": st.lists(st.fixed_dictionaries({"role": words}, optional={"content": words})),
        },
    ),
    max_size=5,
)


@settings(deadline=None)
@given(rows=rows)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    assert write_rows(path, iter(rows), COLUMNS) == len(rows)
    assert list(read_rows(path)) == rows


def test_more_rows_than_are_held_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    many = [{"whole": number} for number in range(2500)]
    # The first thousand have no text at all, which must not make the column lose its type.
    many[-1] = {"whole": 2499, "text": "last"}
    assert write_rows(path, iter(many), {"whole": int, "text": str}) == 2500
    assert list(read_rows(path)) == many


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"{}"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match="not a whole Parquet file"):
        list(read_rows(path))


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(path, ({"text": f"row {number}"} for number in range(100)), {"text": str})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidData, match="not a whole Parquet file"):
        list(read_rows(path))


@settings(deadline=None)
@given(batches=st.lists(rows, max_size=4))
def test_columns_found_in_the_rows_hold_them(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, Any]]]
) -> None:
    path = tmp_path_factory.mktemp("found") / "file.parquet"
    columns = no_columns()
    for batch in batches:
        if batch:
            columns = widened(columns, batch)
    every = [row for batch in batches for row in batch]
    with RowWriter(path, columns) as file:
        for row in every:
            file.add(row)
    assert columns_of(path).names == columns.names
    if columns.names:  # rows without any column are no rows
        assert list(read_rows(path)) == every


def test_of_two_columns_of_one_name_the_new_one_stays_in_its_place() -> None:
    old = widened(no_columns(), [{"a": 1, "b": "x"}])
    new = widened(no_columns(), [{"c": True, "a": 0.5}])
    both = columns_with(old, new)
    assert both.names == ["a", "b", "c"]
    assert [str(kind) for kind in both.types] == ["double", "string", "bool"]
