"""Real judgements in two halves that share no prompt, and prompts that are in neither."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feedback.importers.reading import judged_rows
from storage.dataset import RatingRow, write_snapshot
from storage.records import Message, PromptId, Split, as_messages
from training.policies.demonstrations import Demonstration, write_demonstrations

JUDGED, PROMPTS = "both_alpaca_eval.jsonl.gz", "prompts_alpaca_eval.jsonl.gz"
LONGEST_PROMPT = 400
"""In characters: about 100 tokens."""


@dataclass(frozen=True, slots=True)
class Halves:
    """What everything learns from, and what it is judged on."""

    rewards: Path
    """A snapshot: what reward models and DPO learn from."""
    gold: Path
    """A snapshot without any of the other's prompts: what the judge learns from."""
    demonstrations: Path
    """The best short answers of the first half."""
    prompts: list[tuple[Message, ...]]
    """Those of the first half, to tune policies on."""
    held_out: list[tuple[Message, ...]]
    """Prompts that nothing learned from."""


def halve(data: Path, folder: Path, *, held_out: int, longest_answer: int) -> Halves:
    """Divide all but the test part of the judgements by prompt, and always in the same way.

    Args:
        data: The folder with the real judgements.
        folder: Where to put the halves; what is there already is taken as it is.
        held_out: How many prompts to judge on.
        longest_answer: Of a demonstration, in characters.
    """
    rows = judged_rows(data / JUDGED, options={"rating_field": "rating_1_7_logit"})
    asked = {one.prompt_id: one.prompt for one in (*rows.comparisons, *rows.ratings)}
    train = sorted(name for name in asked if rows.splits[name] is not Split.TEST)
    drawn = np.random.default_rng(0).permutation(len(train))
    first = {train[place] for place in drawn[: len(train) // 2]}
    second = {train[place] for place in drawn[len(train) // 2 :]}
    halves = Halves(
        rewards=folder / "rewards",
        gold=folder / "gold",
        demonstrations=folder / "demonstrations.jsonl",
        prompts=_short([asked[name] for name in sorted(first)]),
        held_out=_others(data / PROMPTS, [asked[name] for name in train], held_out),
    )
    for half, wanted in ((halves.rewards, first), (halves.gold, second)):
        if not half.exists():
            write_snapshot(
                half,
                [one for one in rows.comparisons if one.prompt_id in wanted],
                [one for one in rows.ratings if one.prompt_id in wanted],
                splits={name: rows.splits[name] for name in wanted},
            )
    if not halves.demonstrations.exists():
        rated = [one for one in rows.ratings if one.prompt_id in first]
        write_demonstrations(halves.demonstrations, _best(rated, longest_answer))
    return halves


def _best(ratings: Sequence[RatingRow], longest: int) -> list[Demonstration]:
    """The best rated answer to each prompt among those that are not too long."""
    best: dict[PromptId, RatingRow] = {}
    for one in ratings:
        if len(one.response) <= longest and (
            one.prompt_id not in best or one.value > best[one.prompt_id].value
        ):
            best[one.prompt_id] = one
    return [Demonstration(prompt=one.prompt, answer=one.response) for one in best.values()]


def _short(prompts: Sequence[tuple[Message, ...]]) -> list[tuple[Message, ...]]:
    return [one for one in prompts if sum(len(turn["content"]) for turn in one) <= LONGEST_PROMPT]


def _others(
    file: Path, known: Sequence[tuple[Message, ...]], number: int
) -> list[tuple[Message, ...]]:
    """So many prompts of a file by chance that are none of those known."""
    seen = {json.dumps(one) for one in known}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        asked = [as_messages(json.loads(line)["prompt"]) for line in lines]
    fresh = _short([one for one in asked if json.dumps(one) not in seen])
    drawn = np.random.default_rng(1).permutation(len(fresh))[:number]
    return [fresh[place] for place in sorted(drawn.tolist())]
