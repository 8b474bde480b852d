"""Everything a study holds once its key may be read: votes by name, texts, plan, and the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluation.participants import participant_facts
from evaluation.study_plan import design_of
from evaluation.study_ratings import arm_ratings
from evaluation.study_revealing import revealing_doubt
from evaluation.study_tasks import standing_for
from evaluation.study_votes import study_votes
from evaluation.verdict import (
    Pair,
    PlanOfPair,
    StudyResult,
    StudyVote,
    study_result,
    votes_that_count,
)
from storage.database import Database
from storage.errors import NotAllowed
from storage.judgements import judgements
from storage.prompts import prompts_by_id, responses_by_id
from storage.records import Prompt, PromptId, Response, ResponseId, Study
from storage.studies import study as find_study
from storage.studies import study_key

SEED = 0
"""Of what p-values and the interval of the agreement rest on: the same votes, the same result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study with its votes under the names of the arms."""

    study: Study
    result: StudyResult
    votes: tuple[StudyVote, ...]
    """In the order in which they came."""
    key: Mapping[ResponseId, str]
    """The arm that wrote each response."""
    prompts: Mapping[PromptId, Prompt]
    responses: Mapping[ResponseId, Response]

    @property
    def plans(self) -> dict[Pair, PlanOfPair]:
        """What was planned for each pair of arms."""
        return plans_of(self.study.plan)


def plans_of(plan: Mapping[str, Any]) -> dict[Pair, PlanOfPair]:
    """What a study's plan asked for on each pair of arms."""
    return {
        (one["arms"][0], one["arms"][1]): PlanOfPair(
            prompts=len(plan["prompts"]) - len(one["prompts"]), overlap=plan["overlap"]
        )
        for one in plan["identical"]
    }


def study_record(database: Database, study: Study, *, peek: bool = False) -> StudyRecord:
    """Read a study with its key, and count its votes.

    Args:
        database: Where the study is kept.
        study: Any of its states; whether it is closed is read anew.
        peek: Look although votes are still coming in; only totals of it may be shown.

    Raises:
        NotAllowed: The study is open, and `peek` was not asked for.
        TooLittleData: Fewer than two prompts were voted on.
        InvalidData: The plan was changed after the study was opened.
    """
    with database.read() as connection:
        current = find_study(connection, study.id)
        if current.closed is None and not peek:
            raise NotAllowed(
                f"The study {study.name!r} is still open. Close it first, or ask for an early look."
            )
        key = study_key(connection, study.id, for_totals=peek)
        people, left_out = participant_facts(connection, current)
        said = [
            one
            for one in judgements(connection, study.project, study=study.id)
            if one.annotator not in left_out
        ]
        prompts = prompts_by_id(connection, map(PromptId, current.plan["prompts"]))
        responses = responses_by_id(connection, key)
    plan, design = current.plan, design_of(current.plan)
    identical: dict[Pair, list[PromptId]] = {
        (one["arms"][0], one["arms"][1]): one["prompts"] for one in plan["identical"]
    }
    ranked = design.form == "ranking"
    votes = study_votes(
        said,
        key,
        standing_for=standing_for(current.arms, identical) if ranked else {},
        lengths={id_: len(response.text) for id_, response in responses.items()},
        prompt_kinds={id_: prompt.tags for id_, prompt in prompts.items()},
    )
    found = study_result(
        votes,
        name=current.name,
        arms=current.arms,
        identical=identical,
        plans=plans_of(plan),
        still_open=current.closed is None,
        rng=np.random.default_rng(SEED),
        training_prompts=plan["training_prompts"],
        confidence=plan["confidence"],
    )
    doubt = revealing_doubt(
        votes_that_count(votes),
        arms=current.arms,
        identical=identical,
        revealing=plan.get("revealing", {"rule": "flag", "prompts": []}),
        whole=found.win_rate,
    )
    result = replace(
        found,
        design=design,
        people=people,
        ratings=arm_ratings(said, key, arms=current.arms, confidence=plan["confidence"]),
        warnings=(*found.warnings, *([doubt] if doubt else [])),
    )
    return StudyRecord(
        study=current,
        result=result,
        votes=tuple(votes),
        key=key,
        prompts=prompts,
        responses=responses,
    )
