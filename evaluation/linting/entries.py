"""What the checks look at: a line of a file or a row of a snapshot, before it is taken for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from feedback.importers.records import Score, Verdict
from storage.records import Message, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRating:
    """A rating as the file writes it."""

    value: float
    low: float | None
    """Lowest of its scale, where the file says so."""
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A prompt with answers, and what one line or row says of them."""

    place: str
    """Where it stands: "line 12", "prompt 3f2a"."""
    prompt: tuple[Message, ...]
    responses: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[Score, ...] = ()
    split: Split
    """Which part of the data it belongs to."""
    sides: bool = True
    """Whether left and right are sides of a screen. Where a file says only which was chosen, the
    import draws the sides, and they tell nothing."""
    same: int = 0
    """Comparisons of an answer with itself."""
    raw: tuple[RawRating, ...] = field(default=())
    """Ratings as they stand in the file, before they are mapped to 1-7."""

    @property
    def asked(self) -> str:
        """What is asked: the turns of the prompt without the system's."""
        turns = [turn["content"] for turn in self.prompt if turn["role"] != "system"]
        return "\n".join(turns)

    def decided(self) -> Iterator[tuple[Verdict, str, str]]:
        """Every verdict that is no tie, with the chosen and the rejected answer."""
        for verdict in self.verdicts:
            left, right = self.responses[verdict.left], self.responses[verdict.right]
            if verdict.choice:
                yield verdict, *((left, right) if verdict.choice < 0 else (right, left))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that the import would refuse."""

    place: str
    reason: str
    empty: bool = False
    """An answer of it has no text, which says why."""
    raw: tuple[RawRating, ...] = ()


def fingerprint(*parts: object) -> int:
    """64 bits that stand for a content; two of a million meet once in 30 million times."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def content(entry: Entry) -> int:
    """The fingerprint of all that an entry says, whatever its place and whoever stands left."""
    verdicts = sorted(
        (*sorted(((entry.responses[v.left], v.choice), (entry.responses[v.right], -v.choice))),
         v.both_bad, v.annotator)
        for v in entry.verdicts
    )  # fmt: skip
    scores = sorted((entry.responses[s.response], s.aspect, s.value, s.annotator)
                    for s in entry.scores)  # fmt: skip
    raw = sorted((one.value, str(one.low), str(one.high)) for one in entry.raw)
    messages = [(turn["role"], turn["content"]) for turn in entry.prompt]
    return fingerprint(messages, sorted(entry.responses), verdicts, scores, raw, entry.same)
