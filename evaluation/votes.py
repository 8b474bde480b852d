"""A file of votes, read and checked: no database is needed.

A line is `{question_id, model_a, model_b, winner}` with winner model_a, model_b or tie (text after
"tie" is ignored). `p_model_b`, the probability that model_b is better, replaces the winner; `judge`
says who voted, `turn` tells the turns of one question apart, `left` names the answer shown on the
left, `length_a` and `length_b` are the lengths of the answers, in any one unit. Lines stand in the
order in which the votes came. Other columns are ignored. Files are .jsonl, .jsonl.gz or .parquet.

Or a line holds rankings, `{question_id, responses: [{rid, model}], rankings: [{annotator, rank}]}`
where `rank` gives each rid its place (1 is best, equal places are ties): every two of them are a
vote. `id` may stand for `question_id` there.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from storage.errors import InvalidData, NotFound, TooLittleData

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
    second_longer_by: float | None = None
    """How much longer the answer of `second` is; None when the file does not say."""


def read_votes(path: Path) -> list[Vote]:
    """Read a whole file of votes.

    Raises:
        NotFound: There is no such file.
        InvalidData: It cannot be read, or a line is no vote; names the line.
        TooLittleData: It holds no vote.
    """
    votes = [
        vote for number, row in _rows(path) for vote in _votes(row, f"Line {number} of {path.name}")
    ]
    if not votes:
        raise TooLittleData(f"{path.name} holds no votes.")
    return votes


def _votes(row: Mapping[str, Any], where: str) -> Iterator[Vote]:
    """The vote of a line, or those that its rankings imply."""
    rankings = row.get("rankings")
    if rankings is None:
        yield _vote(row, where)
        return
    question = str(row.get("question_id") or row.get("id") or "")
    if not question:
        raise InvalidData(f"{where} has no question_id; rankings name their question.")
    models = _models(row.get("responses"), where)
    for ranking in rankings if isinstance(rankings, list) else [rankings]:
        ranks = ranking.get("rank") if isinstance(ranking, Mapping) else None
        if not isinstance(ranks, Mapping) or set(ranks) != set(models):
            raise InvalidData(
                f"{where}: a ranking gives each of {', '.join(models)} a place; got {ranks!r}."
            )
        if not all(_is_number(place) for place in ranks.values()):
            raise InvalidData(f"{where}: a place is a number; got {ranks!r}.")
        annotator = ranking.get("annotator")
        for first, second in combinations(models, 2):
            names = (models[first], models[second])
            yield Vote(
                question=question,
                item=json.dumps([question, None, *sorted(names)]),
                first=names[0],
                second=names[1],
                score=float(np.sign(ranks[first] - ranks[second]) + 1) / 2,
                judge=None if annotator is None else str(annotator),
            )


def _models(responses: Any, where: str) -> dict[str, str]:
    """The model that wrote each response, by rid."""
    known = {}
    for one in responses if isinstance(responses, list) else ():
        if isinstance(one, Mapping) and {"rid", "model"} <= one.keys():
            known[str(one["rid"])] = str(one["model"])
    if len(known) < 2 or len(set(known.values())) < len(known):
        raise InvalidData(
            f"{where}: rankings need responses of at least 2 models, each with rid and model;"
            f" got {known}."
        )
    return known


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
        second_longer_by=_longer_by(row, where),
    )


def _longer_by(row: Mapping[str, Any], where: str) -> float | None:
    lengths = []
    for name in ("length_a", "length_b"):
        length = row.get(name)
        if length is None:
            return None
        if not _is_number(length) or length < 0:
            raise InvalidData(f"{where}: a length is a number from 0 up; got {length!r}.")
        lengths.append(float(length))
    return lengths[1] - lengths[0]


def _score(row: Mapping[str, Any], where: str) -> float:
    probability = row.get("p_model_b")
    if probability is not None:
        if not _is_number(probability) or not 0 <= probability <= 1:
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
                name: value.tolist() if isinstance(value, np.ndarray) else value
                for name, value in row.items()
                if value is not None and not (isinstance(value, float) and math.isnan(value))
            },
        )
