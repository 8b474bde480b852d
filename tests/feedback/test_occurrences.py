"""Counting contents on disk gives what counting in memory gives."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from feedback.importers.occurrences import Occurrences
from storage.records import digest


@given(st.lists(st.integers(0, 5), max_size=40))
def test_each_content_is_numbered_in_its_turn(contents: list[int]) -> None:
    seen: Counter[int] = Counter()
    with closing(Occurrences()) as met:
        for content in contents:
            assert met.before(digest(content, length=32)) == seen[content]
            seen[content] += 1


def test_two_files_do_not_know_of_each_other() -> None:
    with closing(Occurrences()) as one, closing(Occurrences()) as other:
        assert [one.before("00ff"), one.before("00ff"), other.before("00ff")] == [0, 1, 0]
