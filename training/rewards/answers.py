"""The answers that a part of a snapshot speaks of, and what was said of each in every aspect.

Shapes: N is answers, K is aspects, C is comparisons.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from storage.records import Message, Split
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData
from training.backbone import answer_ids, chat_ids
from training.batching import Row, Tokens
from training.rewards.multi_config import MultiObjectiveConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedAnswers:
    """Answers in the order in which they stand in `rows`."""

    rows: tuple[Row, ...]
    row: npt.NDArray[np.int64]
    """The row of each answer, shape (N,)."""
    prompt: npt.NDArray[np.int64]
    """Which prompt it answers, shape (N,); long lists of answers take several rows."""
    ratings: npt.NDArray[np.float64]
    """Mean over annotators, from 1 to 7, NaN where nobody rated, shape (N, K)."""
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    """The answers of each comparison, shape (C,)."""
    preference: npt.NDArray[np.float32]
    """1 for left, 0 for right, 1/2 for a tie, shape (C,)."""
    judgements: int
    """Ratings of these aspects, each annotator's, and comparisons."""
    left_out: int
    """Judgements of conversations that are too long."""

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """Length of each answer in tokens, its end token included, shape (N,)."""
        return np.array([len(ids) for row in self.rows for ids in row.answers], dtype=np.int64)


@dataclass(slots=True)
class _Shown:
    """What was shown and said under one prompt."""

    messages: Sequence[Message]
    texts: dict[str, str] = field(default_factory=dict)
    ratings: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """(aspect, value) by response."""
    comparisons: list[ComparisonRow] = field(default_factory=list)


def judged_answers(
    tokenizer: PreTrainedTokenizerBase,
    config: MultiObjectiveConfig,
    aspects: Sequence[str],
    data: SnapshotData,
    split: Split,
) -> JudgedAnswers:
    """Encode the answers of a part of a snapshot that were rated in the aspects or compared.

    The order does not depend on that of the judgements. The prompts drawn are those that the other
    reward models draw by the same seed.
    """
    shown = _by_prompt(aspects, data.comparisons(split), data.ratings(split))
    names = sorted(shown)
    if config.prompts is not None and config.prompts < len(names):
        drawn = random.Random(config.seed).sample(names, config.prompts)  # noqa: S311
        names = sorted(drawn)

    rows: list[Row] = []
    row_of: list[int] = []
    prompt_of: list[int] = []
    ratings: list[npt.NDArray[np.float64]] = []
    compared: list[tuple[int, int, float]] = []
    judgements = left_out = 0
    for number, name in enumerate(names):
        one = shown[name]
        prompt = np.array(chat_ids(tokenizer, one.messages), dtype=np.int32)
        answers = {
            key: np.array(answer_ids(tokenizer, text), dtype=np.int32)
            for key, text in sorted(one.texts.items())
        }
        short = {
            key: ids for key, ids in answers.items() if len(prompt) + len(ids) <= config.max_tokens
        }
        place = {key: len(prompt_of) + after for after, key in enumerate(short)}
        for row in _rows(prompt, list(short.values()), config.batch_tokens):
            row_of += [len(rows)] * len(row.answers)
            rows.append(row)
        prompt_of += [number] * len(short)
        ratings += [_means(one.ratings.get(key, []), len(aspects)) for key in short]
        said = sum(map(len, one.ratings.values())) + len(one.comparisons)
        pairs = [
            (place[said_of.left_id], place[said_of.right_id], _preference(said_of))
            for said_of in one.comparisons
            if place.keys() >= {said_of.left_id, said_of.right_id}
        ]
        counted = sum(len(one.ratings.get(key, [])) for key in short) + len(pairs)
        compared += pairs
        judgements += counted
        left_out += said - counted
    return JudgedAnswers(
        rows=tuple(rows),
        row=np.array(row_of, dtype=np.int64),
        prompt=np.array(prompt_of, dtype=np.int64),
        ratings=np.array(ratings, dtype=np.float64).reshape(len(prompt_of), len(aspects)),
        left=np.array([left for left, _, _ in compared], dtype=np.int64),
        right=np.array([right for _, right, _ in compared], dtype=np.int64),
        preference=np.array([preference for _, _, preference in compared], dtype=np.float32),
        judgements=judgements,
        left_out=left_out,
    )


def _by_prompt(
    aspects: Sequence[str], comparisons: Sequence[ComparisonRow], ratings: Sequence[RatingRow]
) -> dict[str, _Shown]:
    number = {aspect: place for place, aspect in enumerate(aspects)}
    prompts: dict[str, _Shown] = {}
    for one in comparisons:
        shown = prompts.setdefault(one.prompt_id, _Shown(one.prompt))
        shown.texts |= {one.left_id: one.left, one.right_id: one.right}
        shown.comparisons.append(one)
    for rating in ratings:
        if rating.aspect in number:
            shown = prompts.setdefault(rating.prompt_id, _Shown(rating.prompt))
            shown.texts[rating.response_id] = rating.response
            said = shown.ratings.setdefault(rating.response_id, [])
            said.append((number[rating.aspect], rating.value))
    return prompts


def _rows(prompt: Tokens, answers: Sequence[Tokens], room: int) -> Iterator[Row]:
    """Answers to one prompt, as many in a row as `room` tokens take, but at least one."""
    start, used = 0, len(prompt)
    for place, ids in enumerate(answers):
        if place > start and used + len(ids) > room:
            yield Row(prompt, tuple(answers[start:place]))
            start, used = place, len(prompt)
        used += len(ids)
    if start < len(answers):
        yield Row(prompt, tuple(answers[start:]))


def _means(said: Sequence[tuple[int, float]], aspects: int) -> npt.NDArray[np.float64]:
    """The mean rating of an answer in each aspect, NaN without any, shape (K,)."""
    sums, counts = np.zeros(aspects), np.zeros(aspects)
    for aspect, value in said:
        sums[aspect] += value
        counts[aspect] += 1
    means: npt.NDArray[np.float64] = np.divide(
        sums, counts, out=np.full(aspects, np.nan), where=counts > 0
    )
    return means


def _preference(one: ComparisonRow) -> float:
    return (1 - np.sign(one.choice)) / 2
