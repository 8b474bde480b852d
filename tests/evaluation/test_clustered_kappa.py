"""Kappa of items that belong to prompts: its interval is that of the prompts."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.kappa import cohen_kappa


def test_drawing_prompts_widens_the_interval_where_their_items_are_alike() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 2, size=60)
    second = np.where(rng.random(60) < 0.75, first, 1 - first)
    thrice = [np.repeat(column, 3) for column in (first, second)]
    alone = cohen_kappa(first, second, rng=np.random.default_rng(0), resamples=4000).kappa
    naive = cohen_kappa(*thrice, rng=np.random.default_rng(0), resamples=4000).kappa
    clustered = cohen_kappa(
        *thrice, rng=np.random.default_rng(0), clusters=np.repeat(range(60), 3), resamples=4000
    ).kappa
    assert alone is not None
    assert naive is not None
    assert clustered is not None
    assert clustered.value == pytest.approx(alone.value)
    # Saying everything three times teaches nothing.
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high), abs=0.03)
    width = alone.high - alone.low
    assert (naive.high - naive.low) / width == pytest.approx(1 / np.sqrt(3), abs=0.08)


def test_clusters_of_one_item_are_no_clusters() -> None:
    first, second = [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]
    each = cohen_kappa(first, second, rng=np.random.default_rng(0), clusters=list("abcde"))
    assert each == cohen_kappa(first, second, rng=np.random.default_rng(0))
    one = cohen_kappa(first, second, rng=np.random.default_rng(0), clusters=list("aaaaa"))
    assert one.kappa is None
    assert "at least 2 prompts" in one.reason


def test_the_clustered_interval_of_kappa_covers() -> None:
    # The chance that two raters agree differs from prompt to prompt; kappa is 2 * 0.75 - 1.
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        share = rng.choice([0.55, 0.95], size=80)
        first = rng.integers(0, 2, size=(80, 6))
        second = np.where(rng.random((80, 6)) < share[:, None], first, 1 - first)
        found = cohen_kappa(
            first.ravel(), second.ravel(), rng=rng, clusters=np.repeat(range(80), 6), resamples=200
        ).kappa
        assert found is not None
        hits += found.low <= 0.5 <= found.high
    # 95 % of 300 is 285; 3 standard errors are 11.
    assert 274 <= hits <= 296
