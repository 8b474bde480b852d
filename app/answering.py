"""Whoever may answer prompts, answering: for a look, for people to judge, or for a study."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.answer_files import answers_to
from app.arms import AnswersArm, EndpointArm, ModelArm, read_arm
from app.endpoints import Asking, endpoint_answers
from app.given import LENGTH, Given, endings
from app.kept_answers import forget_answers, kept_answers
from app.kinds import Answering, SampleJob
from app.progress import OfMany
from app.sources import policy_source
from evaluation.endpoint import Endpoint
from evaluation.endpoint_keys import secret
from storage import projects
from storage import prompts as stored
from storage.errors import InvalidOption, TooLittleData
from storage.files import write_text
from storage.recipes import Progress
from storage.records import Message, ProjectId, Prompt, Response, Split

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings

EMPTY_ANSWER = "(The model gave an empty answer.)"
"""Shown and judged in the place of nothing at all."""
REMEMBERED = {"max_new_tokens", "temperature", "top_p", "seed"}
"""What a response remembers of how it was sampled."""


def project_prompts(database: Database, project: ProjectId, split: Split | None) -> list[Prompt]:
    """The project's prompts of a split, ordered by their ids, which says nothing about them.

    Raises:
        TooLittleData: Fewer than two.
    """
    with database.read() as connection:
        found = stored.prompts(connection, project)
    chosen = [prompt for prompt in found if split is None or prompt.split is split]
    if len(chosen) < 2:
        which = "" if split is None else f" in the {split} split"
        raise TooLittleData(
            f"This needs at least 2 prompts{which}; the project has {len(chosen)}. Import more."
        )
    return sorted(chosen, key=lambda prompt: prompt.id)


def answers_of(
    config: Answering,
    prompts: Sequence[Sequence[Message]],
    *,
    database: Database,
    settings: Settings,
    progress: Progress,
    environment: Mapping[str, str],
    bound: bool,
) -> dict[str, list[Given]]:
    """Everybody's answer to each prompt, in the order in which they are named.

    What can be refused without work is looked at first, and endpoints, which may fail, are asked
    before the policies that answer here, of which one is in memory at a time.

    Args:
        config: Who answers, and how to sample.
        prompts: The conversations, P of them.
        database: Where policies are registered.
        settings: Where everything lies, and the device that policies answer on.
        progress: Where to say how far it is.
        environment: Where keys of endpoints are read.
        bound: Whether a key must say which host it is for.

    Returns:
        P answers by name.

    Raises:
        NotFound: A file was not imported.
        InvalidData: A file has no answer to some prompts.
        InvalidOption: A policy is a reward model, or the key cannot be had.
        ServiceFailed: An endpoint does not answer as it should.
    """
    arms = [read_arm(written) for written in config.policies]
    given = {
        arm.label: [Given(text=text) for text in answers_to(settings, arm, prompts)]
        for arm in arms
        if isinstance(arm, AnswersArm)
    }
    endpoints = _endpoints(config, environment, bound=bound)
    with database.read() as connection:
        sources = {
            arm.label: policy_source(connection, settings, arm.label)
            for arm in arms
            if isinstance(arm, ModelArm)
        }
    asking = Asking(
        concurrency=config.concurrency,
        retries=config.retries,
        per_minute=config.requests_per_minute,
    )
    runs = len(endpoints) + len(sources)
    with ExitStack() as held:
        # Of all of them at once: what another job is asking for is said before anything is paid.
        kept = {arm: held.enter_context(kept_answers(settings, arm, config)) for arm in endpoints}
        for number, (arm, endpoint) in enumerate(endpoints.items()):
            given[arm.label] = endpoint_answers(
                arm,
                prompts,
                config,
                endpoint=endpoint,
                asking=asking,
                kept=kept[arm],
                progress=OfMany(progress, f"{arm.label} answers", number, runs),
            )
    for number, (label, source) in enumerate(sources.items(), start=len(endpoints)):
        part = OfMany(progress, f"{label} answers", number, runs)
        given[label] = _answers_here(source, prompts, config, progress=part, device=settings.device)
    return {arm.label: given[arm.label] for arm in arms}


def check_key(config: Answering) -> None:
    """Refuse a key that nobody is there for.

    Raises:
        InvalidOption: No endpoint answers, and a variable with a key is named.
    """
    arms = map(read_arm, config.policies)
    if config.key_variable and not any(isinstance(arm, EndpointArm) for arm in arms):
        raise InvalidOption(
            "key_variable", "no endpoint takes part that a key is for", config.key_variable
        )


def _endpoints(
    config: Answering, environment: Mapping[str, str], *, bound: bool
) -> dict[EndpointArm, Endpoint]:
    if config.key_variable and not secret(config.key_variable, environment):
        raise InvalidOption(
            "key_variable", "the environment has no such variable", config.key_variable
        )
    return {
        arm: Endpoint.of(
            arm.address, key_variable=config.key_variable, environment=environment, bound=bound
        )
        for arm in map(read_arm, config.policies)
        if isinstance(arm, EndpointArm)
    }


def _answers_here(
    source: str,
    prompts: Sequence[Sequence[Message]],
    config: Answering,
    *,
    progress: Progress,
    device: str,
) -> list[Given]:
    from training.sampling import Policy

    progress.report(0, total=len(prompts))
    answers = Policy.load(source, device=device).answer(prompts, config, progress=progress)
    return [
        # A model may write NUL, which no database keeps.
        Given(
            text=one.text.replace("\0", "\ufffd"),
            tokens=one.tokens,
            ended="stop" if one.finished else LENGTH,
        )
        for one in answers
    ]


def shown_texts(answers: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The answers as participants see them: never nothing at all."""
    return {arm: [text.strip() or EMPTY_ANSWER for text in given] for arm, given in answers.items()}


def answer_lines(
    prompts: Sequence[Sequence[Message]], answers: Mapping[str, Sequence[Given]], config: Answering
) -> str:
    """Prompts with everybody's responses as JSON lines, in the form that `tandem import` reads.

    Answers that are empty or were filtered are left out: there is nothing in them to judge.
    """
    responses: list[list[dict[str, Any]]] = [[] for _ in prompts]
    for number, policy, text, sampling in _judgeable(answers, config):
        responses[number].append({"text": text, "policy": policy, "sampling": sampling})
    lines = (
        {"prompt": list(prompt), "responses": given}
        for prompt, given in zip(prompts, responses, strict=True)
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def sample_file(
    database: Database,
    settings: Settings,
    config: SampleJob,
    prompts: Sequence[Sequence[Message]],
    *,
    output: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Answers to prompts that are in no project, in a file; in the foreground alone.

    Returns:
        {"prompts", "endings"}.
    """
    check_key(config)
    answers = answers_of(
        config,
        prompts,
        database=database,
        settings=settings,
        progress=progress,
        environment=os.environ,
        bound=False,
    )
    write_text(output, answer_lines(prompts, answers, config))
    forget_answers(settings, config)
    return {
        "prompts": len(prompts),
        "endings": {policy: endings(given) for policy, given in answers.items()},
    }


def keep_answers(
    database: Database,
    project: ProjectId,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[Given]],
    config: SampleJob,
) -> dict[str, int]:
    """Add answers to their project and make tasks of them, so that people can judge them.

    Returns:
        {"new_responses", "tasks"}.
    """
    from app.importing import PAIRS_PER_PROMPT
    from feedback.pairing import make_tasks

    responses = [
        Response.of(prompts[number].id, text, policy=policy, sampling=sampling)
        for number, policy, text, sampling in _judgeable(answers, config)
    ]
    with database.write() as connection:
        new = stored.add_responses(connection, responses)
        made = make_tasks(
            connection,
            projects.project_named(connection, project),
            rng=np.random.default_rng(config.seed),
            pairs_per_prompt=PAIRS_PER_PROMPT,
        )
    return {"new_responses": new, "tasks": made}


def _judgeable(
    answers: Mapping[str, Sequence[Given]], config: Answering
) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """Of each answer the prompt's number, who gave it, its text, and how it came about."""
    how = config.model_dump(mode="json", include=REMEMBERED)
    for arm in map(read_arm, config.policies):
        origin = how
        if isinstance(arm, EndpointArm):
            origin = {"endpoint": arm.host, **how}
        elif isinstance(arm, AnswersArm):
            origin = {"imported": arm.digest}
        for number, one in enumerate(answers[arm.label]):
            if one.is_judgeable:
                cut = {"ended": LENGTH} if one.is_cut else {}
                yield number, arm.label, one.text, {**origin, **cut}
