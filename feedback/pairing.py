"""From responses to tasks: which responses of a prompt are put on one screen, and what is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np

from feedback.tasks import EDITED, TaskType, task_type
from storage.database import Connection
from storage.errors import InvalidOption
from storage.prompts import responses
from storage.records import Project, PromptId, Purpose, Response, ResponseId, Task, TaskId, digest
from storage.tasks import add_tasks, tasks

Group = tuple[ResponseId, ...]


def make_tasks(
    connection: Connection,
    project: Project,
    *,
    rng: np.random.Generator,
    pairs_per_prompt: int | None = None,
) -> int:
    """Make tasks of the responses to each prompt, all of one type that the project asks for.

    Types that show one response get a task for each, types that show two one for each pair, and a
    ranking shows all of a prompt, or as many at once as one can rank.

    Responses that are together in a task already stay as they are, so this may be called again when
    responses were added. A prompt keeps the type of the tasks it has, as long as the project asks
    for it. Two responses with the same text are never put side by side. The answers of studies,
    those made for known items, and what annotators wrote themselves stay out of it.

    Args:
        connection: Open for writing.
        project: Gives the tasks their types and overlap.
        rng: Draws the types, and the pairs where `pairs_per_prompt` leaves some out.
        pairs_per_prompt: How many pairs of each prompt become tasks at most; None for all.

    Returns:
        How many tasks are new.
    """
    made: defaultdict[PromptId, list[Task]] = defaultdict(list)
    for task in tasks(connection, project.id, everything=True):
        if task.purpose is not Purpose.REPEAT:
            made[task.prompt].append(task)
    fresh: list[Task] = []
    for prompt, answers in responses(connection, project.id).items():
        ours = [answer for answer in answers if _is_ours(answer)]
        known = made[prompt]
        kind = _kind_of(project, ours, known, rng)
        if kind is not None:
            together = {frozenset(task.responses) for task in known}
            groups = _groups(kind, ours, together, rng, pairs_per_prompt)
            fresh.extend(_task(project, prompt, group, kind) for group in groups)
    return add_tasks(connection, fresh)


def put_side_by_side(
    connection: Connection, project: Project, pairs: Iterable[tuple[Response, Response]]
) -> int:
    """Make a task of each pair of responses to one prompt, whatever other pairs the prompt has.

    Args:
        connection: Open for writing.
        project: Gives the tasks their type, the first that shows two responses, and overlap.
        pairs: Stored responses. Two with the same text are left out.

    Returns:
        How many tasks are new.

    Raises:
        InvalidOption: The project asks for no type that shows two responses.
    """
    asked = [task_type(name) for name in project.collecting.task_types]
    kind = next((one for one in asked if one.fewest <= 2 <= one.most), None)
    if kind is None:
        raise InvalidOption(
            "task_types",
            "none of those that the project asks for shows two responses side by side; add one",
            ", ".join(project.collecting.task_types),
        )
    groups = [
        (left.prompt, (min(left.id, right.id), max(left.id, right.id)))
        for left, right in pairs
        if left.text != right.text
    ]
    return add_tasks(connection, [_task(project, prompt, group, kind) for prompt, group in groups])


def _is_ours(answer: Response) -> bool:
    return answer.study is None and "known" not in answer.sampling and answer.policy != EDITED


def _kind_of(
    project: Project, answers: Sequence[Response], made: Sequence[Task], rng: np.random.Generator
) -> TaskType | None:
    """The type that the prompt's tasks have, or else one drawn of those it can have."""
    asked = [task_type(name) for name in project.collecting.task_types]
    kept = {task.type for task in made if task.purpose is Purpose.FEEDBACK}
    fitting = [one for one in asked if one.name in kept] or [
        one for one in asked if len(answers) >= one.fewest
    ]
    return fitting[int(rng.integers(len(fitting)))] if fitting else None


def _groups(
    kind: TaskType,
    answers: Sequence[Response],
    together: Collection[frozenset[ResponseId]],
    rng: np.random.Generator,
    pairs_per_prompt: int | None,
) -> list[Group]:
    """The responses of each new task."""
    if kind.most > 2:
        return list(_rankings(kind, answers, together))
    if kind.most == 1:
        singles = [(answer.id,) for answer in _unlike(answers)]
        return [single for single in singles if frozenset(single) not in together]
    pairs = [pair for pair in _pairs(answers) if frozenset(pair) not in together]
    if pairs_per_prompt is None:
        return pairs
    compared = sum(len(group) == 2 for group in together)
    wanted = min(len(pairs), max(0, pairs_per_prompt - compared))
    chosen = sorted(rng.choice(len(pairs), size=wanted, replace=False)) if wanted else []
    return [pairs[place] for place in chosen]


def _pairs(answers: Sequence[Response]) -> list[Group]:
    # The order here means nothing: each annotator is shown an order of their own.
    return [
        (min(one.id, other.id), max(one.id, other.id))
        for one, other in combinations(answers, 2)
        if one.text != other.text
    ]


def _rankings(
    kind: TaskType,
    answers: Sequence[Response],
    together: Collection[frozenset[ResponseId]],
) -> Iterator[Group]:
    """Rankings until each response is in one; filled up with others, so that all are connected."""
    unlike = [answer.id for answer in _unlike(answers)]
    ranked = {response for group in together if len(group) > 2 for response in group}
    waiting = [response for response in unlike if response not in ranked]
    while waiting and len(unlike) >= kind.fewest:
        new = waiting[: kind.most]
        waiting = waiting[kind.most :]
        others = [response for response in unlike if response not in new]
        yield tuple(sorted([*new, *others[: kind.most - len(new)]]))


def _unlike(answers: Sequence[Response]) -> list[Response]:
    """The first response of each text."""
    return list({answer.text: answer for answer in reversed(answers)}.values())[::-1]


def _task(project: Project, prompt: PromptId, group: Group, kind: TaskType) -> Task:
    return Task(
        id=TaskId(digest("task", project.id, group)),
        project=project.id,
        prompt=prompt,
        responses=group,
        type=kind.name,
        overlap=project.overlap,
    )
