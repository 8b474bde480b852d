"""A sample of entries that does not depend on their order, for what is too slow to do with all."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappush, heappushpop

from evaluation.linting.entries import Entry, content

KEPT = 50_000
"""Entries that are kept in memory. Of more, a sample is."""


@dataclass(slots=True)
class Kept:
    """Those entries whose fingerprints are the smallest: every content has the same chance.

    Copies have one fingerprint, so they are kept, or left out, together.
    """

    most: int = KEPT
    seen: int = 0
    _heap: list[tuple[int, int, Entry]] = field(default_factory=list)

    def add(self, entry: Entry) -> tuple[int, int]:
        """Take an entry in; returns its number, from 0, and its fingerprint."""
        ordinal, found = self.seen, content(entry)
        # The largest is at the top of the heap, to be pushed out.
        item = (-found, -ordinal, entry)
        if len(self._heap) < self.most:
            heappush(self._heap, item)
        else:
            heappushpop(self._heap, item)
        self.seen += 1
        return ordinal, found

    @property
    def is_sample(self) -> bool:
        """Whether some were left out."""
        return self.seen > self.most

    def entries(self) -> dict[int, Entry]:
        """What was kept, by its number, the smallest fingerprint first."""
        return {-ordinal: entry for _, ordinal, entry in sorted(self._heap, key=_by_fingerprint)}


def _by_fingerprint(item: tuple[int, int, Entry]) -> tuple[int, int]:
    return -item[0], -item[1]
