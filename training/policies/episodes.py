"""Episodes, prompts with their responses, laid out for one pass through a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.attention import Squares, squares_of
from training.batching import Row
from training.generation import shared_beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Episodes that go through the model together: as rows padded on the right, or all in one row.

    E episodes, T tokens in the longest response, N in all responses, B rows of L places.
    """

    episodes: Tensor
    """Which of the step's episodes these are, shape (E,)."""
    ids: Tensor
    """Prompts and responses, shape (B, L), without a response's last token: nobody looks at it."""
    before: Tensor
    """Places, in the flattened (B * L), of the tokens before those of a response, shape (N,)."""
    tokens: Tensor
    """The responses' tokens, episode after episode, shape (N,)."""
    mask: Tensor
    """Where a response has a token, shape (E, T)."""
    positions: Tensor | None = None
    """Where all are in one row: of each place in its own conversation, shape (1, L)."""
    squares: Squares | None = None
    """Where all are in one row: who looks at whom."""

    @classmethod
    def of(
        cls,
        episodes: Sequence[int],
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        *,
        pad: int,
        device: torch.device,
    ) -> Batch:
        """Lay out the chosen episodes of a step's prompts and responses as rows."""
        rows = [[*prompts[episode], *responses[episode][:-1]] for episode in episodes]
        width = max(map(len, rows))
        return cls(
            ids=torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device),
            before=torch.tensor(
                [
                    place * width + token
                    for place, (row, episode) in enumerate(zip(rows, episodes, strict=True))
                    for token in range(len(prompts[episode]) - 1, len(row))
                ],
                device=device,
            ),
            **cls._said(episodes, responses, device),
        )

    @classmethod
    def in_one_row(
        cls,
        episodes: Sequence[int],
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Batch:
        """The same without padding, and what all prompts begin with is there once."""
        asked = [prompts[episode] for episode in episodes]
        shared = shared_beginning(asked)
        own = [
            [*prompt[shared:], *responses[episode][:-1]]
            for prompt, episode in zip(asked, episodes, strict=True)
        ]
        starts = shared + np.cumsum([0, *map(len, own)])
        row = Row(
            np.array(asked[0][:shared], dtype=np.int32),
            tuple(np.array(part, dtype=np.int32) for part in own),
        )
        positions = [range(shared), *(range(shared, shared + len(part)) for part in own)]
        return cls(
            ids=torch.from_numpy(np.concatenate([row.prompt, *row.answers])).to(device)[None],
            before=torch.tensor(
                [
                    start + token
                    for start, part, prompt in zip(starts, own, asked, strict=False)
                    for token in range(len(prompt) - shared - 1, len(part))
                ],
                device=device,
            ),
            positions=torch.tensor([place for part in positions for place in part], device=device)[
                None
            ],
            squares=squares_of([row], dtype=dtype, device=device),
            **cls._said(episodes, responses, device),
        )

    @staticmethod
    def _said(
        episodes: Sequence[int], responses: Sequence[Sequence[int]], device: torch.device
    ) -> dict[str, Any]:
        lengths = torch.tensor([len(responses[episode]) for episode in episodes])
        return {
            "episodes": torch.tensor(list(episodes), device=device),
            "tokens": torch.tensor([t for e in episodes for t in responses[e]], device=device),
            "mask": (torch.arange(int(lengths.max())) < lengths[:, None]).to(device),
        }

    def as_rows(self, numbers: Tensor) -> Tensor:
        """Numbers per response token, shape (N,), as rows (E, T), 0 outside the mask."""
        rows = torch.zeros(self.mask.shape, dtype=numbers.dtype, device=numbers.device)
        return rows.masked_scatter(self.mask, numbers)
