"""Judgements as rows of tokens: what was shown, encoded once, and what was said of it.

All judgements of a prompt stay together, so a response that was compared three times and rated
twice is read once per step (as in section 3.5 of Ouyang et al., 2022, arXiv:2203.02155).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from storage.records import Message
from storage.snapshots import ComparisonRow, RatingRow
from training.backbone import answer_ids, chat_ids
from training.batching import Row, Tokens
from training.rewards.config import Objective


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A prompt, some of its answers, and the judgements of those answers."""

    row: Row
    comparisons: tuple[tuple[int, int, int, bool, str], ...]
    """(left answer, right answer, choice from -3 to 3, graded, annotator), answers from 0."""
    ratings: tuple[tuple[int, float, str], ...]
    """(answer, value from 1 to 7, annotator)."""
    prompt: int = 0
    """Number of the prompt; rows of the same prompt share it."""


@dataclass(frozen=True, slots=True)
class Judgements:
    """The C comparisons and R ratings of a batch; answers by their place among its N rewards."""

    left: Tensor
    right: Tensor
    choice: Tensor
    """From -3 (left much better) to 3, shape (C,)."""
    graded: Tensor
    """Truth values, shape (C,)."""
    comparer: Tensor
    """Number of the annotator, shape (C,)."""
    rated: Tensor
    rating: Tensor
    """From 1 to 7, shape (R,)."""
    rater: Tensor
    """Number of the annotator, shape (R,)."""
    length: Tensor
    """Tokens of each answer, shape (N,)."""
    row: Tensor
    """Number of the row that each answer stands in, shape (N,)."""
    compared_prompt: Tensor
    """Number of the prompt of each comparison, shape (C,)."""
    rated_prompt: Tensor
    """Number of the prompt of each rating, shape (R,)."""


@dataclass(slots=True)
class _Shown:
    """Everything shown and said under one prompt."""

    messages: Sequence[Message]
    texts: dict[str, str] = field(default_factory=dict)
    rated: set[str] = field(default_factory=set)
    comparisons: list[ComparisonRow] = field(default_factory=list)
    ratings: list[RatingRow] = field(default_factory=list)


def judged_rows(
    tokenizer: PreTrainedTokenizerBase,
    objective: Objective,
    comparisons: Sequence[ComparisonRow],
    ratings: Sequence[RatingRow],
    *,
    max_tokens: int,
    row_tokens: int,
) -> tuple[list[JudgedRow], int]:
    """Encode the judgements that an objective learns from.

    Comparisons that it does not learn from come along where both answers are in a row anyway, so
    that the accuracy on them can be reported.

    Args:
        tokenizer: With a chat template.
        objective: Says which judgements count.
        comparisons: In any order.
        ratings: Of any aspects, in any order; those of other aspects are passed over.
        max_tokens: A judgement of a longer conversation (prompt and one answer) is left out.
        row_tokens: Answers to one prompt share a row up to this many tokens; then a new row begins.

    Returns:
        The rows, in the order in which prompts appear, and how many judgements that count were
        left out for their length.
    """
    rated = [one for one in ratings if objective.rating and one.aspect == objective.aspect]
    rows: list[JudgedRow] = []
    left_out = 0
    for number, shown in enumerate(_by_prompt(comparisons, rated).values()):
        prompt = np.array(chat_ids(tokenizer, shown.messages), dtype=np.int32)
        answers = {
            key: np.array(answer_ids(tokenizer, text), dtype=np.int32)
            for key, text in shown.texts.items()
            if objective.comparison or key in shown.rated
        }
        room = max_tokens - len(prompt)
        answers = {key: ids for key, ids in answers.items() if len(ids) <= room}
        counted: list[tuple[str, ...]] = [(one.response_id,) for one in shown.ratings]
        if objective.comparison:
            # First, because a comparison fails when its two answers end up in different rows.
            counted = [(one.left_id, one.right_id) for one in shown.comparisons] + counted
        units = [unit for unit in counted if answers.keys() >= set(unit)]
        left_out += len(counted) - len(units)
        groups = _grouped(units, answers, row_tokens - len(prompt))
        rows += _rows(prompt, answers, shown, groups, number)
    return rows, left_out


def gather(
    rows: Sequence[JudgedRow],
    annotators: Mapping[str, int],
    *,
    device: torch.device | str = "cpu",
) -> Judgements:
    """The judgements of rows that stand in one batch in this order.

    Annotators get their numbers from `annotators`; whoever is not in it gets the number after the
    last.
    """
    compared: list[tuple[int, int, int, bool, int, int]] = []
    rated: list[tuple[int, float, int, int]] = []
    unknown = len(annotators)
    before = 0
    for row in rows:
        compared += [
            (before + a, before + b, choice, graded, annotators.get(who, unknown), row.prompt)
            for a, b, choice, graded, who in row.comparisons
        ]
        rated += [
            (before + answer, value, annotators.get(who, unknown), row.prompt)
            for answer, value, who in row.ratings
        ]
        before += len(row.row.answers)

    def column(table: Sequence[tuple[float, ...]], place: int, dtype: torch.dtype) -> Tensor:
        return torch.tensor([line[place] for line in table], dtype=dtype, device=device)

    answers = [(len(ids), number) for number, row in enumerate(rows) for ids in row.row.answers]
    return Judgements(
        left=column(compared, 0, torch.long),
        right=column(compared, 1, torch.long),
        choice=column(compared, 2, torch.long),
        graded=column(compared, 3, torch.bool),
        comparer=column(compared, 4, torch.long),
        rated=column(rated, 0, torch.long),
        rating=column(rated, 1, torch.float32),
        rater=column(rated, 2, torch.long),
        length=column(answers, 0, torch.float32),
        row=column(answers, 1, torch.long),
        compared_prompt=column(compared, 5, torch.long),
        rated_prompt=column(rated, 3, torch.long),
    )


def annotators_of(rows: Sequence[JudgedRow]) -> dict[str, int]:
    """Everybody who judged something in the rows, numbered in the order of their names."""
    names = {who for row in rows for *_, who in row.comparisons}
    names |= {who for row in rows for *_, who in row.ratings}
    return {name: number for number, name in enumerate(sorted(names))}


def _by_prompt(
    comparisons: Sequence[ComparisonRow], ratings: Sequence[RatingRow]
) -> dict[str, _Shown]:
    prompts: dict[str, _Shown] = {}
    for one in comparisons:
        shown = prompts.setdefault(one.prompt_id, _Shown(one.prompt))
        shown.texts |= {one.left_id: one.left, one.right_id: one.right}
        shown.comparisons.append(one)
    for rating in ratings:
        shown = prompts.setdefault(rating.prompt_id, _Shown(rating.prompt))
        shown.texts[rating.response_id] = rating.response
        shown.rated.add(rating.response_id)
        shown.ratings.append(rating)
    return prompts


def _grouped(
    units: Sequence[tuple[str, ...]], answers: Mapping[str, Tokens], room: int
) -> list[list[str]]:
    """Answers to share a row, so that each unit is whole in at least one group.

    Fills one group after the other up to `room` tokens. A larger unit is a group of its own.
    """
    groups: list[list[str]] = []
    free = 0
    for unit in units:
        if any(set(unit) <= set(group) for group in groups):
            continue
        new = [key for key in unit if not groups or key not in groups[-1]]
        if not groups or sum(len(answers[key]) for key in new) > free:
            groups.append([])
            new, free = list(unit), room
        groups[-1] += new
        free -= sum(len(answers[key]) for key in new)
    return groups


def _rows(
    prompt: Tokens,
    answers: Mapping[str, Tokens],
    shown: _Shown,
    groups: Sequence[Sequence[str]],
    number: int,
) -> Iterator[JudgedRow]:
    """One row per group; each judgement goes with the first row that holds all it is about."""
    compared, rated = list(shown.comparisons), list(shown.ratings)
    for group in groups:
        place = {key: number for number, key in enumerate(group)}
        yield JudgedRow(
            Row(prompt, tuple(answers[key] for key in group)),
            tuple(
                (place[one.left_id], place[one.right_id], one.choice, one.graded, one.annotator)
                for one in compared
                if place.keys() >= {one.left_id, one.right_id}
            ),
            tuple(
                (place[one.response_id], one.value, one.annotator)
                for one in rated
                if one.response_id in place
            ),
            number,
        )
        compared = [one for one in compared if not place.keys() >= {one.left_id, one.right_id}]
        rated = [one for one in rated if one.response_id not in place]
