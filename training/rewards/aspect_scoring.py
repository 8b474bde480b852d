"""Score answers with a multi-objective reward model, as a whole or aspect by aspect."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from training import backbone
from training.batching import by_length
from training.rewards.aspects import AspectHeads, MultiObjectiveModel
from training.rewards.features import open_trunk
from training.rewards.scoring import Calibration, Conversation, RewardScorer

Values = npt.NDArray[np.float32]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AspectScores:
    """What goes into the rewards of N answers; arrays have shape (N, K).

    The reward is the model's scale times the sum over aspects of `weights * rewards`.
    """

    names: tuple[str, ...]
    """The K aspects."""
    ratings: Values
    """Foretold, in points from 1 to 7, length included."""
    rewards: Values
    """In points above the mean training answer, without what goes with length."""
    weights: Values
    """What the gate makes of the prompt; they add up to 1."""


class MultiObjectiveScorer(RewardScorer):
    """A trained multi-objective reward model, ready to score."""

    model: MultiObjectiveModel

    def __init__(
        self, model: MultiObjectiveModel, calibration: Calibration, names: Sequence[str]
    ) -> None:
        super().__init__(model, calibration)
        self.names = tuple(names)

    @classmethod
    def open(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> MultiObjectiveScorer:
        """Open a folder whose record was read; see `RewardScorer.load`."""
        heads = AspectHeads.load(folder)
        base = record["base"]
        trunk = open_trunk(
            str(folder) if record["adapter"] else base,
            device=backbone.pick_device(device),
            dtype=dtype,
        )
        trunk.tokenizer = backbone.load_tokenizer(str(folder))
        if backbone.fingerprint(base) != record["base_fingerprint"]:
            log.warning(
                "%s was trained on other weights of %s than those found here;"
                " rewards will differ a little",
                folder,
                base,
            )
        said = record["calibration"]
        return cls(
            MultiObjectiveModel(trunk, heads),
            Calibration(mean=said["mean"], std=said["std"]),
            [one["name"] for one in record["aspects"]],
        )

    def aspects(
        self, conversations: Sequence[Conversation], *, batch_tokens: int | None = None
    ) -> AspectScores:
        """The aspects of answers, each given what was said before it.

        Args:
            conversations: (messages, answer). Answers to the same messages are read together.
            batch_tokens: As for `score`.

        Raises:
            InvalidData: A conversation is longer than the model can read; nothing is cut.
        """
        batch_tokens = batch_tokens or (1024 if self.model.device.type == "cpu" else 16384)
        rows, members = self._rows(conversations, batch_tokens)
        found = np.zeros((3, len(conversations), len(self.names)), dtype=np.float32)
        with torch.inference_mode():
            for batch in by_length([row.tokens for row in rows], batch_tokens):
                read = self.model.aspects([rows[place] for place in batch])
                places = [member for place in batch for member in members[place]]
                stacked = torch.stack([read.ratings, read.rewards, read.weights])
                found[:, places] = stacked.cpu().numpy()
        return AspectScores(names=self.names, ratings=found[0], rewards=found[1], weights=found[2])
