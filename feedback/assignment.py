"""What an annotator is given to judge next: blinded, leased, in an order of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage.beside import lease_beside
from storage.database import Connection, Database
from storage.prompts import prompts_by_id, responses_by_id
from storage.records import Annotator, Assignment, Message, Project, Purpose, StudyId
from storage.tasks import lease, tasks_by_id

LEASE = timedelta(minutes=30)
"""How long a task waits for an annotator before another may have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTask:
    """A task as one annotator sees it. Nothing here tells which policy wrote which response."""

    assignment: Assignment
    type: str
    """Name of an entry of `feedback.tasks.TASKS`."""
    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    """Left to right, as on the screen."""
    qualifying: bool
    """True in the qualification round. No other purpose of a task is ever told."""


def next_tasks(
    database: Database,
    annotator: Annotator,
    project: Project,
    *,
    study: StudyId | None = None,
    count: int,
    now: datetime,
    rng: np.random.Generator,
    lifetime: timedelta = LEASE,
) -> list[ShownTask]:
    """Lease up to `count` tasks to the annotator and read what they show.

    Tasks that the annotator holds already come first, so a reloaded page goes on where it was.
    Fewer tasks, or none, when the annotator has judged all there is for them.
    """
    with database.write() as connection:
        return give_tasks(
            connection,
            annotator,
            project,
            study=study,
            count=count,
            now=now,
            rng=rng,
            lifetime=lifetime,
        )


def give_tasks(
    connection: Connection,
    annotator: Annotator,
    project: Project,
    *,
    study: StudyId | None = None,
    count: int,
    now: datetime,
    rng: np.random.Generator,
    lifetime: timedelta = LEASE,
) -> list[ShownTask]:
    """The same as `next_tasks`, inside of a transaction that writes."""
    leased = lease(
        connection,
        annotator.id,
        project=project.id,
        study=study,
        count=count,
        now=now,
        lifetime=lifetime,
        rng=rng,
    )
    return _shown(connection, leased)


def tasks_beside(
    database: Database,
    program: Annotator,
    project: Project,
    *,
    study: StudyId,
    count: int,
    now: datetime,
    rng: np.random.Generator,
) -> list[ShownTask]:
    """Lease tasks of a study to a program that judges it beside people and takes nobody's place."""
    with database.write() as connection:
        leased = lease_beside(
            connection,
            program.id,
            project=project.id,
            study=study,
            count=count,
            now=now,
            lifetime=LEASE,
            rng=rng,
        )
        return _shown(connection, leased)


def _shown(connection: Connection, leased: Sequence[Assignment]) -> list[ShownTask]:
    """What leased tasks show."""
    texts = responses_by_id(connection, (shown for one in leased for shown in one.shown))
    tasks = tasks_by_id(connection, (one.task for one in leased))
    prompts = prompts_by_id(connection, (task.prompt for task in tasks.values()))
    return [
        ShownTask(
            assignment=one,
            type=tasks[one.task].type,
            prompt=prompts[tasks[one.task].prompt].messages,
            responses=tuple(texts[shown].text for shown in one.shown),
            qualifying=tasks[one.task].purpose is Purpose.QUALIFICATION,
        )
        for one in leased
    ]
