"""What to doubt about a study's result, in words: who voted, how many, when, and on what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.agreement import Agreement
from evaluation.compared_arms import ArmComparison
from evaluation.intervals import FEWEST_RATERS, Estimate
from storage.records import Kind

FEW_PROMPTS = 20
"""Below this, intervals that treat prompts as the independent unit are rough."""
LOW_ALPHA = 0.2
"""Agreement below this says that the voters hardly share a taste."""
UNLIKELY = 0.1
"""A chance to decide below this makes going on a waste of people's time."""
FAR = 0.1
"""Win rates further apart than this contradict each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a study's votes look like besides who won."""

    kinds: Counter[Kind]
    """How many people, programs and simulated raters stand behind the result."""
    cast: int
    wanted: int
    """Votes that the plan asked for."""
    still_open: bool
    training_prompts: int
    bias: Estimate | None
    agreement: Agreement | None
    judges: Sequence[tuple[str, Estimate]]
    """Programs beside the people who count: name, and their win rate of the first comparison."""


def doubts(comparisons: Sequence[ArmComparison], seen: Circumstances) -> list[str]:
    """Every doubt that applies, the gravest first.

    Args:
        comparisons: Every pair of arms; the first is the one that the study asks about.
        seen: The rest of what is known about the votes.
    """
    first = comparisons[0]
    return [
        *_of_who(first, seen),
        *_of_when(first, seen),
        *_of_what(first, seen),
        *_of_how(first, seen),
    ]


def _of_who(first: ArmComparison, seen: Circumstances) -> list[str]:
    found = []
    if seen.kinds[Kind.SIMULATED]:
        found.append("Simulated raters voted here: this says nothing about what people prefer.")
    elif not seen.kinds[Kind.PERSON]:
        found.append(
            "Only programs voted here: this says what they prefer, often the longer answer, and"
            " nothing about people."
        )
    if seen.kinds.total() == 1:
        found.append("All votes come from one rater, so this is one taste and not a common one.")
    elif not first.other_people and seen.kinds[Kind.PERSON]:
        found.append(
            f"{first.raters} people voted; below {FEWEST_RATERS} the interval says how other"
            " prompts would go with these people, and not how other people would vote."
        )
    for name, rate in seen.judges:
        far = abs(rate.value - first.win_rate.value) > FAR
        if far and _side(rate) * _side(first.win_rate) < 0:
            found.append(
                f"{name} disagrees with the people: {first.arm} wins {rate} of its votes and"
                f" {first.win_rate} of theirs. Do not use it in their place here."
            )
    return found


def _of_when(first: ArmComparison, seen: Circumstances) -> list[str]:
    found = []
    if seen.still_open:
        found.append(
            f"Early look: {seen.cast} of {seen.wanted} planned votes. The interval is one that"
            " holds however often one looks, and so is wider than the one at the end."
        )
    elif seen.cast < seen.wanted:
        found.append(
            f"Closed early: {seen.cast} of {seen.wanted} planned votes were given, so the interval"
            " is one that holds whenever one stops."
        )
    if first.chance_to_decide is not None and first.chance_to_decide < UNLIKELY:
        found.append(
            "The votes still to come will hardly decide it: if they go on like this, the chance is"
            f" {_percent(first.chance_to_decide)}. Stop here, or open a study with more prompts."
        )
    return found


def _of_what(first: ArmComparison, seen: Circumstances) -> list[str]:
    found = []
    if first.prompts < FEW_PROMPTS:
        found.append(
            f"Only {_prompts(first.prompts)} were voted on; below {FEW_PROMPTS} the interval is"
            " rough, however many votes there are."
        )
    if first.identical:
        found.append(
            f"{first.arm} and {first.opponent} gave identical answers to"
            f" {_prompts(first.identical)}. Nobody was asked; each counts as a tie and pulls the"
            " win rate towards 50 %."
        )
    if seen.training_prompts:
        found.append(
            f"A policy may have been trained on {_prompts(seen.training_prompts)} of this study:"
            " the split gives them to training."
        )
    return found


def _of_how(first: ArmComparison, seen: Circumstances) -> list[str]:
    found = []
    level = first.at_equal_length
    if level is not None and first.decided and level.low <= 0.5 <= level.high:
        found.append(
            f"Length may be what decided: if the answers were equally long, {first.arm} would win"
            f" {level}, which is not told apart from 50 %."
        )
    alpha = seen.agreement.alpha if seen.agreement else None
    if alpha is not None and alpha.value < LOW_ALPHA:
        found.append(
            f"The voters hardly agree with each other (alpha {alpha.value:.2f}"
            f" [{alpha.low:.2f}, {alpha.high:.2f}]; 1 is perfect, 0 is chance): what one prefers"
            " says little about the next."
        )
    if seen.bias is not None and not seen.bias.low <= 0.5 <= seen.bias.high:
        found.append(
            f"The answer on the left was preferred in {seen.bias} of the decided votes. Sides were"
            " drawn at random, so this blurs the win rate rather than shifts it."
        )
    return found


def _side(rate: Estimate) -> int:
    """1 where a win rate is above 50 % beyond doubt, -1 where it is below, else 0."""
    return int(rate.low > 0.5) - int(rate.high < 0.5)


def _prompts(count: int) -> str:
    return f"{count} prompt" if count == 1 else f"{count} prompts"


def _percent(share: float) -> str:
    return "below 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")
