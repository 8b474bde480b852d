"""The pairs that both sides learn from, and those that both are judged by."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from storage.records import Message, Split, as_messages, split_of
from training import backbone


class Pair(NamedTuple):
    """One decided comparison."""

    prompt: list[Message]
    chosen: str
    rejected: str


def learnt(
    data: Path, number: int, tokenizer: PreTrainedTokenizerBase, *, longest: int
) -> list[Pair]:
    """Pairs to learn from: prompt after prompt in an order drawn once, each with all its pairs.

    Only prompts that Tandem too would put into the training part of a snapshot are taken, so that
    both sides learn from the same pairs.
    """
    prompts = [
        pairs
        for part, pairs in _read(data, tokenizer, longest)
        if part == "train" and split_of(pairs[0].prompt) is Split.TRAIN
    ]
    random.Random(0).shuffle(prompts)
    return [pair for pairs in prompts for pair in pairs][:number]


def held_out(
    data: Path, number: int, tokenizer: PreTrainedTokenizerBase, *, longest: int
) -> list[Pair]:
    """Pairs to be judged by, of as many prompts as possible."""
    of_test = [
        pair for part, pairs in _read(data, tokenizer, longest) if part == "test" for pair in pairs
    ]
    random.Random(0).shuffle(of_test)
    return of_test[:number]


def _read(
    data: Path, tokenizer: PreTrainedTokenizerBase, longest: int
) -> Iterator[tuple[str, list[Pair]]]:
    """The part and the pairs of every prompt, without those of longer conversations."""
    with gzip.open(data, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            prompt = as_messages(row["prompt"])
            room = longest - len(backbone.chat_ids(tokenizer, prompt))
            pairs = [
                pair
                for pair in _pairs(row, prompt)
                if all(len(backbone.answer_ids(tokenizer, text)) <= room for text in pair[1:])
            ]
            if pairs:
                yield row["split"], pairs


def _pairs(row: dict[str, Any], prompt: Sequence[Message]) -> list[Pair]:
    if "preferences" not in row:
        return [Pair(list(prompt), row["chosen"], row["rejected"])]
    texts = {one["rid"]: one["text"] for one in row["responses"]}
    decided = [one for one in row["preferences"] if one["winner"] in ("a", "b")]
    return [
        Pair(
            list(prompt),
            texts[one[one["winner"]]],
            texts[one["b" if one["winner"] == "a" else "a"]],
        )
        for one in decided
    ]
