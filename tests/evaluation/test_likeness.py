"""Near duplicates: the index against every text compared with every other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.linting.likeness import (
    ALIKE,
    BANDS,
    ROWS,
    ShingleIndex,
    jaccard,
    near_duplicates,
    shingles,
)

texts = st.lists(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9).map(" ".join), max_size=12
)


def brute_force(given_texts: list[str]) -> set[str]:
    """The second implementation: each text against all that stand for others, one by one."""
    kept: list[str] = []
    near = set()
    for text in sorted(set(given_texts)):
        words = text.split()
        mine = {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
        alike = False
        for other in kept:
            others = other.split()
            theirs = {tuple(others[at : at + 3]) for at in range(len(others) - 2)}
            alike = alike or len(mine & theirs) >= ALIKE * len(mine | theirs)
        if not mine:
            continue
        if alike:
            near.add(text)
        else:
            kept.append(text)
    return near


@settings(max_examples=60, deadline=None)
@given(texts)
def test_the_same_near_duplicates_as_by_brute_force(many: list[str]) -> None:
    # The index misses 2 of 10,000 pairs at the threshold; of these few pairs, as good as none.
    assert {one.text for one in near_duplicates(many)} == brute_force(many)


@settings(max_examples=20, deadline=None)
@given(texts, st.randoms(use_true_random=False))
def test_order_and_copies_change_nothing(many: list[str], random: object) -> None:
    turned = [*many, *many[:3]]
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert near_duplicates(turned) == near_duplicates(many)


def test_one_changed_word_in_twenty_by_hand() -> None:
    # 18 runs of three words each; the changed word is in three of them: 15 / 21.
    words = [f"w{number}" for number in range(20)]
    changed = [*words[:10], "other", *words[11:]]
    one, other = shingles(" ".join(words)), shingles(" ".join(changed))
    assert len(one) == 18
    assert jaccard(one, other) == pytest.approx(15 / 21)
    (found,) = near_duplicates([" ".join(words), " ".join(changed)])
    assert found.index == pytest.approx(15 / 21)


def test_case_punctuation_and_width_make_no_difference_and_short_texts_are_like_nothing() -> None:
    assert shingles("Tell me, MORE!") == shingles("tell ｍe more")
    assert shingles("Yes, please") == frozenset()
    assert near_duplicates(["Yes, please", "yes please"]) == []
    assert jaccard(frozenset(), frozenset()) == 0
    # Without spaces, by letters.
    assert len(shingles("東京都庁舎")) == 3


def test_of_pairs_at_the_threshold_hardly_any_is_missed() -> None:
    assert 1 - (1 - ALIKE**ROWS) ** BANDS > 0.9998
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(150):
        words = [f"w{number}" for number in rng.integers(0, 10**6, 20)]
        index = ShingleIndex()
        index.add(" ".join(words))
        missed += index.nearest(" ".join([*words[:10], "other", *words[11:]])) is None
    # Expected 0.02 of 150; two or more would happen once in 5,000 times.
    assert missed <= 1
