"""Strengths, their intervals and places: laws, published and hand values, other implementations."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evalica
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats

from evaluation import strengths
from evaluation.ranking import Ranking, ranking
from storage.errors import InvalidData, InvalidOption, TooLittleData

Floats = NDArray[np.float64]
Votes = tuple[Any, Any, Floats, Any]

patient = settings(deadline=None, max_examples=25)  # a busy machine is no failure


def drawn(
    rng: np.random.Generator,
    *,
    models: int = 5,
    votes: int = 600,
    prompts: int = 30,
    unlike: float = 0.0,
    side: float = 0.0,
    tie: float = 0.0,
    strength: Floats | None = None,
) -> Votes:
    """Votes under Davidson's model. `unlike`: how much strengths differ from prompt to prompt."""
    known = np.linspace(-1, 1, models) if strength is None else strength
    first = rng.integers(models, size=votes)
    second = (first + rng.integers(1, models, size=votes)) % models
    prompt = rng.integers(prompts, size=votes)
    here = known + unlike * rng.standard_normal((prompts, models))
    odds = here[prompt, first] - here[prompt, second] + side
    weights = np.exp(odds / 2), np.full(votes, tie), np.exp(-odds / 2)
    at = rng.random(votes) * sum(weights)
    score = np.where(at < weights[0], 1.0, np.where(at < weights[0] + weights[1], 0.5, 0.0))
    return first, second, score, prompt


def by_name(found: Ranking) -> dict[str, float]:
    return {each.model: each.strength.value for each in found.standings}


def same(one: Ranking, other: Ranking) -> None:
    """The same numbers for the same models, to rounding."""

    def numbers(of: Ranking) -> dict[str, list[float]]:
        return {
            each.model: [
                each.strength.value,
                each.strength.low,
                each.strength.high,
                each.average_win_rate,
            ]
            for each in of.standings
        }

    expected = numbers(other)
    found = numbers(one)
    assert found.keys() == expected.keys()
    for model, each in found.items():
        assert each == pytest.approx(expected[model], abs=1e-8)


# Laws


KINDS: dict[str, dict[str, Any]] = {
    "half": {},
    "half and side": {"side_effect": True},
    "davidson": {"ties": "davidson"},
    "davidson and side": {"ties": "davidson", "side_effect": True},
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS.keys())
seeds = st.integers(0, 2**32 - 1)


def some_votes(seed: int) -> Votes:
    return drawn(np.random.default_rng(seed), models=4, votes=300, tie=0.5, side=0.3)


@kinds
@patient
@given(seed=seeds)
def test_the_order_of_the_votes_and_the_names_do_not_matter(
    seed: int, options: dict[str, Any]
) -> None:
    first, second, score, prompt = some_votes(seed)
    mixed = np.random.default_rng(seed).permutation(score.size)
    names = np.array(["d", "a", "c", "b"])
    renamed = ranking(
        names[first][mixed],
        names[second][mixed],
        score[mixed],
        [f"prompt {each}" for each in prompt[mixed]],
        **options,
    )
    plain = ranking(first, second, score, prompt, **options)
    back = {names[number]: str(number) for number in range(4)}
    assert {back[name]: value for name, value in by_name(renamed).items()} == pytest.approx(
        by_name(plain), abs=1e-8
    )
    assert [back[each.model] for each in renamed.standings] == [
        each.model for each in plain.standings
    ]


@kinds
@patient
@given(seed=seeds)
def test_asking_everybody_twice_changes_no_strength(seed: int, options: dict[str, Any]) -> None:
    votes = some_votes(seed)
    once = ranking(*votes, **options)
    twice = ranking(*(np.tile(column, 2) for column in votes), **options)
    assert by_name(twice) == pytest.approx(by_name(once), abs=1e-8)
    for each, again in zip(once.standings, twice.standings, strict=True):
        # The same people on the same prompts: nothing new was learnt about other prompts.
        assert again.strength.high - again.strength.low <= 1e-8 + (
            each.strength.high - each.strength.low
        )


@kinds
@patient
@given(seed=seeds)
def test_changing_sides_turns_the_effect_of_the_side_and_nothing_else(
    seed: int, options: dict[str, Any]
) -> None:
    first, second, score, prompt = some_votes(seed)
    plain = ranking(first, second, score, prompt, **options)
    turned = ranking(second, first, 1 - score, prompt, **options)
    same(plain, turned)
    if options.get("side_effect"):
        assert plain.side is not None
        assert turned.side is not None
        assert turned.side.value == pytest.approx(-plain.side.value, abs=1e-8)
        assert (turned.side.low, turned.side.high) == pytest.approx(
            (-plain.side.high, -plain.side.low), abs=1e-8
        )


@kinds
@patient
@given(seed=seeds)
def test_a_world_in_which_every_verdict_is_turned_is_upside_down(
    seed: int, options: dict[str, Any]
) -> None:
    first, second, score, prompt = some_votes(seed)
    plain = ranking(first, second, score, prompt, **options)
    turned = ranking(first, second, 1 - score, prompt, **options)
    assert by_name(turned) == pytest.approx(
        {name: -value for name, value in by_name(plain).items()}, abs=1e-8
    )


@patient
@given(seed=seeds)
def test_places_are_those_that_the_intervals_allow(seed: int) -> None:
    found = ranking(*some_votes(seed), confidence=0.5).standings
    for each in found:
        stronger = sum(other.strength.low > each.strength.high for other in found)
        weaker = sum(other.strength.high < each.strength.low for other in found)
        above = sum(other.strength.value > each.strength.value for other in found)
        assert (each.best_place, each.place, each.worst_place) == (
            1 + stronger,
            1 + above,
            len(found) - weaker,
        )
        assert each.best_place <= each.place <= each.worst_place
    assert sum(each.strength.value for each in found) == pytest.approx(0, abs=1e-9)


# Values by hand


def test_two_models_by_hand() -> None:
    # a won 3 of 4: s_a - s_b = log 3, so the strengths are +-0.5493061; 400 points are log 10.
    # One vote on each of 4 prompts: residuals 1/4, 1/4, 1/4, -3/4, squares 12/16; information
    # 4 * 3/16 = 3/4. The variance of the difference is 3/4 / (3/4)^2 = 4/3, times G / (G - 1) = 4/3
    # is 16/9, its root 4/3, half of which is a strength's standard error: 2/3.
    # t(3, 0.75) = 0.7648923 from tables.
    found = ranking(list("aaab"), list("bbba"), [1, 1, 1, 1], range(4), confidence=0.5)
    best, worst = found.standings
    reach = 0.7648923 * 2 / 3
    assert (best.model, worst.model) == ("a", "b")
    assert best.strength.value == pytest.approx(0.5493061, abs=1e-7)
    assert (best.strength.low, best.strength.high) == pytest.approx(
        (0.5493061 - reach, 0.5493061 + reach), abs=1e-6
    )
    assert best.elo.value == pytest.approx(1000 + 400 * math.log10(3) / 2)
    assert (best.average_win_rate, worst.average_win_rate) == (0.75, 0.25)
    assert (best.strength.n, found.votes, found.prompts) == (4, 4, 4)


def test_davidson_by_hand() -> None:
    # 4 wins, 4 ties, 1 loss: exp(d / 2) : v : exp(-d / 2) = 4 : 4 : 1, so d = log 4 and v = 2.
    # Between equals that makes 2 / (2 + 2) = 1/2 ties.
    found = ranking(["a"] * 9, ["b"] * 9, [1] * 4 + [0.5] * 4 + [0], range(9), ties="davidson")
    assert by_name(found) == pytest.approx({"a": math.log(2), "b": -math.log(2)})
    assert found.ties_between_equals is not None
    assert found.ties_between_equals.value == pytest.approx(0.5)


def test_the_effect_of_a_side_by_hand() -> None:
    # Standing first a wins 9 of 10, standing second 5 of 10: d + b = log 9, d - b = 0.
    first = ["a"] * 10 + ["b"] * 10
    second = ["b"] * 10 + ["a"] * 10
    score = [1] * 9 + [0] + [1] * 5 + [0] * 5
    found = ranking(first, second, score, range(20), side_effect=True)
    assert by_name(found)["a"] == pytest.approx(math.log(9) / 4)
    assert found.side is not None
    assert found.side.value == pytest.approx(math.log(9) / 2)


def test_nothing_but_ties_is_no_certainty() -> None:
    # 20 ties on 10 prompts. Wins and losses at random have an information of 20 / 4 = 5, so the
    # difference a variance of 1/5, a strength 1/20, and two alike votes on each prompt twice that.
    # t(9, 0.975) = 2.2621572 from tables.
    found = ranking(["a"] * 20, ["b"] * 20, [0.5] * 20, list(range(10)) * 2)
    for each in found.standings:
        assert each.strength.value == pytest.approx(0, abs=1e-12)
        assert each.strength.high == pytest.approx(2.2621572 * math.sqrt(0.1), abs=1e-6)
        assert (each.best_place, each.place, each.worst_place) == (1, 1, 2)


# Published values and other implementations


@pytest.fixture(scope="module")
def llmfao(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "votes_llmfao.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def columns(rows: list[dict[str, Any]]) -> tuple[list[str], list[str], list[float], list[str]]:
    points = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}
    return (
        [row["model_a"] for row in rows],
        [row["model_b"] for row in rows],
        [points[row["winner"]] for row in rows],
        [row["question_id"] for row in rows],
    )


def test_the_win_rates_of_59_models_are_the_published_ones(
    llmfao: list[dict[str, Any]], shared_data: Path
) -> None:
    golden = json.loads(
        (shared_data / "expected" / "llmfao_golden_visible.json").read_text("utf-8")
    )
    found = {each.model: each for each in ranking(*columns(llmfao)).standings}
    assert golden["average_win_rate"].keys() <= found.keys()
    for model, expected in golden["average_win_rate"].items():
        assert found[model].average_win_rate == pytest.approx(expected, abs=1e-6)
    for model, expected in golden.get("bradley_terry", {}).items():
        assert math.exp(found[model].strength.value) == pytest.approx(expected, abs=1e-6)


def test_the_strengths_of_59_models_are_those_of_evalica(llmfao: list[dict[str, Any]]) -> None:
    first, second, score, prompt = columns(llmfao)
    winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    peer = evalica.bradley_terry(
        first, second, [winner[each] for each in score], tolerance=1e-13, limit=100_000
    )
    expected = np.log(peer.scores)
    found = by_name(ranking(first, second, score, prompt))
    assert found == pytest.approx((expected - expected.mean()).to_dict(), abs=1e-6)


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_a_plain_optimiser_finds_the_same_strengths(seed: int, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(seed)
    first, second, score, prompt = drawn(rng, models=6, votes=500, tie=0.6, side=0.4)
    davidson, side = options.get("ties") == "davidson", options.get("side_effect", False)

    def loss(unknown: Floats) -> float:
        odds = unknown[first] - unknown[second] + (unknown[6] if side else 0)
        if not davidson:
            return float(-(score * special.log_expit(odds)
                           + (1 - score) * special.log_expit(-odds)).sum())  # fmt: skip
        parts = np.stack([odds / 2, np.full_like(odds, unknown[7]), -odds / 2])
        happened = np.choose((2 - 2 * score).astype(int), parts)
        return float((special.logsumexp(parts, axis=0) - happened).sum())

    result = optimize.minimize(loss, np.zeros(8), method="BFGS", options={"gtol": 1e-7})
    expected = result.x[:6] - result.x[:6].mean()
    found = ranking(first, second, score, prompt, **options)
    values = by_name(found)
    assert [values[str(each)] for each in range(6)] == pytest.approx(expected, abs=1e-5)
    if side:
        assert found.side is not None
        assert found.side.value == pytest.approx(result.x[6], abs=1e-5)
    if davidson:
        assert found.ties_between_equals is not None
        share = math.exp(result.x[7]) / (2 + math.exp(result.x[7]))
        assert found.ties_between_equals.value == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize("side", [False, True])
@pytest.mark.parametrize("prompts", [12, 150, 700], ids=["few", "many", "one vote each"])
def test_standard_errors_are_those_of_a_clustered_regression(prompts: int, side: bool) -> None:
    rng = np.random.default_rng(prompts)
    first, second, score, prompt = drawn(rng, votes=700, prompts=prompts, unlike=1.0, side=0.2)
    if prompts == 700:
        prompt = np.arange(700)
    found = ranking(first, second, score, prompt, side_effect=side)

    # The last model is the reference; every strength around the mean is a contrast of the others.
    design = np.zeros((700, 5))
    design[np.arange(700), first] += 1
    design[np.arange(700), second] -= 1
    design = np.column_stack([design[:, :4], np.ones(700)]) if side else design[:, :4]
    contrast = np.eye(5)[:, :4] - np.full((5, 4), 0.2)
    contrast[4] = -0.2
    if side:
        contrast = np.block([[contrast, np.zeros((5, 1))], [np.zeros((1, 4)), np.ones((1, 1))]])
    model = sm.GLM(score, design, family=sm.families.Binomial())
    groups = len(set(prompt.tolist()))
    fits = [
        model.fit(cov_type="HC0", tol=1e-12),
        model.fit(
            cov_type="cluster",
            cov_kwds={"groups": prompt, "use_correction": False},
            tol=1e-12,
        ),
    ]
    variances = [np.diag(contrast @ fit.cov_params() @ contrast.T) for fit in fits]
    error = np.sqrt(np.maximum(variances[0], variances[1] * groups / (groups - 1)))
    reach = stats.t.ppf(0.975, groups - 1) * error
    values = contrast @ fits[0].params
    intervals = {each.model: each.strength for each in found.standings}
    if side:
        assert found.side is not None
        intervals["5"] = found.side
    for number in range(5 + side):
        each = intervals[str(number)]
        assert (each.value, each.low, each.high) == pytest.approx(
            (
                values[number],
                values[number] - reach[number],
                values[number] + reach[number],
            ),
            abs=1e-6,
        )


def test_errors_clustered_both_ways_are_those_of_a_regression() -> None:
    rng = np.random.default_rng(8)
    first, second, score, prompt = drawn(rng, models=2, votes=800, prompts=25, unlike=0.8)
    rater = rng.integers(15, size=800)
    found = ranking(first, second, score, prompt, raters=rater)
    design = np.where(first == 0, 1.0, -1.0)
    pairs = pd.factorize(prompt * 15 + rater)[0]

    def variance(groups: Any) -> float:
        fit = sm.GLM(score, design, family=sm.families.Binomial()).fit(
            cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, tol=1e-12
        )
        count = len(set(groups.tolist()))
        return float(fit.cov_params()[0, 0]) * count / (count - 1)

    both = variance(prompt) + variance(rater) - variance(pairs)
    largest = max(variance(prompt), variance(rater), both)
    reach = stats.t.ppf(0.975, 14) * math.sqrt(largest) / 2
    for each in found.standings:
        assert each.strength.high - each.strength.value == pytest.approx(reach, rel=1e-6)


@kinds
def test_sums_over_many_small_prompts_are_those_of_plain_arrays(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    votes = drawn(rng, models=8, votes=900, prompts=300, unlike=1.0, tie=0.5, side=0.3)
    monkeypatch.setattr(strengths, "DENSE", 10**9)
    plain = ranking(*votes, **options)
    monkeypatch.setattr(strengths, "DENSE", 0)
    few = ranking(*votes, **options)
    same(few, plain)
    for one, other in (
        (few.side, plain.side),
        (few.ties_between_equals, plain.ties_between_equals),
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


@kinds
def test_with_one_vote_on_each_prompt_clusters_are_independent_votes(
    options: dict[str, Any],
) -> None:
    rng = np.random.default_rng(6)
    first, second, score, _ = drawn(rng, models=4, votes=300, tie=0.5, side=0.3)
    davidson = options.get("ties") == "davidson"
    votes = strengths.Votes(first, second, score, models=4, side=options.get("side_effect", False))
    found = strengths.maximum(votes, davidson=davidson)
    clustered = strengths.clustered(votes, found, np.arange(300), davidson=davidson)
    loose = strengths.independent(votes, found, davidson=davidson)
    assert clustered == pytest.approx(loose * 300 / 299, abs=1e-12)


def test_davidsons_errors_are_those_of_its_derivatives_by_finite_differences() -> None:
    first, second, score, prompt = drawn(
        np.random.default_rng(4), models=3, votes=400, prompts=40, unlike=0.7, tie=0.8
    )
    found = ranking(first, second, score, prompt, ties="davidson")

    def logs(unknown: Floats) -> Floats:
        """Log-probability of each vote; unknowns are two strengths (the third is 0) and log v."""
        strength = np.append(unknown[:2], 0)
        odds = strength[first] - strength[second]
        parts = np.stack([odds / 2, np.full_like(odds, unknown[2]), -odds / 2])
        happened = np.choose((2 - 2 * score).astype(int), parts)
        return np.asarray(happened - special.logsumexp(parts, axis=0))

    values = by_name(found)
    share = found.ties_between_equals
    assert share is not None
    log_tie = math.log(2 * share.value / (1 - share.value))
    top = np.array([values["0"] - values["2"], values["1"] - values["2"], log_tie])
    near = 1e-4 * np.eye(3)
    scores = np.stack([(logs(top + each) - logs(top - each)) / 2e-4 for each in near], axis=1)
    assert scores.sum(axis=0) == pytest.approx(0, abs=1e-5)
    information = -np.array(
        [
            [
                (
                    logs(top + a + b) - logs(top + a - b) - logs(top - a + b) + logs(top - a - b)
                ).sum()
                / 4e-8
                for b in near
            ]
            for a in near
        ]
    )
    sums = np.stack([scores[prompt == each].sum(axis=0) for each in np.unique(prompt)])
    bread = np.linalg.inv(information)
    clustered = bread @ sums.T @ sums @ bread * 40 / 39
    loose = bread @ scores.T @ scores @ bread
    contrast = np.array([[2, -1, 0], [-1, 2, 0], [-1, -1, 0], [0, 0, 3]]) / 3
    error = np.sqrt(
        np.maximum(*(np.diag(contrast @ each @ contrast.T) for each in (clustered, loose)))
    )
    reach = stats.t.ppf(0.975, 39) * error
    for each in found.standings:
        expected = reach[int(each.model)]
        assert each.strength.high - each.strength.value == pytest.approx(expected, rel=1e-4)
    assert special.logit(share.high) - special.logit(share.value) == pytest.approx(
        reach[3], rel=1e-4
    )


# Coverage


def covered(
    draw: Callable[[np.random.Generator], Votes], truth: Floats, runs: int, **options: Any
) -> float:
    rng = np.random.default_rng(2026)
    inside = 0
    for _ in range(runs):
        found = ranking(*draw(rng), **options)
        inside += sum(
            each.strength.low <= truth[int(each.model)] <= each.strength.high
            for each in found.standings
        )
    return inside / (runs * truth.size)


def test_intervals_cover_the_strengths_of_independent_votes() -> None:
    truth = np.linspace(-1, 1, 5)
    assert 0.93 <= covered(lambda rng: drawn(rng, prompts=60), truth, 200) <= 0.97


@pytest.mark.parametrize("options", [{}, {"ties": "davidson"}], ids=["half", "davidson"])
def test_intervals_cover_where_answers_to_a_prompt_are_alike(options: dict[str, Any]) -> None:
    # With ties and strengths that vary by prompt, the numbers estimated are those that the model
    # comes nearest to in endless data, so they are looked up there.
    def draw(rng: np.random.Generator) -> Votes:
        return drawn(rng, models=4, votes=800, prompts=80, unlike=1.0, tie=0.7)

    rng = np.random.default_rng(1)
    endless = drawn(rng, models=4, votes=1_000_000, prompts=500_000, unlike=1.0, tie=0.7)
    values = by_name(ranking(*endless, **options))
    truth = np.array([values[str(each)] for each in range(4)])
    assert 0.93 <= covered(draw, truth, 200, **options) <= 0.97


def test_intervals_about_other_prompts_and_raters_cover_and_those_about_prompts_do_not() -> None:
    def draw(rng: np.random.Generator, votes: int, prompts: int, raters: int) -> list[Any]:
        """Strengths differ from prompt to prompt and from rater to rater."""
        first = rng.integers(3, size=votes)
        second = (first + rng.integers(1, 3, size=votes)) % 3
        prompt, rater = rng.integers(prompts, size=votes), rng.integers(raters, size=votes)
        here = 0.7 * rng.standard_normal((prompts, 3))[prompt]
        here += 0.7 * rng.standard_normal((raters, 3))[rater] + [-1, 0, 1]
        at = np.arange(votes)
        won = rng.random(votes) < special.expit(here[at, first] - here[at, second])
        return [first, second, won.astype(float), prompt, rater]

    rng = np.random.default_rng(3)
    *endless, _ = draw(rng, 1_000_000, 500_000, 500_000)
    truth = by_name(ranking(*endless))
    inside = np.zeros(2)
    for _ in range(200):
        *votes, rater = draw(rng, 1500, 60, 40)
        for kind, raters in enumerate((rater, None)):
            inside[kind] += sum(
                each.strength.low <= truth[each.model] <= each.strength.high
                for each in ranking(*votes, raters=raters).standings
            )
    assert 0.93 <= inside[0] / 600 <= 0.97
    assert inside[1] / 600 < 0.92


def test_intervals_that_ignore_prompts_do_not_cover() -> None:
    # The same votes with every vote called a prompt of its own: the test above can fail.
    def draw(rng: np.random.Generator) -> Votes:
        first, second, score, _ = drawn(rng, models=2, votes=800, prompts=20, unlike=2.0)
        return first, second, score, np.arange(800)

    rng = np.random.default_rng(1)
    endless = drawn(rng, models=2, votes=500_000, prompts=250_000, unlike=2.0)
    values = by_name(ranking(*endless))
    assert covered(draw, np.array([values["0"], values["1"]]), 200) < 0.8


# Refusals


def test_a_model_that_lost_everything_is_refused_by_name() -> None:
    with pytest.raises(TooLittleData, match="c never won one against the others"):
        ranking(list("abac"), list("baca"), [1, 1, 1, 0], [1, 2, 1, 2])


def test_models_that_never_lost_are_refused_by_name() -> None:
    first, second = list("ababac") * 2, ["b", "a", "b", "a", "c", "a"] * 2
    with pytest.raises(TooLittleData, match="a, b never lost a point against the others"):
        ranking(first, second, [1, 1, 1, 1, 1, 0] * 2, [1, 2, 1, 2, 1, 2] * 2)


def test_a_chain_in_which_everybody_wins_downwards_is_refused_at_both_ends() -> None:
    with pytest.raises(TooLittleData, match=r"a never lost .*; c never won"):
        ranking(list("abab"), list("bcbc"), [1, 1, 1, 1], [1, 1, 2, 2])


def test_models_that_never_met_are_refused_by_name() -> None:
    with pytest.raises(TooLittleData, match=r"2 groups .* a, b is one of them"):
        ranking(list("abcdde") * 2, list("badcec") * 2, [1] * 12, [1] * 6 + [2] * 6)


def test_a_tie_ranks_where_a_win_alone_would_not() -> None:
    found = ranking(list("aa"), list("bb"), [1, 0.5], [1, 2])
    assert by_name(found)["a"] == pytest.approx(math.log(3) / 2)


def test_a_model_on_one_prompt_is_refused_by_name() -> None:
    first, second = list("abac") * 2, list("baca") * 2
    with pytest.raises(TooLittleData, match=r"at least 2 prompts .*; c met others on one only"):
        ranking(first, second, [1] * 8, [1, 2, 3, 3] * 2)


def test_a_side_that_is_the_same_for_every_pair_is_refused() -> None:
    # a always stood before b, so nothing tells a's strength from its place.
    with pytest.raises(TooLittleData, match="What standing first is worth cannot be told"):
        ranking(["a"] * 4, ["b"] * 4, [1, 0, 1, 1], [1, 2, 1, 2], side_effect=True)


def test_a_side_that_always_won_is_refused() -> None:
    with pytest.raises(TooLittleData, match="What standing first is worth cannot be told"):
        ranking(list("abab"), list("baba"), [1, 1, 1, 1], [1, 2, 2, 1], side_effect=True)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1, 0, 1, 0], "No vote is a tie"),
        ([0.5] * 4, "All votes are a tie"),
        # b never won: the more readily people call a tie, the better wins and ties fit.
        ([1, 0.5, 1, 0.5], "How readily people call a tie cannot be told"),
    ],
)
def test_ties_that_cannot_be_estimated_are_refused(scores: list[float], message: str) -> None:
    with pytest.raises(TooLittleData, match=message):
        ranking(["a"] * 4, ["b"] * 4, scores, [1, 2, 1, 2], ties="davidson")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"second": ["a", "a"]}, InvalidData, "1 votes compare a model with itself, the first a"),
        ({"scores": [1, 2]}, InvalidData, "lies between 0 .* reach from 1 to 2"),
        ({"scores": [1, math.nan]}, InvalidData, "1 of 2 scores are not numbers"),
        ({"scores": [1, 0.3], "ties": "davidson"}, InvalidData, "wins, losses and ties"),
        ({"prompts": [1, 1]}, TooLittleData, "at least 2 prompts; there are 1"),
        ({"raters": [1, 1]}, TooLittleData, "at least 2 raters; there are 1"),
        ({"first": [], "second": [], "scores": [], "prompts": []}, TooLittleData, "2 models"),
        ({"confidence": 1.0}, InvalidOption, "strictly between 0 and 1"),
        ({"prompts": [1]}, ValueError, "2 votes, 1 prompts"),
        ({"prompts": [1, None]}, InvalidData, "1 of 2 names are missing"),
    ],
)
def test_what_is_no_ranking_is_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    votes: dict[str, Any] = {
        "first": ["a", "b"],
        "second": ["b", "a"],
        "scores": [1, 1],
        "prompts": [1, 2],
    }
    with pytest.raises(error, match=message):
        ranking(**(votes | change))


def test_extreme_strengths_are_found() -> None:
    # 200,000 votes of which one was lost: the difference is log 199,999 = 12.2 logits.
    score = np.ones(200_000)
    score[0] = 0
    found = ranking(["a"] * 200_000, ["b"] * 200_000, score, np.arange(200_000))
    assert by_name(found)["a"] == pytest.approx(math.log(199_999) / 2)
