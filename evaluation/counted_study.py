"""A study's votes counted as its plan says: one way for the store and for a package of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evaluation.compared_arms import Pair, PlanOfPair, StudyVote
from evaluation.study_plan import design_of
from evaluation.study_ratings import StudyRating, arm_ratings
from evaluation.study_revealing import revealing_doubt
from evaluation.verdict import StudyResult, study_result, votes_that_count
from storage.records import PromptId

SEED = 0
"""Of what p-values and the interval of the agreement rest on: the same votes, the same result."""


def identical_in(plan: Mapping[str, Any]) -> dict[Pair, list[PromptId]]:
    """Prompts to which two arms gave the same answer, by pair, in the order of the arms."""
    return {(one["arms"][0], one["arms"][1]): one["prompts"] for one in plan["identical"]}


def plans_in(plan: Mapping[str, Any]) -> dict[Pair, PlanOfPair]:
    """What a study's plan asked for on each pair of arms."""
    return {
        pair: PlanOfPair(prompts=len(plan["prompts"]) - len(same), overlap=plan["overlap"])
        for pair, same in identical_in(plan).items()
    }


def counted(
    votes: Sequence[StudyVote],
    ratings: Sequence[StudyRating],
    *,
    name: str,
    arms: Sequence[str],
    plan: Mapping[str, Any],
    still_open: bool,
) -> StudyResult:
    """The result of a study.

    Args:
        votes: Every vote, in the order in which they came.
        ratings: Every rating; empty where nobody was asked to rate.
        name: The study's name.
        arms: The policies; the study asks about the first against the second.
        plan: As it was frozen.
        still_open: More votes may come, so that this is an early look.

    Raises:
        TooLittleData: Fewer than two prompts were voted on for some pair of arms.
        InvalidData: The plan was changed after the study was opened.
    """
    design, identical = design_of(plan), identical_in(plan)
    found = study_result(
        votes,
        name=name,
        arms=arms,
        identical=identical,
        plans=plans_in(plan),
        still_open=still_open,
        rng=np.random.default_rng(SEED),
        training_prompts=plan["training_prompts"],
        confidence=plan["confidence"],
    )
    doubt = revealing_doubt(
        votes_that_count(votes),
        arms=arms,
        identical=identical,
        revealing=plan.get("revealing", {"rule": "flag", "prompts": []}),
        whole=found.win_rate,
    )
    return replace(
        found,
        design=design,
        ratings=arm_ratings(ratings, arms=arms, confidence=plan["confidence"]),
        warnings=(*found.warnings, *([doubt] if doubt else [])),
    )
