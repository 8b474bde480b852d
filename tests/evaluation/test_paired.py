"""Differences on the same comparisons: laws, values by hand, and a bootstrap beside them."""

from __future__ import annotations

import made_trials
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from evaluation.intervals import hidden_share
from evaluation.paired import p_value, paired_difference, turned
from evaluation.statistics import Estimate, correctness
from storage.errors import TooLittleData

Columns = NDArray[np.float64]

OURS = np.array([[1.0, 1, 0, 1], [1, 0, 0, 1]])
THEIRS = np.array([[0.0, 1, 0, 1], [0, 1, 1, 0]])
PROMPTS = ["p", "p", "q", "r"]


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[Columns, Columns, list[int]]:
    """Two kinds with 1 to 3 seeds on 2 to 20 comparisons of at least two prompts."""
    seeds, count = draw(st.integers(1, 3)), draw(st.integers(2, 20))
    prompts = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    prompts[:2] = [0, 1]
    marks = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=count, max_size=count)
    ours, theirs = (
        np.array(draw(st.lists(marks, min_size=seeds, max_size=seeds))) for _ in range(2)
    )
    return ours, theirs, prompts


def test_a_difference_by_hand() -> None:
    # The means over seeds differ by 1, -1/2, -1/2, 1/2: on average 1/8. Summed within prompts the
    # deviations from that are 1/4, -5/8, 3/8, so se = sqrt(3/2 * 0.59375) / 4 = 0.2359323.
    # Student's t with 2 degrees of freedom at 75 % is 0.8164966.
    found = paired_difference(OURS, THEIRS, PROMPTS, confidence=0.5)
    assert found.value == pytest.approx(0.125)
    assert (found.low, found.high) == pytest.approx((-0.0676379, 0.3176379), abs=1e-7)
    assert found.n == 4


def test_a_probability_by_hand() -> None:
    # t = 0.125 / 0.2359323 = 0.529813; with 2 degrees of freedom the probability of |T| above t is
    # 1 - t / sqrt(2 + t^2) = 0.649177.
    found = p_value(lambda level: paired_difference(OURS, THEIRS, PROMPTS, confidence=level))
    assert found == pytest.approx(0.649177, abs=1e-6)


def test_with_one_comparison_per_prompt_it_is_students_paired_test() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.integers(0, 2, (2, 1, 60)).astype(float)
    expected = stats.ttest_rel(ours[0], theirs[0])
    found = paired_difference(ours, theirs, range(60))
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    probability = p_value(
        lambda level: paired_difference(ours, theirs, range(60), confidence=level)
    )
    assert probability == pytest.approx(expected.pvalue, abs=1e-7)


@given(outcomes())
def test_a_kind_against_itself_makes_no_difference(
    drawn: tuple[Columns, Columns, list[int]],
) -> None:
    ours, _, prompts = drawn
    found = paired_difference(ours, ours, prompts)
    # The width is no variation that was seen, but what so few prompts may have hidden.
    hidden = hidden_share(len(set(prompts)))
    assert (found.value, found.low, found.high) == pytest.approx((0, -hidden, hidden))
    assert p_value(lambda level: paired_difference(ours, ours, prompts, confidence=level)) == 1


@given(outcomes())
def test_swapping_the_kinds_flips_the_sign(drawn: tuple[Columns, Columns, list[int]]) -> None:
    ours, theirs, prompts = drawn
    one, other = (
        paired_difference(ours, theirs, prompts),
        turned(paired_difference(theirs, ours, prompts)),
    )
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


@given(outcomes())
def test_the_probability_agrees_with_the_interval(
    drawn: tuple[Columns, Columns, list[int]],
) -> None:
    ours, theirs, prompts = drawn

    def interval(confidence: float) -> Estimate:
        return paired_difference(ours, theirs, prompts, confidence=confidence)

    probability, found = p_value(interval), interval(0.95)
    assert 0 < probability <= 1
    if abs(probability - 0.05) > 1e-6:
        assert (probability < 0.05) == (found.low > 0 or found.high < 0)


def test_one_prompt_is_too_little() -> None:
    with pytest.raises(TooLittleData, match="A difference of accuracies needs judgements of at"):
        paired_difference(OURS, THEIRS, ["p"] * 4)


# A second implementation: resample whole prompts, and in a second run seeds too.


def drawn_again(
    gained: Columns, prompts: NDArray[np.int_], *, seeds: bool, times: int = 2000
) -> tuple[float, float]:
    """Percentile interval of the mean of (seeds, n) differences, from resampled clusters."""
    rng = np.random.default_rng(5)
    members = [np.flatnonzero(prompts == prompt) for prompt in np.unique(prompts)]
    found = []
    for _ in range(times):
        rows = rng.integers(len(gained), size=len(gained)) if seeds else np.arange(len(gained))
        chosen = rng.integers(len(members), size=len(members))
        columns = np.concatenate([members[place] for place in chosen])
        found.append(gained[np.ix_(rows, columns)].mean())
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("seeds", [False, True], ids=["prompts", "prompts and seeds"])
def test_a_bootstrap_finds_the_same_interval(seeds: bool) -> None:
    rows = made_trials.compared(900, prompts=300, ties=0)
    trials = made_trials.trials(rows, labels=[500], seeds=8)
    choices = [row.choice for row in rows]
    correct = {
        kind: np.array(
            [
                correctness(np.zeros(len(rows)), trial.gaps, choices)[0]
                for trial in trials
                if trial.kind == kind
            ]
        )
        for kind in ("combined", "absolute")
    }
    _, prompts = np.unique([row.prompt_id for row in rows], return_inverse=True)
    found = paired_difference(correct["combined"], correct["absolute"], prompts)
    low, high = drawn_again(correct["combined"] - correct["absolute"], prompts, seeds=seeds)
    assert found.low > 0
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.1 * (found.high - found.low))
