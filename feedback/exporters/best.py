"""The best answer to a prompt, by all that was said of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean

from feedback.exporters.source import PromptFile
from feedback.exporters.unpaired import GOOD
from storage.records import Response, ResponseId

UNJUDGED = "prompts whose answers nobody judged"
NOT_GOOD = "prompts of which no answer was good enough"
RULE = f"""\
How the best is chosen: where answers to the prompt were rated, it is the one with the highest mean
rating, over everybody who rated it, each the mean over its aspects; that needs to be {GOOD} or
more. Where none was rated, it is the one that won the largest share of its comparisons, a tie being
half a win; that needs to be more than half. Of equal ratings the larger share of wins decides, and
of equals in both the first in the order of their ids, which are digests of the texts and say
nothing about quality. Other prompts are left out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best answer and why it is."""

    response: Response
    rating: float | None
    """Mean rating, 1 to 7; None where no answer to the prompt was rated."""
    wins: float | None
    """Share of its comparisons won; None where it was in none."""


def best_answer(file: PromptFile) -> Best | str:
    """The best answer by `RULE`, or why there is none, as counted in a report."""
    ratings: dict[ResponseId, list[float]] = defaultdict(list)
    wins: dict[ResponseId, list[Fraction]] = defaultdict(list)
    for judgement in file.judgements:
        aspects: dict[ResponseId, list[float]] = defaultdict(list)
        for rating in judgement.ratings:
            aspects[rating.response].append(rating.value)
        for response, values in aspects.items():
            ratings[response].append(fmean(values))
        for one in judgement.comparisons:
            for response in (one.left, one.right):
                won = Fraction(one.preferred == response)
                # Of two bad answers neither won anything.
                tied = Fraction(0 if one.both_bad else Fraction(1, 2))
                wins[response].append(tied if one.preferred is None else won)
    judged = [one for one in file.responses if one.id in ratings or one.id in wins]
    if not judged:
        return UNJUDGED
    candidates = [one for one in judged if one.id in ratings] or judged

    def merit(one: Response) -> tuple[float, Fraction]:
        rated, won = ratings.get(one.id, []), wins.get(one.id, [])
        return fmean(rated or [0]), sum(won, Fraction()) / (len(won) or 1)

    best = max(sorted(candidates, key=lambda one: one.id), key=merit)
    mean, share = merit(best)
    if mean < GOOD if best.id in ratings else share <= Fraction(1, 2):
        return NOT_GOOD
    return Best(
        response=best,
        rating=mean if best.id in ratings else None,
        wins=float(share) if best.id in wins else None,
    )
