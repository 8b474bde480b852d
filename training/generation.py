"""Continue token ids with a causal model, each row by random numbers of its own.

Sampling inverts the cumulative distribution at a uniform number that is drawn beforehand for every
row and place. So a continuation depends on its own numbers and not on its neighbours in the batch,
on the batch's size, or on anybody else's use of the global generator; and a killed run repeats it.
(Logits still round a little differently in batches of other shapes, in bf16 more than in fp32, and
a number within that rounding of a border picks the neighbouring token.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

KEPT = 0.75
"""When at most this share of a batch's rows has not ended, the others are taken out of it."""
BLOCK = 256
"""Of this many tokens chances are summed before they are added up."""


def draws(keys: Iterable[Sequence[int]], length: int) -> np.ndarray:
    """Uniform numbers in [0, 1) for rows that may take `length` tokens each, shape (N, length).

    A row's key, whole numbers such as (seed, step, row), settles its numbers.
    """
    return np.array([np.random.default_rng(list(key)).random(length) for key in keys])


@torch.no_grad()
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

    A loop of our own and not transformers' `generate`, which for rows of 32 takes half as long
    again around the model, goes on with rows that have ended, and obeys what a model's maker put
    into its defaults: a repetition penalty hidden there would make log-probabilities wrong without
    a word.

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
    device = model.device
    cache = DynamicCache(config=model.config)
    shared = shared_beginning(prompts) if len(prompts) > 1 else 0
    if shared:
        start = torch.tensor([list(prompts[0][:shared])], device=device)
        model.base_model(input_ids=start, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(prompts))
    own = [list(prompt[shared:]) for prompt in prompts]
    width = max(map(len, own))
    step = torch.tensor([[pad] * (width - len(row)) + row for row in own], device=device)
    lengths = torch.tensor([len(row) for row in own], device=device)
    mask = (torch.arange(width, device=device) >= width - lengths[:, None]).long()
    positions = (shared + mask.cumsum(1) - 1).clamp(min=0)
    mask = F.pad(mask, (shared, 0), value=1)
    places = torch.from_numpy(numbers).to(_wide(device))
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))

    # Of the prompt it is handed a slice; on a CPU, in bf16, a product with what is not contiguous
    # copies all weights once per row.
    whole = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, states: (states[0].contiguous(),)
    )
    try:
        for place in range(numbers.shape[1]):
            logits = model(
                input_ids=step,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            tokens = _choose(logits.float(), places[rows, place, None], temperature, top_p)
            going = []
            for at, (row, token) in enumerate(zip(rows, tokens[:, 0].tolist(), strict=True)):
                if written[row] and written[row][-1] in ends:
                    continue
                written[row].append(token)
                if token not in ends:
                    going.append(at)
            if not going:
                break
            step, positions = tokens, positions[:, -1:] + 1
            if len(going) <= KEPT * len(rows):
                rows = [rows[at] for at in going]
                left = torch.tensor(going, device=device)
                cache.batch_select_indices(left)
                step, positions, mask = step[left], positions[left], mask[left]
            mask = F.pad(mask, (0, 1), value=1)
    finally:
        whole.remove()
    return written


def _choose(logits: Tensor, number: Tensor, temperature: float, top_p: float) -> Tensor:
    """The next token (B, 1) of each row, whose number is (B, 1) and whose logits are (B, V)."""
    if not temperature:
        return logits.argmax(-1, keepdim=True)
    logits = logits if temperature == 1 else logits / temperature
    if top_p == 1:
        return _invert(logits, number)
    sorted_logits, order = logits.sort(-1, descending=True)
    probabilities = sorted_logits.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    # The first token always stays, also where top_p is smaller than its probability.
    before[:, 0] = -1
    kept = sorted_logits.masked_fill(before >= top_p, -torch.inf)
    return order.gather(1, _invert(kept, number))


def _invert(logits: Tensor, number: Tensor) -> Tensor:
    """The token (B, 1) on which each number (B, 1) falls in the distribution that (B, V) gives.

    First the block of tokens, then the token in the block: one pass over the vocabulary and not
    several. Only a token with a chance above 0 can be found.
    """
    chances = (logits - logits.amax(-1, keepdim=True)).exp_()
    blocks = F.pad(chances, (0, -chances.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    # Summed in fp32, tens of thousands of unlikely tokens would vanish beside 1.
    ends = blocks.sum(-1).to(number.dtype).cumsum(-1)
    height = number * ends[:, -1:]
    block = _first_above(ends, height)
    start = F.pad(ends, (1, 0)).gather(1, block)
    inside = blocks.gather(1, block[..., None].expand(-1, -1, BLOCK))[:, 0]
    inner = inside.to(number.dtype).cumsum(-1)
    return block * BLOCK + _first_above(inner, height - start)


def _first_above(sums: Tensor, height: Tensor) -> Tensor:
    """The first place (B, 1) whose sum is above the height; rounding must not carry it beyond."""
    most = torch.nextafter(sums[:, -1:], torch.zeros_like(sums[:, -1:]))
    return torch.searchsorted(sums, torch.minimum(height, most), right=True)


def _wide(device: torch.device) -> torch.dtype:
    """Apple's accelerators have no fp64."""
    return torch.float32 if device.type == "mps" else torch.float64


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, each keeping at least one of its own."""
    places = zip(*(prompt[:-1] for prompt in prompts), strict=False)
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, places))


def end_tokens(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's, first, and what the model's maker adds."""
    added = model.generation_config.eos_token_id
    more = [added] if isinstance(added, int) else (added or [])
    return list(dict.fromkeys([int(tokenizer.eos_token_id), *more]))
