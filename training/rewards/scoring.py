"""Score answers with a trained reward model: the one path for evaluation, policies and the API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from storage.errors import InvalidData, TrainingFailed
from storage.recipes import Progress
from storage.records import Message
from training import backbone
from training.batching import Row, by_length
from training.quiet import quietly
from training.rewards.card import read_record
from training.rewards.model import MEMBERS, RewardModel

Conversation = tuple[Sequence[Message], str]
Pair = tuple[Sequence[Message], str, str]
"""What was said before, and two answers to it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Mean and standard deviation of the reward on responses of its snapshot, in raw units."""

    mean: float
    std: float


class RewardScorer:
    """A trained reward model, ready to score."""

    def __init__(
        self,
        model: RewardModel,
        calibration: Calibration,
        *,
        members: torch.Tensor | None = None,
    ) -> None:
        """Score with a model.

        Args:
            model: What gives rewards.
            calibration: Where they lie.
            members: The heads whose mean the model's head is, shape (members, width), if it was
                trained with several.
        """
        self.model = model.eval()
        self.calibration = calibration
        self.members = members

    @classmethod
    def load(
        cls, folder: Path | str, *, device: str = "auto", dtype: torch.dtype | None = None
    ) -> RewardScorer:
        """Open a model folder that a recipe of `REWARDS` wrote.

        Raises:
            InvalidData: It holds no reward model, or weights that are not in safetensors.
            ModelNotFound: The base model is nowhere to be found.
        """
        folder = Path(folder)
        record = read_record(folder)
        if record.get("form", "scalar") == "multi_objective":
            from training.rewards.aspect_scoring import MultiObjectiveScorer

            return MultiObjectiveScorer.open(folder, record, device=device, dtype=dtype)
        if record.get("form", "scalar") == "pairwise":
            raise InvalidData(
                f"{folder} compares two answers and gives no answer a reward of its own; name"
                " another kind of reward model."
            )
        model = open_model(folder, record, device=device, dtype=dtype)
        said = record["calibration"]
        calibration = Calibration(mean=said["mean"], std=said["std"])
        members = _members(folder, model.device) if record.get("members", 1) > 1 else None
        return cls(model, calibration, members=members)

    def score(
        self,
        conversations: Sequence[Conversation],
        *,
        batch_tokens: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Rewards of answers, each given what was said before it.

        Args:
            conversations: (messages, answer). Answers to the same messages are read together.
            batch_tokens: Tokens per pass, padding included; by default what suits the device.
            progress: Told the number of conversations scored.

        Returns:
            Raw rewards in the given order, shape (N,). Only differences mean something unless
            ratings anchored the scale.

        Raises:
            InvalidData: A conversation is longer than the model can read; nothing is cut.
            TrainingFailed: A reward is not a number.
        """
        return self._read(
            conversations,
            lambda rows: self.model(rows)[:, None],
            batch_tokens=batch_tokens,
            progress=progress,
        )[:, 0]

    def score_with_spread(
        self, conversations: Sequence[Conversation], *, batch_tokens: int | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Rewards as `score` gives them, and how far the model's members differ about each.

        Args:
            conversations: As for `score`.
            batch_tokens: As for `score`.

        Returns:
            Raw rewards, and the standard deviations (of a sample) of the members' own; both (N,).

        Raises:
            InvalidData: The model has no members; otherwise as `score`.
        """
        if self.members is None:
            raise InvalidData(
                "This reward model has one head and cannot say how sure it is; train one with"
                " --members."
            )
        heads = self.members

        def read(rows: Sequence[Row]) -> torch.Tensor:
            at_end = self.model.at_end(rows)
            joined: torch.Tensor = self.model.bare.score(at_end).mean(1)
            return torch.stack([joined, (at_end @ heads.T).std(1)], 1)

        found = self._read(conversations, read, columns=2, batch_tokens=batch_tokens)
        return found[:, 0], found[:, 1]

    def _read(
        self,
        conversations: Sequence[Conversation],
        read: Callable[[Sequence[Row]], torch.Tensor],
        *,
        columns: int = 1,
        batch_tokens: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """What `read` finds for the answers of rows, in the order given, shape (N, columns)."""
        # Measured with SmolLM2-135M on a processor: 4096 tokens are a fifth slower than 1024.
        batch_tokens = batch_tokens or (1024 if self.model.device.type == "cpu" else 16384)
        rows, members = self._rows(conversations, batch_tokens)
        found = np.zeros((len(conversations), columns), dtype=np.float32)
        done = 0
        with torch.inference_mode():
            for batch in by_length([row.tokens for row in rows], batch_tokens):
                places = [member for place in batch for member in members[place]]
                found[places] = read([rows[place] for place in batch]).cpu().numpy()
                done += len(places)
                if progress:
                    progress.report(done, total=len(conversations))
        for place in np.flatnonzero(~np.isfinite(found[:, 0]))[:1]:
            raise TrainingFailed(
                f"The reward model gave {found[place, 0]} for conversation {place + 1}; train it"
                " again with a lower learning_rate."
            )
        return found

    def gaps(
        self,
        pairs: Sequence[Pair],
        *,
        batch_tokens: int | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """How much more the second answer of each pair is worth, in logits, shape (N,).

        Each answer is read once, however many pairs it is in.

        Raises:
            As `score`.
        """
        place: dict[tuple[str, str], int] = {}
        conversations: list[Conversation] = []
        ends: list[tuple[int, int]] = []
        for messages, first, second in pairs:
            said = repr(messages)
            for answer in (first, second):
                if (said, answer) not in place:
                    place[said, answer] = len(conversations)
                    conversations.append((messages, answer))
            ends.append((place[said, first], place[said, second]))
        rewards = self.score(conversations, batch_tokens=batch_tokens, progress=progress)
        left, right = np.array(ends, dtype=np.int64).reshape(-1, 2).T
        return rewards[right] - rewards[left]

    def among(
        self,
        questions: Sequence[tuple[Sequence[Message], Sequence[str]]],
        *,
        progress: Progress | None = None,
    ) -> list[npt.NDArray[np.float64]]:
        """The rewards of the answers to each question, given as (messages, answers).

        Raises:
            As `score`.
        """
        conversations = [(messages, one) for messages, answers in questions for one in answers]
        rewards = self.score(conversations, progress=progress).astype(np.float64)
        ends = np.cumsum([len(answers) for _, answers in questions])[:-1]
        return list(np.split(rewards, ends)) if questions else []

    def fit_among(self, questions: Sequence[tuple[Sequence[Message], Sequence[str]]]) -> list[bool]:
        """Of which questions the model can read every answer whole."""
        return [
            all(self.fits([(messages, one) for one in answers])) for messages, answers in questions
        ]

    def fits(self, conversations: Sequence[Conversation]) -> list[bool]:
        """Which conversations the model can read whole; `score` refuses the others."""
        tokenizer = self.model.tokenizer
        return [
            len(backbone.chat_ids(tokenizer, messages))
            + len(backbone.answer_ids(tokenizer, answer))
            <= self.model.context
            for messages, answer in conversations
        ]

    def standardise(self, rewards: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Rewards in standard deviations above the mean of the snapshot's responses.

        Standardised rewards of different models may be averaged and mixed.
        """
        raw = np.asarray(rewards, dtype=np.float64)
        standard: npt.NDArray[np.float64] = (raw - self.calibration.mean) / self.calibration.std
        return standard

    def _rows(
        self, conversations: Sequence[Conversation], row_tokens: int
    ) -> tuple[list[Row], list[list[int]]]:
        """Rows of answers to one prompt, and for each row the conversations it answers."""
        tokenizer = self.model.tokenizer
        limit = self.model.context
        by_prompt: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for place, (messages, _) in enumerate(conversations):
            said = tuple((message["role"], message["content"]) for message in messages)
            by_prompt.setdefault(said, []).append(place)
        rows: list[Row] = []
        members: list[list[int]] = []
        for places in by_prompt.values():
            messages = conversations[places[0]][0]
            prompt = np.array(backbone.chat_ids(tokenizer, messages), dtype=np.int32)
            answers: list[npt.NDArray[np.int32]] = []
            kept: list[int] = []
            for place in places:
                ids = backbone.answer_ids(tokenizer, conversations[place][1])
                tokens = len(prompt) + len(ids)
                if tokens > limit:
                    raise InvalidData(
                        f"Conversation {place + 1} has {tokens} tokens; the model reads at most"
                        f" {limit}. Leave it out or shorten it."
                    )
                if kept and tokens + sum(map(len, answers)) > row_tokens:
                    rows.append(Row(prompt, tuple(answers)))
                    members.append(kept)
                    answers, kept = [], []
                answers.append(np.array(ids, dtype=np.int32))
                kept.append(place)
            rows.append(Row(prompt, tuple(answers)))
            members.append(kept)
        return rows, members


def open_model(
    folder: Path, record: Mapping[str, Any], *, device: str, dtype: torch.dtype | None
) -> RewardModel:
    """The model in a folder, whose record was read.

    Raises:
        As `RewardScorer.load`.
    """
    place = backbone.pick_device(device)
    dtype = dtype or backbone.default_dtype(record["base"], place)
    tokenizer = backbone.load_tokenizer(str(folder))
    if not record["adapter"]:
        whole = backbone.load_scalar(str(folder), dtype=dtype, device=place)
        return RewardModel(whole, tokenizer).eval()
    model = _with_adapter(folder, record["base"], dtype, place)
    if backbone.fingerprint(record["base"]) != record["base_fingerprint"]:
        log.warning(
            "%s was trained on other weights of %s than those found here;"
            " rewards will differ a little",
            folder,
            record["base"],
        )
    return RewardModel(model, tokenizer).eval()


def _with_adapter(
    folder: Path, base: str, dtype: torch.dtype, device: torch.device
) -> torch.nn.Module:
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise InvalidData(
            f"{folder} has no adapter_model.safetensors; Tandem opens adapters in safetensors only."
        )
    model = backbone.load_scalar(base, dtype=dtype, device=device)
    with quietly():
        adapted: torch.nn.Module = PeftModel.from_pretrained(model, str(folder))
    return adapted.to(device)


def _members(folder: Path, device: torch.device) -> torch.Tensor:
    try:
        return load_file(folder / MEMBERS)["heads"].float().to(device)
    except (OSError, LookupError, SafetensorError) as error:
        raise InvalidData(
            f"{folder} was trained with several members, but its {MEMBERS} is missing or broken."
        ) from error
