"""The qualification round: known items that come before the first real task."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from storage import tables
from storage.errors import NotFound
from storage.records import AnnotatorId, Collecting, ProjectId, Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an annotator stands in the qualification round of a project."""

    left: int
    """Known items still to be judged."""
    done: int
    correct: int
    passed: bool | None
    """None until the round is over; True also where there is none."""


def standing(connection: Connection, annotator: AnnotatorId, project: ProjectId) -> Standing:
    """How far an annotator is in the qualification, and whether it was passed.

    A round is as long as the project asks, or as there are known items for it when they are fewer.

    Raises:
        NotFound: The project is not stored.
    """
    projects = tables.projects
    kept = connection.scalar(select(projects.c.collecting).where(projects.c.id == project))
    if kept is None:
        raise NotFound("project", project)
    return standing_of(connection, annotator, project, Collecting.of(kept))


def standing_of(
    connection: Connection, annotator: AnnotatorId, project: ProjectId, collecting: Collecting
) -> Standing:
    """The same for who has read how the project collects."""
    if not collecting.qualification:
        return Standing(left=0, done=0, correct=0, passed=True)
    tasks, assignments, submissions = tables.tasks, tables.assignments, tables.submissions
    items = (tasks.c.project == project) & (tasks.c.purpose == str(Purpose.QUALIFICATION))
    there = connection.scalar(select(func.count()).select_from(tasks).where(items)) or 0
    judged = (
        select(func.count(), func.sum(case((submissions.c.correct, 1), else_=0)))
        .select_from(tasks.join(assignments, assignments.c.task == tasks.c.id))
        .join(submissions, submissions.c.assignment == assignments.c.id)
        .where(items, assignments.c.annotator == annotator, submissions.c.retracted.is_(None))
    )
    done, correct = connection.execute(judged).one()
    asked = min(collecting.qualification, there)
    left = max(0, asked - done)
    enough = not done or (correct or 0) >= collecting.qualification_pass * done
    return Standing(
        left=left, done=done, correct=correct or 0, passed=None if left else bool(enough)
    )
