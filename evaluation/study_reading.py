"""What is told of a closed study beside its result: places, judges beside people, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.compared_arms import Pair, StudyVote, about_pair, ballots_of
from evaluation.counted_study import SEED, counted, identical_in
from evaluation.group_orders import GroupOrders, Preference, group_orders
from evaluation.intervals import enough_raters
from evaluation.judge_agreement import JudgeAgreement, Verdict, judge_agreement
from evaluation.ranking import Ranking, ranking
from evaluation.rater_effects import RaterEffects, rater_effects
from evaluation.study_plan import design_of
from evaluation.study_ratings import StudyRating
from evaluation.study_record import StudyRecord
from evaluation.verdict import StudyResult, votes_that_count
from storage.errors import NoConvergence, NotAllowed, TooLittleData
from storage.records import Kind, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReading:
    """A study's result, and what only a closed study tells."""

    result: StudyResult
    ranking: Ranking | None
    """Of three or more arms, by the votes that count; ties and identical answers are half wins."""
    no_ranking: str
    """Why there is none; empty for two arms."""
    orders: GroupOrders | None
    """Of a study of rankings: prompt by prompt, and each prompt counting once."""
    raters: RaterEffects | None
    """Each participant beside the rest; None where they are too few."""
    judges: tuple[JudgeAgreement, ...]
    """Programs beside people over all arms, the one that agrees most first."""

    def as_json(self) -> dict[str, Any]:
        """Every number, as commands and packages carry it."""
        return self.result.as_json() | {
            "ranking": self.ranking and asdict(self.ranking),
            "no_ranking": self.no_ranking,
            "group_orders": self.orders and asdict(self.orders),
            "raters": self.raters and asdict(self.raters),
            "judges_beside_people": [one.as_json() for one in self.judges],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt that split the votes, with the answers that stood side by side."""

    prompt: str
    """Its turns, each after the first with who speaks."""
    first: str
    """What the first arm answered."""
    second: str
    won: int
    """Votes for the first arm."""
    tied: int
    lost: int


def read_study(
    votes: Sequence[StudyVote],
    ratings: Sequence[StudyRating],
    *,
    name: str,
    arms: Sequence[str],
    plan: Mapping[str, Any],
) -> StudyReading:
    """Count a closed study, and say what there is to say beside its result.

    Args:
        votes: Every vote, in the order in which they came.
        ratings: Every rating; empty where nobody was asked to rate.
        name: The study's name.
        arms: The policies; the study asks about the first against the second.
        plan: As it was frozen.

    Raises:
        TooLittleData: Fewer than two prompts were voted on for some pair of arms.
        InvalidData: The plan was changed after the study was opened.
    """
    result = counted(votes, ratings, name=name, arms=arms, plan=plan, still_open=False)
    return _reading(result, votes, arms=arms, plan=plan)


def reading(record: StudyRecord) -> StudyReading:
    """What `read_study` says of a study in the store, whose votes are counted already.

    Raises:
        NotAllowed: The study is still open.
    """
    check_closed(record)
    return _reading(record.result, record.votes, arms=record.study.arms, plan=record.study.plan)


def check_closed(record: StudyRecord) -> None:
    """Refuse to tell more than totals of a study that still takes votes.

    Raises:
        NotAllowed: The study is still open.
    """
    if record.still_open:
        raise NotAllowed(
            f"The study {record.study.name!r} is still open, and only totals are told of it."
            " Close it first."
        )


def _reading(
    result: StudyResult,
    votes: Sequence[StudyVote],
    *,
    arms: Sequence[str],
    plan: Mapping[str, Any],
) -> StudyReading:
    confidence, identical = plan["confidence"], identical_in(plan)
    counting = votes_that_count(votes)
    ranked, problem = study_ranking(counting, arms=arms, identical=identical, confidence=confidence)
    orders = None
    if design_of(plan).form == "ranking":
        orders = _orders(counting, arms=arms, identical=identical, confidence=confidence)
    return StudyReading(
        result=result,
        ranking=ranked,
        no_ranking=problem,
        orders=orders,
        raters=_rater_effects(counting, confidence),
        judges=tuple(_judges(votes, confidence)),
    )


def study_ranking(
    votes: Sequence[StudyVote],
    *,
    arms: Sequence[str],
    identical: Mapping[Pair, Sequence[str]],
    confidence: float = 0.95,
) -> tuple[Ranking | None, str]:
    """Three or more arms by strength (Bradley and Terry), or why they have no ranking.

    Args:
        votes: Those that count.
        arms: Of the study.
        identical: Prompts to which two arms gave the same answer, each as heavy as a tied prompt.
        confidence: Coverage of the intervals.
    """
    if len(arms) < 3:
        return None, ""
    columns: list[tuple[str, str, float, str, str]] = []
    for pair, same in identical.items():
        ballots = ballots_of(about_pair(votes, pair), pair[0]).with_ties(same)
        columns += [
            (*pair, score, prompt, str(rater))
            for score, prompt, rater in zip(
                ballots.scores, ballots.prompts, ballots.raters, strict=True
            )
        ]
    first, second, scores, prompts, raters = zip(*columns, strict=True)
    try:
        found = ranking(
            first,
            second,
            scores,
            prompts,
            raters=raters if enough_raters(raters) else None,
            confidence=confidence,
        )
    except (TooLittleData, NoConvergence) as refusal:
        return None, str(refusal)
    return found, ""


def _orders(
    votes: Sequence[StudyVote],
    *,
    arms: Sequence[str],
    identical: Mapping[Pair, Sequence[str]],
    confidence: float,
) -> GroupOrders | None:
    """The orders of each prompt; None where too few prompts have one."""
    said = [
        Preference(
            prompt=vote.prompt,
            rater=vote.annotator,
            first=vote.left,
            second=vote.right,
            score=vote.score(vote.left),
        )
        for vote in votes
    ]
    try:
        return group_orders(said, arms=arms, identical=identical, confidence=confidence)
    except TooLittleData:
        return None


def _rater_effects(votes: Sequence[StudyVote], confidence: float) -> RaterEffects | None:
    """Each participant beside the ranking of all arms; None where there is none to be had."""
    columns = (
        [vote.left for vote in votes],
        [vote.right for vote in votes],
        [vote.score(vote.left) for vote in votes],
    )
    try:
        ranked = ranking(*columns, [vote.prompt for vote in votes], side_effect=True)
        raters = [vote.annotator for vote in votes]
        return rater_effects(*columns, raters, ranked=ranked, confidence=confidence)
    except (TooLittleData, NoConvergence):
        return None


def examples(record: StudyRecord) -> tuple[Example, ...]:
    """The prompts on which participants disagreed most, with both answers.

    Raises:
        NotAllowed: The study is still open.
    """
    check_closed(record)
    answers = {
        (response.prompt, record.key[id_]): response.text
        for id_, response in record.responses.items()
    }
    arm, opponent = record.study.arms[:2]
    prompts = {str(id_): prompt for id_, prompt in record.prompts.items()}
    texts = {(str(prompt), who): text for (prompt, who), text in answers.items()}
    return tuple(
        Example(
            prompt=in_words(prompts[one.prompt]),
            first=texts[one.prompt, arm],
            second=texts[one.prompt, opponent],
            won=one.won,
            tied=one.tied,
            lost=one.lost,
        )
        for one in record.result.disputed
    )


def in_words(prompt: Prompt) -> str:
    """A prompt as text: one turn of the user by itself, several with who speaks."""
    if len(prompt.messages) == 1 and prompt.messages[0]["role"] == "user":
        return prompt.messages[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt.messages)


def _judges(votes: Sequence[StudyVote], confidence: float) -> list[JudgeAgreement]:
    """Each program beside people on the same two answers; none where they never met."""
    verdicts = [
        Verdict(
            prompt=vote.prompt,
            item="\n".join((vote.prompt, *sorted((vote.left, vote.right)))),
            rater=vote.annotator,
            kind=vote.kind,
            choice=int(np.sign(vote.choice)) * (1 if vote.left < vote.right else -1),
            prompt_kinds=vote.prompt_kinds,
        )
        for vote in votes
    ]
    if {vote.kind for vote in votes} & {Kind.PERSON, Kind.PROGRAM} != {Kind.PERSON, Kind.PROGRAM}:
        return []
    try:
        return judge_agreement(verdicts, rng=np.random.default_rng(SEED), confidence=confidence)
    except TooLittleData:
        return []
