"""Answers of an endpoint, each on the disk the moment it arrives: none is lost, or paid for twice.

They lie in the data directory, in a file named by who was asked and how. Whatever asks the same
again, be it the same job after a crash or a new one after a failure, finds them there, and asks for
what is missing. When a job has delivered them, the file goes.

A line is {"prompt": digest of the conversation, "text", "tokens", "ended"}. A process killed while
it wrote leaves half a line at the end, which is cut off.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from app.arms import EndpointArm, read_arm
from app.given import Given
from storage.errors import InvalidData, InvalidOption, StorageFailed
from storage.files import bring_to_disk
from storage.records import Message, digest

if TYPE_CHECKING:
    from app.kinds import Answering
    from storage.settings import Settings
    from training.sampling_config import SamplingConfig

FOLDER = "asked"
"""In the data directory."""
ASKED_WITH = ("max_new_tokens", "temperature", "top_p", "seed")
"""The options that an endpoint is told."""


class KeptAnswers:
    """The answers to one way of asking. Threads may share it."""

    def __init__(self, file: FileIO, known: dict[str, Given]) -> None:
        self._file = file
        self._known = known
        self._turn = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def missing(self, conversations: Sequence[Sequence[Message]]) -> list[Sequence[Message]]:
        """The conversations without an answer, each once, in their order."""
        wanted = {_named(one): one for one in conversations}
        return [one for named, one in wanted.items() if named not in self._known]

    def to(self, conversation: Sequence[Message]) -> Given:
        """The answer to a conversation that has one."""
        return self._known[_named(conversation)]

    def keep(self, conversation: Sequence[Message], answer: Given) -> None:
        """Bring an answer to the disk.

        Raises:
            StorageFailed: The disk says no.
        """
        named = _named(conversation)
        line = json.dumps({"prompt": named, **asdict(answer)}, ensure_ascii=True) + "\n"
        with self._turn:
            before = self._file.seek(0, os.SEEK_END)
            try:
                if self._file.write(line.encode()) < len(line):
                    raise OSError(errno.ENOSPC, "the disk is full")
                os.fsync(self._file.fileno())
            except OSError as error:
                with suppress(OSError):
                    self._file.truncate(before)  # nothing follows half a line
                raise StorageFailed(
                    f"An answer could not be kept: {error.strerror or error}. Free some space, and"
                    " start the job again; it asks only for what is missing."
                ) from error
            self._known[named] = answer


def place_of(settings: Settings, arm: EndpointArm, config: SamplingConfig) -> Path:
    """The file with the answers of an endpoint that is asked in this way."""
    how = config.model_dump(mode="json", include=set(ASKED_WITH))
    return settings.folder(FOLDER) / f"{digest(arm.label, arm.address, how)}.jsonl"


@contextmanager
def kept_answers(
    settings: Settings, arm: EndpointArm, config: SamplingConfig
) -> Iterator[KeptAnswers]:
    """What is kept of an endpoint's answers, for as long as nobody else adds to it.

    Raises:
        InvalidOption: Another job is asking for the same just now.
        InvalidData: The file holds something else.
        StorageFailed: The disk says no.
    """
    place = place_of(settings, arm, config)
    try:
        file = place.open("a+b", buffering=0)
        bring_to_disk(place.parent)
    except OSError as error:
        raise StorageFailed(f"{place} cannot be written: {error.strerror or error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidOption(
                "policies",
                "another job asks it for the same answers now; wait until that is over, or choose"
                " another seed",
                arm.label,
            ) from None
        yield KeptAnswers(file, _read(file, place))


def forget_answers(settings: Settings, config: Answering) -> None:
    """Let go of what the endpoints of a job answered, once that was delivered."""
    for arm in map(read_arm, config.policies):
        if isinstance(arm, EndpointArm):
            place_of(settings, arm, config).unlink(missing_ok=True)


def _read(file: FileIO, place: Path) -> dict[str, Given]:
    file.seek(0)
    text = file.read()
    whole = text.rfind(b"\n") + 1
    file.truncate(whole)  # what a killed process did not finish
    known = {}
    for number, line in enumerate(text[:whole].split(b"\n")[:-1], start=1):
        try:
            fields = json.loads(line)
            named = str(fields.pop("prompt"))
            known[named] = Given(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidData(
                f"{place}, line {number}: this is no answer that was kept; move the file away, and"
                " its answers are asked for again."
            ) from error
    return known


def _named(conversation: Sequence[Message]) -> str:
    return digest([dict(turn) for turn in conversation], length=32)
