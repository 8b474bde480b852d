"""Raters beside the common ranking: planted effects, a second implementation, laws, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import special

from evaluation.ranking import ranking
from evaluation.rater_effects import RaterEffects, rater_effects
from storage.errors import TooLittleData

Floats = NDArray[np.float64]
MODELS = np.array(["a", "b", "c", "d"])
STRENGTH = np.array([1.2, 0.4, -0.4, -1.2])


def votes_of(
    follows: Floats, first_place: Floats, *, each: int, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """`each` votes of every rater, under the model."""
    rng = np.random.default_rng(seed)
    rater = np.repeat(np.arange(follows.size), each)
    first = rng.integers(4, size=rater.size)
    second = (first + rng.integers(1, 4, size=rater.size)) % 4
    odds = follows[rater] * (STRENGTH[first] - STRENGTH[second]) + first_place[rater]
    return {
        "first": MODELS[first],
        "second": MODELS[second],
        "scores": (rng.random(rater.size) < special.expit(odds)).astype(float),
        "prompts": rng.integers(60, size=rater.size),
        "raters": np.array([f"r{number:03d}" for number in rater]),
    }


def found_in(votes: dict[str, NDArray[Any]], *, sided: bool = True) -> RaterEffects:
    columns = (votes["first"], votes["second"], votes["scores"])
    ranked = ranking(*columns, votes["prompts"], side_effect=sided)
    return rater_effects(*columns, votes["raters"], ranked=ranked)


def test_planted_effects_are_found_and_covered() -> None:
    rng = np.random.default_rng(3)
    follows, first_place = rng.normal(1, 0.5, 120), rng.normal(0, 0.6, 120)
    found = found_in(votes_of(follows, first_place, each=60))
    assert found.spread == pytest.approx(0.5, abs=0.12)
    assert found.first_place_spread == pytest.approx(0.6, abs=0.12)
    by_rater = {one.rater: one for one in found.raters}
    # The ranking is as sharp as raters are on the whole: effects are told on that scale.
    scale, shift = follows.mean(), first_place.mean()
    hits = sum(
        by_rater[f"r{number:03d}"].follows.low <= follows[number] / scale
        and follows[number] / scale <= by_rater[f"r{number:03d}"].follows.high
        for number in range(120)
    )
    assert 0.88 <= hits / 120 <= 1
    values = [by_rater[f"r{number:03d}"].first_place for number in range(120)]
    assert np.corrcoef([one.value for one in values if one], first_place - shift)[0, 1] > 0.8
    assert [one.follows.value for one in found.raters] == sorted(
        one.follows.value for one in found.raters
    )


def test_a_coin_and_a_contrarian_are_told_from_the_rest() -> None:
    follows = np.array([1.0] * 18 + [0.0, -1.0])
    found = found_in(votes_of(follows, np.zeros(20), each=150, seed=1))
    assert [one.rater for one in found.raters[:2]] == ["r019", "r018"]
    assert {one.rater for one in found.raters if one.like_chance} == {"r018", "r019"}
    assert found.raters[0].follows.high < 0
    # Three votes call nobody odd.
    few = found_in(votes_of(follows, np.zeros(20), each=3, seed=1))
    assert not any(one.like_chance for one in few.raters)


def test_raters_who_are_alike_have_hardly_a_spread() -> None:
    found = found_in(votes_of(np.ones(40), np.zeros(40), each=80, seed=4))
    assert found.spread < 0.2
    assert all(one.follows.low <= 1 <= one.follows.high for one in found.raters)


def test_few_votes_call_nobody_surely_like_the_rest() -> None:
    # The likelihood of nine raters with twelve votes each is often highest at no spread at all.
    for seed in range(5):
        found = found_in(votes_of(np.ones(9), np.zeros(9), each=12, seed=seed))
        assert found.spread > 0.1
        assert all(one.follows.high - one.follows.low > 0.5 for one in found.raters)


def test_with_many_votes_each_rater_is_a_regression_of_their_own() -> None:
    """Statsmodels, rater by rater: with 4,000 votes each the others no longer matter."""
    votes = votes_of(np.linspace(0.4, 1.6, 8), np.linspace(-0.7, 0.7, 8), each=4000, seed=5)
    columns = (votes["first"], votes["second"], votes["scores"])
    ranked = ranking(*columns, votes["prompts"], side_effect=True)
    found = rater_effects(*columns, votes["raters"], ranked=ranked)
    strength = {one.model: one.strength.value for one in ranked.standings}
    apart = np.array([strength[a] - strength[b] for a, b in zip(*columns[:2], strict=True)])
    theirs = {}
    for one in found.raters:
        here = votes["raters"] == one.rater
        design = np.stack([apart[here], np.ones(here.sum())], axis=1)
        fitted = sm.GLM(votes["scores"][here], design, family=sm.families.Binomial()).fit()
        theirs[one.rater] = np.array([fitted.params, fitted.bse])
    unit, zero = np.mean([params for params, _ in theirs.values()], axis=0)
    for one in found.raters:
        (follows, first), (error, first_error) = theirs[one.rater]
        assert one.first_place is not None
        assert one.follows.value == pytest.approx(follows / unit, abs=0.3 * error)
        assert one.first_place.value == pytest.approx(first - zero, abs=0.3 * first_error)
        width = one.follows.high - one.follows.low
        assert width == pytest.approx(2 * 1.96 * error / unit, rel=0.05)


def test_sides_mirror_and_the_order_of_votes_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    votes = votes_of(rng.normal(1, 0.4, 12), rng.normal(0, 0.5, 12), each=40, seed=6)
    found = found_in(votes)
    mixed = rng.permutation(votes["scores"].size)
    again = found_in({name: column[mixed] for name, column in votes.items()})
    turned = found_in(
        votes | {"first": votes["second"], "second": votes["first"], "scores": 1 - votes["scores"]}
    )
    for one, same, mirror in zip(found.raters, again.raters, turned.raters, strict=True):
        assert one.first_place is not None
        assert mirror.first_place is not None
        assert one.rater == same.rater == mirror.rater
        assert one.follows.value == pytest.approx(same.follows.value, abs=1e-6)
        assert one.follows.value == pytest.approx(mirror.follows.value, abs=1e-6)
        assert one.first_place.value == pytest.approx(-mirror.first_place.value, abs=1e-6)


def test_where_nobody_knows_who_stood_first_there_is_no_first_place() -> None:
    found = found_in(votes_of(np.ones(10), np.zeros(10), each=40), sided=False)
    assert found.first_place_spread is None
    assert all(one.first_place is None for one in found.raters)


def test_few_raters_are_refused() -> None:
    votes = votes_of(np.ones(7), np.zeros(7), each=40)
    with pytest.raises(TooLittleData, match="at least 8 of them; there are 7"):
        found_in(votes)
