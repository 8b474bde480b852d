"""What a study's votes say of its policies: a win rate, a plain sentence, and what to doubt.

Pure: votes under the names of the arms go in. Opening the sealed key is the business of `studies`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from evaluation.participants import ParticipantFacts
from evaluation.statistics import Estimate, position_bias, win_rate
from storage.errors import TooLittleData
from storage.records import Kind

FEW_PROMPTS = 20
"""Below this, intervals that treat prompts as the independent unit are rough."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyVote:
    """One verdict on two policies' answers to one prompt."""

    prompt: str
    annotator: str
    kind: Kind
    left: str
    """Arm whose answer stood on the left."""
    right: str
    choice: int
    """Below 0 for left, above 0 for right, 0 for a tie."""
    both_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """One policy against another."""

    arm: str
    opponent: str
    win_rate: Estimate
    """Of `arm`, ties and identical answers as half, clustered by prompt."""
    votes: int
    """Verdicts that were given; identical answers are not among them."""
    ties: int
    """With those of which both answers were bad."""
    both_bad: int
    prompts: int
    """Voted on."""
    identical: int
    """Prompts to which both gave the same answer: nobody was asked, and each counts as a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What a study found, in numbers and in one sentence."""

    name: str
    verdict: str
    comparisons: tuple[ArmComparison, ...]
    """Every pair of arms; the first is the one the study asks about."""
    participants: int
    simulated: bool
    position_bias: Estimate | None
    """Share of left among decided votes; None when nothing was decided."""
    warnings: tuple[str, ...]
    people: ParticipantFacts | None = None
    """Who took part, in counts; None where only votes are known."""

    @property
    def win_rate(self) -> Estimate:
        """The first arm's win rate against the second."""
        return self.comparisons[0].win_rate

    @property
    def votes(self) -> int:
        """Verdicts on the first arm against the second."""
        return self.comparisons[0].votes

    @property
    def ties(self) -> int:
        """Ties between the first arm and the second."""
        return self.comparisons[0].ties

    @property
    def prompts(self) -> int:
        """Prompts on which the first arm and the second were voted."""
        return self.comparisons[0].prompts

    def as_json(self) -> dict[str, Any]:
        """The form in which commands and the JSON API carry it: the question first, then all."""
        first = asdict(self.comparisons[0])
        del first["arm"], first["opponent"]
        whole = asdict(self) | first
        return whole | {
            "comparisons": [asdict(pair) for pair in self.comparisons],
            "warnings": list(self.warnings),
        }


def study_result(
    votes: Sequence[StudyVote],
    *,
    name: str,
    arms: Sequence[str],
    identical: Mapping[Pair, Sequence[str]],
    planned: int,
    still_open: bool,
    training_prompts: int = 0,
    confidence: float = 0.95,
) -> StudyResult:
    """Count the votes and say what they mean.

    Args:
        votes: Every verdict of the study.
        name: The study's name.
        arms: The policies; the study asks about the first against the second.
        identical: Prompts to which two arms gave the same answer, by pair, in the order of `arms`.
        planned: Votes that the plan asked for.
        still_open: More votes may come, so that this is an early look.
        training_prompts: How many prompts lie in the part of the data that models learn from.
        confidence: Coverage of the intervals.

    Raises:
        TooLittleData: Fewer than two prompts were voted on for some pair of arms.
    """
    comparisons = tuple(
        _compare(votes, pair, identical.get(pair, ()), confidence) for pair in combinations(arms, 2)
    )
    kinds = Counter({vote.annotator: vote.kind for vote in votes}.values())
    choices = [vote.choice for vote in votes]
    bias = position_bias(choices, confidence=confidence) if any(choices) else None
    return StudyResult(
        name=name,
        verdict=_verdict(comparisons[0], _who(kinds), still_open),
        comparisons=comparisons,
        participants=kinds.total(),
        simulated=bool(kinds[Kind.SIMULATED]),
        position_bias=bias,
        warnings=tuple(
            _warnings(
                comparisons,
                kinds,
                bias=bias,
                cast=len(votes),
                planned=planned,
                still_open=still_open,
                training_prompts=training_prompts,
            )
        ),
    )


def _compare(
    votes: Sequence[StudyVote], pair: Pair, identical: Sequence[str], confidence: float
) -> ArmComparison:
    arm, opponent = pair
    cast = [vote for vote in votes if {vote.left, vote.right} == {arm, opponent}]
    asked = {vote.prompt for vote in cast}
    if len(asked) < 2:
        raise TooLittleData(
            f"{arm} against {opponent} needs votes on at least 2 prompts; there are {len(asked)}."
        )
    scores = [_score(vote, arm) for vote in cast]
    prompts = [vote.prompt for vote in cast]
    # A prompt with identical answers weighs as much as a prompt that was voted on.
    weight = max(1, round(len(cast) / len(asked)))
    for prompt in identical:
        scores += [0.5] * weight
        prompts += [prompt] * weight
    return ArmComparison(
        arm=arm,
        opponent=opponent,
        win_rate=win_rate(scores, prompts, confidence=confidence),
        votes=len(cast),
        ties=sum(vote.choice == 0 for vote in cast),
        both_bad=sum(vote.both_bad for vote in cast),
        prompts=len(asked),
        identical=len(identical),
    )


def _score(vote: StudyVote, arm: str) -> float:
    if vote.choice == 0:
        return 0.5
    return float((vote.left if vote.choice < 0 else vote.right) == arm)


def _verdict(found: ArmComparison, who: str, still_open: bool) -> str:
    arm, opponent, rate = found.arm, found.opponent, found.win_rate
    if rate.high < 0.5:
        arm, opponent = opponent, arm
        rate = Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low, rate.confidence, rate.n)
    base = f"{rate} of {found.votes} votes over {found.prompts} prompts ({who})."
    if rate.low > 0.5:
        sentence = f"{arm} beats {opponent}: {base}"
    else:
        yet = " yet" if still_open else ""
        sentence = f"{arm} and {opponent} cannot be told apart{yet}: {arm} won {base}"
    if found.identical:
        sentence += f" Identical answers to {_prompts(found.identical)} count as ties."
    return sentence


def _who(kinds: Counter[Kind]) -> str:
    names = {
        Kind.PERSON: ("person", "people"),
        Kind.PROGRAM: ("program", "programs"),
        Kind.SIMULATED: ("simulated rater", "simulated raters"),
    }
    groups = [f"{kinds[kind]} {names[kind][kinds[kind] != 1]}" for kind in names if kinds[kind]]
    return " and ".join(groups)


def _warnings(
    comparisons: Sequence[ArmComparison],
    kinds: Counter[Kind],
    *,
    bias: Estimate | None,
    cast: int,
    planned: int,
    still_open: bool,
    training_prompts: int,
) -> list[str]:
    found = []
    first = comparisons[0]
    if kinds[Kind.SIMULATED]:
        found.append("Simulated raters voted here: this says nothing about what people prefer.")
    if still_open:
        found.append(
            f"Early look: {cast} of {planned} planned votes. An interval read while votes come in"
            " misses the truth more often than it says; wait for the plan to be fulfilled."
        )
    elif cast < planned:
        found.append(f"Closed early: {cast} of {planned} planned votes were given.")
    if first.prompts < FEW_PROMPTS:
        found.append(
            f"Only {_prompts(first.prompts)} were voted on; below {FEW_PROMPTS} the interval is"
            " rough, however many votes there are."
        )
    if kinds.total() == 1:
        found.append("All votes come from one rater, so this is one taste and not a common one.")
    if first.identical:
        found.append(
            f"{first.arm} and {first.opponent} gave identical answers to"
            f" {_prompts(first.identical)}. Nobody was asked; each counts as a tie and pulls the"
            " win rate towards 50 %."
        )
    if training_prompts:
        found.append(
            f"A policy may have been trained on {_prompts(training_prompts)} of this study: the"
            " split gives them to training."
        )
    if bias is not None and not bias.low <= 0.5 <= bias.high:
        found.append(
            f"The answer on the left was preferred in {bias} of the decided votes. Sides were drawn"
            " at random, so this blurs the win rate rather than shifts it."
        )
    return found


def _prompts(count: int) -> str:
    return f"{count} prompt" if count == 1 else f"{count} prompts"
