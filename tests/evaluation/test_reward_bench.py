"""RewardBench's formats and rules: read, scored by hand, and by a real model from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation.reward_bench import (
    benchmark_report,
    best_of_many,
    evaluate_benchmark,
    pair_is_right,
    ties_scores,
)
from evaluation.reward_bench_files import SECTIONS, SUBSETS_OF_2, Benchmark, read_benchmark
from storage.errors import InvalidData, TooLittleData
from storage.records import as_messages

PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "subset": "own", "id": 7}
MANY = {
    "id": "12",
    "prompt": "Name a colour.",
    "chosen": ["Red."],
    "rejected": ["Dog.", "Two.", "No."],
    "num_correct": 1,
    "subset": "Focus",
}
TIED = MANY | {"id": "tied:0", "subset": "Ties", "chosen": ["Red.", "Blue."], "num_correct": 2}
REF = MANY | {"id": "ref:0", "subset": "Ties"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: dict[str, Any]) -> Path:
        path = tmp_path / "benchmark.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


# --- reading


def test_pairs_are_texts_or_whole_conversations(write: Callable[..., Path]) -> None:
    asked = [{"role": "user", "content": "Why?"}]
    said = {
        name: [*asked, {"role": "assistant", "content": PAIR[name]}]
        for name in ("chosen", "rejected")
    }
    last = {name: [{"role": "assistant", "content": PAIR[name]}] for name in ("chosen", "rejected")}
    without_prompt = {name: value for name, value in PAIR.items() if name != "prompt"}
    lines = (PAIR, PAIR | said, PAIR | {"prompt": asked}, PAIR | last, without_prompt | said)
    benchmark = read_benchmark(write(*lines))
    assert not benchmark.best_of_many
    expected = benchmark.questions[0]
    assert (expected.id, expected.subset) == ("7", "own")
    assert (expected.prompt, expected.answers) == (as_messages("Why?"), ("Because.", "No."))
    assert {replace(q, line=1) == expected for q in benchmark.questions} == {True}
    assert [q.line for q in benchmark.questions] == [1, 2, 3, 4, 5]


def test_many_answers_are_read_with_the_chosen_ones_first(write: Callable[..., Path]) -> None:
    benchmark = read_benchmark(write(MANY, TIED, REF))
    assert benchmark.best_of_many
    assert [q.answers for q in benchmark.questions[:2]] == [
        ("Red.", "Dog.", "Two.", "No."),
        ("Red.", "Blue.", "Dog.", "Two.", "No."),
    ]


def test_what_may_be_missing(write: Callable[..., Path]) -> None:
    bare = {"prompt": "Why?", "chosen": "Because.", "rejected": ""}
    (question,) = read_benchmark(write(bare)).questions
    assert (question.id, question.subset, question.rejected) == ("1", "all", ("",))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({"chosen": "a", "rejected": "b"}, "there is no prompt"),
        ({"prompt": "p", "chosen": "a"}, "need to be texts, or conversations"),
        ({"prompt": "p", "chosen": "a", "rejected": 3}, "need to be texts.*got 3"),
        (
            PAIR
            | {
                "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
                "rejected": [
                    {"role": "user", "content": "c"},
                    {"role": "assistant", "content": "d"},
                ],
            },
            "one conversation up to their last turn",
        ),
        (MANY | {"num_correct": 2}, "num_correct is 2, but 1 answers are chosen"),
        (MANY | {"chosen": ["a", "b"], "num_correct": 2}, "only the subset Ties has more than one"),
        (MANY | {"chosen": []}, "lists of at least one answer"),
        (MANY | {"rejected": []}, "lists of at least one answer"),
        (TIED | {"id": "0"}, "ref:N or tied:N; got '0'"),
    ],
)
def test_a_broken_line_is_refused(
    write: Callable[..., Path], line: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidData, match=rf"benchmark.jsonl, line 1: .*{sentence}"):
        read_benchmark(write(line))


def test_two_formats_in_one_file_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(InvalidData, match="line 2: pairs and lists of answers are mixed"):
        read_benchmark(write(PAIR, MANY))


# --- rules


def test_equal_rewards_are_wrong_among_two_and_shared_among_many() -> None:
    assert [pair_is_right(np.array(pair)) for pair in ([2, 1], [1, 1], [0, 1])] == [1, 0, 0]
    assert best_of_many(np.array([3.0, 1, 2, 0])) == 1
    assert best_of_many(np.array([2.0, 2, 2, 0])) == pytest.approx(1 / 3)
    assert best_of_many(np.array([1.0, 2, 2, 0])) == 0


def ties(ref: tuple[list[float], list[float]], tied: tuple[list[float], list[float]]) -> float:
    return ties_scores(
        (np.array(ref[0], dtype=float), np.array(ref[1], dtype=float)),
        (np.array(tied[0], dtype=float), np.array(tied[1], dtype=float)),
    )


def test_ties_by_hand() -> None:
    # Margins 1 and 1.5, spread 0.5: all four terms, and tanh(1 / 0.5 - 1) = 0.7615942.
    assert ties(([2], [1, 0.5]), ([3, 2.5], [1])) == pytest.approx(1.007615942)
    # Margins -1 and 1, spread 2: only the right answers to the tied question lie above the wrong
    # one; tanh(-1 / 2 - 1) = -0.9051483.
    assert ties(([0], [1]), ([2, 0], [-1])) == pytest.approx(0.3 - 0.009051483)
    # Margins 3 and 1, spread 2: the tied question alone spoils both last terms; tanh(1 / 2 - 1).
    assert ties(([3], [0]), ([3, 1], [0])) == pytest.approx(0.6 - 0.004621172)
    # Right answers alike: the quotient is infinite. All alike: nothing is right, and 0 / 0 is 0.
    assert ties(([1], [0]), ([1, 1], [0])) == pytest.approx(1.01)
    assert ties(([1], [1]), ([1, 1], [1])) == 0
    assert ties(([0], [1]), ([0, 0], [1])) == pytest.approx(-0.01)


rewards = st.lists(st.integers(-8, 8).map(lambda n: n / 4), min_size=1, max_size=4)


@given(
    st.tuples(rewards, rewards),
    st.tuples(rewards, rewards),
    st.sampled_from([0.5, 2.0, 4.0]),
    st.integers(-3, 3),
)
def test_ties_depend_on_neither_zero_nor_unit_of_the_rewards(
    ref: tuple[list[float], list[float]],
    tied: tuple[list[float], list[float]],
    unit: float,
    zero: int,
) -> None:
    score = ties(ref, tied)
    assert -0.01 <= score <= 1.01
    moved = [[unit * value + zero for value in part] for part in (*ref, *tied)]
    assert ties((moved[0], moved[1]), (moved[2], moved[3])) == pytest.approx(score)


# --- reports


def question(name: str, subset: str, **more: Any) -> dict[str, Any]:
    return {
        "prompt": f"{subset} {name}?",
        "chosen": "ccc",
        "rejected": "r",
        "subset": subset,
    } | more


def report_of(path: Path, right: Callable[[int], bool]) -> dict[str, Any]:
    """Of a model that gives the chosen answers 1 where `right(line)`, else -1, and others 0."""
    benchmark = read_benchmark(path)
    scores = [
        np.array([1.0 if right(place) else -1.0] * len(q.chosen) + [0.0] * len(q.rejected))
        for place, q in enumerate(benchmark.questions)
    ]
    return benchmark_report(benchmark, scores)


def test_a_section_is_the_mean_of_its_subsets_with_the_published_weights(
    write: Callable[..., Path],
) -> None:
    lines = [question(str(n), "alpacaeval-easy") for n in range(10)]
    lines += [question(str(n), "mt-bench-easy") for n in range(4)]
    lines += [question(str(n), "own") for n in range(2)]
    report = report_of(write(*lines), lambda line: line != 0 and line not in (10, 11))
    scores = {one["subset"]: one["score"]["value"] for one in report["subsets"]}
    assert scores == {"alpacaeval-easy": 0.9, "mt-bench-easy": 0.5, "own": 1.0}
    (chat,) = report["sections"]
    # Weights 100 and 28, however many questions there are.
    assert (chat["section"], chat["score"]["value"]) == ("Chat", pytest.approx(104 / 128))
    assert chat["length_only_score"]["value"] == 1
    assert report["accuracy"]["value"] == pytest.approx(13 / 16)
    assert report["score"] is None
    assert "Not all subsets of RewardBench are here" in report["warnings"][0]
    assert report["benchmark"] == "RewardBench"
    assert json.loads(json.dumps(report)) == report


def test_the_score_is_the_mean_of_the_four_sections(write: Callable[..., Path]) -> None:
    subsets = [name for weights in SECTIONS.values() for name in weights]
    lines = [question(str(n), name) for name in subsets for n in range(4)]
    report = report_of(write(*lines), lambda line: lines[line]["subset"] != "math-prm")
    assert {one["section"]: one["score"]["value"] for one in report["sections"]} == pytest.approx(
        {"Chat": 1, "Chat Hard": 1, "Safety": 1, "Reasoning": 0.5}
    )
    assert report["score"]["value"] == pytest.approx(3.5 / 4)
    assert report["score"]["low"] < report["score"]["value"] < report["score"]["high"]
    assert report["warnings"] == []


def test_the_published_weights() -> None:
    # 2,985 pairs in all, of which 447 are math-prm's, weighted 984.
    assert sum(sum(weights.values()) for weights in SECTIONS.values()) == 2985 - 447 + 984
    assert [sum(weights.values()) for weights in SECTIONS.values()] == [358, 456, 740, 1968]


def test_best_of_four_and_ties_make_one_score(write: Callable[..., Path]) -> None:
    four = {"rejected": ["a", "b", "dddd"]}
    lines = [
        question(str(n), name, chosen=["ccc"], **four)
        for name in SUBSETS_OF_2[:-1]
        for n in range(4)
    ]
    for n in range(3):
        lines.append(question(f"{n}", "Ties", id=f"ref:{n}", chosen=["ccc"], **four))
        lines.append(question(f"{n}!", "Ties", id=f"tied:{n}", chosen=["ccc", "cc"], **four))
    report = report_of(write(*lines), lambda line: lines[line]["prompt"] != "Math 0?")
    scores = {one["subset"]: one["score"]["value"] for one in report["subsets"]}
    assert scores == pytest.approx(dict.fromkeys(SUBSETS_OF_2, 1.0) | {"Math": 0.75, "Ties": 1.01})
    assert report["score"]["value"] == pytest.approx((4 + 0.75 + 1.01) / 6)
    assert report["accuracy"]["value"] == pytest.approx(19 / 20)
    # The longest answer is always a wrong one.
    assert all(one["length_only_score"]["value"] <= 0.01 for one in report["subsets"][:-1])
    assert report["length_only_accuracy"]["value"] == 0
    assert (report["benchmark"], report["sections"], report["warnings"]) == (
        "RewardBench 2",
        [],
        [],
    )


def test_half_of_a_tied_question_is_left_out(write: Callable[..., Path]) -> None:
    lines = [
        MANY | {"id": f"{kind}:{n}", "subset": "Ties", "prompt": f"{kind} {n}"}
        for n in range(3)
        for kind in ("ref", "tied")
    ]
    report = report_of(write(*lines[:-1]), lambda line: True)
    assert report["subsets"][0]["score"]["n"] == 2
    (doubt,) = report["warnings"]
    assert doubt.startswith("1 numbers of the subset Ties have only one of their two questions")


def test_prompts_not_pairs_are_the_independent_unit(write: Callable[..., Path]) -> None:
    lines = [question(str(n % 10), "own") for n in range(50)]
    report = report_of(write(*lines), lambda line: line % 10 < 7)
    expected = stats.ttest_1samp([1.0] * 7 + [0.0] * 3, 0).confidence_interval()
    found = report["subsets"][0]["score"]
    assert (found["low"], found["n"]) == (pytest.approx(expected.low), 50)


def test_a_subset_of_one_prompt_has_no_score(write: Callable[..., Path]) -> None:
    lines = [question("0", "one"), question("1", "two"), question("2", "two")]
    report = report_of(write(*lines), lambda line: True)
    assert [one["subset"] for one in report["subsets"]] == ["two"]
    assert (
        "Subset 'one': An accuracy needs judgements of at least 2 prompts" in report["warnings"][0]
    )
    with pytest.raises(TooLittleData, match="Subset 'one'"):
        report_of(write(lines[0]), lambda line: True)
    with pytest.raises(TooLittleData, match="no question that can be scored"):
        benchmark_report(Benchmark(best_of_many=False, questions=()), [])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-3, 3), st.floats(-3, 3)), min_size=8))
def test_only_the_order_of_rewards_matters(rows: list[tuple[int, float, float]]) -> None:
    questions = tuple(
        read_question(place, f"s{subset}") for place, (subset, _, _) in enumerate(rows)
    )
    benchmark = Benchmark(best_of_many=False, questions=questions)
    scores = [np.array([chosen, rejected]) for _, chosen, rejected in rows]
    report = benchmark_report(benchmark, scores)
    assert benchmark_report(benchmark, [np.arctan(8 * each) for each in scores]) == report


def read_question(place: int, subset: str) -> Any:
    from evaluation.reward_bench_files import Question

    return Question(
        id=str(place),
        subset=subset,
        prompt=as_messages(f"{place}"),
        chosen=("a",),
        rejected=("b",),
        line=place + 1,
    )


# --- a real model


def test_a_real_model_is_scored_and_what_it_cannot_read_is_told(
    reward_model: Callable[[], Path], write: Callable[..., Path]
) -> None:
    warm = {"chosen": "warm warm warm answer", "rejected": "cold"}
    lines = [question(str(n), "own", **warm) for n in range(12)]
    lines.append(question("endless", "own", chosen="and so on " * 1000))
    report = evaluate_benchmark(reward_model(), write(*lines), device="cpu")
    assert report["questions"] == 12
    assert report["accuracy"]["value"] > 0.9
    assert report["length_only_accuracy"]["value"] == 1
    (doubt,) = report["warnings"]
    assert doubt.startswith(
        "1 of 13 questions were left out, as they have an answer that is longer"
    )
    many = [
        question(
            str(n), "own", chosen=["warm warm warm answer"], rejected=["cold", "cold 1", "cold 2"]
        )
        for n in range(6)
    ]
    best = evaluate_benchmark(reward_model(), write(*many), device="cpu")
    assert best["benchmark"] == "RewardBench 2"
    assert best["accuracy"]["value"] > 0.9
