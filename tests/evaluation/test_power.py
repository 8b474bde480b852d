"""The planner: beside statsmodels and published numbers, simulated studies, and real votes."""

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
from numpy.typing import NDArray
from statsmodels.stats.power import TTestPower

from evaluation.likeness import SeenDesign, seen_design
from evaluation.power import (
    Need,
    StudyDesign,
    needs,
    prompts_needed,
    seeing,
    smallest_difference,
    study_power,
)
from evaluation.statistics import win_rate
from storage.errors import InvalidData, InvalidOption, TooLittleData

patient = settings(deadline=None)  # a busy machine is no failure
Column = NDArray[Any]


# Beyond these shifts statsmodels has no number.
@pytest.mark.parametrize(
    ("prompts", "true"), [(20, 0.52), (20, 0.7), (100, 0.55), (100, 0.65), (800, 0.52), (800, 0.6)]
)
def test_independent_votes_have_the_power_of_students_test(prompts: int, true: float) -> None:
    design = StudyDesign(prompts=prompts, likeness=0)
    effect = (true - 0.5) / (true * (1 - true)) ** 0.5
    expected = TTestPower().power(effect, prompts, 0.05)
    assert study_power(design, true) == pytest.approx(expected)
    assert smallest_difference(design, power=expected) == pytest.approx(true - 0.5)
    needed = TTestPower().solve_power(effect, power=0.8, alpha=0.05)
    assert prompts_needed(design, true) == np.ceil(needed)


@pytest.mark.parametrize(
    ("true", "published"), [(0.52, 4904), (0.55, 783), (0.57, 399), (0.6, 194), (0.65, 85)]
)
def test_the_votes_needed_are_those_published_for_a_score_test(true: float, published: int) -> None:
    # arXiv:2601.09084 has the normal score test of independent votes without ties; t costs two
    # votes, and an error estimated from what was won rather than from 1/2 saves a few.
    needed = prompts_needed(StudyDesign(prompts=6, likeness=0), true)
    assert needed == pytest.approx(published, rel=0.01, abs=5)


def test_votes_that_are_alike_count_for_fewer() -> None:
    # Three votes that correlate by 1/4 say as much as two: 3 / (1 + 2 / 4).
    alike = StudyDesign(prompts=150, overlap=3, likeness=0.25)
    independent = StudyDesign(prompts=150, overlap=2, likeness=0)
    assert study_power(alike, 0.57) == pytest.approx(study_power(independent, 0.57))


def test_ties_make_a_win_rate_more_certain() -> None:
    # At 0.6 without ties a vote has the variance 0.24; with a fifth of ties 0.19, as without at
    # (1 + sqrt(1 - 4 * 0.19)) / 2, that is 0.7449490 instead of 0.6.
    tied = StudyDesign(prompts=100, likeness=0, ties=0.2)
    effect = 0.1 / 0.19**0.5
    assert study_power(tied, 0.6) == pytest.approx(TTestPower().power(effect, 100, 0.05))


designs = st.builds(
    StudyDesign,
    prompts=st.integers(10, 400),
    overlap=st.integers(1, 5),
    likeness=st.floats(0, 0.6),
    ties=st.floats(0, 0.5),
    raters=st.none() | st.integers(8, 60),
)


@patient
@given(designs, st.floats(0.005, 0.2))
def test_a_larger_difference_is_seen_more_often_whichever_policy_wins(
    design: StudyDesign, difference: float
) -> None:
    near, far = (study_power(design, 0.5 + d) for d in (difference, difference + 0.02))
    assert near <= far + 1e-9
    assert study_power(design, 0.5 - difference) == pytest.approx(near)
    assert 0.02 <= study_power(design, 0.5) <= 0.05 + 1e-9


@patient
@given(designs, st.floats(0.53, 0.7))
def test_the_prompts_that_are_needed_are_enough_and_no_more(
    design: StudyDesign, true: float
) -> None:
    needed = prompts_needed(design, true)
    enough = StudyDesign(**{**vars_of(design), "prompts": needed})
    assert study_power(enough, true) >= 0.8
    assert smallest_difference(enough) <= true - 0.5 + 1e-9
    if needed > 6:
        fewer = StudyDesign(**{**vars_of(design), "prompts": needed - 1})
        assert study_power(fewer, true) < 0.8


def vars_of(design: StudyDesign) -> dict[str, Any]:
    return {name: getattr(design, name) for name in StudyDesign.__slots__}


def simulated(design: StudyDesign, true: float, *, studies: int = 2000) -> float:
    """How often the interval of such a study leaves out 1/2.

    A vote is the common one of its prompt, or of its rater, or one of its own: two votes on a
    prompt are then equal by more than chance exactly as often as the design says.
    """
    rng = np.random.default_rng(31)
    overlap, raters = int(design.overlap), design.raters or design.prompts * int(design.overlap)
    odds = (true - design.ties / 2, design.ties, 1 - true - design.ties / 2)
    prompt = np.repeat(range(design.prompts), overlap)
    rater = np.arange(len(prompt)) % raters
    seen = 0
    for _ in range(studies):
        common, taste, own = (
            rng.choice([1, 0.5, 0], p=odds, size=size)
            for size in (design.prompts, raters, len(prompt))
        )
        chance = rng.random(len(prompt))
        by_prompt, by_rater = design.likeness**0.5, design.rater_likeness**0.5
        votes = np.where(
            chance < by_prompt,
            common[prompt],
            np.where(chance < by_prompt + by_rater, taste[rater], own),
        )
        found = win_rate(votes, prompt, raters=rater if design.raters else None)
        seen += found.low > 0.5 or found.high < 0.5
    return seen / studies


@pytest.mark.parametrize(
    ("design", "true"),
    [
        (StudyDesign(prompts=60, likeness=0), 0.65),
        (StudyDesign(prompts=200, likeness=0, ties=0.3), 0.57),
        (StudyDesign(prompts=20, overlap=3), 0.67),
        (StudyDesign(prompts=40, overlap=3, likeness=0.2), 0.64),
        (StudyDesign(prompts=80, overlap=5, likeness=0.06, ties=0.25), 0.55),
        (StudyDesign(prompts=30, overlap=4, likeness=0.4, ties=0.1), 0.6),
        (StudyDesign(prompts=60, overlap=3, likeness=0.2, raters=10), 0.62),
        (StudyDesign(prompts=60, overlap=3, likeness=0.1, raters=24), 0.6),
        (StudyDesign(prompts=60, overlap=4, likeness=0.1, raters=20, rater_likeness=0.1), 0.65),
        (StudyDesign(prompts=50, overlap=8, likeness=0.1, raters=8, rater_likeness=0.03), 0.65),
        (StudyDesign(prompts=100, overlap=2, likeness=0.2, raters=40, rater_likeness=0.2), 0.62),
    ],
    ids=str,
)
def test_the_power_is_that_of_simulated_studies(design: StudyDesign, true: float) -> None:
    # With 2,000 studies the standard error of a share is at most 1.1 points.
    assert study_power(design, true) == pytest.approx(simulated(design, true), abs=0.03)


def test_sixty_votes_see_only_large_differences() -> None:
    # 20 prompts of 3 votes that correlate by 0.2 are worth 60 / 1.4 = 42.86 independent votes;
    # 19 degrees of freedom, noncentrality 0.2095 / sqrt(0.25 - 0.2095^2) * sqrt(42.86) = 3.02,
    # which statsmodels gives a power of 0.80.
    design = StudyDesign(prompts=20, overlap=3)
    smallest = smallest_difference(design)
    effect = smallest / (0.25 - smallest**2) ** 0.5
    power = TTestPower().power(effect * (60 / 1.4 / 20) ** 0.5, 20, 0.05)
    assert power == pytest.approx(0.8)
    points = f"{np.ceil(1000 * smallest) / 10:g}"
    assert seeing(design) == (
        "With 60 votes (20 prompts, 3 on each) you can only see differences above"
        f" {points} points: a policy that truly wins {50 + float(points):g} % is found better in 80"
        " of 100 such studies."
    )
    assert "no difference can be seen reliably" in seeing(StudyDesign(prompts=6, ties=0.6))


def test_raters_whose_tastes_differ_set_a_limit() -> None:
    design = StudyDesign(prompts=6, raters=10, overlap=2, rater_likeness=0.3)
    found = needs(design, win_rates=(0.55, 0.95))
    assert found[0] == Need(win_rate=0.55, prompts=None, votes=None)
    assert found[1].prompts is not None
    assert found[1].votes == 2 * found[1].prompts
    with pytest.raises(TooLittleData, match=r"55 % is not seen 80 % of the time.*plan more raters"):
        prompts_needed(design, 0.55)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"prompts": 5}, "prompts: plan at least 6"),
        ({"overlap": 0.5}, "overlap: each prompt is voted on 1 to 1000 times"),
        ({"overlap": float("nan")}, "overlap: each prompt is voted on"),
        ({"likeness": 1.1}, "likeness: lies from 0 to 1"),
        ({"ties": -0.1}, "ties: lies from 0 to below 1"),
        ({"raters": 7}, "needs 8 of them"),
        ({"raters": 9, "overlap": 10}, "one for each vote on a prompt"),
        ({"rater_likeness": 0.1}, "say among how many raters"),
        ({"confidence": 95}, "confidence: must lie strictly"),
    ],
)
def test_a_design_that_cannot_be_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidOption, match=sentence):
        StudyDesign(**{"prompts": 20, **wrong})


def test_what_cannot_be_planned_is_refused() -> None:
    design = StudyDesign(prompts=20, ties=0.4)
    with pytest.raises(InvalidOption, match=r"with 40 % of ties it lies between 0\.2 and 0\.8"):
        study_power(design, 0.85)
    with pytest.raises(InvalidOption, match="there is no difference to see"):
        prompts_needed(design, 0.5)
    for power in (0.04, 1):
        with pytest.raises(InvalidOption, match=r"power: lies between 0\.05"):
            smallest_difference(design, power=power)
    with pytest.raises(TooLittleData, match="6 votes on 6 prompts see no difference 80 %"):
        smallest_difference(StudyDesign(prompts=6, ties=0.6))


# What votes that one has are like.


def test_likeness_by_hand() -> None:
    # Means 1, 0 and 1/2 about 1/2: between 2 * (1/4 + 1/4) / 2 = 1/2; within 2 * 1/4 / 3 = 1/6;
    # so (1/2 - 1/6) / (1/2 + 1/6) = 1/2. F(2, 3) at 0.75 is 2.2798 and at 0.25 1 / 3.1534.
    found = seen_design([1, 1, 0, 0, 1, 0], list("aabbcc"), confidence=0.5)
    assert found.likeness.value == pytest.approx(0.5)
    low, high = ((3 / f - 1) / (3 / f + 1) for f in (2.2798, 1 / 3.1534))
    assert (found.likeness.low, found.likeness.high) == pytest.approx((low, high), abs=1e-4)
    assert (found.prompts, found.overlap, found.raters, found.rater_likeness) == (3, 2, None, None)
    assert found.ties.value == 0


def test_likeness_is_what_krippendorffs_alpha_makes_of_the_variance() -> None:
    # At the interval level alpha is 1 - W / T, with T the variance of all scores.
    rng = np.random.default_rng(3)
    table = rng.choice([0, 0.5, 1], size=(4, 30)) / 2 + rng.choice([0, 0.5], size=30)
    alpha = krippendorff.alpha(reliability_data=table, level_of_measurement="interval")
    total = table.var(ddof=1)
    within = (1 - alpha) * total
    between = (total * 119 - within * 90) / 29
    found = seen_design(table.T.ravel(), np.repeat(range(30), 4)).likeness
    assert found.value == pytest.approx((between - within) / (between + 3 * within))


@pytest.mark.parametrize("likeness", [0.0, 0.2, 0.6])
def test_likeness_is_found_again_in_simulated_votes(likeness: float) -> None:
    rng = np.random.default_rng(7)
    prompts = np.repeat(range(1500), rng.integers(1, 6, 1500))
    common = rng.choice([1, 0.5, 0], p=[0.5, 0.2, 0.3], size=1500)
    own = rng.choice([1, 0.5, 0], p=[0.5, 0.2, 0.3], size=len(prompts))
    votes = np.where(rng.random(len(prompts)) < likeness**0.5, common[prompts], own)
    found = seen_design(votes, prompts)
    assert found.likeness.low <= likeness <= found.likeness.high
    assert found.likeness.value == pytest.approx(likeness, abs=0.03)
    assert found.ties.value == pytest.approx(0.2, abs=0.03)


def test_policies_that_differ_are_no_likeness() -> None:
    # The first pair is won nine times of ten, the second once of ten; prompts make no difference.
    rng = np.random.default_rng(8)
    pair, prompts = np.repeat([0, 1], 1500), np.tile(np.repeat(range(500), 3), 2)
    votes = (rng.random(3000) < np.where(pair, 0.1, 0.9)).astype(float)
    raters = rng.integers(30, size=3000)
    within = seen_design(votes, prompts, raters=raters, comparisons=pair)
    across = seen_design(votes, prompts + 500 * pair)
    assert within.likeness.low <= 0 <= within.likeness.high
    assert within.rater_likeness is not None
    assert within.rater_likeness.low <= 0 <= within.rater_likeness.high
    assert across.likeness.value > 0.5
    assert (within.prompts, within.raters) == (1000, 30)


def test_what_says_nothing_of_likeness_is_refused() -> None:
    with pytest.raises(TooLittleData, match="there are 3 votes on 3"):
        seen_design([1, 0, 1], ["a", "b", "c"])
    with pytest.raises(TooLittleData, match="there are 2 votes on 1"):
        seen_design([1, 0], ["a", "a"])
    with pytest.raises(TooLittleData, match="All votes are alike"):
        seen_design([1, 1, 1, 1], ["a", "a", "b", "b"])
    with pytest.raises(TooLittleData, match="compared on a single prompt"):
        seen_design([1, 0, 1, 1], list("aabb"), comparisons=list("xxyy"))
    with pytest.raises(InvalidData, match="reach from 0 to 2"):
        seen_design([2, 0], ["a", "b"])
    # Of one mind on each of four prompts: 1 - (1 - 0.025 ** (1 / 4)) = 0.3976354.
    alike = seen_design([1, 1, 0, 0, 1, 1, 0, 0], list("aabbccdd")).likeness
    assert (alike.value, alike.low, alike.high) == pytest.approx((1, 0.3976354, 1))


def votes_of(file: Path) -> list[tuple[float, str, str, str]]:
    """Score of the first model by name, question, who voted, and which models."""
    found = []
    for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines()):
        pair = sorted((row["model_a"], row["model_b"]))
        won = row.get(row["winner"])
        score = 0.5 if won is None else float(won == pair[0])
        found.append((score, row["question_id"], row["judge"], " ".join(pair)))
    return found


def rankings_of(file: Path) -> list[tuple[float, str, str, str]]:
    """The same of people's rankings; a question of another group has answers of its own."""
    found = []
    for row in map(json.loads, gzip.decompress(file.read_bytes()).splitlines()):
        model = {each["rid"]: each["model"] for each in row["responses"]}
        for ranking in row["rankings"]:
            rank = {model[rid]: place for rid, place in ranking["rank"].items()}
            for one, other in itertools.combinations(sorted(rank), 2):
                score = (np.sign(rank[other] - rank[one]) + 1) / 2
                found.append((score, row["id"], ranking["annotator"], f"{one} {other}"))
    return found


def seen(votes: list[tuple[float, str, str, str]], *, by_pair: bool = True) -> SeenDesign:
    scores, questions, raters, pairs = zip(*votes, strict=True)
    return seen_design(scores, questions, raters=raters, comparisons=pairs if by_pair else None)


@pytest.mark.parametrize(
    ("name", "likeness", "ties", "own"),
    [
        ("votes_mtbench_human", (0.22, 0.18, 0.27), 0.23, 0.095),
        ("votes_llmfao", (0.19, 0.16, 0.21), 0.39, 0.197),
        ("votes_pandalm_annotators", (0.84, 0.83, 0.86), 0.13, -0.010),
        ("votes_thesis_user_study_groups12", (0.07, -0.01, 0.16), 0.02, -0.015),
    ],
)
def test_real_votes_are_as_alike_as_the_module_says(
    shared_data: Path, name: str, likeness: tuple[float, float, float], ties: float, own: float
) -> None:
    read = rankings_of if "thesis" in name else votes_of
    found = seen(read(shared_data / f"{name}.jsonl.gz"))
    close = {"abs": 5.1e-3}
    assert (found.likeness.value, found.likeness.low, found.likeness.high) == pytest.approx(
        likeness, **close
    )
    assert found.ties.value == pytest.approx(ties, **close)
    assert found.rater_likeness is not None
    assert found.rater_likeness.value == pytest.approx(own, abs=1e-3)


def test_pairs_thrown_together_hide_how_alike_votes_are(shared_data: Path) -> None:
    votes = votes_of(shared_data / "votes_llmfao.jsonl.gz")
    assert seen(votes, by_pair=False).likeness.value == pytest.approx(0.015, abs=1e-3)
