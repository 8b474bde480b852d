"""What a line of a file says, before a project gives it identifiers.

Every format is read into `JudgedPrompt`; from there on, formats do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from feedback.importers.lines import Line, shown
from storage.recipes import RecipeConfig
from storage.records import HIGHEST_RATING, LOWEST_RATING, Kind, Message, Purpose, digest

UNKNOWN_ANNOTATOR = "unknown"

Scale = tuple[float, float]
"""The lowest and the highest rating that could be given."""


class ImportConfig(RecipeConfig):
    """Options of every format that holds judgements."""

    annotator_kind: Literal["person", "program"] = Field(
        default="person",
        description="Who judged: a person, or a program such as a model used as judge."
        " A line with its own `annotator_kind` keeps it.",
    )


class JudgedByProgram(ImportConfig):
    """Options of formats whose judgements a model made."""

    annotator_kind: Literal["person", "program"] = Field(
        default="program",
        description="Who judged: a program, such as a model used as judge, or a person.",
    )


class PairsConfig(ImportConfig):
    """Options of the pairs format."""

    each_vote: bool = Field(
        default=False,
        description="Keep every vote of a line's `votes` as a judgement of its own,"
        " instead of the line's verdict.",
    )


class ScaledConfig(ImportConfig):
    """Options of formats whose ratings may be on any scale."""

    scale_min: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="The lowest rating that could be given, where the file does not say it.",
    )
    scale_max: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="The highest rating that could be given, where the file does not say it.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        low, high = self.scale_min, self.scale_max
        if (low is None) != (high is None) or (
            low is not None and high is not None and low >= high
        ):
            raise ValueError("scale_min and scale_max belong together, and the first is lower")
        return self

    @property
    def scale(self) -> Scale | None:
        """Both ends, if they are given."""
        if self.scale_min is None or self.scale_max is None:
            return None
        return self.scale_min, self.scale_max


class RatingsConfig(ScaledConfig):
    """Options of the formats that hold ratings."""

    rating_field: str = Field(
        default="rating",
        min_length=1,
        max_length=100,
        description="Field that holds the rating. Any other field than `rating` is read as 1 to 7,"
        " or on the scale of the options.",
    )


class PromptsConfig(RecipeConfig):
    """The prompts format has no options: it holds no judgements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A response that belongs to the prompt of its line."""

    text: str
    policy: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A comparison of two responses of the line, by their place in it."""

    left: int
    right: int
    choice: int
    annotator: str
    kind: Kind
    graded: bool = False
    both_bad: bool = False
    sitting: str | None = None
    """Judgements of one line with the same name here were handed in together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A rating of one response of the line, on the scale from 1 to 7."""

    response: int
    aspect: str
    value: float
    annotator: str
    kind: Kind
    sitting: str | None = None
    scale: Scale | None = None
    """The scale it was mapped from, where that was another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswer:
    """What is right of the responses of a line, in their order; see `storage.known_items`."""

    purpose: Purpose
    expected: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPrompt:
    """A prompt, its responses, and what was said of them."""

    messages: tuple[Message, ...]
    responses: tuple[Candidate, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[Score, ...] = ()
    tags: tuple[str, ...] = ()
    source: str
    skipped: int = 0
    """Comparisons that are not of two different answers to the prompt."""
    dependent: int = 0
    """Comparisons that were computed from ratings of the same sitting (`independent: false`)."""
    known: KnownAnswer | None = None
    """Where the line is a known item."""
    left_out: tuple[str, ...] = ()
    """What of the line has no place here, one by one, in words that a number may stand before."""


def candidate(line: Line, fields: Mapping[str, Any] | str, what: str) -> Candidate:
    """Read a response: a text alone, or {text, policy or model, sampling}."""
    if isinstance(fields, str):
        fields = {"text": fields}
    policy = fields.get("policy") or fields.get("model") or fields.get("models") or ""
    if isinstance(policy, list):
        # Several models gave the same answer.
        policy = ", ".join(str(name) for name in policy)
    sampling = fields.get("sampling", {})
    if isinstance(sampling, str):
        # Files with columns cannot hold objects that differ from row to row.
        with suppress(ValueError):  # refused below, as a text
            sampling = json.loads(sampling)
    if not isinstance(sampling, Mapping):
        line.refuse(
            f"the sampling of {what} needs to be an object of settings; got {shown(sampling)}."
        )
    return Candidate(
        text=line.text(fields.get("text"), what),
        policy=line.text(policy, f"the policy of {what}", longest=500) if policy else "",
        sampling=dict(sampling),
    )


def kind_of(line: Line, fields: Mapping[str, Any], config: ImportConfig) -> Kind:
    """Who judged, by the line's own word or by the option. Simulated judgements stay marked."""
    kind = fields.get("annotator_kind")
    if kind is None:
        return Kind(config.annotator_kind)
    if kind not in tuple(Kind):
        line.refuse(f"'annotator_kind' is one of {', '.join(Kind)}; got {shown(kind)}.")
    return Kind(kind)


def ranked(
    responses: Sequence[Candidate],
    ranks: Mapping[int, float],
    *,
    annotator: str,
    kind: Kind,
    sitting: str,
) -> tuple[Verdict, ...]:
    """The comparisons that a ranking says: every two responses it names, the lower rank better.

    Which of two stands left follows from the digests of their texts, so the side says nothing about
    which one was better. All comparisons of a ranking were handed in together.

    Args:
        responses: Those of the line.
        ranks: Rank of each place in `responses` that was ranked; equal ranks are a tie.
        annotator: Who ranked.
        kind: What kind of annotator that is.
        sitting: A name for the ranking, its own within the line.
    """
    # A text that stands there twice is compared once: a sitting says each thing once.
    texts = {responses[place].text: place for place in reversed(list(ranks))}
    return tuple(
        Verdict(
            left=texts[left],
            right=texts[right],
            choice=(ranks[texts[left]] > ranks[texts[right]])
            - (ranks[texts[left]] < ranks[texts[right]]),
            annotator=annotator,
            kind=kind,
            sitting=sitting,
        )
        for left, right in combinations(sorted(texts, key=digest), 2)
    )


def rating_from_1_to_7(
    line: Line, fields: Mapping[str, Any], config: RatingsConfig
) -> tuple[float, Scale | None]:
    """A rating on the scale from 1 to 7, and the scale it was mapped from if that was another.

    `scale_min` and `scale_max` belong to the field `rating`; without them, or in another field, the
    options of these names tell the scale. Without those, too, the value is taken as it is when it
    lies between 1 and 7, and refused otherwise.
    """
    field_name = config.rating_field
    value = line.number_of(fields.get(field_name), f"{field_name!r}")
    low, high = fields.get("scale_min"), fields.get("scale_max")
    if field_name != "rating" or (low is None and high is None):
        if config.scale is not None:
            low, high = config.scale
        elif not LOWEST_RATING <= value <= HIGHEST_RATING:
            line.refuse(
                f"{field_name} {value:g} lies outside {LOWEST_RATING} to {HIGHEST_RATING} and its"
                " scale is not given; give the options scale_min and scale_max, or add them to"
                " every line."
            )
        else:
            return value, None
    low, high = line.number_of(low, "'scale_min'"), line.number_of(high, "'scale_max'")
    if low >= high:
        line.refuse(f"scale_min {low:g} needs to be lower than scale_max {high:g}.")
    if not low <= value <= high:
        line.refuse(
            f"rating {value:g} lies outside its scale {low:g} to {high:g};"
            " mend the rating or scale_min and scale_max."
        )
    return mapped(value, (low, high))


def mapped(value: float, scale: Scale) -> tuple[float, Scale | None]:
    """Map linearly, so that the lowest rating of a scale becomes 1 and the highest 7.

    Returns:
        The rating, and the scale it was mapped from, if that was another one.
    """
    low, high = scale
    if scale == (LOWEST_RATING, HIGHEST_RATING):
        return value, None
    share = (value - low) / (high - low)
    return LOWEST_RATING + (HIGHEST_RATING - LOWEST_RATING) * share, scale


def score_on(
    line: Line,
    value: object,
    scale: Scale,
    *,
    what: str,
    response: int,
    aspect: str,
    annotator: str,
    kind: Kind,
    sitting: str | None = None,
) -> Score:
    """A rating on a scale that the format itself names; what lies outside of it is refused."""
    number = line.number_of(value, what)
    if not scale[0] <= number <= scale[1]:
        line.refuse(f"{what} goes from {scale[0]:g} to {scale[1]:g} here; got {number:g}.")
    rating, original = mapped(number, scale)
    return Score(
        response=response,
        aspect=aspect,
        value=rating,
        annotator=annotator,
        kind=kind,
        sitting=sitting,
        scale=original,
    )
