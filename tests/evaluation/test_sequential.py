"""Looking as often as one likes: false alarms, coverage, a plain loop beside, values by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.sequential import (
    MEANS,
    Look,
    chance_at_end,
    chance_to_decide,
    confidence_sequence,
    ever_rich,
)
from evaluation.statistics import win_rate
from storage.errors import InvalidData, InvalidOption, TooLittleData

Floats = NDArray[np.float64]

patient = settings(deadline=None)

RUNS = 2000

units_of_a_study = st.lists(
    st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)), min_size=1, max_size=30
)


def looks_by_hand(units: list[float], confidence: float) -> list[tuple[float, float]]:
    """The interval after each prompt: one gambler at a time, one value at a time, one prompt."""
    alpha = 1 - confidence
    never = dict.fromkeys(MEANS.tolist(), math.inf)
    too_low, too_high = dict(never), dict(never)  # the look at which a value was ruled out
    bets, total, squares = [], 0.5, 0.25
    for count, unit in enumerate(units, start=1):
        bets.append(
            math.sqrt(2 * math.log(2 / alpha) / (squares / count * count * math.log(1 + count)))
        )
        total += unit
        squares += (unit - total / (count + 1)) ** 2
    for mean in never:
        more = less = 0.0
        for look, (unit, bet) in enumerate(zip(units, bets, strict=True)):
            more += math.log(1 + min(bet, 0.5 / mean) * (unit - mean))
            less += math.log(1 - min(bet, 0.5 / (1 - mean)) * (unit - mean))
            if more >= math.log(2 / alpha):
                too_low[mean] = min(too_low[mean], look)
            if less >= math.log(2 / alpha):
                too_high[mean] = min(too_high[mean], look)
    found: list[tuple[float, float]] = []
    for look in range(len(units)):
        low = max((mean for mean in never if too_low[mean] <= look), default=0.0)
        high = min((mean for mean in never if too_high[mean] <= look), default=1.0)
        if low >= high:
            low, high = found[-1]
        found.append((low, high))
    return found


@settings(patient, max_examples=20)
@given(units_of_a_study, st.sampled_from([0.5, 0.8, 0.95]))
def test_a_loop_over_gamblers_finds_the_same(units: list[float], confidence: float) -> None:
    found = confidence_sequence(units, range(len(units)), confidence=confidence)
    bounds = np.array([(look.estimate.low, look.estimate.high) for look in found])
    assert bounds == pytest.approx(np.array(looks_by_hand(units, confidence)))


def test_the_first_look_by_hand() -> None:
    # One win at alpha 1/2: 2 / alpha is 4 and the bet sqrt(2 log 4 / (log 2 / 4)) = 4, but never
    # more than 1 / (2 m). Up to m = 1/8 the capital is 1 + 4 (1 - m), above 4; from there on it is
    # 1 + (1 - m) / (2 m), which is 4 or more up to m = 1/7 = 0.1428.
    (look,) = confidence_sequence([1.0], ["p"], confidence=0.5)
    assert (look.estimate.low, look.estimate.high) == (pytest.approx(0.142), 1.0)
    assert (look.estimate.value, look.estimate.n, look.prompts) == (1.0, 1, 1)
    assert not look.decided
    # At 95 % one win rules nothing out: 2 / alpha is 40, and no bet wins more than 1 + 6.53.
    (look,) = confidence_sequence([1.0], ["p"])
    assert (look.estimate.low, look.estimate.high) == (0.0, 1.0)


@patient
@given(units_of_a_study)
def test_the_other_policy_sees_the_mirror_image(units: list[float]) -> None:
    ours = confidence_sequence(units, range(len(units)))
    theirs = confidence_sequence([1 - unit for unit in units], range(len(units)))
    for one, other in zip(ours, theirs, strict=True):
        # A value on the very edge may fall on either side of it by rounding.
        assert one.estimate.low == pytest.approx(1 - other.estimate.high, abs=0.0011)
        assert one.estimate.high == pytest.approx(1 - other.estimate.low, abs=0.0011)


@patient
@given(units_of_a_study, st.integers(0, 60))
def test_what_comes_later_does_not_change_earlier_looks(units: list[float], cut: int) -> None:
    whole = confidence_sequence(units, range(len(units)))
    cut = min(max(cut, 1), len(units))
    assert confidence_sequence(units[:cut], range(cut)) == whole[:cut]


@patient
@given(units_of_a_study)
def test_the_interval_never_grows_and_a_decision_stands(units: list[float]) -> None:
    looks = confidence_sequence(units, range(len(units)), confidence=0.6)
    for before, after in pairwise(looks):
        assert before.estimate.low <= after.estimate.low < after.estimate.high
        assert after.estimate.high <= before.estimate.high
        assert after.decided >= before.decided
    for look in looks:
        assert look.decided == (not look.estimate.low < 0.5 < look.estimate.high)


def test_a_long_study_in_several_blocks_equals_a_short_look_at_each() -> None:
    rng = np.random.default_rng(3)
    units = rng.choice([0, 0.5, 1], size=5000, p=[0.2, 0.2, 0.6])
    looks = confidence_sequence(units, range(5000))
    assert looks[-1].estimate.low > 0.67
    assert looks[-1].estimate.high < 0.73
    rich = ever_rich(np.broadcast_to(units, (1, 5000)), mean=0.5, confidence=0.95)
    assert rich.tolist() == [looks[-1].decided] == [True]
    first = next(look.prompts for look in looks if look.decided)
    for cut, decided in ((first - 1, False), (first, True)):
        assert ever_rich(units[None, :cut], mean=0.5, confidence=0.95).tolist() == [decided]


# Kinds of studies, with a mean of 1/2 unless told otherwise; each of shape (runs, prompts).


def coins(rng: np.random.Generator, mean: float, prompts: int) -> Floats:
    return (rng.random((RUNS, prompts)) < mean).astype(float)


def with_ties(rng: np.random.Generator, mean: float, prompts: int) -> Floats:
    decided = rng.random((RUNS, prompts)) < 0.5
    ahead = rng.random((RUNS, prompts)) < 2 * mean - 0.5
    return np.where(decided, ahead.astype(float), 0.5)


def judged(rng: np.random.Generator, mean: float, prompts: int) -> Floats:
    return rng.beta(4 * mean, 4 * (1 - mean), size=(RUNS, prompts))


def alike(rng: np.random.Generator, mean: float, prompts: int) -> Floats:
    """Four votes on each prompt, whose answers are clearly better on one side or the other."""
    of_prompt = rng.beta(0.6 * mean, 0.6 * (1 - mean), size=(RUNS, prompts))
    return rng.binomial(4, of_prompt) / 4


studies = pytest.mark.parametrize("study", [coins, with_ties, judged, alike])


@studies
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_looking_after_every_prompt_raises_false_alarms_no_more_often_than_alpha(
    study: Callable[..., Floats], confidence: float
) -> None:
    units = study(np.random.default_rng(7), 0.5, 300)
    alarms = float(ever_rich(units, mean=0.5, confidence=confidence).mean())
    assert 0 < alarms <= 1 - confidence


@studies
def test_some_true_mean_is_inside_at_every_look(study: Callable[..., Floats]) -> None:
    units = study(np.random.default_rng(11), 0.65, 300)
    assert float(ever_rich(units, mean=0.65, confidence=0.95).mean()) <= 0.05


def test_the_intervals_themselves_cover_at_every_look() -> None:
    # The same through the front door, votes in the order in which they came.
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(60):
        rate = rng.beta(1.2, 0.8, size=40)
        score = (rng.random((40, 3)) < rate[:, None]).astype(float).ravel()
        looks = confidence_sequence(score, np.repeat(np.arange(40), 3), overlap=3)
        missed += any(not look.estimate.low <= 0.6 <= look.estimate.high for look in looks)
    assert missed <= 6  # 60 at 5 % give 7 or more once in 30 times, and these give fewer


def test_a_repeated_test_on_single_votes_raises_far_more_false_alarms() -> None:
    # What the rules above guard against: bets on votes instead of prompts, and a z-test at each
    # look.
    rng = np.random.default_rng(7)
    of_prompt = rng.beta(0.3, 0.3, size=(RUNS, 75))
    votes = (rng.random((RUNS, 75, 4)) < of_prompt[:, :, None]).astype(float)
    flat = votes.reshape(RUNS, 300)
    assert float(ever_rich(flat, mean=0.5, confidence=0.95).mean()) > 0.1
    units = votes.mean(axis=2)
    count = np.arange(1, 76)
    mean = np.cumsum(units, axis=1) / count
    spread = np.sqrt(np.cumsum(units**2, axis=1) / count - mean**2)
    alarmed = np.abs(mean - 0.5)[:, 9:] > (1.96 * spread / np.sqrt(count))[:, 9:]
    assert float(alarmed.any(axis=1).mean()) > 0.15


def test_a_clear_lead_is_decided_soon() -> None:
    units = coins(np.random.default_rng(9), 0.75, 200)
    assert float(ever_rich(units[:, :100], mean=0.5, confidence=0.95).mean()) > 0.8


# Votes of one prompt


def ends(looks: tuple[Look, ...]) -> list[tuple[float, float, float]]:
    return [(look.estimate.value, look.estimate.low, look.estimate.high) for look in looks]


def test_a_prompt_counts_once_its_last_vote_is_in() -> None:
    # Votes come in rounds; b is complete first, then a. c lacks one.
    scores = [1, 0, 0.5, 1, 0, 1, 0]
    prompts = ["a", "b", "c", "b", "a", "b", "b"]
    looks = confidence_sequence(scores, prompts, overlap=2)
    assert [(look.prompts, look.estimate.n) for look in looks] == [(1, 2), (2, 4)]
    assert ends(looks) == ends(confidence_sequence([0.5, 0.5], ["b", "a"]))
    later = confidence_sequence([*scores, 1], [*prompts, "c"], overlap=2)
    assert later[:2] == looks
    assert later[2].estimate.value == pytest.approx((0.5 + 0.5 + 0.75) / 3)


def test_in_a_finished_file_every_prompt_counts_from_its_last_vote_on() -> None:
    looks = confidence_sequence([1, 0, 0, 1, 1], ["a", "b", "a", "c", "b"])
    assert ends(looks) == ends(confidence_sequence([0.5, 1, 0.5], ["a", "c", "b"]))
    assert [look.estimate.n for look in looks] == [2, 3, 5]


# The chance to decide


def test_the_chance_agrees_with_studies_that_go_on() -> None:
    rng = np.random.default_rng(12)
    seen = np.array([1, 0, 1, 1, 1, 0, 1, 1, 0, 1.0])
    chance = chance_to_decide(seen, range(10), budget=60, rng=np.random.default_rng(1))
    decided = 0
    for _ in range(400):
        whole = [*seen, *rng.choice(seen, size=50)]
        decided += confidence_sequence(whole, range(60))[-1].decided
    # Two standard deviations of the difference of two shares near 1/2 with 2,000 and 400 runs
    # are 5.5 points.
    assert 0.2 < chance < 0.9
    assert chance == pytest.approx(decided / 400, abs=0.055)


def test_votes_that_say_nothing_cannot_be_decided() -> None:
    chance = chance_to_decide([1, 0] * 20, range(40), budget=60, rng=np.random.default_rng(0))
    assert chance < 0.02


def test_what_is_decided_is_decided() -> None:
    looks = confidence_sequence([1.0] * 30, range(30))
    assert looks[-1].decided
    rng = np.random.default_rng(0)
    assert chance_to_decide([1.0] * 30, range(30), budget=30, rng=rng, runs=10) == 1
    assert chance_to_decide([1.0] * 30 + [0.0] * 9, range(39), budget=50, rng=rng, runs=10) == 1


def test_only_ties_rule_out_what_is_far_from_a_tie_and_never_decide() -> None:
    looks = confidence_sequence([0.5] * 200, range(200))
    assert not looks[-1].decided
    assert 0.4 < looks[-1].estimate.low < 0.5 < looks[-1].estimate.high < 0.6
    rng = np.random.default_rng(0)
    assert chance_to_decide([0.5] * 20, range(20), budget=500, rng=rng, runs=20) == 0


def test_a_mean_that_turns_leaves_the_interval_as_it_was() -> None:
    looks = confidence_sequence([1.0] * 100 + [0.0] * 400, range(500))
    assert all(look.estimate.low < look.estimate.high for look in looks)
    assert looks[-1].estimate.low == looks[99].estimate.low


# The end of a study


def test_the_end_of_a_study_that_has_all_its_votes_is_the_planned_interval() -> None:
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(40):
        scores = rng.choice([0, 0.5, 1], size=30, p=[0.25, 0.15, 0.6])
        planned = win_rate(scores, range(30))
        decided = not planned.low <= 0.5 <= planned.high
        chance = chance_at_end(scores, range(30), budget=30, rng=rng, runs=3)
        assert chance == float(decided)
        seen.add(decided)
    assert seen == {True, False}


def test_the_chance_at_the_end_is_that_of_a_plain_loop() -> None:
    scores = [1, 1, 0, 1, 0.5, 1, 0, 1, 1, 0] * 2
    rng, found = np.random.default_rng(0), []
    for _ in range(1000):
        whole = [*scores, *rng.choice(scores, size=20)]
        end = win_rate(whole, range(40))
        found.append(not end.low <= 0.5 <= end.high)
    chance = chance_at_end(scores, range(20), budget=40, rng=np.random.default_rng(1), runs=4000)
    assert chance == pytest.approx(np.mean(found), abs=0.05)
    # The planned look at the end sees more than looks that may be taken at any time.
    early = chance_to_decide(scores, range(20), budget=40, rng=np.random.default_rng(1))
    assert early < chance < 1


# Refusals


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.2], ["a"]), InvalidData, "reach from 1.2 to 1.2"),
        (([math.nan], ["a"]), InvalidData, "1 of 1 scores are not numbers"),
        (([1, 0], ["a"]), ValueError, "different lengths"),
        (([], []), TooLittleData, "No prompt has all its votes yet"),
    ],
)
def test_what_is_no_study_is_refused(
    arguments: tuple[Any, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        confidence_sequence(*arguments)


def test_an_incomplete_study_is_refused() -> None:
    with pytest.raises(TooLittleData, match=r"all its votes yet \(2 each\)"):
        confidence_sequence([1, 0], ["a", "b"], overlap=2)
    with pytest.raises(InvalidOption, match="at least 1"):
        confidence_sequence([1, 0], ["a", "b"], overlap=0)
    with pytest.raises(InvalidOption, match="strictly between"):
        confidence_sequence([1, 0], ["a", "b"], confidence=1)
    rng = np.random.default_rng(0)
    with pytest.raises(TooLittleData, match="at least 2 complete prompts; there is 1"):
        chance_to_decide([1], ["a"], budget=5, rng=rng)
    for chance in (chance_to_decide, chance_at_end):
        with pytest.raises(InvalidOption, match="3 prompts are complete already"):
            chance([1, 0, 1], range(3), budget=2, rng=rng)
