"""Good answers to learn from: picked out of a snapshot's judgements, or read from a file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from storage.errors import InvalidData, TooLittleData
from storage.files import write_lines
from storage.records import HIGHEST_RATING, LOWEST_RATING, Message, Split, as_messages, split_of
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData
from training.policies.config import SFTConfig

MIDDLE = (LOWEST_RATING + HIGHEST_RATING) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A conversation and an answer to it that is worth learning."""

    prompt: tuple[Message, ...]
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """What to learn from, and what to hold the learning against; no prompt is in both."""

    train: Sequence[Demonstration]
    validation: Sequence[Demonstration]
    snapshot: str | None
    """Its identifier; None for a file."""
    simulated: bool
    """True when simulated raters had a say in what is good."""


def read_demonstrations(data: Path, config: SFTConfig) -> Demonstrations:
    """The good answers of a snapshot's folder, or all of a file that `write_demonstrations` wrote.

    The snapshot's own split is kept, so that nobody learns from what reward models are tested on. A
    file is divided into training and validation by prompt; there is nothing to test.

    Raises:
        InvalidData: There is neither a whole snapshot nor such a file.
        TooLittleData: There are ratings, but none of the aspect asked for.
    """
    if data.is_dir():
        frozen = SnapshotData.open(data)
        aspect = _aspect(config, frozen)
        train, validation = (
            good_answers(frozen.comparisons(split), frozen.ratings(split), config, aspect=aspect)
            for split in (Split.TRAIN, Split.VALIDATION)
        )
        return Demonstrations(
            train=train, validation=validation, snapshot=frozen.id, simulated=frozen.simulated
        )
    shown = list(_read_lines(data))
    kept_back = [split_of(one.prompt) is Split.VALIDATION for one in shown]
    return Demonstrations(
        train=[one for one, back in zip(shown, kept_back, strict=True) if not back],
        validation=[one for one, back in zip(shown, kept_back, strict=True) if back],
        snapshot=None,
        simulated=False,
    )


def write_demonstrations(path: Path, shown: Iterable[Demonstration]) -> None:
    """Write JSON lines {prompt, completion}, both as messages, which TRL reads too.

    Raises:
        StorageFailed: The disk refused.
    """
    lines = (
        {
            "prompt": list(one.prompt),
            "completion": [Message(role="assistant", content=one.answer)],
        }
        for one in shown
    )
    write_lines(path, (json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _read_lines(path: Path) -> Iterator[Demonstration]:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in map(json.loads, file):
                yield Demonstration(
                    prompt=as_messages(line["prompt"]), answer=line["completion"][0]["content"]
                )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidData(f"{path} holds no demonstrations: {error}.") from error


def good_answers(
    comparisons: Iterable[ComparisonRow],
    ratings: Iterable[RatingRow],
    config: SFTConfig,
    *,
    aspect: str | None,
) -> list[Demonstration]:
    """The answers that people found good, the best of each prompt.

    An answer is good when it won more comparisons than it lost, or when its mean rating reaches
    `config.min_rating`. A win against an answer that was found as bad as the winner counts for
    nothing. Where somebody improved an answer, the improved text beats the one before it, so the
    latter is not good any more unless it beat others.

    How good is what the order within a prompt follows: the mean of (wins - losses) / comparisons
    and of the mean rating, both from -1 to 1, or the one of them that is there.

    Args:
        comparisons: In any order.
        ratings: Of any aspects; those of others than `aspect` are passed over.
        config: What counts as good, and how many answers of a prompt to take.
        aspect: Which ratings count; None for none.

    Returns:
        Demonstrations, prompts in the order in which they appear, the same text only once a prompt.
    """
    prompts: dict[str, tuple[Message, ...]] = {}
    said: dict[str, dict[str, _Said]] = defaultdict(lambda: defaultdict(_Said))
    for one in comparisons if config.preferred else ():
        prompts[one.prompt_id] = one.prompt
        if one.choice and one.left != one.right:
            won, lost = (one.right, one.left) if one.choice > 0 else (one.left, one.right)
            said[one.prompt_id][won].outcomes.append(0 if one.both_bad else 1)
            said[one.prompt_id][lost].outcomes.append(-1)
    for rating in ratings if config.min_rating is not None else ():
        if rating.aspect == aspect:
            prompts[rating.prompt_id] = rating.prompt
            said[rating.prompt_id][rating.response].ratings.append(rating.value)

    found = []
    for prompt, messages in prompts.items():
        good = [
            text
            for text, about in said[prompt].items()
            if text.strip() and about.is_good(config.min_rating)
        ]
        # The text settles what is equally good, so that no order of the rows has a say.
        good.sort(key=lambda text: (-said[prompt][text].worth, text))
        found += [
            Demonstration(prompt=messages, answer=text)
            for text in good[: config.answers_per_prompt]
        ]
    return found


@dataclass(slots=True)
class _Said:
    """What was said of one text under one prompt."""

    outcomes: list[int] = field(default_factory=list)
    """Of each decided comparison: 1 won, -1 lost, 0 won against an answer as bad."""
    ratings: list[float] = field(default_factory=list)

    def is_good(self, min_rating: float | None) -> bool:
        liked = bool(self.ratings) and min_rating is not None and fmean(self.ratings) >= min_rating
        return liked or sum(self.outcomes) > 0

    @property
    def worth(self) -> float:
        """From -1 to 1."""
        signals = [fmean(self.outcomes)] if self.outcomes else []
        if self.ratings:
            signals.append((fmean(self.ratings) - MIDDLE) / (HIGHEST_RATING - MIDDLE))
        return fmean(signals)


def _aspect(config: SFTConfig, data: SnapshotData) -> str | None:
    """The aspect whose ratings count: the one asked for, the only one, or else `overall`.

    Raises:
        TooLittleData: There are ratings, but none of it; names those there are.
    """
    if config.min_rating is None:
        return None
    aspects = sorted({row["aspect"] for row in data.stream("ratings", Split.TRAIN)})
    aspect = config.aspect or (aspects[0] if len(aspects) == 1 else "overall")
    if aspects and aspect not in aspects:
        raise TooLittleData(
            f"No ratings of the aspect {aspect!r} are in the train part of the snapshot. Rated"
            f" aspects: {', '.join(aspects)}. Choose one of them with the option aspect, or leave"
            " min_rating empty to learn from comparisons alone."
        )
    return aspect
