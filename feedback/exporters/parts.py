"""What a project's records consist of, so that an export can say what it has no place for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from storage.judgements import Judgement
from storage.records import Prompt, Response


class Part(StrEnum):
    """Something that some formats hold and others do not, in the order in which a report tells.

    Rows that are left out of a format which has a place for their like, such as ties among pairs,
    are no part: they are counted.
    """

    ANSWERS = "answers and what was said of them"
    UNJUDGED = "prompts and answers that nobody judged"
    OTHER_ANSWERS = "answers beside the best"
    COMPARISONS = "comparisons"
    VOTES = "single votes"
    GRADES = "how much better an answer is"
    SIDES = "on which side an answer stood"
    RATINGS = "ratings"
    ANNOTATORS = "who judged"
    SITTINGS = "what was handed in together"
    COMMENTS = "comments"
    CIRCUMSTANCES = "when and how a task was shown"
    POLICIES = "what wrote an answer"
    SAMPLING = "settings of sampling"
    TAGS = "tags of prompts"
    FURTHER_TAGS = "tags of prompts beyond the first"
    SOURCES = "where prompts are from"


def parts_of_prompt(prompt: Prompt) -> Iterator[Part]:
    """What there is beside its messages."""
    if prompt.tags:
        yield Part.TAGS
    if len(prompt.tags) > 1:
        yield Part.FURTHER_TAGS
    if prompt.source:
        yield Part.SOURCES


def parts_of_answers(responses: Iterable[Response]) -> Iterator[Part]:
    """What there is beside their texts."""
    for response in responses:
        if response.policy:
            yield Part.POLICIES
        if response.sampling:
            yield Part.SAMPLING


def parts_of_judgement(judgement: Judgement) -> Iterator[Part]:
    """What one submission says, and how it came about."""
    yield Part.ANNOTATORS
    if judgement.ratings:
        yield Part.RATINGS
    if judgement.comparisons:
        yield from (Part.COMPARISONS, Part.VOTES, Part.SIDES)
    if any(one.graded and one.choice for one in judgement.comparisons):
        yield Part.GRADES
    if len(judgement.comparisons) + len(judgement.ratings) > 1:
        yield Part.SITTINGS
    if judgement.comment:
        yield Part.COMMENTS
    if judgement.assignment is not None:
        yield Part.CIRCUMSTANCES


# What files of single judgements have no place for, whatever else they hold.
_SINGLE = frozenset(
    {
        Part.UNJUDGED,
        Part.SITTINGS,
        Part.COMMENTS,
        Part.CIRCUMSTANCES,
        Part.SAMPLING,
        Part.TAGS,
        Part.SOURCES,
    }
)
NOT_IN_PAIRS = _SINGLE | {Part.SIDES, Part.RATINGS, Part.POLICIES}
NOT_IN_UNGRADED_PAIRS = NOT_IN_PAIRS | {Part.GRADES}
NOT_IN_RATINGS = _SINGLE | {Part.COMPARISONS}
NOT_IN_LABELS = NOT_IN_RATINGS | {Part.RATINGS, Part.POLICIES}
NOT_IN_OUTPUTS = frozenset(
    {
        Part.COMPARISONS,
        Part.RATINGS,
        Part.COMMENTS,
        Part.CIRCUMSTANCES,
        Part.SAMPLING,
    }
)
NOT_IN_BEST = NOT_IN_OUTPUTS | {Part.OTHER_ANSWERS, Part.ANNOTATORS, Part.TAGS, Part.SOURCES}
