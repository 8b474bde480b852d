"""People's win rate with a judge's help: by hand, beside ppi-python, and what it covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import ppi_py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from evaluation.intervals import Estimate
from evaluation.prediction_powered import FEWEST_PROMPTS, prediction_powered_win_rate
from evaluation.statistics import win_rate
from storage.errors import InvalidData, TooLittleData

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """Votes of a study: people on some prompts, the judge on these and on others."""

    scores: Column
    judged: Column
    prompts: NDArray[np.int_]
    judged_alone: Column
    prompts_alone: NDArray[np.int_]

    def estimate(self, confidence: float = 0.95) -> Estimate:
        return prediction_powered_win_rate(
            self.scores,
            self.judged,
            self.prompts,
            judged_alone=self.judged_alone,
            prompts_alone=self.prompts_alone,
            confidence=confidence,
        )

    def mirrored(self) -> Drawn:
        return Drawn(
            1 - self.scores,
            1 - self.judged,
            self.prompts,
            1 - self.judged_alone,
            self.prompts_alone,
        )


def drawn(
    rng: np.random.Generator,
    *,
    agreement: float,
    people: int = 40,
    alone: int = 400,
    votes: int = 3,
    bias: float = 0.0,
) -> Drawn:
    """A study whose judge says what the prompt's own chance says, so often; else it tosses.

    A prompt's chance of a win is Beta(3, 2), so that the truth is 0.6. The judge's toss is won with
    a chance of 0.5 + bias.
    """
    prompts = np.repeat(range(people + alone), votes)
    own = rng.beta(3, 2, people + alone)
    chance = own[prompts]
    scores = (rng.random(len(prompts)) < chance).astype(float)
    toss = rng.random(people + alone) < 0.5 + bias
    knows = rng.random(people + alone) < agreement
    judged = np.where(knows, own, toss)[prompts].astype(float)
    here = prompts < people
    # The judge is asked once about each comparison, people several times.
    once = np.flatnonzero(~here)[::votes]
    return Drawn(scores[here], judged[here], prompts[here], judged[once], prompts[once])


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_an_estimate_by_hand() -> None:
    # People: ten prompts, six won. The judge calls one win lost and one loss won, and wins 25 of 50
    # alone. Sums of squares of votes: people's 10 * 0.24 = 2.4 and the judge's as much, their
    # product 5 - 10 * 0.36 = 1.4, the judge's alone 50 / 4. Times 10 / 9 / 10^2 and 50 / 49 / 50^2
    # that is 0.0266667, 0.0155556 and 0.0051020.
    # w = 0.0155556 / (0.0266667 + 0.0051020) = 0.4896502, and the value 0.6 + w (0.5 - 0.6).
    # V = (0.0266667 - w 0.0155556) * 9 / 8 = 0.0214311. Its parts: where people voted 0.0266667 -
    # 2 w 0.0155556 + w^2 0.0266667 = 0.0178266, alone w^2 0.0051020 = 0.0012233; the square of
    # their sum over 0.0178266^2 / 8 + 0.0012233^2 / 49 is 9.1286 degrees of freedom. t at 75 % is
    # 0.702722 with 9 and 0.699812 with 10 of them, so 0.70235.
    found = prediction_powered_win_rate(
        [1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 1, 0, 0, 0],
        range(10),
        judged_alone=np.tile([1, 0], 25),
        prompts_alone=range(100, 150),
        confidence=0.5,
    )
    assert (found.value, found.n) == (pytest.approx(0.5510350, abs=1e-7), 10)
    reach = 0.70235 * 0.0214311**0.5
    assert (found.low, found.high) == pytest.approx(
        (0.5510350 - reach, 0.5510350 + reach), abs=1e-5
    )


def independent(seed: int, agreement: float = 0.8) -> Drawn:
    rng = np.random.default_rng(seed)
    return drawn(rng, agreement=agreement, people=60, alone=300, votes=1)


@pytest.mark.parametrize("seed", range(5))
def test_independent_votes_give_what_ppi_python_gives(seed: int) -> None:
    votes = independent(seed)
    found = votes.estimate()
    shift = votes.judged_alone.mean() - votes.judged.mean()
    weight = (found.value - votes.scores.mean()) / shift
    columns = (votes.scores, votes.judged, votes.judged_alone)
    assert found.value == pytest.approx(
        float(np.squeeze(ppi_py.ppi_mean_pointestimate(*columns, lam=weight))), abs=1e-9
    )
    # Their weight has the same covariance over another estimate of the same variance: theirs of the
    # judge on both parts together, ours of each part.
    theirs = float(np.squeeze(ppi_py.ppi_mean_pointestimate(*columns)))
    tuned = (theirs - votes.scores.mean()) / shift
    n, alone = len(votes.scores), len(votes.judged_alone)
    pooled = (1 + n / alone) * np.concatenate(columns[1:]).var(ddof=1)
    apart = votes.judged.var() + votes.judged_alone.var() * (n - 1) / (alone - 1)
    assert 0 < tuned < 1
    assert weight * apart == pytest.approx(tuned * pooled, abs=1e-9)
    # Theirs divides by n and takes the normal distribution; ours divides by n - 1 and N - 1, takes
    # one degree of freedom off for the weight, and takes t. The rest is the same to rounding.
    seen = (votes.scores - weight * votes.judged).var() / (n - 1)
    guessed = weight**2 * votes.judged_alone.var() / (alone - 1)
    freedom = (seen + guessed) ** 2 / (seen**2 / (n - 2) + guessed**2 / (alone - 1))
    low, high = ppi_py.ppi_mean_ci(*columns, alpha=0.05, lam=weight)
    scale = ((seen + guessed) * (n - 1) / (n - 2)) ** 0.5 / (
        (seen * (n - 1) / n + guessed * (alone - 1) / alone) ** 0.5
    )
    ratio = scale * stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    assert width(found) == pytest.approx(float(np.squeeze(high - low)) * ratio, abs=1e-6)


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("agreement", [0.0, 0.6, 1.0])
def test_the_interval_covers_the_truth_however_good_the_judge(agreement: float, votes: int) -> None:
    rng = np.random.default_rng(21)
    hits = 0
    for _ in range(2000):
        found = drawn(rng, agreement=agreement, votes=votes, bias=0.3).estimate()
        hits += found.low <= 0.6 <= found.high
    assert 0.93 <= hits / 2000 <= 0.97


def test_it_covers_the_truth_on_the_fewest_prompts() -> None:
    rng = np.random.default_rng(22)
    hits = 0
    for _ in range(1000):
        found = drawn(rng, agreement=0.6, people=12, alone=60).estimate()
        hits += found.low <= 0.6 <= found.high
    assert 0.93 <= hits / 1000 <= 0.975


def widths(agreement: float) -> tuple[float, float]:
    """Mean width over studies relative to people alone, and the largest."""
    rng = np.random.default_rng(23)
    ratios = []
    for _ in range(300):
        votes = drawn(rng, agreement=agreement)
        ratios.append(width(votes.estimate()) / width(win_rate(votes.scores, votes.prompts)))
    return float(np.mean(ratios)), max(ratios)


def test_a_judge_that_knows_narrows_the_interval() -> None:
    good, _ = widths(1.0)
    fair, _ = widths(0.8)
    assert good < fair < 0.97
    assert good < 0.85


def test_a_judge_that_tosses_costs_next_to_nothing() -> None:
    mean, most = widths(0.0)
    assert mean <= 1.02
    assert most <= 1.05


def test_a_judge_that_says_the_same_of_everything_changes_nothing() -> None:
    votes = drawn(np.random.default_rng(1), agreement=0.5)
    found = prediction_powered_win_rate(
        votes.scores,
        np.full(len(votes.scores), 0.7),
        votes.prompts,
        judged_alone=np.full(50, 0.7),
        prompts_alone=range(1000, 1050),
    )
    alone = win_rate(votes.scores, votes.prompts)
    assert found.value == alone.value
    assert width(found) == pytest.approx(width(alone), rel=0.03)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]))
def test_laws(seed: int, agreement: float) -> None:
    rng = np.random.default_rng(seed)
    votes = drawn(rng, agreement=agreement, people=15, alone=30)
    found, mirrored = votes.estimate(), votes.mirrored().estimate()
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (1 - found.value, 1 - found.high, 1 - found.low)
    )
    order = rng.permutation(len(votes.scores))
    shuffled = prediction_powered_win_rate(
        votes.scores[order],
        votes.judged[order],
        [f"p{prompt}" for prompt in votes.prompts[order]],
        judged_alone=votes.judged_alone[::-1],
        prompts_alone=[f"p{prompt}" for prompt in votes.prompts_alone[::-1]],
    )
    assert (shuffled.low, shuffled.high) == pytest.approx((found.low, found.high))
    wide = votes.estimate(0.99)
    assert wide.low <= found.low
    assert wide.high >= found.high


def test_a_prompt_in_both_parts_is_one_unit() -> None:
    # Where the judge alone was asked about the very prompts that people were, another time, its
    # votes there know as much of other prompts as theirs: nothing is gained.
    rng = np.random.default_rng(3)
    votes = drawn(rng, agreement=1.0, people=200, alone=2000, votes=1)
    same = prediction_powered_win_rate(
        votes.scores,
        votes.judged,
        votes.prompts,
        judged_alone=votes.judged,
        prompts_alone=votes.prompts,
    )
    alone = win_rate(votes.scores, votes.prompts)
    assert width(same) == pytest.approx(width(alone), rel=0.01)
    assert width(votes.estimate()) < 0.95 * width(alone)


def test_a_judge_that_was_never_wrong_on_twenty_prompts_may_be_wrong_on_the_next() -> None:
    # 1 - 0.025 ** (1 / 20) = 0.1684335 of prompts may be unlike those seen.
    scores = np.tile([1.0, 0.0, 1.0, 1.0], 5)
    alone = np.tile([1.0, 0.0, 1.0, 1.0], 5000)
    found = prediction_powered_win_rate(
        scores, scores, range(20), judged_alone=alone, prompts_alone=range(100, 20_100)
    )
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx((0.75 - 0.1684335, 0.75 + 0.1684335))


def test_people_who_all_agree_are_taken_as_they_are() -> None:
    votes = drawn(np.random.default_rng(1), agreement=0.5)
    found = prediction_powered_win_rate(
        np.ones(len(votes.scores)),
        votes.judged,
        votes.prompts,
        judged_alone=votes.judged_alone,
        prompts_alone=votes.prompts_alone,
    )
    assert found == win_rate(np.ones(len(votes.scores)), votes.prompts)


def test_too_few_prompts_are_refused() -> None:
    few, many = np.arange(FEWEST_PROMPTS - 1), np.arange(100, 200)
    half = np.tile([0, 1], 50)
    with pytest.raises(TooLittleData, match="people's votes on at least 10 prompts; there are 9"):
        prediction_powered_win_rate(half[:9], half[:9], few, judged_alone=half, prompts_alone=many)
    with pytest.raises(TooLittleData, match="the judge alone on at least 10 prompts; there are 9"):
        prediction_powered_win_rate(half, half, many, judged_alone=half[:9], prompts_alone=few)
    with pytest.raises(InvalidData, match="reach from 0 to 3"):
        prediction_powered_win_rate(half, 3 * half, many, judged_alone=half, prompts_alone=many)
    with pytest.raises(ValueError, match=r"different lengths: \[100, 9\]"):
        prediction_powered_win_rate(half, half[:9], many, judged_alone=half, prompts_alone=many)
