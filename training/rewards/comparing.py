"""Which of two answers is better, and how clearly: the one path for every kind of reward model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from storage.errors import InvalidData
from storage.recipes import Progress
from storage.records import Message
from training.batching import by_length
from training.rewards.card import read_record
from training.rewards.model import RewardModel
from training.rewards.scoring import Pair, RewardScorer, open_model
from training.rewards.side_by_side import side_by_side


class PairwiseScorer:
    """A trained model that reads both answers."""

    def __init__(self, model: RewardModel) -> None:
        self.model = model.eval()

    def gaps(
        self,
        pairs: Sequence[Pair],
        *,
        batch_tokens: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Log-odds that the second answer of each pair is better, shape (N,).

        The mean over both orders, so turning a pair around turns the sign.

        Raises:
            InvalidData: A pair is longer than the model can read; nothing is cut.
        """
        rows = [side_by_side(self.model.tokenizer, *pair) for pair in pairs]
        for number, row in enumerate(rows, start=1):
            tokens = len(row.prompt) + max(map(len, row.answers))
            if tokens > self.model.context:
                raise InvalidData(
                    f"Pair {number} has {tokens} tokens; the model reads at most"
                    f" {self.model.context}. Leave it out or shorten it."
                )
        gaps = np.zeros(len(pairs), dtype=np.float32)
        done = 0
        batch_tokens = batch_tokens or (1024 if self.model.device.type == "cpu" else 16384)
        with torch.inference_mode():
            for places in by_length([row.tokens for row in rows], batch_tokens):
                read = self.model([rows[place] for place in places]).cpu().numpy().reshape(-1, 2)
                gaps[places] = (read[:, 1] - read[:, 0]) / 2
                done += len(places)
                if progress:
                    progress.report(done, total=len(pairs))
        return gaps

    def among(
        self,
        questions: Sequence[tuple[Sequence[Message], Sequence[str]]],
        *,
        progress: Progress | None = None,
    ) -> list[npt.NDArray[np.float64]]:
        """Of each answer to a question the mean log-odds that it is better than another one there.

        Args:
            questions: (messages, at least two answers to them).
            progress: Told the number of pairs read.

        Raises:
            As `gaps`.
        """
        places = [list(combinations(range(len(answers)), 2)) for _, answers in questions]
        pairs = [
            (messages, answers[one], answers[other])
            for (messages, answers), chosen in zip(questions, places, strict=True)
            for one, other in chosen
        ]
        gaps = iter(self.gaps(pairs, progress=progress).tolist())
        found = []
        for (_, answers), chosen in zip(questions, places, strict=True):
            scores = np.zeros(len(answers))
            for one, other in chosen:
                gap = next(gaps)
                scores[[one, other]] += (-gap, gap)
            found.append(scores / (len(answers) - 1))
        return found

    def fit_among(self, questions: Sequence[tuple[Sequence[Message], Sequence[str]]]) -> list[bool]:
        """Of which questions the model can read every pair of answers whole."""
        return [
            all(self.fits([(messages, *pair) for pair in combinations(answers, 2)]))
            for messages, answers in questions
        ]

    def fits(self, pairs: Sequence[Pair]) -> list[bool]:
        """Which pairs the model can read whole; `gaps` refuses the others."""
        rows = (side_by_side(self.model.tokenizer, *pair) for pair in pairs)
        return [len(row.prompt) + max(map(len, row.answers)) <= self.model.context for row in rows]


def open_comparer(
    folder: Path | str, *, device: str = "auto", dtype: torch.dtype | None = None
) -> RewardScorer | PairwiseScorer:
    """Open a reward model of any kind for comparing answers with its `gaps`.

    Raises:
        As `RewardScorer.load`.
    """
    folder = Path(folder)
    record = read_record(folder)
    if record.get("form", "scalar") == "pairwise":
        return PairwiseScorer(open_model(folder, record, device=device, dtype=dtype))
    return RewardScorer.load(folder, device=device, dtype=dtype)
