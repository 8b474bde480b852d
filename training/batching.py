"""Put conversations into batches without encoding a prompt twice or wasting places on padding.

A row holds one prompt followed by several of its answers: `[prompt | answer 1 | answer 2 | ...]`.
The positions of each answer restart after the prompt and a block mask hides the other answers from
it, so every answer is read exactly as if it stood alone after the prompt.

Shapes: B is rows in the batch, T is tokens in the longest row, N is answers in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Tokens = npt.NDArray[np.int32]

CHUNK = 16
"""Batches whose rows are sorted by length together; more saves padding, less mixes better."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One prompt with some of its answers, as token ids; each answer ends with the end token."""

    prompt: Tokens
    answers: tuple[Tokens, ...]

    @property
    def tokens(self) -> int:
        """Places the row takes."""
        return len(self.prompt) + sum(map(len, self.answers))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as the tensors that a decoder takes, and where each answer ends."""

    ids: Tensor
    """Token ids, shape (B, T)."""
    positions: Tensor
    """Distance of each token from the start of its own conversation, shape (B, T)."""
    mask: Tensor
    """Added to the attention scores: 0 where a token may look, else the lowest number there is,
    shape (B, 1, T, T)."""
    row: Tensor
    """The row of each answer, shape (N,); answers in the order of the rows."""
    last: Tensor
    """The place of each answer's end token in its row, shape (N,)."""


def collate(
    rows: Sequence[Row], *, pad: int, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Batch:
    """Make a batch of rows, padded on the right with `pad`.

    `dtype` is that of the model's weights; the mask must have it too.
    """
    width = max(row.tokens for row in rows)
    ids = np.full((len(rows), width), pad)
    positions = np.zeros((len(rows), width), dtype=np.int64)
    # Which part of its row a token belongs to: 0 the prompt, 1, 2, ... the answers, -1 padding.
    part = np.full((len(rows), width), -1)
    ends: list[tuple[int, int]] = []
    for place, row in enumerate(rows):
        end = 0
        for number, tokens in enumerate([row.prompt, *row.answers]):
            start, end = end, end + len(tokens)
            first = len(row.prompt) if number else 0
            ids[place, start:end] = tokens
            positions[place, start:end] = np.arange(first, first + len(tokens))
            part[place, start:end] = number
            if number:
                ends.append((place, end - 1))

    parts = torch.from_numpy(part).to(device)
    asks, answers = parts[:, :, None], parts[:, None, :]
    # Padding may look at padding, because a token that may look nowhere comes out as NaN.
    visible = ((answers == 0) | (answers == asks)).tril()
    mask = torch.zeros(visible.shape, dtype=dtype, device=device)
    mask = mask.masked_fill(~visible, torch.finfo(dtype).min)
    row_of, last = torch.tensor(ends, device=device).T
    return Batch(
        ids=torch.from_numpy(ids).to(device),
        positions=torch.from_numpy(positions).to(device),
        mask=mask[:, None],
        row=row_of,
        last=last,
    )


def in_batches(
    lengths: Sequence[int], budget: int, *, seed: int, epoch: int = 0
) -> list[list[int]]:
    """Places of rows, grouped so that no batch takes more than `budget` tokens, padding included.

    Rows of similar length come together, in an order drawn anew each epoch from seed and epoch
    alone, so a resumed run sees the batches that it would have seen. A row longer than the budget
    is a batch of its own; nothing is cut and nothing is left out.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    typical = float(np.mean(lengths)) if len(lengths) else 1.0
    chunk = max(1, round(CHUNK * budget / typical))
    batches: list[list[int]] = []
    for start in range(0, len(order), chunk):
        ascending = sorted(order[start : start + chunk].tolist(), key=lengths.__getitem__)
        batches += _filled(ascending, lengths, budget)
    shuffled = np.random.default_rng([seed, epoch, 1]).permutation(len(batches))
    return [batches[place] for place in shuffled]


def by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """As `in_batches`, without any shuffling: least padding, for scoring."""
    return _filled(sorted(range(len(lengths)), key=lengths.__getitem__), lengths, budget)


def _filled(ascending: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    batches: list[list[int]] = []
    for place in ascending:
        # Ascending, so the newcomer is the longest and sets the width of its batch.
        if batches and (len(batches[-1]) + 1) * lengths[place] <= budget:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches
