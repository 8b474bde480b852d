"""A closed study, made up without a database: arms, prompts, people, perhaps a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import numpy as np

from evaluation.compared_arms import StudyVote
from evaluation.counted_study import counted
from evaluation.study_plan import (
    CORRECTION,
    EXCLUSIONS,
    INTERVAL,
    QUESTION,
    RATINGS,
    STOPPING,
    TIES,
    frozen,
)
from evaluation.study_ratings import StudyRating
from evaluation.study_record import StudyRecord
from storage.records import Kind, ProjectId, Prompt, Response, ResponseId, Study, StudyId

OPENED = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
ARMS = ("Combined", "Preference only", "SFT")
STRENGTH = {"Combined": 0.75, "Preference only": 0.35}
"""In logits; an arm that is not named has 0."""
KINDS = ("advice", "code", "science")
TOPICS = (
    "Why does bread rise, and what goes wrong when it does not?",
    "Write a polite reply to a neighbour whose music is too loud at night.",
    "Explain the difference between a list and a tuple in Python to a beginner.",
    "Which three questions should I ask before I sign a rental contract?",
    "Summarise how vaccines train the immune system, in five sentences.",
    "Plan two days in Lisbon for a family with a pram.",
)
WORDS = (
    "Start with the part that matters most to you, and write down what you would give up for it.",
    "Yeast turns sugar into gas, and the gas is caught in the dough.",
    "If the dough stays flat, the water was too hot or the yeast too old.",
    "A tuple cannot be changed once it is there, and a list can.",
    "Ask what is included, who repairs what, and how one gets out again.",
)


def made_study(
    *,
    arms: Sequence[str] = ARMS,
    prompts: int = 20,
    people: int = 10,
    overlap: int = 3,
    judge: str | None = "longest answer",
    kind: Kind = Kind.PERSON,
    texts: Mapping[tuple[int, str], str] | None = None,
    asked: Mapping[int, str] | None = None,
    ties: float = 0.15,
    identical: int = 0,
    rated: bool = False,
    ranked: bool = False,
    voted: float = 1.0,
    closed: bool = True,
    seed: int = 1,
    name: str = "Which signal helps?",
) -> StudyRecord:
    """A study whose first arm is the best, if there are no more ties than usual.

    Args:
        arms: Their names.
        prompts: How many.
        people: Who votes, in turn.
        overlap: Votes of theirs on each pair of answers.
        judge: A program that prefers the longer answer; None for none.
        kind: What the people are.
        texts: Answers to put in the place of the usual ones, by number of the prompt and arm.
        asked: Prompts likewise.
        ties: Share of ties.
        identical: To how many prompts the last two arms give the same answer.
        rated: Whether answers are rated, too.
        ranked: Whether everybody puts the answers of all arms in order, instead of pairs.
        voted: Which part of the planned votes was given.
        closed: Whether the study is over.
        seed: Of everything.
        name: Of the study.
    """
    rng = np.random.default_rng(seed)
    project = ProjectId("project")
    said = [
        Prompt.of(
            project,
            (asked or {}).get(n, f"{TOPICS[n % len(TOPICS)]} ({n + 1})"),
            tags=(KINDS[n % len(KINDS)],),
        )
        for n in range(prompts)
    ]
    answers: dict[tuple[int, str], Response] = {}
    for n, prompt in enumerate(said):
        for at, arm in enumerate(arms):
            text = (texts or {}).get((n, arm)) or _text(rng, at, n)
            if n < identical and at == len(arms) - 1:
                text = answers[n, arms[at - 1]].text
            answers[n, arm] = Response(
                id=ResponseId(f"{rng.integers(16**12):012x}"), prompt=prompt.id, text=text
            )
    pairs = list(combinations(arms, 2))
    same = {pair: [] for pair in pairs}
    same[arms[-2], arms[-1]] = list(range(identical))
    form = "ranking" if ranked else "pair_with_ratings" if rated else "pair"
    plan = _plan(arms, said, same, overlap, form)
    votes: list[StudyVote] = []
    ratings: list[StudyRating] = []
    turn = 0
    for n in rng.permutation(prompts):
        taste = rng.normal(0, 0.7)
        if ranked:
            for _ in range(overlap):
                person = f"amber-heron-{turn % people:02d}"
                turn += 1
                votes += _ordered(rng, said[n], answers, int(n), arms, person=person, kind=kind)
            continue
        for pair in pairs:
            if n in same[pair]:
                continue
            for _ in range(overlap):
                person = f"amber-heron-{turn % people:02d}"
                turn += 1
                vote = _vote(rng, said[n], answers, int(n), pair, taste=taste, ties=ties)
                votes.append(replace(vote, annotator=person, kind=kind))
                ratings += [
                    StudyRating(
                        prompt=said[n].id,
                        annotator=person,
                        arm=arm,
                        value=int(np.clip(round(4 + STRENGTH.get(arm, 0) + rng.normal()), 1, 7)),
                    )
                    for arm in pair
                    if rated
                ]
    kept = round(voted * len(votes))
    votes, ratings = votes[:kept], ratings[: 2 * kept]
    if judge is not None:
        votes += _judged(said, answers, pairs, same, judge)
    study = Study(
        id=StudyId("made"),
        code="0123456789abcdef",
        name=name,
        project=project,
        arms=tuple(arms),
        plan=plan,
        opened=OPENED,
        closed=OPENED + timedelta(days=2) if closed else None,
        simulated=kind is Kind.SIMULATED,
    )
    return StudyRecord(
        study=study,
        result=counted(
            votes, ratings, name=name, arms=arms, plan=plan, still_open=study.closed is None
        ),
        votes=tuple(votes),
        ratings=tuple(ratings),
        key={response.id: arm for (_, arm), response in answers.items()},
        prompts={prompt.id: prompt for prompt in said},
        responses={response.id: response for response in answers.values()},
    )


def _text(rng: np.random.Generator, place: int, number: int) -> str:
    """The earlier an arm, the longer its answers tend to be."""
    sentences = int(rng.integers(2, 9)) + (2 - place if place < 3 else 0)
    return " ".join(rng.choice(WORDS, size=max(1, sentences))) + f" ({number}, {place})"


def _plan(
    arms: Sequence[str],
    said: Sequence[Prompt],
    same: Mapping[tuple[str, str], Sequence[int]],
    overlap: int,
    form: str,
) -> dict[str, Any]:
    asked = sum(len(said) - len(theirs) for theirs in same.values())
    return frozen(
        {
            "question": QUESTION,
            "form": form,
            "arms": list(arms),
            "origins": {},
            "without_start": "",
            "prompts": [prompt.id for prompt in said],
            "training_prompts": 0,
            "identical": [
                {"arms": list(pair), "prompts": [said[n].id for n in theirs]}
                for pair, theirs in same.items()
            ],
            "revealing": {"rule": "flag", "answers": {}, "prompts": []},
            "overlap": overlap,
            "votes": asked * overlap,
            "confidence": 0.95,
            "ties": TIES,
            "interval": INTERVAL,
            "correction": CORRECTION,
            "stopping": STOPPING,
            "exclusions": EXCLUSIONS,
            **({"ratings": RATINGS} if form == "pair_with_ratings" else {}),
        }
    )


def _vote(
    rng: np.random.Generator,
    prompt: Prompt,
    answers: Mapping[tuple[int, str], Response],
    number: int,
    pair: tuple[str, str],
    *,
    taste: float,
    ties: float,
) -> StudyVote:
    left, right = pair if rng.random() < 0.5 else pair[::-1]
    lengths = {arm: len(answers[number, arm].text) for arm in pair}
    better = STRENGTH.get(pair[0], 0) - STRENGTH.get(pair[1], 0) + taste
    better += 0.0015 * (lengths[pair[0]] - lengths[pair[1]])
    tied = rng.random() < ties
    won = rng.random() < 1 / (1 + np.exp(-better))
    strength = int(rng.integers(1, 4))
    return StudyVote(
        prompt=prompt.id,
        annotator="",
        kind=Kind.PERSON,
        left=left,
        right=right,
        choice=0 if tied else strength * (-1 if won == (left == pair[0]) else 1),
        both_bad=bool(tied and rng.random() < 0.3),
        left_length=lengths[left],
        right_length=lengths[right],
        prompt_kinds=prompt.tags,
    )


def _ordered(
    rng: np.random.Generator,
    prompt: Prompt,
    answers: Mapping[tuple[int, str], Response],
    number: int,
    arms: Sequence[str],
    *,
    person: str,
    kind: Kind,
) -> list[StudyVote]:
    """One person's order of all arms as votes; answers that are alike get one place."""
    texts = {arm: answers[number, arm].text for arm in arms}
    worth = {texts[arm]: round(2 * (STRENGTH.get(arm, 0) + rng.normal())) for arm in arms}
    return [
        StudyVote(
            prompt=prompt.id,
            annotator=person,
            kind=kind,
            left=left,
            right=right,
            choice=int(np.sign(worth[texts[right]] - worth[texts[left]])),
            left_length=len(texts[left]),
            right_length=len(texts[right]),
            prompt_kinds=prompt.tags,
        )
        for left, right in combinations(arms, 2)
        if texts[left] != texts[right]
    ]


def _judged(
    said: Sequence[Prompt],
    answers: Mapping[tuple[int, str], Response],
    pairs: Sequence[tuple[str, str]],
    same: Mapping[tuple[str, str], Sequence[int]],
    judge: str,
) -> list[StudyVote]:
    found = []
    for n, prompt in enumerate(said):
        for left, right in pairs:
            if n in same[left, right]:
                continue
            ours, theirs = (len(answers[n, arm].text) for arm in (left, right))
            found.append(
                StudyVote(
                    prompt=prompt.id,
                    annotator=judge,
                    kind=Kind.PROGRAM,
                    left=left,
                    right=right,
                    choice=int(np.sign(theirs - ours)),
                    left_length=ours,
                    right_length=theirs,
                    prompt_kinds=prompt.tags,
                )
            )
    return found
