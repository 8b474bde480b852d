"""How good participants found each arm's answers by themselves, on the scale from 1 to 7."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.intervals import Estimate, clustered_mean
from storage.judgements import Judgement
from storage.records import HIGHEST_RATING, LOWEST_RATING, ResponseId


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRating:
    """What one participant thought of one arm's answer."""

    prompt: str
    annotator: str
    arm: str
    value: float
    """From 1 to 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRating:
    """The mean of the ratings that one arm's answers got."""

    arm: str
    mean: Estimate
    """From 1 to 7; `n` counts ratings, and the interval is clustered by prompt."""


def study_ratings(
    judgements: Iterable[Judgement], key: Mapping[ResponseId, str]
) -> list[StudyRating]:
    """Every rating that the judgements hold, under the name of the arm that was rated.

    Args:
        judgements: What participants said.
        key: The arm that wrote each response.
    """
    return [
        StudyRating(
            prompt=judgement.prompt,
            annotator=judgement.annotator,
            arm=key[rating.response],
            value=rating.value,
        )
        for judgement in judgements
        for rating in judgement.ratings
    ]


def arm_ratings(
    ratings: Iterable[StudyRating], *, arms: Sequence[str], confidence: float = 0.95
) -> tuple[ArmRating, ...]:
    """Mean rating of each arm, in the order of the arms; none where nobody was asked to rate.

    Ratings are no part of any win rate: they say how good an answer is, and not which is better.

    Args:
        ratings: What participants thought.
        arms: Of the study.
        confidence: Coverage of the intervals.

    Raises:
        TooLittleData: An arm was rated on fewer than two prompts.
    """
    values = defaultdict[str, list[float]](list)
    prompts = defaultdict[str, list[str]](list)
    for rating in ratings:
        values[rating.arm].append(rating.value)
        prompts[rating.arm].append(rating.prompt)
    if not values:
        return ()
    return tuple(
        ArmRating(
            arm=arm,
            mean=clustered_mean(
                values[arm],
                prompts[arm],
                what=f"The mean rating of {arm}",
                confidence=confidence,
                bounds=(LOWEST_RATING, HIGHEST_RATING),
            ),
        )
        for arm in arms
    )
