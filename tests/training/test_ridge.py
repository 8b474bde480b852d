"""Ridge regression, against algebra by hand, least squares with rows added, and plain refits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import InvalidData, TooLittleData
from training.rewards.ridge import FOLDS, PENALTIES, fit_ridge, ridge_path

patient = settings(deadline=None, max_examples=30)


def planted(
    seed: int, *, answers: int = 60, features: int = 4, noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, ratings that a line explains but for noise, and prompts of three answers each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(answers, features))
    y = 4 + x @ rng.normal(size=features) + noise * rng.normal(size=answers)
    return x, y, np.arange(answers) // 3


def test_two_points_by_hand() -> None:
    # Centred x is -1, 1 and y is -1, 1: variance 1, covariance 1, so w = 1 / (1 + a).
    x, y = np.array([[3.0], [5.0]]), np.array([0.0, 2.0])
    weights, biases = ridge_path(x, y, np.array([1.0, 3.0]))
    np.testing.assert_allclose(weights, [[1 / 2], [1 / 4]])
    np.testing.assert_allclose(biases, [1 - 4 / 2, 1 - 4 / 4])


@patient
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 12), st.floats(1e-3, 1e3))
def test_it_is_least_squares_with_rows_of_the_penalty_added(
    seed: int, answers: int, features: int, penalty: float
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(answers, features)), rng.normal(size=answers)
    rows = np.hstack([x, np.ones((answers, 1))])
    added = np.sqrt(answers * penalty) * np.eye(features, features + 1)
    expected = np.linalg.lstsq(
        np.vstack([rows, added]), np.concatenate([y, np.zeros(features)]), rcond=None
    )[0]
    weights, biases = ridge_path(x, y, np.array([penalty]))
    np.testing.assert_allclose([*weights[0], biases[0]], expected, atol=1e-8)


def test_a_line_is_found_with_hardly_any_penalty_and_noise_is_shrunk_to_its_mean() -> None:
    x, y, prompts = planted(0)
    line = fit_ridge(x, y, prompts, seed=0)
    assert line.penalty <= 1e-2
    assert line.explained > 0.95
    np.testing.assert_allclose(line.bias + x @ line.weight, y, atol=0.5)

    noise = fit_ridge(x, np.random.default_rng(1).normal(size=len(y)), prompts, seed=0)
    assert noise.penalty >= 1
    assert noise.explained < 0.1


def test_unseen_predictions_are_those_of_fits_without_the_prompt() -> None:
    x, y, prompts = planted(2, noise=1.0)
    found = fit_ridge(x, y, prompts, seed=0, penalties=np.array([0.1]))
    for prompt in np.unique(prompts):
        told = np.where(prompts == prompt, 100.0, y)
        again = fit_ridge(x, told, prompts, seed=0, penalties=np.array([0.1]))
        np.testing.assert_allclose(again.unseen[prompts == prompt], found.unseen[prompts == prompt])
        assert not np.allclose(again.unseen[prompts != prompt], found.unseen[prompts != prompt])
    # Refitted in full: the fold of prompt 0 are the answers that its rating does not touch.
    told = np.where(prompts == 0, 100.0, y)
    fold = np.isclose(
        fit_ridge(x, told, prompts, seed=0, penalties=np.array([0.1])).unseen, found.unseen
    )
    assert len(np.unique(prompts[fold])) == len(np.unique(prompts)) // FOLDS
    weights, biases = ridge_path(x[~fold], y[~fold], np.array([0.1]))
    np.testing.assert_allclose(found.unseen[fold], x[fold] @ weights[0] + biases[0])


def test_answers_without_a_rating_change_nothing_and_are_foretold() -> None:
    x, y, prompts = planted(3)
    some = np.where(np.arange(len(y)) % 4 == 0, np.nan, y)
    some[prompts >= 15] = np.nan
    said = np.isfinite(some)
    found = fit_ridge(x, some, prompts, seed=0)
    alone = fit_ridge(x[said], some[said], prompts[said], seed=0)
    np.testing.assert_allclose(found.weight, alone.weight)
    np.testing.assert_allclose(found.unseen[said], alone.unseen)
    assert np.isfinite(found.unseen).all()
    # Nobody rated an answer to these prompts, so the whole fit has not seen them.
    elsewhere = prompts >= 15
    np.testing.assert_allclose(found.unseen[elsewhere], x[elsewhere] @ found.weight + found.bias)


def test_the_seed_draws_the_folds() -> None:
    x, y, prompts = planted(4, noise=1.0)
    first, again, other = (fit_ridge(x, y, prompts, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.unseen, again.unseen)
    assert not np.allclose(first.unseen, other.unseen)


def test_ratings_that_are_all_the_same_are_foretold_and_explain_nothing() -> None:
    x, y, prompts = planted(5)
    found = fit_ridge(x, np.full_like(y, 5.0), prompts, seed=0)
    np.testing.assert_allclose(found.unseen, 5.0)
    assert found.explained == 0
    assert found.penalty == PENALTIES[0]


def test_what_cannot_be_fitted_is_refused() -> None:
    x, y, prompts = planted(6)
    x[0, 0] = np.nan
    with pytest.raises(InvalidData, match="finite features"):
        fit_ridge(x, y, prompts, seed=0)
    with pytest.raises(TooLittleData, match="at least 5 prompts; there are 4"):
        fit_ridge(x[1:12], y[1:12], prompts[1:12], seed=0)
