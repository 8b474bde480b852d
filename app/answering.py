"""Policies answering prompts: for a look, for people to judge, or for a blinded study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.kinds import SampleJob
from app.sources import policy_source
from storage import projects
from storage import prompts as stored
from storage.errors import TooLittleData
from storage.recipes import Progress
from storage.records import Message, ProjectId, Prompt, Response, Split

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings
    from training.sampling import Answer
    from training.sampling_config import SamplingConfig

EMPTY_ANSWER = "(The model gave an empty answer.)"
"""Shown and judged in the place of nothing at all."""
REMEMBERED = {"max_new_tokens", "temperature", "top_p", "seed"}
"""What a response remembers of how it was sampled."""


def policy_sources(names: Sequence[str], database: Database, settings: Settings) -> dict[str, str]:
    """What each policy is loaded from, by its name."""
    with database.read() as connection:
        return {name: policy_source(connection, settings, name) for name in names}


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
    sources: Mapping[str, str],
    prompts: Sequence[Sequence[Message]],
    config: SamplingConfig,
    *,
    progress: Progress,
    device: str,
) -> dict[str, list[Answer]]:
    """Each policy's answer to each prompt; one policy in memory at a time.

    Args:
        sources: What each policy is called and what it is loaded from.
        prompts: The conversations, P of them.
        config: How to sample.
        progress: Where to say how far it is.
        device: Where the models run.

    Returns:
        P answers by policy name.
    """
    from training.sampling import Policy

    answers = {}
    for name, source in sources.items():
        progress.report(0, total=len(prompts), message=f"{name} answers")
        given = Policy.load(source, device=device).answer(prompts, config, progress=progress)
        # A model may write NUL, which no database keeps.
        answers[name] = [replace(one, text=one.text.replace("\0", "\ufffd")) for one in given]
    return answers


def shown_texts(answers: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The answers as participants see them: never nothing at all."""
    return {arm: [text.strip() or EMPTY_ANSWER for text in given] for arm, given in answers.items()}


def answer_lines(
    prompts: Sequence[Sequence[Message]], answers: Mapping[str, Sequence[Answer]]
) -> str:
    """Prompts with everybody's responses as JSON lines, in the form that `tandem import` reads.

    Empty answers are left out: there is nothing in them to judge.
    """
    lines = []
    for number, prompt in enumerate(prompts):
        responses = [
            {"text": given[number].text, "policy": policy}
            for policy, given in answers.items()
            if given[number].text.strip()
        ]
        line = {"prompt": list(prompt), "responses": responses}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def keep_answers(
    database: Database,
    project: ProjectId,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[Answer]],
    config: SampleJob,
) -> dict[str, int]:
    """Add answers to their project and make tasks of them, so that people can judge them.

    Returns:
        {"new_responses", "tasks"}.
    """
    from app.importing import PAIRS_PER_PROMPT
    from feedback.pairing import make_tasks

    sampling = config.model_dump(mode="json", include=REMEMBERED)
    responses = [
        Response.of(prompt.id, answer.text, policy=policy, sampling=sampling)
        for policy, given in answers.items()
        for prompt, answer in zip(prompts, given, strict=True)
        if answer.text.strip()
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
