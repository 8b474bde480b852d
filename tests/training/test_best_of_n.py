"""Best-of-n: what it would bring, against all choices; how far it leads, against the exact sum."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import TooLittleData
from training.best_of_n import divergence_bound, expected_best

rows = st.integers(1, 7).flatmap(
    lambda k: st.tuples(
        st.lists(
            st.lists(st.floats(-5, 5), min_size=k, max_size=k),
            min_size=1,
            max_size=4,
        ),
        st.integers(1, k),
    )
)


@given(rows)
def test_it_is_the_mean_over_all_choices_of_n_answers(
    given_: tuple[list[list[float]], int],
) -> None:
    scores, n = given_
    chosen = fmean(fmean(max(some) for some in combinations(row, n)) for row in scores)
    assert expected_best(scores, n) == pytest.approx(chosen, abs=1e-12)


def test_a_golden_value() -> None:
    # Of {1, 2, 4} the pairs {1, 2}, {1, 4}, {2, 4} have the maxima 2, 4, 4: 10/3; of {0, 0, 3} they
    # are 0, 3, 3: 2. The mean of both is 8/3.
    assert expected_best([[4, 1, 2], [0, 3, 0]], 2) == pytest.approx(8 / 3)
    assert expected_best([[4, 1, 2], [0, 3, 0]], 1) == pytest.approx((7 / 3 + 1) / 2)
    assert expected_best([[4, 1, 2], [0, 3, 0]], 3) == pytest.approx(3.5)


def test_more_than_there_are_cannot_be_told() -> None:
    with pytest.raises(TooLittleData, match="The best of 3 answers cannot be told from 2 to each"):
        expected_best([[1, 2]], 3)


@pytest.mark.parametrize("n", [1, 2, 4, 16])
@pytest.mark.parametrize("answers", [2, 10, 100_000])
def test_the_divergence_stays_below_its_bound_and_reaches_it_where_answers_are_rare(
    n: int, answers: int
) -> None:
    # Equally likely answers with distinct scores: the i-th best of M wins with probability
    # (i^n - (i-1)^n) / M^n.
    place = np.arange(1, answers + 1) / answers
    wins = np.diff(place**n, prepend=0.0)
    exact = float((wins * np.log(np.maximum(wins, 1e-300) * answers)).sum())
    bound = divergence_bound(n)
    assert exact <= bound + 1e-9
    if answers > 1000:
        assert exact == pytest.approx(bound, abs=1e-3)


def test_a_golden_bound() -> None:
    # log 4 - 3/4 = 1.386294 - 0.75.
    assert divergence_bound(4) == pytest.approx(0.6362944, abs=1e-6)
    assert divergence_bound(1) == 0
    assert math.isclose(divergence_bound(2), math.log(2) - 0.5)
