"""One policy held against another by votes: the win rate, and what puts it in its place.

Studies and files of votes are read the same way. The interval is about other prompts, and about
other people too where enough of them voted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluation.chance import SignTest, permutation_test, resampled_win_rate, sign_test
from evaluation.intervals import Estimate, enough_raters
from evaluation.length_control import length_controlled_win_rate
from evaluation.prediction_powered import prediction_powered_win_rate
from evaluation.sequential import chance_at_end, chance_to_decide
from evaluation.statistics import win_rate
from evaluation.study_looks import looks
from storage.errors import NoConvergence, TooLittleData
from storage.records import Kind

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
    left_length: int | None = None
    """Characters of the answer on the left; None where only the verdict is known."""
    right_length: int | None = None
    prompt_kinds: tuple[str, ...] = ()

    def score(self, arm: str) -> float:
        """1 where `arm` was preferred, 1/2 for a tie, 0 where the other one was."""
        if self.choice == 0:
            return 0.5
        return float((self.left if self.choice < 0 else self.right) == arm)

    def longer_by(self, arm: str) -> float | None:
        """By how many characters the answer of `arm` is longer than the other one."""
        if self.left_length is None or self.right_length is None:
            return None
        longer = self.left_length - self.right_length
        return float(longer if self.left == arm else -longer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """One policy against another."""

    arm: str
    opponent: str
    win_rate: Estimate
    """Of `arm`, ties and identical answers as half; clustered by prompt, and by participant too
    where `other_people`."""
    votes: int
    """Verdicts that were given; identical answers are not among them."""
    ties: int
    """With those of which both answers were bad."""
    both_bad: int
    prompts: int
    """Voted on."""
    identical: int
    """Prompts to which both gave the same answer: nobody was asked, and each counts as a tie."""
    raters: int
    """Who voted."""
    other_people: bool
    """Whether the interval says how other people would vote, not only how other prompts would go:
    that takes `evaluation.intervals.FEWEST_RATERS`."""
    at_equal_length: Estimate | None
    """The win rate if answers were equally long; None where lengths are unknown or explain all."""
    any_time: Estimate | None
    """The win rate with an interval that holds however often one looked; None with too few
    prompts."""
    planned: bool
    """Every planned vote is in, so the interval is read once, as planned."""
    p_value: float
    """How likely votes as uneven as these are if neither policy is better; corrected by Holm's way
    where a study has several pairs."""
    by_prompt: SignTest
    """On how many prompts it won, each counting once; identical answers are even."""
    resampled: Estimate | None
    """The win rate with an interval from prompts, and people where `other_people`, drawn anew; None
    where so few of them share votes that they cannot be."""
    chance_to_decide: float | None
    """How likely the votes still to come decide it, if they go on like this; None when decided or
    when none are to come."""
    with_judges: Estimate | None
    """What people would say of all prompts that programs judged: prediction-powered; None without
    enough votes of both."""

    @property
    def told(self) -> Estimate:
        """What may be said now: before the plan is fulfilled, the interval that stands any look."""
        if self.planned:
            return self.win_rate
        if self.any_time is not None:
            return self.any_time
        rate = self.win_rate
        return Estimate(rate.value, 0.0, 1.0, rate.confidence, rate.n)

    @property
    def decided(self) -> bool:
        """Whether one of the two is better, as far as the interval can tell."""
        return not self.told.low <= 0.5 <= self.told.high


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOfPair:
    """What the plan asked for on each pair of arms."""

    prompts: int
    """To be voted on; those with identical answers are not."""
    overlap: int
    """Votes on each of them."""

    @property
    def votes(self) -> int:
        """In all."""
        return self.prompts * self.overlap


@dataclass(frozen=True, slots=True)
class Ballots:
    """Every vote on one pair of arms as columns, from the side of the first, in the order given."""

    scores: Sequence[float]
    """1 for a win, 1/2 for a tie, 0 for a loss, or a judge's probability."""
    prompts: Sequence[str]
    raters: Sequence[str | None]
    """None where it is not known who voted."""
    longer_by: Sequence[float | None]
    """By how much the first arm's answer is longer; None where that is not known."""

    def with_ties(self, prompts: Sequence[str]) -> Ballots:
        """These votes and ties on further prompts, each as heavy as a prompt that was voted on.

        The ties are put down to those who voted, in turn, as if they had been asked.
        """
        if not prompts:
            return self
        weight = max(1, round(len(self.scores) / max(1, len(set(self.prompts)))))
        added = [prompt for prompt in prompts for _ in range(weight)]
        voters = list(dict.fromkeys(self.raters))
        return Ballots(
            scores=[*self.scores, *([0.5] * len(added))],
            prompts=[*self.prompts, *added],
            raters=[*self.raters, *(voters[n % len(voters)] for n in range(len(added)))],
            longer_by=[*self.longer_by, *([0.0] * len(added))],
        )


def about_pair(votes: Sequence[StudyVote], pair: Pair) -> list[StudyVote]:
    """The votes on these two arms."""
    return [vote for vote in votes if {vote.left, vote.right} == set(pair)]


def ballots_of(votes: Sequence[StudyVote], arm: str) -> Ballots:
    """Votes on one pair, from the side of `arm`."""
    return Ballots(
        scores=[vote.score(arm) for vote in votes],
        prompts=[vote.prompt for vote in votes],
        raters=[vote.annotator for vote in votes],
        longer_by=[vote.longer_by(arm) for vote in votes],
    )


def compare(
    pair: Pair,
    ballots: Ballots,
    *,
    identical: Sequence[str] = (),
    both_bad: int = 0,
    judged: Ballots | None = None,
    plan: PlanOfPair | None = None,
    still_open: bool = False,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> ArmComparison:
    """What votes say of two policies.

    Args:
        pair: The policy that is asked about, and the one it is held against.
        ballots: The votes that count, in the order in which they came.
        identical: Prompts to which both gave the same answer.
        both_bad: How many of the ties said that both answers are bad.
        judged: Votes of programs beside those of people.
        plan: How many votes were planned; None where there was no plan, and all of them are here.
        still_open: More votes may come.
        rng: Draws the permutations behind the p-value, and the votes that may still come.
        confidence: Coverage of the intervals.

    Raises:
        TooLittleData: Fewer than two prompts were voted on.
    """
    arm, opponent = pair
    asked = len(set(ballots.prompts))
    if asked < 2:
        raise TooLittleData(
            f"{arm} against {opponent} needs votes on at least 2 prompts; there are {asked}."
        )
    whole = ballots.with_ties(identical)
    known = [rater for rater in whole.raters if rater is not None]
    other_people = len(known) == len(whole.raters) and enough_raters(known)
    found = ArmComparison(
        arm=arm,
        opponent=opponent,
        win_rate=win_rate(
            whole.scores,
            whole.prompts,
            raters=known if other_people else None,
            confidence=confidence,
        ),
        votes=len(ballots.scores),
        ties=sum(score == 0.5 for score in ballots.scores),
        both_bad=both_bad,
        prompts=asked,
        identical=len(identical),
        raters=len(set(known)),
        other_people=other_people,
        at_equal_length=at_equal_length(whole, confidence),
        any_time=_any_time(ballots, len(identical), plan if still_open else None, confidence),
        planned=not still_open and (plan is None or len(ballots.scores) >= plan.votes),
        p_value=permutation_test(whole.scores, whole.prompts, rng=rng),
        by_prompt=sign_test(whole.scores, whole.prompts),
        resampled=_resampled(whole, known if other_people else None, rng, confidence),
        chance_to_decide=None,
        with_judges=_with_judges(ballots, judged, confidence) if judged else None,
    )
    if not still_open or plan is None or found.decided:
        return found
    chance = _chance_to_decide(ballots, plan, rng, confidence)
    return replace(found, chance_to_decide=chance)


def at_equal_length(ballots: Ballots, confidence: float) -> Estimate | None:
    """The win rate if answers were equally long; None where that cannot be told."""
    longer = [one for one in ballots.longer_by if one is not None]
    if len(longer) < len(ballots.scores):
        return None
    try:
        return length_controlled_win_rate(
            ballots.scores, longer, ballots.prompts, confidence=confidence
        )
    except NoConvergence:
        return None


def disputed(votes: Sequence[StudyVote], pair: Pair) -> list[tuple[str, Counter[float]]]:
    """Prompts on which votes went both ways, the most evenly split first.

    Returns:
        (prompt, how often its first arm scored 1, 1/2 and 0).
    """
    found: dict[str, Counter[float]] = {}
    for vote in about_pair(votes, pair):
        found.setdefault(vote.prompt, Counter())[vote.score(pair[0])] += 1
    both_ways = [(prompt, count) for prompt, count in found.items() if count[1.0] and count[0.0]]
    # As many on each side as there can be, and of those the prompt with most votes.
    return sorted(
        both_ways,
        key=lambda one: (-min(one[1][1.0], one[1][0.0]) / one[1].total(), -one[1].total(), one[0]),
    )


def _resampled(
    ballots: Ballots, raters: Sequence[str] | None, rng: np.random.Generator, confidence: float
) -> Estimate | None:
    """The win rate by the bootstrap; None where prompts and raters share too few votes."""
    try:
        return resampled_win_rate(
            ballots.scores, ballots.prompts, raters=raters, rng=rng, confidence=confidence
        )
    except TooLittleData:
        return None


def _any_time(
    ballots: Ballots, identical: int, plan: PlanOfPair | None, confidence: float
) -> Estimate | None:
    """The win rate by the confidence sequence; None before any prompt has all its votes."""
    try:
        found = looks(
            ballots.scores,
            ballots.prompts,
            identical=identical,
            overlap=plan.overlap if plan else None,
            confidence=confidence,
        )
    except TooLittleData:
        return None
    return found[-1].estimate


def _chance_to_decide(
    ballots: Ballots, plan: PlanOfPair, rng: np.random.Generator, confidence: float
) -> float | None:
    """Of looking early, or of the planned look at the end, whichever is better."""
    asked: dict[str, Any] = {"budget": plan.prompts, "rng": rng, "overlap": plan.overlap}
    try:
        return max(
            way(ballots.scores, ballots.prompts, confidence=confidence, **asked)
            for way in (chance_to_decide, chance_at_end)
        )
    except TooLittleData:
        return None


def _with_judges(people: Ballots, programs: Ballots, confidence: float) -> Estimate | None:
    """What people say, sharpened by what programs say of prompts that no person was asked about."""
    given: dict[str, list[float]] = {}
    for prompt, score in zip(programs.prompts, programs.scores, strict=True):
        given.setdefault(prompt, []).append(score)
    says = {prompt: sum(scores) / len(scores) for prompt, scores in given.items()}
    both = [at for at, prompt in enumerate(people.prompts) if prompt in says]
    alone = sorted(says.keys() - set(people.prompts))
    try:
        return prediction_powered_win_rate(
            [people.scores[at] for at in both],
            [says[people.prompts[at]] for at in both],
            [people.prompts[at] for at in both],
            judged_alone=[says[prompt] for prompt in alone],
            prompts_alone=alone,
            confidence=confidence,
        )
    except TooLittleData:
        return None
