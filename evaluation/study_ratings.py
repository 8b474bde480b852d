"""How good participants found each arm's answers by themselves, on the scale from 1 to 7."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.intervals import Estimate, clustered_mean
from storage.judgements import Judgement
from storage.records import HIGHEST_RATING, LOWEST_RATING, ResponseId


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRating:
    """The mean of the ratings that one arm's answers got."""

    arm: str
    mean: Estimate
    """From 1 to 7; `n` counts ratings, and the interval is clustered by prompt."""


def arm_ratings(
    judgements: Iterable[Judgement],
    key: Mapping[ResponseId, str],
    *,
    arms: Sequence[str],
    confidence: float = 0.95,
) -> tuple[ArmRating, ...]:
    """Mean rating of each arm, in the order of the arms; none where nobody was asked to rate.

    Ratings are no part of any win rate: they say how good an answer is, and not which is better.

    Args:
        judgements: What participants said.
        key: The arm that wrote each response.
        arms: Of the study.
        confidence: Coverage of the intervals.

    Raises:
        TooLittleData: An arm was rated on fewer than two prompts.
    """
    values = defaultdict[str, list[float]](list)
    prompts = defaultdict[str, list[str]](list)
    for judgement in judgements:
        for rating in judgement.ratings:
            arm = key[rating.response]
            values[arm].append(rating.value)
            prompts[arm].append(judgement.prompt)
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
