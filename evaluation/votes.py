"""Win rates from a file of votes, without a database.

A line is `{question_id, model_a, model_b, winner}` with winner model_a, model_b or tie (text after
"tie" is ignored). `p_model_b`, the probability that model_b is better, replaces the winner; `judge`
says who voted, `turn` tells the turns of one question apart, `left` names the answer shown on the
left. Other columns are ignored. Files are .jsonl, .jsonl.gz or .parquet.
"""

from __future__ import annotations

import gzip
import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation.statistics import Estimate, agreement, position_bias, win_rate
from storage.errors import InvalidData, NotFound, TooLittleData

logger = logging.getLogger(__name__)

_SCORES = {"model_a": 0.0, "model_b": 1.0, "tie": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One verdict on the answers of two models to one question."""

    question: str
    item: str
    """What exactly was judged: question, turn and the two models in a fixed order."""
    first: str
    second: str
    score: float
    """How far `second` was preferred: 1, 0, 1/2 for a tie, or a judge's probability."""
    judge: str | None = None
    second_was_left: bool | None = None
    """None when the file does not say where the answers stood."""


def read_votes(path: Path) -> list[Vote]:
    """Read a whole file of votes.

    Raises:
        NotFound: There is no such file.
        InvalidData: It cannot be read, or a line is no vote; names the line.
        TooLittleData: It holds no vote.
    """
    votes = [_vote(row, f"Line {number} of {path.name}") for number, row in _rows(path)]
    if not votes:
        raise TooLittleData(f"{path.name} holds no votes.")
    return votes


def votes_report(
    votes: Sequence[Vote], *, rng: np.random.Generator, confidence: float = 0.95
) -> dict[str, Any]:
    """What the votes say of every pair of models.

    Args:
        votes: As `read_votes` gives them.
        rng: Source of the bootstrap of the agreement.
        confidence: Coverage of every interval.

    Returns:
        `win_rates`: one entry for each model against each opponent it met, clustered by question;
        the estimate is None where fewer than two questions were voted on. `ranking`: models by
        `average_win_rate`, the plain mean over opponents, each opponent counting once. `agreement`:
        nominal alpha over verdicts. `position_bias`: share of left, where the file tells sides.
        `warnings`: in words. Fractions, not percent.
    """
    pairs: dict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        first, second = sorted((vote.first, vote.second))
        pairs[first, second].append(vote)

    win_rates: list[dict[str, Any]] = []
    averages: dict[str, list[float]] = defaultdict(list)
    for (first, second), cast in sorted(pairs.items()):
        scores = np.array([v.score if v.second == second else 1 - v.score for v in cast])
        questions = [vote.question for vote in cast]
        sides = [(first, second, 1 - scores), (second, first, scores)]
        # AlpacaEval's second leaderboard holds its baseline against itself: listed, not ranked.
        for model, opponent, share in sides if first != second else sides[1:]:
            if model != opponent:
                averages[model].append(float(share.mean()))
            win_rates.append(
                {
                    "model": model,
                    "opponent": opponent,
                    "votes": len(cast),
                    "ties": int((share == 0.5).sum()),
                    "prompts": len(set(questions)),
                    "win_rate": _json(_estimate(share, questions, confidence)),
                    "length_controlled": None,
                }
            )

    warnings = []
    itself = sum(len(cast) for (first, second), cast in pairs.items() if first == second)
    if itself:
        warnings.append(f"{itself} votes compare a model with itself; the ranking leaves them out.")
    alone = len({frozenset((w["model"], w["opponent"])) for w in win_rates if not w["win_rate"]})
    if alone:
        warnings.append(
            f"{alone} of {len(pairs)} pairs of models were compared on a single question,"
            " so they have no win rate."
        )
    agreed = _agreement(votes, rng, confidence)
    if agreed["alpha"] is None:
        warnings.append(f"Agreement is unknown. {agreed['reason']}")
    return {
        "win_rates": win_rates,
        "ranking": sorted(
            (
                {
                    "model": model,
                    "strength": None,
                    "average_win_rate": sum(rates) / len(rates),
                    "opponents": len(rates),
                }
                for model, rates in averages.items()
            ),
            key=lambda entry: (-float(str(entry["average_win_rate"])), str(entry["model"])),
        ),
        "agreement": agreed,
        "position_bias": _json(_position_bias(votes, confidence)),
        "warnings": warnings,
    }


def _estimate(scores: Any, questions: list[str], confidence: float) -> Estimate | None:
    try:
        return win_rate(scores, questions, confidence=confidence)
    except TooLittleData:
        return None


def _position_bias(votes: Sequence[Vote], confidence: float) -> Estimate | None:
    shown = [vote for vote in votes if vote.second_was_left is not None]
    # Below 0 where left was preferred, as position_bias reads choices.
    choices = [(0.5 - v.score) * (1 if v.second_was_left else -1) for v in shown]
    return position_bias(choices, confidence=confidence) if any(choices) else None


def _agreement(
    votes: Sequence[Vote], rng: np.random.Generator, confidence: float
) -> dict[str, Any]:
    known = [vote for vote in votes if vote.judge is not None and vote.first != vote.second]
    verdicts = [
        float(np.sign(vote.score - 0.5)) * (1 if vote.second > vote.first else -1) for vote in known
    ]
    found = agreement(
        [vote.item for vote in known],
        [str(vote.judge) for vote in known],
        verdicts,
        level="nominal",
        rng=rng,
        confidence=confidence,
    )
    return found.as_json()


def _json(estimate: Estimate | None) -> dict[str, float | int] | None:
    return None if estimate is None else estimate.as_json()


def _vote(row: Mapping[str, Any], where: str) -> Vote:
    for name in ("question_id", "model_a", "model_b"):
        if row.get(name) in (None, ""):
            raise InvalidData(f"{where} has no {name}; a vote names its question and two models.")
    first, second = str(row["model_a"]), str(row["model_b"])
    left = row.get("left")
    if left not in (None, "model_a", "model_b"):
        raise InvalidData(f"{where}: left is model_a or model_b; got {left!r}.")
    question, judge = str(row["question_id"]), row.get("judge")
    turn = row.get("turn")
    return Vote(
        question=question,
        item=json.dumps([question, None if turn is None else str(turn), *sorted((first, second))]),
        first=first,
        second=second,
        score=_score(row, where),
        judge=None if judge is None else str(judge),
        second_was_left=None if left is None else left == "model_b",
    )


def _score(row: Mapping[str, Any], where: str) -> float:
    probability = row.get("p_model_b")
    if probability is not None:
        number = isinstance(probability, int | float) and not isinstance(probability, bool)
        if not number or not 0 <= probability <= 1:
            raise InvalidData(f"{where}: p_model_b lies between 0 and 1; got {probability!r}.")
        return float(probability)
    winner = row.get("winner")
    score = _SCORES.get((str(winner).split() or [""])[0]) if winner is not None else None
    if score is None:
        raise InvalidData(f"{where}: winner is model_a, model_b or tie; got {winner!r}.")
    return score


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every row with its number, counted from 1."""
    if not path.is_file():
        raise NotFound("file of votes", str(path))
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InvalidData(
                            f"Line {number} of {path.name} is no JSON object: {line[:60]!r}."
                        )
                    yield number, row
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InvalidData(
            f"{path.name} ends or breaks after line {number} ({error}); fetch the file again."
        ) from error
    except json.JSONDecodeError as error:
        raise InvalidData(f"Line {number} of {path.name} is no JSON: {error}.") from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path.name} cannot be read as Parquet: {error}.") from error
    for number, row in enumerate(table.to_dict("records"), start=1):
        # Parquet has one type per column, so a missing value comes as None or nan.
        yield (
            number,
            {
                name: value
                for name, value in row.items()
                if value is not None and not (isinstance(value, float) and math.isnan(value))
            },
        )
