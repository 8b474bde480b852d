"""Blinded studies from opening to result: policies answer the same prompts, people choose.

A response of a study gets a random identifier and no policy name, so nothing that is stored beside
it or sent to a browser tells which arm it belongs to. Only the sealed key does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from evaluation.revealing import mentions
from evaluation.study_plan import (
    CORRECTION,
    EXCLUSIONS,
    INTERVAL,
    QUESTION,
    RATINGS,
    STOPPING,
    TIES,
    Form,
    WhenRevealing,
    check_design,
    frozen,
)
from evaluation.study_record import study_record
from evaluation.study_revealing import shown_answers
from evaluation.study_tasks import tasks_of
from evaluation.verdict import StudyResult
from feedback.attention import attention_checks
from feedback.participation import Participation
from storage.database import Database
from storage.errors import InvalidData, InvalidOption
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
)
from storage.studies import add_study
from storage.tasks import add_tasks


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
    question: str = QUESTION,
    form: Form = "pair",
    revealing: WhenRevealing = "flag",
    without_start: str = "",
    origins: Mapping[str, Any] | None = None,
    participation: Participation | None = None,
) -> Study:
    """Put policies side by side: each prompt is a task for each pair of them, all or nothing.

    Where two arms gave the same answer (apart from space around it) there is nothing to ask: no
    task is made, and the result counts the prompt as a tie. The plan, which says so, is written now
    and does not change any more: its digest, which the result shows, is over everything in it.

    Args:
        database: Where the study is kept.
        name: For the researcher's list; participants do not see it.
        project: The prompts' project.
        arms: Display name of each policy to its answers, in the order of `prompts`. The study asks
            about the first against the second.
        prompts: Already stored in the project.
        overlap: How many participants judge each pair of answers.
        now: When it is opened.
        rng: Draws the order in which a task holds its answers.
        simulated: True when the answers or the participants are simulated.
        confidence: Coverage of the interval that the result will state.
        question: What participants are asked.
        form: Pairs of answers, pairs with a rating of each, or all arms' answers to rank.
        revealing: What becomes of answers that tell who wrote them.
        without_start: Why the model that a policy grew from is no arm.
        origins: Where each arm's answers come from, as JSON, for the plan.
        participation: What is asked of participants beside votes; it is frozen with the plan.

    Raises:
        InvalidOption: Fewer than two arms, an overlap or confidence out of bounds, a question that
            names an arm, or a form that does not fit.
        InvalidData: An arm has not one answer for each prompt, a prompt is there twice, or answers
            tell who wrote them and are to be refused.
        TooLittleData: Two arms differ on fewer than two prompts.
    """
    _check(arms, prompts, overlap, confidence)
    check_design(question, form, len(arms))
    if mentions(question, arms=arms):
        raise InvalidOption("question", "it names a model, which unblinds the study", question)
    study_id = StudyId(secrets.token_hex(8))
    texts, told = shown_answers(arms, prompts, rule=revealing)
    responses = {
        arm: [_response(study_id, p.id, text) for p, text in zip(prompts, answers, strict=True)]
        for arm, answers in texts.items()
    }
    taking_part = (participation or Participation()).with_code()
    _check_checks(taking_part, form)
    asked = tasks_of(study_id, responses, prompts, form=form, overlap=overlap, rng=rng)
    shown, checks = attention_checks(
        prompts, study=study_id, task_type=form, number=taking_part.attention_checks, rng=rng
    )
    study = Study(
        id=study_id,
        # No dash: on a command line a leading one reads as an option, and mail programs leave a
        # trailing one out of a link.
        code=secrets.token_hex(16),
        name=name,
        project=project.id,
        arms=tuple(arms),
        plan=frozen(
            {
                "question": question,
                "form": form,
                "arms": list(arms),
                "origins": dict(origins or {}),
                "without_start": without_start,
                "prompts": [prompt.id for prompt in prompts],
                "training_prompts": sum(prompt.split is Split.TRAIN for prompt in prompts),
                "identical": [
                    {"arms": list(pair), "prompts": same} for pair, same in asked.identical.items()
                ],
                "revealing": told,
                "overlap": overlap,
                "votes": asked.verdicts * overlap,
                "confidence": confidence,
                "ties": TIES,
                "interval": INTERVAL,
                "correction": CORRECTION,
                "stopping": STOPPING,
                "exclusions": EXCLUSIONS,
                "participation": taking_part.model_dump(mode="json"),
                **({"ratings": RATINGS} if form == "pair_with_ratings" else {}),
            }
        ),
        opened=now,
        simulated=simulated or project.simulated,
    )
    key = {response.id: arm for arm, theirs in responses.items() for response in theirs}
    with database.write() as connection:
        add_responses(connection, [*shown, *(one for all_ in responses.values() for one in all_)])
        add_study(connection, study, key=key)
        add_tasks(connection, [*asked.tasks, *checks])
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
        InvalidData: The plan was changed after the study was opened.
    """
    return study_record(database, study, peek=peek).result


def _check_checks(asked: Participation, form: Form) -> None:
    """Refuse attention checks that would be told from the study's own tasks at first sight."""
    if asked.attention_checks and form == "ranking":
        raise InvalidOption(
            "attention_checks",
            "they ask which of two answers is better, so a study of rankings has none; ask for"
            " pairs, or for no checks",
            asked.attention_checks,
        )


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
