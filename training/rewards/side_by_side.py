"""Two answers in one text, once in each order, and what the model says of them.

The model is asked which of two answers is better and replies with a letter. Of its whole vocabulary
only the two letters matter, so the reading is one number, the logit of A minus the logit of B: a
reward head that starts as the difference of the two letters' rows of the language-model head.

A model leans to one of the places. Each comparison is therefore read in both orders, and what it
says is the mean of the two, in which a constant leaning cancels.

Source: pairwise reading after Jiang et al. (2023), LLM-Blender, arXiv:2306.02561; both orders after
Zheng et al. (2023), MT-Bench, arXiv:2306.05685, section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from storage.errors import InvalidData
from storage.records import Message
from storage.snapshots import ComparisonRow
from training.backbone import chat_ids, load_causal
from training.batching import Row, Tokens
from training.rewards.judgements import JudgedRow

LETTERS = ("A", "B")


def side_by_side(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], left: str, right: str
) -> Row:
    """One comparison as a row: what both orders begin with, then the rest of each.

    Reading the first rest gives evidence for the left answer, reading the second for the right one.
    """
    orders = [
        np.array(chat_ids(tokenizer, _asked(messages, *answers)), dtype=np.int32)
        for answers in ((left, right), (right, left))
    ]
    shared = _common(*orders)
    return Row(orders[0][:shared], (orders[0][shared:], orders[1][shared:]))


def paired_rows(
    tokenizer: PreTrainedTokenizerBase, comparisons: Sequence[ComparisonRow], *, max_tokens: int
) -> tuple[list[JudgedRow], int]:
    """Encode comparisons, each in both orders.

    Returns:
        One row per pair of answers, with everything said of that pair, in the order of appearance;
        and how many comparisons were left out because prompt and both answers are longer than
        `max_tokens`.
    """
    prompts: dict[str, int] = {}
    said: dict[tuple[str, str, str], list[ComparisonRow]] = {}
    for one in comparisons:
        prompts.setdefault(one.prompt_id, len(prompts))
        first, second = sorted((one.left_id, one.right_id))
        said.setdefault((one.prompt_id, first, second), []).append(one)
    rows: list[JudgedRow] = []
    left_out = 0
    for (prompt, _, _), judged in said.items():
        shown = judged[0]
        row = side_by_side(tokenizer, shown.prompt, shown.left, shown.right)
        if len(row.prompt) + max(map(len, row.answers)) > max_tokens:
            left_out += len(judged)
            continue
        compared = tuple(
            (0, 1, one.choice if one.left_id == shown.left_id else -one.choice, one.graded, who)
            for one in judged
            for who in [one.annotator]
        )
        rows.append(JudgedRow(row, compared, (), prompts[prompt]))
    return rows, left_out


@torch.no_grad()
def start_head(model: Any, tokenizer: PreTrainedTokenizerBase, base: str) -> None:
    """Let every reward head of a scalar model begin as "A rather than B".

    Args:
        model: As `load_scalar` gives it.
        tokenizer: Says which tokens the letters are.
        base: Where the language-model head is found, if it is not that of the embeddings.

    Raises:
        InvalidData: The tokenizer does not write a letter as one token.
    """
    a, b = (_letter(tokenizer, letter) for letter in LETTERS)
    if model.config.tie_word_embeddings:
        vocabulary = model.get_input_embeddings().weight
    else:
        vocabulary = load_causal(base, device="cpu").get_output_embeddings().weight
    model.score.weight.copy_((vocabulary[a].float() - vocabulary[b].float())[None])


def _letter(tokenizer: PreTrainedTokenizerBase, letter: str) -> int:
    ids: list[int] = tokenizer(letter, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise InvalidData(
            f"The tokenizer writes the letter {letter} as {len(ids)} tokens; choose another base"
            " model for pairwise reading."
        )
    return ids[0]


def _asked(messages: Sequence[Message], first: str, second: str) -> tuple[Message, ...]:
    said = "\n\n".join(f"{one['role'].capitalize()}: {one['content']}" for one in messages)
    text = (
        "Below is a conversation and two answers to its last message. Which answer is better?\n\n"
        f"{said}\n\n"
        f"=== Answer A ===\n{first}\n\n"
        f"=== Answer B ===\n{second}\n\n"
        "=== End ===\nReply with one letter, A or B."
    )
    return (Message(role="user", content=text),)


def _common(one: Tokens, other: Tokens) -> int:
    """How many tokens two texts begin with alike, leaving each at least one of its own."""
    shortest = min(len(one), len(other)) - 1
    differ = np.flatnonzero(one[:shortest] != other[:shortest])
    return int(differ[0]) if len(differ) else shortest
