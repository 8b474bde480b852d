"""What a line of a file says, before a project gives it identifiers.

Every format is read into `JudgedPrompt`; from there on, formats do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from feedback.importers.lines import Line, shown
from storage.recipes import RecipeConfig
from storage.records import HIGHEST_RATING, LOWEST_RATING, Kind, Message, Purpose

UNKNOWN_ANNOTATOR = "unknown"


class ImportConfig(RecipeConfig):
    """Options of every format that holds judgements."""

    annotator_kind: Literal["person", "program"] = Field(
        default="person",
        description="Who judged: a person, or a program such as a model used as judge."
        " A line with its own `annotator_kind` keeps it.",
    )


class PairsConfig(ImportConfig):
    """Options of the pairs format."""

    each_vote: bool = Field(
        default=False,
        description="Keep every vote of a line's `votes` as a judgement of its own,"
        " instead of the line's verdict.",
    )


class RatingsConfig(ImportConfig):
    """Options of the formats that hold ratings."""

    rating_field: str = Field(
        default="rating",
        min_length=1,
        max_length=100,
        description="Field that holds the rating. Any other field than `rating` is read as 1 to 7.",
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


def rating_from_1_to_7(line: Line, fields: Mapping[str, Any], *, field_name: str) -> float:
    """A rating, mapped linearly from its scale so that scale_min becomes 1 and scale_max 7.

    `scale_min` and `scale_max` belong to the field `rating`; without them, or in another field, the
    value is taken as it is when it lies between 1 and 7, and refused otherwise.
    """
    value = line.number_of(fields.get(field_name), f"{field_name!r}")
    low, high = fields.get("scale_min"), fields.get("scale_max")
    if field_name != "rating" or (low is None and high is None):
        if not LOWEST_RATING <= value <= HIGHEST_RATING:
            line.refuse(
                f"{field_name} {value:g} lies outside {LOWEST_RATING} to {HIGHEST_RATING} and its"
                " scale is not given; add scale_min and scale_max to every line."
            )
        return value
    low, high = line.number_of(low, "'scale_min'"), line.number_of(high, "'scale_max'")
    if low >= high:
        line.refuse(f"scale_min {low:g} needs to be lower than scale_max {high:g}.")
    if not low <= value <= high:
        line.refuse(
            f"rating {value:g} lies outside its scale {low:g} to {high:g};"
            " mend the rating or scale_min and scale_max."
        )
    if (low, high) == (LOWEST_RATING, HIGHEST_RATING):
        return value
    share = (value - low) / (high - low)
    return LOWEST_RATING + (HIGHEST_RATING - LOWEST_RATING) * share
