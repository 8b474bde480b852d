"""From responses to tasks: which two responses of a prompt are put side by side."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from storage.database import Connection
from storage.prompts import responses
from storage.records import Project, PromptId, Response, ResponseId, Task, TaskId, digest
from storage.tasks import add_tasks, tasks


def make_tasks(
    connection: Connection,
    project: Project,
    *,
    rng: np.random.Generator,
    pairs_per_prompt: int | None = None,
) -> int:
    """Make a task of each pair of responses to the same prompt, once.

    Pairs that are tasks already stay as they are, so this may be called again when responses were
    added. Two responses with the same text are never put side by side, and the answers of studies
    stay out of it.

    Args:
        connection: Open for writing.
        project: Gives the tasks their type and overlap.
        rng: Draws the pairs where `pairs_per_prompt` leaves some out.
        pairs_per_prompt: How many pairs of each prompt become tasks at most; None for all.

    Returns:
        How many tasks are new.
    """
    known: dict[PromptId, set[frozenset[ResponseId]]] = {}
    for task in tasks(connection, project.id):
        known.setdefault(task.prompt, set()).add(frozenset(task.responses))
    fresh: list[Task] = []
    for prompt, answers in responses(connection, project.id).items():
        made = known.get(prompt, set())
        pairs = [pair for pair in _pairs(answers) if frozenset(pair) not in made]
        if pairs_per_prompt is not None:
            wanted = min(len(pairs), max(0, pairs_per_prompt - len(made)))
            chosen = sorted(rng.choice(len(pairs), size=wanted, replace=False)) if wanted else []
            pairs = [pairs[place] for place in chosen]
        fresh.extend(_task(project, prompt, pair) for pair in pairs)
    return add_tasks(connection, fresh)


def _pairs(answers: list[Response]) -> list[tuple[ResponseId, ResponseId]]:
    ours = [answer for answer in answers if answer.study is None]
    return [(one.id, other.id) for one, other in combinations(ours, 2) if one.text != other.text]


def _task(project: Project, prompt: PromptId, pair: tuple[ResponseId, ResponseId]) -> Task:
    # The order here means nothing: each annotator is shown an order of their own.
    shown = (min(pair), max(pair))
    return Task(
        id=TaskId(digest("task", project.id, shown)),
        project=project.id,
        prompt=prompt,
        responses=shown,
        type=project.task_type,
        overlap=project.overlap,
    )
