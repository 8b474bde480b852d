"""Whether a submission may be kept: is the task theirs, and is it about what was shown?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from storage import seats, tables
from storage.errors import InvalidAnswer
from storage.records import AssignmentId, ProjectId, PromptId, ResponseId, Submission
from storage.rows import in_batches


def leased_task(connection: Connection, submission: Submission) -> Row[Any]:
    """The task that a submission is about, and how it was `shown` to this annotator.

    Raises:
        InvalidAnswer: It was not given to this annotator, or is about something else, or its study
            is closed.
    """
    assignments, tasks = tables.assignments, tables.tasks
    statement = (
        select(assignments.c.shown, assignments.c.annotator, assignments.c.submitted, tasks)
        .join(tasks)
        .where(assignments.c.id == submission.assignment)
    )
    found = connection.execute(statement).first()
    if found is None or found.annotator != submission.annotator:
        raise InvalidAnswer(
            f"No task was given to this annotator as assignment {submission.assignment!r};"
            " ask for the next task and judge that."
        )
    if found.prompt != submission.prompt or found.study != submission.study:
        raise InvalidAnswer(
            f"Assignment {submission.assignment!r} is about prompt {found.prompt!r} in study"
            f" {found.study!r}; got prompt {submission.prompt!r} in study {submission.study!r}."
        )
    closed = select(tables.studies.c.closed).where(tables.studies.c.id == submission.study)
    if submission.study is not None and connection.scalar(closed) is not None:
        raise InvalidAnswer("This study is closed; the vote was not kept.")
    return found


def check_shown(submission: Submission, task: Row[Any]) -> None:
    """See that the submission is about the responses shown, with left and right as shown.

    Raises:
        InvalidAnswer: It is not.
    """
    place = {response: number for number, response in enumerate(task.shown)}
    for one in submission.comparisons:
        if place.get(one.left, len(place)) >= place.get(one.right, -1):
            raise InvalidAnswer(
                f"Response {one.left!r} was not shown to the left of {one.right!r}; shown were"
                f" {task.shown!r}."
            )
    for rating in submission.ratings:
        if rating.response not in place:
            raise InvalidAnswer(
                f"Response {rating.response!r} was not shown; shown were {task.shown!r}."
            )


def keep_late(connection: Connection, submission: Submission, project: ProjectId) -> None:
    """Find a seat for a judgement that does not hold one any more.

    Raises:
        InvalidAnswer: The task is judged already, by this annotator or by all that it takes.
    """
    assignment = AssignmentId(str(submission.assignment))
    if seats.keep_late(connection, assignment, project=project, now=submission.received):
        return
    submitted = select(tables.assignments.c.submitted).where(tables.assignments.c.id == assignment)
    if connection.scalar(submitted) is not None:
        raise InvalidAnswer("This task is judged already; the second judgement was not kept.")
    raise InvalidAnswer(
        "The time for this task ran out and others have judged it meanwhile, so the judgement was"
        " not kept; go on with the next task."
    )


def check_imported(connection: Connection, batch: Sequence[Submission]) -> None:
    """See that imported submissions are about stored responses to the prompts they name.

    Raises:
        InvalidAnswer: One is not, or belongs to an assignment or a study.
    """
    about: dict[ResponseId, set[PromptId]] = defaultdict(set)
    for one in batch:
        if one.assignment is not None or one.study is not None:
            raise InvalidAnswer(
                f"Submission {one.id!r} belongs to assignment {one.assignment!r} and study"
                f" {one.study!r}, so it was not imported; record it by itself."
            )
        for compared in one.comparisons:
            about[compared.left].add(one.prompt)
            about[compared.right].add(one.prompt)
        for rating in one.ratings:
            about[rating.response].add(one.prompt)
    prompts: dict[ResponseId, PromptId] = {}
    table = tables.responses
    for some in in_batches(about):
        rows = connection.execute(select(table.c.id, table.c.prompt).where(table.c.id.in_(some)))
        prompts |= {row.id: row.prompt for row in rows}
    for response, expected in about.items():
        if {prompts.get(response)} != expected:
            raise InvalidAnswer(
                f"Response {response!r} is not stored as an answer to prompt"
                f" {' and '.join(sorted(expected))!r}."
            )
