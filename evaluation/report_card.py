"""A reward model's report card: how good it is on prompts it has not seen, and what to doubt.

The length-only baseline stands beside every accuracy: a model below it has learnt less than
counting characters, whatever its accuracy looks like alone.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.baselines import human_ceiling, lengths
from evaluation.card_comparison import judged_by
from evaluation.card_groups import ScoredAnswers
from evaluation.card_pairs import known, on_pairs
from evaluation.card_words import verdict, warnings
from evaluation.leakage import leaked, question
from evaluation.rated_answers import RatedAnswers
from evaluation.statistics import plain
from storage.errors import TooLittleData
from storage.recipes import Progress
from storage.records import Kind, Message, Split
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData


def evaluate_reward_model(
    folder: Path | str,
    snapshot: Path,
    *,
    split: Split = Split.TEST,
    prompts: int | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """The report card of a reward model on one part of a snapshot.

    Args:
        folder: The reward model.
        snapshot: Folder of the snapshot.
        split: Which part to judge by. Of the training part only lengths and prompts are used.
        prompts: Judge by so many prompts at most, drawn by the seed; None for all.
        progress: Told how far scoring is.
        device: Where the model runs.
        seed: Of the bootstrap and of the prompts drawn.

    Raises:
        TooLittleData: The part holds too little for any figure.
        InvalidData: The snapshot is half-written or was edited.
    """
    data = SnapshotData.open(snapshot)
    training, seen = training_part(data)
    comparisons, ratings = data.comparisons(split), data.ratings(split)
    judged = sorted({one.prompt_id for one in comparisons} | {one.prompt_id for one in ratings})
    if prompts is not None and prompts < len(judged):
        rng = np.random.default_rng(seed)
        wanted = set(rng.choice(judged, size=prompts, replace=False).tolist())
        comparisons = [row for row in comparisons if row.prompt_id in wanted]
        ratings = [row for row in ratings if row.prompt_id in wanted]
    return evaluate_reward_rows(
        folder,
        comparisons,
        ratings,
        training=training,
        seen=seen,
        progress=progress,
        device=device,
        seed=seed,
    )


def training_part(data: SnapshotData) -> tuple[list[ComparisonRow], set[str]]:
    """What a report card uses of the data a model learned from: comparisons, and what was asked."""
    comparisons = data.comparisons(Split.TRAIN)
    ratings = data.stream("ratings", Split.TRAIN)
    asked = {question(row.prompt) for row in comparisons}
    return comparisons, asked | {question(row["prompt"]) for row in ratings}


def evaluate_reward_rows(
    folder: Path | str,
    comparisons: Sequence[ComparisonRow],
    ratings: Sequence[RatingRow],
    *,
    training: Sequence[ComparisonRow] = (),
    seen: Set[str] | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """The report card of a reward model on judgements from anywhere. Each answer is scored once.

    Judgements of conversations that are longer than the model can read are left out, as they are in
    training, and a warning says how many.
    """
    from training.rewards.comparing import (  # noqa: PLC0415 - torch, only where it is used
        PairwiseScorer,
        open_comparer,
    )

    if not comparisons and not ratings:
        raise TooLittleData("There are no judgements to hold rewards against.")
    scorer = open_comparer(folder, device=device)
    rng = np.random.default_rng(seed)
    if isinstance(scorer, PairwiseScorer):
        pairs = [(row.prompt, row.left, row.right) for row in comparisons]
        fit = scorer.fits(pairs)
        known = [row for row, fits in zip(comparisons, fit, strict=True) if fits]
        gaps = scorer.gaps(list(compress(pairs, fit)), progress=progress)
        card = reward_report_card(
            np.zeros(len(gaps)),
            gaps,
            known,
            [],
            [],
            training=training,
            seen=seen,
            rng=rng,
            single_answers=False,
        )
        return _with_left_out(card, len(comparisons) - len(known))
    conversations: dict[tuple[str, str], tuple[Sequence[Message], str]] = {}
    for row in comparisons:
        conversations[row.prompt_id, row.left] = (row.prompt, row.left)
        conversations[row.prompt_id, row.right] = (row.prompt, row.right)
    for rating in ratings:
        conversations[rating.prompt_id, rating.response] = (rating.prompt, rating.response)
    fits = scorer.fits(list(conversations.values()))
    read = [key for key, fit in zip(conversations, fits, strict=True) if fit]
    scores = scorer.score([conversations[key] for key in read], progress=progress)
    reward = dict(zip(read, np.asarray(scores, dtype=float).tolist(), strict=True))
    known = [
        row
        for row in comparisons
        if {(row.prompt_id, row.left), (row.prompt_id, row.right)} <= reward.keys()
    ]
    rated = [row for row in ratings if (row.prompt_id, row.response) in reward]
    left_out = len(comparisons) - len(known) + len(ratings) - len(rated)
    comparisons, ratings = known, rated
    card = reward_report_card(
        [reward[row.prompt_id, row.left] for row in comparisons],
        [reward[row.prompt_id, row.right] for row in comparisons],
        comparisons,
        [reward[row.prompt_id, row.response] for row in ratings],
        ratings,
        training=training,
        seen=seen,
        rng=rng,
    )
    return _with_left_out(card, left_out)


def _with_left_out(card: dict[str, Any], left_out: int) -> dict[str, Any]:
    """The card, with a warning if there are judgements that the model could not read whole."""
    if left_out:
        card["warnings"].append(
            f"{left_out} judgements were left out, as their conversations are longer than the model"
            " can read."
        )
    return card


def reward_report_card(
    scores_left: ArrayLike,
    scores_right: ArrayLike,
    rows: Sequence[ComparisonRow],
    rating_scores: ArrayLike,
    rating_rows: Sequence[RatingRow],
    *,
    rng: np.random.Generator,
    training: Sequence[ComparisonRow] = (),
    seen: Set[str] | None = None,
    single_answers: bool = True,
) -> dict[str, Any]:
    """What rewards are worth, held against judgements.

    Args:
        scores_left: Reward of the answer on the left of each comparison, in logits.
        scores_right: Reward of the answer on the right.
        rows: The comparisons. Ties of annotators have no right answer and count nowhere.
        rating_scores: Reward of the answer in each rating.
        rating_rows: The ratings.
        rng: Source of the bootstraps and of the folds.
        training: Comparisons that choose whether "longer wins" or "shorter wins" is the length-only
            baseline, so that it has not seen the test answers either. Without them it is "longer".
        seen: What training asked, as `evaluation.leakage.question` writes it; None if not known.
        single_answers: False for a model that reads two answers at once and gives neither a reward
            of its own: then only differences of the scores mean something, and whatever is about
            single answers is None or empty.

    Returns:
        JSON. `verdict`, what it comes to in words. Of comparisons: `pair_accuracy`;
        `length_only_accuracy` with `length_only_direction`; `above_length_only`, the difference of
        the two on the same comparisons; `human_ceiling`, how often one annotator agrees with the
        others; `loss`, Bradley-Terry, in nats per comparison; `calibration_error` and
        `calibration_curve`, [{predicted, observed}]; `pairs` that were decided, and `ties`;
        `annotators`, [{annotator, kind, pair_accuracy}], and `kinds` of prompt, [{kind,
        pair_accuracy, length_only_accuracy, clearly_worse}], that have enough pairs; `outcomes`,
        which pairs it gets right (see `evaluation.card_comparison`). Of ratings: `spearman` and
        `kendall` between reward and mean rating; `mean_absolute_error` of ratings foretold from
        rewards by a line fitted on other prompts, in points, and `mean_absolute_error_of_constant`,
        foretelling the mean; `rated` answers. Of both: `length_correlation`, Spearman's, with
        characters; `prompts`, and of these `leaked_prompts`, which training asked too; `simulated`;
        `judged_by`, a name for these comparisons: cards with the same one can be compared;
        `warnings`, sentences. For figures: `rewards`, quantiles of the preferred and the other
        answers; `distributions`, of each of the `policies` that wrote them and the `kinds` of
        prompt; `by_length`, `characters` beside `rewards`; `reward_spread`, between their 5 % and
        95 % quantiles. A figure is None where the data cannot support it; then a warning says why.

    Raises:
        TooLittleData: Neither comparisons nor ratings allow a figure.
    """
    left, right = np.asarray(scores_left, dtype=float), np.asarray(scores_right, dtype=float)
    rated = RatedAnswers.of(rating_scores, rating_rows)
    doubts: list[str] = []
    card = on_pairs(left, right, rows, training, doubts)
    rho = known(doubts, lambda: rated.spearman(rng)) if rating_rows else None
    if card["pair_accuracy"] is None and rho is None:
        raise TooLittleData(" ".join(doubts) or "There are no judgements to hold rewards against.")
    error, of_constant = rated.errors(rng) if rho is not None else (None, None)
    every: list[ComparisonRow | RatingRow] = [*rows, *rating_rows]
    card |= {
        "spearman": rho,
        "kendall": rated.kendall(rng) if rho is not None else None,
        "human_ceiling": human_ceiling(rows),
        "mean_absolute_error": error,
        "mean_absolute_error_of_constant": of_constant,
        "rated": len(rated.prompts),
        "prompts": len({row.prompt_id for row in every}),
        "leaked_prompts": None if seen is None else len(leaked(every, seen)),
        "simulated": Kind.SIMULATED in {row.kind for row in every},
        "judged_by": judged_by(rows),
        **_NOTHING_OF_ANSWERS,
    }
    if single_answers:
        answers = ScoredAnswers.of(left, right, rows, rating_scores, rating_rows)
        card |= {
            "length_correlation": _length_correlation(
                np.concatenate([left, right, rated.rewards]),
                np.concatenate([*lengths(rows), rated.lengths]),
            ),
            "reward_spread": answers.spread(),
            "distributions": answers.distributions(),
            "by_length": answers.by_length(),
        }
    else:
        card["rewards"] = {}
    card["warnings"] = [*warnings(card), *doubts]
    told: dict[str, Any] = plain(card)
    return {"verdict": verdict(told), **told}


_NOTHING_OF_ANSWERS: dict[str, Any] = {
    "length_correlation": None,
    "reward_spread": None,
    "distributions": {"policies": {}, "kinds": {}},
    "by_length": {"characters": [], "rewards": []},
}


def _length_correlation(
    rewards: NDArray[np.float64], characters: NDArray[np.float64]
) -> float | None:
    if len(rewards) < 3 or np.ptp(rewards) == 0 or np.ptp(characters) == 0:
        return None
    return float(stats.spearmanr(rewards, characters).statistic)
