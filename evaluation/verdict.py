"""What a study's votes say of its policies: a win rate, a plain sentence, and what to doubt.

Pure: votes under the names of the arms go in. Opening the sealed key is the business of `studies`.

Where people voted, they alone decide the result. Programs that voted too stand beside them: how
they voted, and, where both judged enough of the same prompts, what their votes add to what people
said (`evaluation.prediction_powered`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from evaluation.chance import holm
from evaluation.compared_arms import (
    ArmComparison,
    Pair,
    PlanOfPair,
    StudyVote,
    about_pair,
    at_equal_length,
    ballots_of,
    compare,
    disputed,
)
from evaluation.participants import ParticipantFacts
from evaluation.statistics import Agreement, Estimate, agreement, position_bias, win_rate
from evaluation.study_doubts import Circumstances, doubts
from evaluation.study_plan import StudyDesign
from evaluation.study_ratings import ArmRating
from storage.records import Kind

__all__ = [
    "ArmComparison",
    "JudgeResult",
    "Pair",
    "PlanOfPair",
    "StudyResult",
    "StudyVote",
    "study_result",
]

MOST_DISPUTED = 5
"""Prompts on which votes went both ways that a result names."""
FEWEST_OF_A_KIND = 5
"""Prompts of one kind that were voted on, for it to have a win rate of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeResult:
    """A program's votes on the first two arms, beside those of people."""

    judge: str
    win_rate: Estimate
    at_equal_length: Estimate | None
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KindResult:
    """The first comparison on one kind of prompt."""

    kind: str
    win_rate: Estimate
    prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A prompt on which votes went both ways."""

    prompt: str
    won: int
    """Votes for the first arm."""
    tied: int
    lost: int


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
    agreement: Agreement | None
    """Krippendorff's nominal alpha of those who count, over win, tie and loss; None where each pair
    of answers was judged once."""
    judges: tuple[JudgeResult, ...]
    """Programs, where people decide the result."""
    kinds: tuple[KindResult, ...]
    """The first comparison by kind of prompt, where kinds are known."""
    disputed: tuple[Disputed, ...]
    """Prompts of the first comparison that split the votes most."""
    warnings: tuple[str, ...]
    ratings: tuple[ArmRating, ...] = ()
    """Mean ratings of the arms, where participants were asked to rate; no part of a win rate."""
    design: StudyDesign | None = None
    """How the study was set up; None for votes that belong to no study."""
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
        pairs = [
            asdict(pair) | {"told": asdict(pair.told), "decided": pair.decided}
            for pair in self.comparisons
        ]
        first = {name: value for name, value in pairs[0].items() if name not in ("arm", "opponent")}
        whole = asdict(self) | first
        lists = ("judges", "kinds", "disputed", "warnings", "ratings")
        return whole | {"comparisons": pairs} | {name: list(whole[name]) for name in lists}


def study_result(
    votes: Sequence[StudyVote],
    *,
    name: str,
    arms: Sequence[str],
    identical: Mapping[Pair, Sequence[str]],
    plans: Mapping[Pair, PlanOfPair],
    still_open: bool,
    rng: np.random.Generator,
    training_prompts: int = 0,
    confidence: float = 0.95,
) -> StudyResult:
    """Count the votes and say what they mean.

    Args:
        votes: Every verdict of the study, in the order in which they came.
        name: The study's name.
        arms: The policies; the study asks about the first against the second.
        identical: Prompts to which two arms gave the same answer, by pair, in the order of `arms`.
        plans: What was planned for each pair, likewise.
        still_open: More votes may come, so that this is an early look.
        rng: Draws what p-values and the interval of the agreement rest on.
        training_prompts: How many prompts lie in the part of the data that models learn from.
        confidence: Coverage of the intervals.

    Raises:
        TooLittleData: Fewer than two prompts were voted on for some pair of arms.
    """
    counting = votes_that_count(votes)
    people = any(vote.kind is Kind.PERSON for vote in counting)
    beside = [vote for vote in votes if vote.kind is Kind.PROGRAM] if people else []
    pairs = list(combinations(arms, 2))
    comparisons = [
        _compare(
            about_pair(counting, pair),
            pair,
            identical=identical.get(pair, ()),
            judged=about_pair(beside, pair),
            plan=plans[pair],
            still_open=still_open,
            rng=rng,
            confidence=confidence,
        )
        for pair in pairs
    ]
    corrected = holm([pair.p_value for pair in comparisons])
    comparisons = [
        replace(pair, p_value=float(p)) for pair, p in zip(comparisons, corrected, strict=True)
    ]
    kinds = Counter({vote.annotator: vote.kind for vote in counting}.values())
    choices = [vote.choice for vote in counting]
    bias = position_bias(choices, confidence=confidence) if any(choices) else None
    agreed = _agreement(counting, rng, confidence)
    judges = _judges(beside, pairs[0], identical.get(pairs[0], ()), confidence)
    first = about_pair(counting, pairs[0])
    seen = Circumstances(
        kinds=kinds,
        cast=len(counting),
        wanted=sum(plan.votes for plan in plans.values()),
        still_open=still_open,
        training_prompts=training_prompts,
        bias=bias,
        agreement=agreed,
        judges=[(judge.judge, judge.win_rate) for judge in judges],
    )
    return StudyResult(
        name=name,
        verdict=_verdict(comparisons[0], _who(kinds), still_open),
        comparisons=tuple(comparisons),
        participants=kinds.total(),
        simulated=any(vote.kind is Kind.SIMULATED for vote in votes),
        position_bias=bias,
        agreement=agreed,
        judges=tuple(judges),
        kinds=tuple(_by_kind(first, pairs[0][0], confidence)),
        disputed=tuple(
            Disputed(prompt=prompt, won=count[1.0], tied=count[0.5], lost=count[0.0])
            for prompt, count in disputed(counting, pairs[0])[:MOST_DISPUTED]
        ),
        warnings=tuple(doubts(comparisons, seen)),
    )


def votes_that_count(votes: Sequence[StudyVote]) -> list[StudyVote]:
    """Those of people, where people voted; else all."""
    return [vote for vote in votes if vote.kind is Kind.PERSON] or list(votes)


def _compare(
    votes: Sequence[StudyVote], pair: Pair, *, judged: Sequence[StudyVote], **known: Any
) -> ArmComparison:
    return compare(
        pair,
        ballots_of(votes, pair[0]),
        both_bad=sum(vote.both_bad for vote in votes),
        judged=ballots_of(judged, pair[0]) if judged else None,
        **known,
    )


def _agreement(
    votes: Sequence[StudyVote], rng: np.random.Generator, confidence: float
) -> Agreement | None:
    """Of win, tie and loss, each read from the side of the arm that comes first by name."""
    items = ["\n".join((vote.prompt, *sorted((vote.left, vote.right)))) for vote in votes]
    if max(Counter(items).values(), default=0) < 2:
        return None
    return agreement(
        items,
        [vote.annotator for vote in votes],
        [vote.score(min(vote.left, vote.right)) for vote in votes],
        level="nominal",
        rng=rng,
        confidence=confidence,
    )


def _judges(
    votes: Sequence[StudyVote], pair: Pair, identical: Sequence[str], confidence: float
) -> list[JudgeResult]:
    found = []
    for judge in sorted({vote.annotator for vote in votes}):
        cast = about_pair([vote for vote in votes if vote.annotator == judge], pair)
        if len({vote.prompt for vote in cast}) < 2:
            continue
        ballots = ballots_of(cast, pair[0]).with_ties(identical)
        found.append(
            JudgeResult(
                judge=judge,
                win_rate=win_rate(ballots.scores, ballots.prompts, confidence=confidence),
                at_equal_length=at_equal_length(ballots, confidence),
                votes=len(cast),
            )
        )
    return found


def _by_kind(votes: Sequence[StudyVote], arm: str, confidence: float) -> list[KindResult]:
    found = []
    for kind in sorted({kind for vote in votes for kind in vote.prompt_kinds}):
        ballots = ballots_of([vote for vote in votes if kind in vote.prompt_kinds], arm)
        asked = len(set(ballots.prompts))
        if asked >= FEWEST_OF_A_KIND:
            rate = win_rate(ballots.scores, ballots.prompts, confidence=confidence)
            found.append(KindResult(kind=kind, win_rate=rate, prompts=asked))
    return sorted(found, key=lambda one: (-one.prompts, one.kind))


def _verdict(found: ArmComparison, who: str, still_open: bool) -> str:
    """The sentence, told from the winner's side: what, how sure, of whom, at equal length."""
    arm, opponent, rate, level = found.arm, found.opponent, found.told, found.at_equal_length
    if rate.high < 0.5:
        arm, opponent = opponent, arm
        rate, level = rate.mirrored(), level and level.mirrored()
    base = f"{rate} of {found.votes} votes over {found.prompts} prompts ({who})"
    # Its interval is one for the end: an early look does not tell it.
    if level is not None and found.planned:
        base += f"; at equal length {level}"
    if rate.low > 0.5:
        sentence = f"{arm} beats {opponent}: {base}. Decided."
    else:
        yet = " yet" if still_open else ""
        sentence = f"{arm} and {opponent} cannot be told apart{yet}: {arm} won {base}."
    if found.identical:
        prompts = "1 prompt" if found.identical == 1 else f"{found.identical} prompts"
        sentence += f" Identical answers to {prompts} count as ties."
    return sentence


def _who(kinds: Counter[Kind]) -> str:
    names = {
        Kind.PERSON: ("person", "people"),
        Kind.PROGRAM: ("program", "programs"),
        Kind.SIMULATED: ("simulated rater", "simulated raters"),
    }
    groups = [f"{kinds[kind]} {names[kind][kinds[kind] != 1]}" for kind in names if kinds[kind]]
    return " and ".join(groups)
