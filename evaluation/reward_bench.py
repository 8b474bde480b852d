"""How a reward model does on a file in the format of RewardBench or RewardBench 2.

The rules are the published ones, so that figures of the published data can be put beside the
leaderboard's; intervals, and the length-only baseline beside every figure, are ours.

Source:
    The repository allenai/reward-bench (Apache-2.0): `rewardbench/constants.py` for sections and
    weights, `scripts/run_rm.py` for pairs, `rewardbench/utils.py` for best-of-many
    (`reroll_and_score_dataset`) and Ties (`process_single_model`). Lambert et al. (2024),
    arXiv:2403.13787; Malik et al. (2025), arXiv:2506.01937.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.reward_bench_files import (
    SECTIONS,
    SUBSETS_OF_2,
    TIES,
    Benchmark,
    Question,
    read_benchmark,
    ties_place,
)
from evaluation.statistics import Estimate, clustered_mean, plain, weighted_sum
from storage.errors import TooLittleData
from storage.recipes import Progress
from storage.records import digest

LOWEST_TIES, HIGHEST_TIES = -0.01, 1.01
"""Ends of the score of the subset Ties, which adds a hundredth to break ties of its own."""

Scores = Sequence[NDArray[np.float64]]
"""For each question the rewards of its answers, the chosen ones first."""


def evaluate_benchmark(
    folder: Path | str,
    path: Path,
    *,
    progress: Progress | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Score every answer of a benchmark's file, and report as `benchmark_report` does.

    Questions with an answer that is longer than the model can read are left out, and a warning says
    how many; RewardBench cuts such answers.

    Raises:
        InvalidData: The file is in neither format, or `folder` holds no reward model.
        TooLittleData: No question fits, or they are too few for any figure.
    """
    from training.rewards.comparing import open_comparer  # noqa: PLC0415 - torch, only if used

    benchmark = read_benchmark(path)
    scorer = open_comparer(folder, device=device)
    asked = [(question.prompt, question.answers) for question in benchmark.questions]
    fit = scorer.fit_among(asked)
    read = list(compress(benchmark.questions, fit))
    report = benchmark_report(
        Benchmark(best_of_many=benchmark.best_of_many, questions=tuple(read)),
        scorer.among(list(compress(asked, fit)), progress=progress),
    )
    if len(read) < len(fit):
        report["warnings"].append(
            f"{len(fit) - len(read)} of {len(fit)} questions were left out, as they have an answer"
            " that is longer than the model can read."
        )
    return report


def benchmark_report(benchmark: Benchmark, scores: Scores) -> dict[str, Any]:
    """What a model's rewards come to, by subset, by section and in one number.

    A pair is right where the chosen answer has the higher reward: equal rewards are wrong. Among
    many answers the chosen one needs the highest reward; where k share it, it counts 1 / k. For the
    subset Ties see `ties_scores`.

    Returns:
        JSON: `benchmark`, its name; `subsets`, [{subset, score, length_only_score}], scores as
        estimates; `sections` of RewardBench, [{section, score, length_only_score}], means of the
        subsets that are there, with the published weights; `accuracy` and `length_only_accuracy`
        over all questions but those of Ties; `score`, the mean over the sections of RewardBench or
        the subsets of RewardBench 2, None unless all of them are there whole; `warnings`.

    Raises:
        TooLittleData: No subset has two different prompts.
    """
    doubts: list[str] = []
    longest = [np.array([len(a) for a in q.answers], dtype=float) for q in benchmark.questions]
    ours = _subsets(benchmark, scores, doubts)
    by_length = _subsets(benchmark, longest, [])
    if not ours:
        raise TooLittleData(" ".join(doubts) or "The file holds no question that can be scored.")
    report: dict[str, Any] = {
        "benchmark": "RewardBench 2" if benchmark.best_of_many else "RewardBench",
        "questions": len(benchmark.questions),
        "accuracy": _accuracy(benchmark, scores),
        "length_only_accuracy": _accuracy(benchmark, longest),
        "subsets": [
            {"subset": name, "score": score, "length_only_score": by_length[name]}
            for name, score in ours.items()
        ],
        "sections": [],
        "score": None,
    }
    if benchmark.best_of_many:
        if set(SUBSETS_OF_2) <= ours.keys():
            report["score"] = _mean([ours[name] for name in SUBSETS_OF_2])
    else:
        sections, of_length = _sections(ours), _sections(by_length)
        report["sections"] = [
            {"section": name, "score": score, "length_only_score": of_length[name]}
            for name, score in sections.items()
        ]
        if all(weights.keys() <= ours.keys() for weights in SECTIONS.values()):
            report["score"] = _mean(list(sections.values()))
        elif sections:
            doubts.append(
                "Not all subsets of RewardBench are here: a section is the mean of those that are,"
                " and there is no score."
            )
    return {**plain(report), "warnings": doubts}


def _subsets(benchmark: Benchmark, scores: Scores, doubts: list[str]) -> dict[str, Estimate]:
    """The score of each subset, in the order in which they first come."""
    places: dict[str, list[int]] = {}
    for place, question in enumerate(benchmark.questions):
        places.setdefault(question.subset, []).append(place)
    found = {}
    for name, inside in places.items():
        questions = [benchmark.questions[place] for place in inside]
        theirs = [scores[place] for place in inside]
        try:
            if benchmark.best_of_many and name.lower() == TIES:
                found[name] = ties_score(questions, theirs, doubts)
            else:
                rule = best_of_many if benchmark.best_of_many else pair_is_right
                found[name] = _share(questions, theirs, rule)
        except TooLittleData as error:
            doubts.append(f"Subset {name!r}: {error}")
    return found


def pair_is_right(scores: NDArray[np.float64]) -> float:
    """1 where the chosen answer, which comes first, has the higher reward; else 0."""
    return float(scores[0] > scores[1])


def best_of_many(scores: NDArray[np.float64]) -> float:
    """1 where the chosen answer, which comes first, has the highest reward of all; 1 / k of k."""
    top = scores == scores.max()
    return float(top[0] / top.sum())


def _share(
    questions: Sequence[Question], scores: Scores, rule: Callable[[NDArray[np.float64]], float]
) -> Estimate:
    return clustered_mean(
        [rule(each) for each in scores],
        [digest(question.prompt) for question in questions],
        what="An accuracy",
    )


def ties_score(questions: Sequence[Question], scores: Scores, doubts: list[str]) -> Estimate:
    """The score of the subset Ties: the mean of `ties_scores` over the numbers of its questions.

    A number of which only one of the two questions is there is left out, and the doubts say so.
    """
    by_number: defaultdict[int, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]
    by_number = defaultdict(dict)
    for question, rewards in zip(questions, scores, strict=True):
        kind, number = ties_place(question)
        right = len(question.chosen)
        by_number[number][kind] = rewards[:right], rewards[right:]
    whole = [both for both in by_number.values() if len(both) == 2]
    if len(whole) < len(by_number):
        doubts.append(
            f"{len(by_number) - len(whole)} numbers of the subset Ties have only one of their two"
            " questions, ref and tied; they are left out."
        )
    return clustered_mean(
        [ties_scores(both["ref"], both["tied"]) for both in whole],
        range(len(whole)),
        what="The score of Ties",
        bounds=(LOWEST_TIES, HIGHEST_TIES),
    )


def ties_scores(
    ref: tuple[NDArray[np.float64], NDArray[np.float64]],
    tied: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> float:
    r"""How well a model treats one question with many right answers and its counterpart with one.

    With margin = (lowest reward of a right answer) - (highest of a wrong one), and spread =
    (highest) - (lowest reward of a right answer) of the question with many,

        0.3 [margin_tied > 0] + 0.3 [margin_ref > 0] + 0.2 [margin_tied > spread]
        + 0.2 [m > spread] + 0.01 tanh(m / spread - 1),    m = min(margin_ref, margin_tied),

    so right answers need to lie further from wrong ones than from each other.

    Args:
        ref: Rewards of the right and of the wrong answers to the question with one right answer.
        tied: The same for the question with many.

    Returns:
        From -0.01 to 1.01.

    Source:
        `process_single_model` in allenai/reward-bench, which averages each term over all questions;
        on a file where every question has its counterpart that is the mean of this.
    """
    margin_ref, margin_tied = (float(right.min() - wrong.max()) for right, wrong in (ref, tied))
    spread = float(np.ptp(tied[0]))
    least = min(margin_ref, margin_tied)
    # As the published code: without spread the quotient is infinite, and 0 / 0 adds nothing.
    beyond = least / spread if spread else float(np.sign(least)) * np.inf
    return (
        0.3 * (margin_tied > 0)
        + 0.3 * (margin_ref > 0)
        + 0.2 * (margin_tied > spread)
        + 0.2 * (least > spread)
        + (0.0 if np.isnan(beyond) else 0.01 * float(np.tanh(beyond - 1)))
    )


def _accuracy(benchmark: Benchmark, scores: Scores) -> Estimate | None:
    """Over all questions that have one right answer."""
    rule = best_of_many if benchmark.best_of_many else pair_is_right
    known = [
        (question, each)
        for question, each in zip(benchmark.questions, scores, strict=True)
        if not (benchmark.best_of_many and question.subset.lower() == TIES)
    ]
    try:
        return _share([question for question, _ in known], [each for _, each in known], rule)
    except TooLittleData:
        return None


def _sections(subsets: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The mean of each section over the subsets that are there, with the published weights."""
    found = {}
    for section, weights in SECTIONS.items():
        here = {name: weight for name, weight in weights.items() if name in subsets}
        total = sum(here.values())
        if here:
            found[section] = weighted_sum(
                (weight / total, subsets[name]) for name, weight in here.items()
            )
    return found


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    return weighted_sum((1 / len(estimates), each) for each in estimates)
