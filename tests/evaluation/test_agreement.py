"""Rank correlation and Krippendorff's alpha: textbook values, laws, second implementations."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation.agreement import Level, _alphas, _coincidences
from evaluation.statistics import Estimate, agreement, kendall, spearman, win_rate
from storage.errors import InvalidData, TooLittleData

# Krippendorff (2011), the worked example with missing data: rows are annotators, columns units.
TEXTBOOK = [
    "*    *    *    *    *    3    4    1    2    1    1    3    3    *    3",
    "1    *    2    1    3    3    4    3    *    *    *    *    *    *    *",
    "*    *    2    1    3    4    4    *    2    1    1    3    3    *    4",
]


def textbook() -> tuple[list[int], list[int], list[int]]:
    cells = [
        (unit, annotator, int(value))
        for annotator, row in enumerate(TEXTBOOK)
        for unit, value in enumerate(row.split())
        if value != "*"
    ]
    items, annotators, values = zip(*cells, strict=True)
    return list(items), list(annotators), list(values)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.691), ("interval", 0.811)])
def test_alpha_of_the_textbook_example(level: str, published: float) -> None:
    found = agreement(*textbook(), level=level, rng=np.random.default_rng(1))  # type: ignore[arg-type]
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(published, abs=5e-4)
    assert found.alpha.low < found.alpha.value < found.alpha.high
    # Unit 1 has one judgement, 2 and 14 have none: 12 units and 26 values can be paired.
    assert (found.items, found.annotators, found.alpha.n) == (12, 3, 26)


# Krippendorff's standard example: four observers, twelve units. The published values stand in
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", and in Hayes and Krippendorff
# (2007).
STANDARD = [
    "1 2 3 3 2 1 4 1 2 * * *",
    "1 2 3 3 2 2 4 1 2 5 * 3",
    "* 3 3 3 2 3 4 2 2 5 1 *",
    "1 2 3 3 2 4 4 1 2 5 1 *",
]


@pytest.mark.parametrize(
    ("level", "published"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_of_the_standard_example(level: Level, published: float) -> None:
    cells = [
        (unit, observer, int(value))
        for observer, row in enumerate(STANDARD)
        for unit, value in enumerate(row.split())
        if value != "*"
    ]
    items, annotators, values = zip(*cells, strict=True)
    found = agreement(items, annotators, values, level=level, rng=np.random.default_rng(1))
    assert found.alpha is not None
    assert round(found.alpha.value, 3) == published
    assert found.alpha.low < published < found.alpha.high
    # Unit 12 has one judgement.
    assert (found.items, found.annotators, found.alpha.n) == (11, 4, 40)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=2, max_size=12),
    st.sampled_from(["nominal", "ordinal", "interval", "ratio"]),
)
def test_the_alpha_of_resamples_is_the_librarys(rows: list[list[int]], level: Level) -> None:
    counts = np.array([row for row in rows if sum(row) >= 2] or [[2, 1, 0, 0]])
    domain = np.arange(4.0)
    ours = _alphas(_coincidences(counts).sum(axis=0)[None], domain, level)[0]
    if (counts.sum(axis=0) > 0).sum() < 2:
        assert np.isnan(ours)
    else:
        theirs = krippendorff.alpha(
            value_counts=counts, value_domain=domain, level_of_measurement=level
        )
        assert ours == pytest.approx(theirs)


def test_the_interval_is_that_of_a_bootstrap_over_items_written_as_a_loop() -> None:
    rng = np.random.default_rng(6)
    truth = rng.integers(1, 5, size=60)
    said = [np.clip(truth + rng.integers(-1, 2, size=60), 1, 5) for _ in range(3)]
    found = agreement(
        np.tile(np.arange(60), 3), np.repeat([0, 1, 2], 60), np.concatenate(said),
        level="ordinal", rng=np.random.default_rng(1), resamples=2000,
    )  # fmt: skip
    matrix = np.array(said)
    alphas = [
        krippendorff.alpha(
            reliability_data=matrix[:, rng.integers(60, size=60)], level_of_measurement="ordinal"
        )
        for _ in range(600)
    ]
    assert found.alpha is not None
    low, high = np.quantile(alphas, [0.025, 0.975])
    assert (found.alpha.low, found.alpha.high) == pytest.approx((low, high), abs=0.03)


def test_choices_that_point_both_ways_have_no_ratio_level() -> None:
    with pytest.raises(InvalidData, match="values from 0 up; got -1"):
        agreement([1, 1], [1, 2], [-1, 1], level="ratio", rng=np.random.default_rng(0))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_of_the_votes_on_mtbench_is_the_librarys(shared_data: Path, level: Level) -> None:
    file = shared_data / "votes_mtbench_human.jsonl.gz"
    cells = {}
    for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines()):
        turned = row["model_a"] > row["model_b"]
        value = {"model_a": -1, "model_b": 1}.get(row["winner"], 0) * (-1 if turned else 1)
        models = sorted((row["model_a"], row["model_b"]))
        cells[f"{row['question_id']} {row['turn']} {models}", row["judge"]] = value
    found = agreement(
        [item for item, _ in cells],
        [judge for _, judge in cells],
        list(cells.values()),
        level=level,
        rng=np.random.default_rng(0),
        resamples=50,
    )
    # The library reads a matrix of judges by items, with gaps.
    items = {item: place for place, item in enumerate(dict.fromkeys(i for i, _ in cells))}
    judges = {judge: place for place, judge in enumerate(dict.fromkeys(j for _, j in cells))}
    matrix = np.full((len(judges), len(items)), np.nan)
    for (item, judge), value in cells.items():
        matrix[judges[judge], items[item]] = value
    theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement=level)
    assert found.alpha is not None
    assert round(found.alpha.value, 3) == round(float(theirs), 3)


def by_definition(items: list[int], values: list[int], level: str) -> float:
    """Observed over expected disagreement, written as loops over pairs of values."""
    units = {i: [v for j, v in zip(items, values, strict=True) if j == i] for i in set(items)}
    units = {i: vs for i, vs in units.items() if len(vs) > 1}
    everything = [v for vs in units.values() for v in vs]

    def distance(a: int, b: int) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return float(a - b) ** 2
        if level == "ratio":
            return (float(a - b) / (a + b)) ** 2
        low, high = min(a, b), max(a, b)
        between = sum(low <= v <= high for v in everything)
        return (between - (everything.count(low) + everything.count(high)) / 2) ** 2

    observed = sum(
        distance(a, b) / (len(vs) - 1)
        for vs in units.values()
        for a, b in itertools.permutations(vs, 2)
    )
    expected = sum(distance(a, b) for a, b in itertools.permutations(everything, 2))
    return 1 - observed * (len(everything) - 1) / expected


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7)), min_size=6, max_size=30),
    st.sampled_from(["nominal", "ordinal", "interval", "ratio"]),
)
def test_alpha_is_what_its_definition_says(rows: list[tuple[int, int]], level: str) -> None:
    items, values = [i for i, _ in rows], [v for _, v in rows]
    found = agreement(
        items,
        range(len(rows)),
        values,
        level=level,
        rng=np.random.default_rng(0),
        resamples=20,  # type: ignore[arg-type]
    )
    if found.alpha is None:
        assert found.reason
    else:
        assert found.alpha.value == pytest.approx(by_definition(items, values, level))
        assert found.alpha.low <= found.alpha.value <= found.alpha.high


def test_perfect_agreement_on_ten_items_is_not_certain_agreement() -> None:
    found = agreement(
        np.repeat(np.arange(10), 2),
        np.tile(["ann", "ben"], 10),
        np.repeat([-1, 1] * 5, 2),
        level="nominal",
        rng=np.random.default_rng(0),
    )
    assert found.alpha is not None
    # 1 - 0.025 ** (1 / 10) = 0.3084971 of the items may be judged at random.
    assert (found.alpha.value, found.alpha.high) == (1, 1)
    assert found.alpha.low == pytest.approx(1 - 0.3084971)


@pytest.mark.parametrize(
    ("items", "annotators", "values", "reason"),
    [
        ([1, 2, 3], ["a", "a", "b"], [1, 2, 3], "No item was judged by two annotators"),
        ([1, 1, 2, 2], ["a", "b", "a", "b"], [1, 1, 1, 1], "same answer everywhere"),
        ([1, 1, 2], ["a", "b", "a"], [1, 2, 1], "Only 1 item"),
        ([], [], [], "No item was judged by two annotators"),
        # The same person twice is one annotator; the later judgement stands.
        ([1, 1, 2, 2], ["a", "a", "b", "b"], [1, 2, 1, 2], "No item was judged by two annotators"),
    ],
)
def test_alpha_that_cannot_be_computed_says_why(
    items: list[int], annotators: list[str], values: list[float], reason: str
) -> None:
    found = agreement(items, annotators, values, level="nominal", rng=np.random.default_rng(0))
    assert found.alpha is None
    assert reason in found.reason
    assert found.as_json()["alpha"] is None


def test_the_later_judgement_of_one_item_replaces_the_earlier() -> None:
    corrected = agreement(
        [1, 1, 1, 2, 2, 3, 3],
        ["a", "b", "a", "a", "b", "a", "b"],
        [5, 1, 1, 2, 2, 3, 3],
        level="nominal",
        rng=np.random.default_rng(0),
    )
    assert corrected.alpha is not None
    assert (corrected.alpha.value, corrected.alpha.n) == (1, 6)
    assert corrected.as_json()["alpha"]["n"] == 6


RANKS = pytest.mark.parametrize(
    ("correlation", "scipys"), [(spearman, stats.spearmanr), (kendall, stats.kendalltau)]
)


@RANKS
def test_rank_correlations_are_scipys_and_their_intervals_those_of_a_bootstrap_over_prompts(
    correlation: Any, scipys: Any
) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=60)
    y = np.round(x + rng.normal(size=60))
    found = correlation(x, y, prompts=range(60), rng=np.random.default_rng(4), resamples=2000)
    assert found.value == pytest.approx(scipys(x, y).statistic)
    # Every prompt has one answer here, so scipy's bootstrap of pairs asks the same question.
    second = stats.bootstrap(
        (x, y),
        lambda a, b: scipys(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((second.low, second.high), abs=0.03)


def test_spearman_by_hand() -> None:
    # Rank differences 0, 0, 1, -1, 0: 1 - 6 * 2 / (5 * 24) = 0.9.
    found = spearman(
        [1, 2, 4, 3, 5], [10, 20, 30, 40, 50], prompts=range(5), rng=np.random.default_rng(0)
    )
    assert found.value == pytest.approx(0.9)
    assert found.low <= found.value <= found.high


def test_kendall_by_hand() -> None:
    # Nine of the ten pairs in the same order, one turned.
    rng = np.random.default_rng(0)
    found = kendall([1, 2, 4, 3, 5], [10, 20, 30, 40, 50], prompts=range(5), rng=rng)
    assert found.value == pytest.approx(0.8)
    # Ten pairs: 1 tied on the left, 1 on the right, the other 8 in order: 8 / sqrt(9 * 9).
    found = kendall([1, 2, 2, 3, 4], [1, 2, 3, 3, 4], prompts=range(5), rng=rng)
    assert found.value == pytest.approx(8 / 9)


@RANKS
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_only_order_matters_and_turning_one_side_round_mirrors(
    correlation: Any, scipys: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y, prompts = rng.normal(size=30), rng.normal(size=30), np.arange(30) // 3

    def run(first: np.ndarray, second: np.ndarray) -> list[float]:
        found = correlation(
            first, second, prompts=prompts, rng=np.random.default_rng(1), resamples=60
        )
        return [found.value, found.low, found.high]

    value, low, high = run(x, y)
    assert run(np.exp(x), y) == pytest.approx([value, low, high])
    assert run(-x, y) == pytest.approx([-value, -high, -low])


def test_answers_to_the_same_prompt_widen_the_interval() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=15)
    y = x + rng.normal(size=15)
    alone = spearman(x, y, prompts=range(15), rng=np.random.default_rng(1))
    copies = spearman(
        np.repeat(x, 10),
        np.repeat(y, 10),
        prompts=np.repeat(range(15), 10),
        rng=np.random.default_rng(1),
    )
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_five_prompts_in_perfect_order_are_no_proof() -> None:
    found = spearman(
        np.arange(20), np.arange(20), prompts=np.arange(20) // 4, rng=np.random.default_rng(0)
    )
    assert (found.value, found.high) == pytest.approx((1, 1))
    # 1 - 0.025 ** (1 / 5) = 0.5218238 of all prompts may be in random order.
    assert found.low == pytest.approx(1 - 0.5218238)


@RANKS
def test_too_few_prompts_or_constant_numbers_have_no_rank_correlation(
    correlation: Any, scipys: Any
) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TooLittleData, match="at least 5 prompts; there are 4"):
        correlation(range(8), range(8), prompts=np.arange(8) // 2, rng=rng)
    with pytest.raises(TooLittleData, match="nearly all are equal"):
        correlation(np.ones(8), range(8), prompts=range(8), rng=rng)
    with pytest.raises(TooLittleData, match="nearly all are equal"):
        correlation([*np.ones(7), 2], range(8), prompts=range(8), rng=rng)


def test_the_thesis_human_votes_come_out_as_re_analysed(shared_data: Path) -> None:
    # Groups 1 and 2: absolute beat preference in 56.6 % of 160 votes, crs beat preference in
    # 53.8 %, absolute and crs won 50 % each; nominal alpha 0.06.
    file = shared_data / "votes_thesis_user_study_groups12.jsonl.gz"
    votes = []
    for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines()):
        model = {each["rid"]: each["model"] for each in row["responses"]}
        for ranking in row["rankings"]:
            rank = {model[rid]: place for rid, place in ranking["rank"].items()}
            for pair in itertools.combinations(sorted(rank), 2):
                verdict = np.sign(rank[pair[1]] - rank[pair[0]])
                votes.append((pair, row["id"], ranking["annotator"], int(verdict)))

    def rate(pair: tuple[str, str]) -> Estimate:
        cast = [vote for vote in votes if vote[0] == pair]
        # The twenty prompts are the same in both groups.
        prompts = [question.rpartition("-")[2] for _, question, _, _ in cast]
        return win_rate([(verdict + 1) / 2 for *_, verdict in cast], prompts)

    ours = rate(("abs_rlhf", "preference_rlhf"))
    assert (ours.value, ours.n) == (pytest.approx(0.566, abs=5e-4), 160)
    assert ours.low < 0.5 < ours.high
    assert rate(("crs_rlhf", "preference_rlhf")).value == pytest.approx(0.538, abs=6e-4)
    assert rate(("abs_rlhf", "crs_rlhf")).value == 0.5
    found = agreement(
        [f"{question} {pair}" for pair, question, _, _ in votes],
        [annotator for _, _, annotator, _ in votes],
        [verdict for *_, verdict in votes],
        level="nominal",
        rng=np.random.default_rng(0),
    )
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(0.06, abs=5e-3)


@pytest.mark.parametrize(("items", "raters", "skill"), [(80, 3, 0.5), (60, 4, 0.3), (200, 2, 0.7)])
def test_the_interval_of_alpha_covers_the_truth(items: int, raters: int, skill: float) -> None:
    """Raters see what is true so often, and guess otherwise: alpha is then the square of that."""
    rng = np.random.default_rng(21)
    item, rater = np.tile(np.arange(items), raters), np.repeat(np.arange(raters), items)
    base, hits = np.array([0.45, 0.1, 0.45]), 0
    for _ in range(1500):
        true = rng.choice(3, items, p=base)
        guess = rng.choice(3, (raters, items), p=base)
        said = np.where(rng.random((raters, items)) < skill, true, guess)
        found = agreement(item, rater, said.ravel().astype(float), level="nominal", rng=rng).alpha
        assert found is not None
        hits += found.low <= skill**2 <= found.high
    assert 0.93 <= hits / 1500 <= 0.97
