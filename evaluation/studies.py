"""Blinded studies from opening to result: policies answer the same prompts, people choose.

A response of a study gets a random identifier and no policy name, so nothing that is stored beside
it or sent to a browser tells which arm it belongs to. Only the sealed key does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np

from evaluation.participants import participant_facts
from evaluation.verdict import ArmComparison, StudyResult, StudyVote, study_result
from feedback.attention import attention_checks
from feedback.participation import Participation
from storage.database import Database
from storage.errors import InvalidData, InvalidOption, NotAllowed, TooLittleData
from storage.judgements import judgements
from storage.prompts import add_responses
from storage.records import (
    Project,
    Prompt,
    PromptId,
    Response,
    ResponseId,
    Split,
    Study,
    StudyId,
    Task,
    TaskId,
)
from storage.studies import add_study, study_key
from storage.studies import study as find_study
from storage.tasks import add_tasks

__all__ = ["ArmComparison", "StudyResult", "StudyVote", "open_study", "results", "study_result"]

QUESTION = "Which answer is better?"


def open_study(
    database: Database,
    *,
    name: str,
    project: Project,
    arms: Mapping[str, Sequence[str]],
    prompts: Sequence[Prompt],
    overlap: int,
    now: datetime,
    rng: np.random.Generator,
    simulated: bool = False,
    confidence: float = 0.95,
    participation: Participation | None = None,
) -> Study:
    """Put policies side by side: each prompt is a task for each pair of them, all or nothing.

    Where two arms gave the same answer (apart from space around it) there is nothing to ask: no
    task is made, and the result counts the prompt as a tie. The plan, which says so, is written now
    and does not change any more.

    Args:
        database: Where the study is kept.
        name: For the researcher's list; participants do not see it.
        project: The prompts' project.
        arms: Display name of each policy to its answers, in the order of `prompts`. The study asks
            about the first against the second.
        prompts: Already stored in the project.
        overlap: How many participants judge each pair of answers.
        now: When it is opened.
        rng: Draws the order in which a task holds its two answers.
        simulated: True when the answers or the participants are simulated.
        confidence: Coverage of the interval that the result will state.
        participation: What is asked of participants beside votes; it is frozen with the plan.

    Raises:
        InvalidOption: Fewer than two arms, an overlap or confidence out of bounds.
        InvalidData: An arm has not one answer for each prompt, or a prompt is there twice.
        TooLittleData: Two arms differ on fewer than two prompts.
    """
    _check(arms, prompts, overlap, confidence)
    study_id = StudyId(secrets.token_hex(8))
    responses = {
        arm: [_response(study_id, p.id, text) for p, text in zip(prompts, answers, strict=True)]
        for arm, answers in arms.items()
    }
    tasks: list[Task] = []
    identical: list[dict[str, Any]] = []
    for pair in combinations(arms, 2):
        same: list[PromptId] = []
        for prompt, one, other in zip(prompts, *(responses[arm] for arm in pair), strict=True):
            if one.text.strip() == other.text.strip():
                same.append(prompt.id)
            else:
                tasks.append(_task(study_id, prompt, (one.id, other.id), overlap, rng))
        different = len(prompts) - len(same)
        if different < 2:
            raise TooLittleData(
                f"{pair[0]} and {pair[1]} answer {different} of {len(prompts)} prompts differently;"
                " a study needs at least 2 such prompts."
            )
        identical.append({"arms": list(pair), "prompts": same})
    asked = (participation or Participation()).with_code()
    shown, checks = attention_checks(
        prompts, study=study_id, task_type="pair", number=asked.attention_checks, rng=rng
    )
    study = Study(
        id=study_id,
        # No dash: on a command line a leading one reads as an option, and mail programs leave a
        # trailing one out of a link.
        code=secrets.token_hex(16),
        name=name,
        project=project.id,
        arms=tuple(arms),
        plan={
            "question": QUESTION,
            "prompts": [prompt.id for prompt in prompts],
            "training_prompts": sum(prompt.split is Split.TRAIN for prompt in prompts),
            "identical": identical,
            "overlap": overlap,
            "votes": len(tasks) * overlap,
            "confidence": confidence,
            "participation": asked.model_dump(mode="json"),
            "ties": "half a win for each; identical answers are not asked about and count as ties",
            "interval": "Student's t on standard errors clustered by prompt, read once, at the end",
        },
        opened=now,
        simulated=simulated or project.simulated,
    )
    key = {response.id: arm for arm, theirs in responses.items() for response in theirs}
    with database.write() as connection:
        add_responses(connection, [*shown, *(one for all_ in responses.values() for one in all_)])
        add_study(connection, study, key=key)
        add_tasks(connection, [*tasks, *checks])
    return study


def results(database: Database, study: Study, *, peek: bool = False) -> StudyResult:
    """What a study found, in totals; never who wrote which answer.

    Args:
        database: Where the study is kept.
        study: Any of its states; whether it is closed is read anew.
        peek: Look although votes are still coming in. The result says that it is an early look.

    Raises:
        NotAllowed: The study is open, and `peek` was not asked for.
        TooLittleData: Fewer than two prompts were voted on.
    """
    with database.read() as connection:
        current = find_study(connection, study.id)
        if current.closed is None and not peek:
            raise NotAllowed(
                f"The study {study.name!r} is still open. Close it first, or ask for an early look."
            )
        key = study_key(connection, study.id, for_totals=peek)
        people, left_out = participant_facts(connection, current)
        votes = [
            StudyVote(
                prompt=judgement.prompt,
                annotator=judgement.annotator,
                kind=judgement.kind,
                left=key[comparison.left],
                right=key[comparison.right],
                choice=comparison.choice,
                both_bad=comparison.both_bad,
            )
            for judgement in judgements(connection, study.project, study=study.id)
            for comparison in judgement.comparisons
            if judgement.annotator not in left_out
        ]
    plan = current.plan
    found = study_result(
        votes,
        name=current.name,
        arms=current.arms,
        identical={tuple(one["arms"]): one["prompts"] for one in plan["identical"]},
        planned=plan["votes"],
        still_open=current.closed is None,
        training_prompts=plan["training_prompts"],
        confidence=plan["confidence"],
    )
    return replace(found, people=people)


def _check(
    arms: Mapping[str, Sequence[str]], prompts: Sequence[Prompt], overlap: int, confidence: float
) -> None:
    if len(arms) < 2:
        raise InvalidOption("arms", "a study compares at least two policies", list(arms))
    if overlap < 1:
        raise InvalidOption("overlap", "each pair of answers is judged at least once", overlap)
    if not 0 < confidence < 1:
        raise InvalidOption("confidence", "must lie strictly between 0 and 1", confidence)
    for arm, answers in arms.items():
        if len(answers) != len(prompts):
            raise InvalidData(
                f"{arm} has {len(answers)} answers to {len(prompts)} prompts;"
                " a study needs one to each."
            )
    if len({prompt.id for prompt in prompts}) < len(prompts):
        raise InvalidData("A prompt is in the study twice; its votes would count double.")


def _response(study: StudyId, prompt: PromptId, text: str) -> Response:
    # A random identifier: one made from the text and the policy could be guessed back. The study's
    # name keeps these answers out of what people are asked to judge for training.
    checked = Response.of(prompt, text, sampling={"study": study})
    return Response(
        id=ResponseId(secrets.token_hex(8)),
        prompt=prompt,
        text=checked.text,
        sampling=checked.sampling,
    )


def _task(
    study: StudyId,
    prompt: Prompt,
    pair: tuple[ResponseId, ResponseId],
    overlap: int,
    rng: np.random.Generator,
) -> Task:
    return Task(
        id=TaskId(secrets.token_hex(8)),
        project=prompt.project,
        prompt=prompt.id,
        responses=pair if rng.integers(2) else pair[::-1],
        type="pair",
        overlap=overlap,
        study=study,
    )
