"""Continue token ids with a causal model, each row by random numbers of its own.

Sampling inverts the cumulative distribution at a uniform number that is drawn beforehand for every
row and place. So a continuation depends on its own numbers and not on its neighbours in the batch,
on the batch's size, or on anybody else's use of the global generator; and a killed run repeats it.
(Logits still round a little differently in batches of other shapes, in bf16 more than in fp32, and
a number within that rounding of a border picks the neighbouring token.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel


def draws(keys: Iterable[Sequence[int]], length: int) -> np.ndarray:
    """Uniform numbers in [0, 1) for rows that may take `length` tokens each, shape (N, length).

    A row's key, whole numbers such as (seed, step, row), settles its numbers.
    """
    return np.array([np.random.default_rng(list(key)).random(length) for key in keys])


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    numbers: np.ndarray,
    temperature: float = 1.0,
    top_p: float = 1.0,
    pad: int,
    ends: Sequence[int],
) -> list[list[int]]:
    """Continue every prompt until it ends itself or its numbers are used up.

    Args:
        model: In evaluation mode.
        prompts: Token ids, N rows of any lengths; padded on the left here.
        numbers: From `draws`, shape (N, longest continuation).
        temperature: The logits are divided by it; 0 takes the likeliest token.
        top_p: Only the likeliest tokens that together have this probability are drawn from.
        pad: A token id to fill up with.
        ends: The tokens that end a continuation.

    Returns:
        N rows of new token ids, at least one each; a row that ended itself has its end token last.
    """
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in prompts])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    sampler = [_InverseSampler(numbers, width, temperature, top_p)] if temperature else []
    # What generate() is not told it takes from the model's own defaults, so these must be plain: a
    # repetition penalty or a top-k hidden there would make log-probabilities wrong without a word.
    own, model.generation_config = model.generation_config, GenerationConfig()
    # It hands the vocabulary a slice of the prompt's states; on a CPU, in bf16, a product with what
    # is not contiguous copies all weights once per row.
    whole = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, states: (states[0].contiguous(),)
    )
    try:
        with torch.no_grad():
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=GenerationConfig(
                    max_new_tokens=numbers.shape[1],
                    do_sample=False,
                    pad_token_id=pad,
                    eos_token_id=list(ends),
                ),
                logits_processor=LogitsProcessorList(sampler),
            )
    finally:
        whole.remove()
        model.generation_config = own
    return [_until_end(row, ends) for row in output[:, width:].tolist()]


class _InverseSampler(LogitsProcessor):
    """Leaves one token possible per row: the one that the row's next uniform number falls on."""

    def __init__(self, numbers: np.ndarray, width: int, temperature: float, top_p: float) -> None:
        self.numbers = torch.from_numpy(numbers)
        self.width = width
        self.temperature = temperature
        self.top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        number = self.numbers[:, input_ids.shape[1] - self.width, None]
        token = _invert(scores / self.temperature, number, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)


def _invert(logits: Tensor, number: Tensor, top_p: float) -> Tensor:
    """The token (B, 1) on which each number (B, 1) falls in the distribution that (B, V) gives."""
    # Summed in fp32, tens of thousands of unlikely tokens would vanish beside 1. Apple has no fp64.
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    probabilities = logits.softmax(-1)
    order = None
    if top_p < 1:
        probabilities, order = probabilities.sort(-1, descending=True)
        before = probabilities.cumsum(-1) - probabilities
        # The first token always stays, also where top_p is smaller than its probability.
        probabilities = probabilities.masked_fill(before >= top_p, 0.0)
    cumulated = probabilities.cumsum(-1, dtype=wide)
    height = number.to(cumulated) * cumulated[:, -1:]
    # right=True: the first token whose sum is above the number, which has a chance above 0.
    place = torch.searchsorted(cumulated, height, right=True).clamp(max=logits.shape[1] - 1)
    return place if order is None else order.gather(1, place)


def _until_end(row: list[int], ends: Sequence[int]) -> list[int]:
    for place, token in enumerate(row):
        if token in ends:
            return row[: place + 1]
    return row


def end_tokens(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's, first, and what the model's maker adds."""
    added = model.generation_config.eos_token_id
    more = [added] if isinstance(added, int) else (added or [])
    return list(dict.fromkeys([int(tokenizer.eos_token_id), *more]))
