"""Attention by plain products, which leaves out what nobody looks at.

On a processor PyTorch's fused attention reaches a seventh of the rate of plain products, and less
where one token looks back, as in writing. It also goes through the whole square of a row with
several answers, though no answer looks at another one; here each prompt, and each answer with its
prompt before it, is a small square of its own. Accelerators have better ways, so this is for
processors alone.

Shapes: B is rows, T is places in a row, N is answers, P is places of the longest prompt, L is
tokens of the longest answer, H is heads, K is heads of keys and values, D is the width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from training.batching import Row
from training.quiet import quietly

NAME = "tandem_squares"
"""Under which transformers finds it."""


@dataclass(frozen=True, slots=True)
class Squares:
    """Which places of a batch make squares; places are counted through all rows, from 0 to B T."""

    prompts: Tensor
    """Places of each row's prompt, shape (B, P); beyond its end those of the row's first place."""
    answers: Tensor
    """Places of each answer, shape (N, L); beyond its end that of its last token."""
    seen: Tensor
    """Places of the prompt before each answer, then its own, shape (N, P + L)."""
    past: Tensor
    """Added to the scores of prompts: 0 for what lies before, else the lowest number, (P, P)."""
    before: Tensor
    """The same for answers, shape (N, 1, L, P + L)."""
    home: Tensor
    """For each place, which result is its own, prompts first, shape (B T,). Padding has any."""


def squares_of(rows: Sequence[Row], *, dtype: torch.dtype, device: torch.device) -> Squares:
    """The squares of a batch as `training.batching.collate` lays it out."""
    width = max(row.tokens for row in rows)
    longest_prompt = max(len(row.prompt) for row in rows)
    longest = max(len(answer) for row in rows for answer in row.answers)
    count = sum(len(row.answers) for row in rows)
    prompts = np.zeros((len(rows), longest_prompt), dtype=np.int64)
    answers = np.zeros((count, longest), dtype=np.int64)
    seen = np.zeros((count, longest_prompt + longest), dtype=np.int64)
    visible = np.zeros((count, longest, longest_prompt + longest), dtype=bool)
    visible[:, :, longest_prompt:] = np.tri(longest, dtype=bool)
    home = np.zeros(len(rows) * width, dtype=np.int64)
    number = 0
    for place, row in enumerate(rows):
        start, asked = place * width, len(row.prompt)
        prompts[place] = start
        prompts[place, :asked] += np.arange(asked)
        home[start : start + asked] = place * longest_prompt + np.arange(asked)
        start += asked
        for answer in row.answers:
            own = np.minimum(np.arange(longest), len(answer) - 1)
            answers[number] = start + own
            seen[number] = np.concatenate([prompts[place], answers[number]])
            visible[number, :, :asked] = True
            home[start : start + len(answer)] = (
                len(rows) * longest_prompt + number * longest + np.arange(len(answer))
            )
            start += len(answer)
            number += 1

    return Squares(
        prompts=torch.from_numpy(prompts).to(device),
        answers=torch.from_numpy(answers).to(device),
        seen=torch.from_numpy(seen).to(device),
        past=_added(torch.from_numpy(np.tri(longest_prompt, dtype=bool)), dtype).to(device),
        before=_added(torch.from_numpy(visible), dtype).to(device)[:, None],
        home=torch.from_numpy(home).to(device),
    )


def _added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: 0 for what is visible, else the lowest number."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)


class _Attention(torch.autograd.Function):
    """softmax(s q kᵀ + m) v, which keeps its inputs alone and computes the rest once more."""

    @staticmethod
    def _weights(query: Tensor, key: Tensor, mask: Tensor, scale: float) -> Tensor:
        """Shapes: query (n, K, G, L, D), key (n, K, S, D), mask broadcast to (n, K, G, L, S)."""
        joined = (scale * query).flatten(2, 3)
        scores = (joined @ key.transpose(-1, -2)).unflatten(2, query.shape[2:4])
        return torch.softmax(scores.add_(mask), -1)

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes them by place
        context: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float
    ) -> Tensor:
        context.save_for_backward(query, key, value, mask)
        context.scale = scale
        with torch.autocast("cpu", enabled=False):
            weights = _Attention._weights(query, key, mask, scale)
            return (weights.flatten(2, 3) @ value).unflatten(2, query.shape[2:4])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask = context.saved_tensors
        groups = query.shape[2:4]
        with torch.autocast("cpu", enabled=False):
            weights = _Attention._weights(query, key, mask, context.scale).flatten(2, 3)
            of_result = gradients[0].flatten(2, 3)
            of_value = weights.transpose(-1, -2) @ of_result
            of_weights = of_result @ value.transpose(-1, -2)
            # The softmax: each row of scores gets w (dw - Σ w dw).
            of_weights -= (of_weights * weights).sum(-1, keepdim=True)
            of_scores = of_weights.mul_(weights).mul_(context.scale)
            of_query = (of_scores @ key).unflatten(2, groups)
            of_key = of_scores.transpose(-1, -2) @ query.flatten(2, 3)
            return of_query, of_key, of_value, None, None


def attention_in_squares(  # noqa: PLR0917 - as transformers calls it
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    squares: Squares | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer.

    Args:
        module: The layer's attention.
        query: After rotation, shape (B, H, T, D).
        key: The same, shape (B, K, T, D).
        value: Shape (B, K, T, D).
        attention_mask: Of the whole rows; used where there are no squares.
        scaling: Of the scores; by default one over the root of D.
        squares: Of the batch. None, or an option that is not known here, goes PyTorch's way.
        options: More that a model asks for.

    Returns:
        Shape (B, T, H, D), and no weights.
    """
    window = options.get("sliding_window")
    asks_more = options.get("dropout") or any(
        options.get(name) is not None for name in ("softcap", "s_aux", "cache")
    )
    if squares is None and query.shape[2] == 1 and not asks_more:
        return _of_next(query, key, value, attention_mask, scaling), None
    if squares is None or asks_more or (window is not None and window < query.shape[2]):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    # As PyTorch's attention does: under autocast all three come in the precision that it asks for.
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    rows, heads, width, size = query.shape
    of_keys = key.shape[1]
    scale = size**-0.5 if scaling is None else scaling
    flat = [
        one.to(dtype).transpose(1, 2).reshape(rows * width, -1, size) for one in (query, key, value)
    ]
    results = []
    for asking, seen, mask in (
        (squares.prompts, squares.prompts, squares.past),
        (squares.answers, squares.seen, squares.before[:, :, None]),
    ):
        # Heads of queries in groups, each of which looks at one head of keys.
        asked = flat[0][asking].unflatten(2, (of_keys, heads // of_keys)).permute(0, 2, 3, 1, 4)
        looked_at, given = (one[seen].transpose(1, 2) for one in flat[1:])
        found: Tensor = _Attention.apply(asked, looked_at, given, mask, scale)
        results.append(found.permute(0, 3, 1, 2, 4).reshape(-1, heads, size))
    return torch.cat(results)[squares.home].view(rows, width, heads, size), None


def _of_next(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    """One token in each row looks back: query (B, H, 1, D), result (B, 1, H, D).

    The mask, (B, 1, 1, T), is true where it may look, as `sdpa_mask` makes it.
    """
    rows, heads, _, size = query.shape
    scale = size**-0.5 if scaling is None else scaling
    grouped = (scale * query).view(rows, key.shape[1], -1, size)
    scores = grouped @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (torch.softmax(scores, -1) @ value).view(rows, 1, heads, size)


ALL_ATTENTION_FUNCTIONS.register(NAME, attention_in_squares)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)


def look_in_squares(model: Any) -> bool:
    """Let a model that would use PyTorch's attention on a processor use this one.

    Without `squares` it stays PyTorch's but for the next token after a cache of those before it.

    Returns:
        Whether batches may now be given with `squares`.
    """
    if model.device.type != "cpu" or model.config._attn_implementation not in {"sdpa", NAME}:
        return False
    with quietly():  # a model that cannot be told stays as it is, which is no news to anybody
        model.set_attn_implementation(NAME)
    return bool(model.config._attn_implementation == NAME)
