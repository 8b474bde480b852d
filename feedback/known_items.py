"""Known items: tasks whose right answer is known, made from a file or from a researcher's answer.

They look like any other task of their project, so that nobody can tell them apart; what is right is
told by `storage.known_items`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feedback.tasks import TaskType, task_type
from storage.database import Connection
from storage.errors import InvalidAnswer, InvalidData
from storage.own_work import own_answer
from storage.projects import project_named
from storage.records import (
    HIGHEST_RATING,
    LOWEST_RATING,
    Annotator,
    Comparison,
    Project,
    PromptId,
    Purpose,
    Rating,
    ResponseId,
    SubmissionId,
    Task,
    TaskId,
    digest,
)
from storage.tasks import add_tasks, task

KNOWN = "known"
"""Key in the sampling settings of responses that were made for a known item."""


def known_task(
    project: Project,
    prompt: PromptId,
    responses: Sequence[ResponseId],
    *,
    purpose: Purpose,
    expected: Mapping[str, Any],
) -> Task:
    """A known item of one of the project's task types, always of the same one.

    Args:
        project: Whose task types are looked through.
        prompt: What is answered.
        responses: In the order that `expected` speaks of.
        purpose: gold, attention or qualification.
        expected: What is right; see `storage.known_items`.

    Raises:
        InvalidData: The project asks for no type of task that could be answered so.
    """
    asked = [task_type(name) for name in project.collecting.task_types]
    fitting = [one for one in asked if _fits(one, len(responses), expected)]
    if not fitting:
        raise InvalidData(
            f"A known item with {len(responses)} responses and these expectations fits no task type"
            f" of the project {project.name!r} ({', '.join(project.collecting.task_types)}); add a"
            " task type, or expect less."
        )
    named = digest("known", project.id, str(purpose), responses)
    return Task(
        id=TaskId(named),
        project=project.id,
        prompt=prompt,
        responses=tuple(responses),
        # By its digest, so that they mix as types do, and the same file gives the same tasks.
        type=fitting[int(named, 16) % len(fitting)].name,
        overlap=project.overlap,
        purpose=purpose,
        expected=expected,
    )


def make_known(
    connection: Connection,
    annotator: Annotator,
    submission: SubmissionId,
    *,
    purpose: Purpose,
    within: int,
    explanation: str,
) -> tuple[Task, bool]:
    """Make a known item of an annotator's own answer.

    Args:
        connection: Open for writing.
        annotator: Who gave the answer.
        submission: The answer.
        purpose: gold, attention or qualification.
        within: By how many points another rating may differ.
        explanation: Why the answer is right. Markdown.

    Returns:
        The known item, and whether it is new.

    Raises:
        InvalidAnswer: There is no such answer of theirs, or it was a vote or taken back.
        InvalidData: No known item can be made of it.
    """
    answer = own_answer(connection, annotator.id, submission)
    if answer is None:
        raise InvalidAnswer(
            f"You gave no answer {submission!r} that could become a known item; judge the task"
            " yourself first."
        )
    judged = task(connection, answer.task)
    made = known_task(
        project_named(connection, judged.project),
        judged.prompt,
        judged.responses,
        purpose=purpose,
        expected=expected_of(
            judged.responses,
            answer.comparisons,
            answer.ratings,
            within=within,
            explanation=explanation,
        ),
    )
    return made, add_tasks(connection, [made]) == 1


def expected_of(
    responses: Sequence[ResponseId],
    comparisons: Sequence[Comparison],
    ratings: Sequence[Rating],
    *,
    within: int,
    explanation: str,
) -> dict[str, Any]:
    """What is right when everybody should answer as this answer does.

    Args:
        responses: In the task's own order.
        comparisons: Of the answer.
        ratings: Of the answer.
        within: By how many points another rating may differ.
        explanation: Why it is right. Markdown.
    """
    better = None
    if len(responses) == 2 and comparisons:
        places = {responses[0]: "first", responses[1]: "second", None: "tie"}
        better = places.get(comparisons[0].preferred)
    given: dict[ResponseId, list[float]] = {}
    for rating in ratings:
        given.setdefault(rating.response, []).append(rating.value)
    bounds = [
        [
            max(LOWEST_RATING, min(given[one]) - within),
            min(HIGHEST_RATING, max(given[one]) + within),
        ]
        if one in given
        else None
        for one in responses
    ]
    return {
        "better": better,
        "ratings": bounds if given else None,
        "explanation": explanation,
    }


def _fits(kind: TaskType, responses: int, expected: Mapping[str, Any]) -> bool:
    asks = "ratings" in kind.asks or "aspects" in kind.asks
    return (
        kind.fewest <= responses <= kind.most
        and (expected.get("better") is None or "choice" in kind.asks)
        and (not any(expected.get("ratings") or ()) or asks)
    )
