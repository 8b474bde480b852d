"""Scoring for the web server, in a process of its own that keeps the models used last.

To import what scores would cost the web server 300 MB and five seconds of processor (measured on
a 294 MB server), in which nobody's request is answered, and a model that is too large would end it.
The process starts with the first question and leaves when it is not asked for a while, so a server
that scores nothing pays nothing. It has a low priority, because annotators come first.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.child import NICENESS
from storage.errors import InvalidData, TandemError
from storage.records import Message

if TYPE_CHECKING:
    from training.rewards.scoring import RewardScorer

logger = logging.getLogger(__name__)

MOST_MODELS = 2
"""Kept in memory, the ones used last: enough to hold two models against each other."""
IDLE = 600.0
"""Seconds without a question after which the process gives its memory back."""

Conversation = tuple[tuple[Message, ...], str]


@dataclass(frozen=True, slots=True)
class Rewards:
    """What a model says of answers, in their order."""

    raw: list[float]
    """In logits."""
    standardised: list[float]
    """In standard deviations around the mean of the model's training data."""


class ScoringEnded(Exception):
    """The process is gone and did not say why; most often it took too much memory."""


class ScoringProcess:
    """Answers one question after the other.

    Args:
        device: Where models run.
        idle: Seconds without a question after which the process ends.
    """

    def __init__(self, device: str, *, idle: float = IDLE) -> None:
        self._device = device
        self._idle = idle
        self._process: BaseProcess | None = None
        self._pipe: Pipe | None = None
        self.line = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")
        """Where `score` belongs: its one thread puts questions in a line."""

    def score(self, folder: Path, conversations: Sequence[Conversation]) -> Rewards:
        """The rewards of answers, from the model in a folder.

        Raises:
            InvalidData: The model or a conversation cannot be used; says why.
            ScoringEnded: The process ended in the middle.
        """
        told = self._ask((str(folder), list(conversations)))
        if isinstance(told, Rewards):
            return told
        raise InvalidData(str(told))

    def close(self) -> None:
        """End the process and whatever waits for it."""
        self.line.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            self._process.kill()

    def _ask(self, question: Any) -> Any:
        while True:
            if self._process is None or not self._process.is_alive():
                self._start()
            process, pipe = self._process, self._pipe
            assert process is not None  # noqa: S101
            assert pipe is not None  # noqa: S101, `_start` makes both
            try:
                pipe.send(question)
                return pipe.recv()
            except (EOFError, OSError) as error:
                process.join()
                if process.exitcode != 0:
                    logger.warning("The scoring process ended with code %s.", process.exitcode)
                    raise ScoringEnded from error
                # It was leaving for want of questions just when this one came.

    def _start(self) -> None:
        # Not forked: threads of the server may hold locks that a fork would never see released.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_answer, args=(theirs, self._device, self._idle), name="scoring", daemon=True
        )
        self._process.start()
        theirs.close()


def _answer(pipe: Pipe, device: str, idle: float) -> None:
    """Answer questions until none comes for a while, or the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this
    os.nice(NICENESS)
    scorers: OrderedDict[tuple[str, int], RewardScorer] = OrderedDict()
    while pipe.poll(idle):
        try:
            folder, conversations = pipe.recv()
            pipe.send(_scored(scorers, folder, conversations, device))
        except (EOFError, BrokenPipeError):
            return


def _scored(
    scorers: OrderedDict[tuple[str, int], RewardScorer],
    folder: str,
    conversations: list[Conversation],
    device: str,
) -> Rewards | str:
    """Rewards, or the sentence that says why there are none."""
    try:
        scorer = _scorer(scorers, folder, device)
        raw = scorer.score(conversations)
        return Rewards(raw.tolist(), scorer.standardise(raw).tolist())
    except TandemError as error:
        return str(error)


def _scorer(
    scorers: OrderedDict[tuple[str, int], RewardScorer], folder: str, device: str
) -> RewardScorer:
    from training.rewards.scoring import RewardScorer

    record = Path(folder) / "tandem.json"
    key = folder, record.stat().st_mtime_ns if record.exists() else 0
    if key not in scorers:
        while len(scorers) >= MOST_MODELS:
            scorers.popitem(last=False)
        scorers[key] = RewardScorer.load(folder, device=device)
    scorers.move_to_end(key)
    return scorers[key]
