"""How alike two texts are: the share of runs of words that both have, found fast among many.

A text is the set of its shingles, runs of `SHINGLE` words that follow each other, and two texts are
as alike as the Jaccard index of their sets: those that both have, over those that either has.
MinHash with banding (LSH) names candidates without comparing every text with every other, and each
candidate is then compared exactly, so what is found is true; what may be missed is in `BANDS`.

Source:
    Broder (1997), "On the resemblance and containment of documents".
    Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3 (banding).
    Lee et al. (2022), arXiv:2107.06499, for why near duplicates hurt language models.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from datasketch import MinHash, MinHashLSH

SHINGLE = 3
"""Words. Prompts are short; longer runs would let one changed word part most of them."""
ALIKE = 0.7
"""Jaccard index from which on two texts count as near duplicates: of ten runs of words that either
has, seven are in both. In a text of 20 words, one changed in the middle leaves 15/21 = 0.71."""
BANDS, ROWS = 32, 4
"""Two texts of index s become candidates with probability 1 - (1 - s^4)^32: at 0.7 that is 0.9998,
so 2 of 10,000 pairs right at the threshold are missed, and fewer above it."""
SEED = 1

# Kana, Han, Hangul and Thai are written without spaces between words.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

Shingles = frozenset[str]
"""Runs of `SHINGLE` words."""


def shingles(text: str) -> Shingles:
    """The runs of words of a text, in one case and without punctuation.

    Scripts without spaces are taken letter by letter. A text of fewer than `SHINGLE` words has none
    and is like no other.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return frozenset(" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1))


def jaccard(one: Shingles, other: Shingles) -> float:
    """Shingles of both over shingles of either, from 0 to 1; of two empty sets it is 0."""
    either = len(one | other)
    return len(one & other) / either if either else 0.0


@dataclass(frozen=True, slots=True)
class Likeness:
    """A text that resembles one that was there before it."""

    text: str
    like: str
    index: float
    """Jaccard index of the two, `ALIKE` or more."""


@dataclass(slots=True)
class ShingleIndex:
    """Texts that others can be compared with."""

    alike: float = ALIKE
    _known: dict[str, Shingles] = field(default_factory=dict)
    _bands: Any = field(
        default_factory=lambda: MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    )

    def nearest(self, text: str) -> Likeness | None:
        """The most similar text in here, if it is alike; of equally similar ones the first by code.

        A text is like itself, if it is in here.
        """
        parts = shingles(text)
        found = self._nearest(parts, _sketch(parts)) if parts else None
        return found and Likeness(text, *found)

    def add(self, text: str) -> Likeness | None:
        """Put a text in, but for one that is like another: that is given back, and not kept.

        So of many texts made from one pattern, one is kept, and looking does not take longer with
        each of them.
        """
        parts = shingles(text)
        if not parts:
            return None
        sketch = _sketch(parts)
        if found := self._nearest(parts, sketch):
            return Likeness(text, *found)
        self._known[text] = parts
        self._bands.insert(text, sketch)
        return None

    def _nearest(self, parts: Shingles, sketch: Any) -> tuple[str, float] | None:
        candidates = self._bands.query(sketch)
        near = [(jaccard(parts, self._known[other]), other) for other in candidates]
        near = [(index, other) for index, other in near if index >= self.alike]
        if not near:
            return None
        index, other = min(near, key=lambda one: (-one[0], one[1]))
        return other, index


def near_duplicates(texts: Iterable[str], *, alike: float = ALIKE) -> list[Likeness]:
    """Texts that resemble another one, each with the one that stands for it.

    Texts are taken in alphabetical order, whatever order they come in; one that resembles none
    before it stands for those that resemble it later. Equal texts count once.
    """
    index = ShingleIndex(alike=alike)
    return [found for text in sorted(set(texts)) if (found := index.add(text))]


# Drawing the permutations takes as long as using them; a copy shares them.
_EMPTY = MinHash(num_perm=BANDS * ROWS, seed=SEED)


def _sketch(parts: Shingles) -> Any:
    sketch = _EMPTY.copy()
    sketch.update_batch([part.encode("utf-8", "replace") for part in sorted(parts)])
    return sketch
