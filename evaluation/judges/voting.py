"""How a program votes: it leases tasks and hands in answers as any participant does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from feedback.assignment import ShownTask, next_tasks
from feedback.intake import Answer, take
from storage.annotators import add_annotator, find_annotator
from storage.database import Database
from storage.errors import InvalidOption, NotAllowed
from storage.projects import projects
from storage.recipes import Progress, Recipe, RecipeConfig
from storage.records import Annotator, Kind, Role, Study
from storage.studies import study as find_study

AT_ONCE = 32
"""Tasks leased together: enough to fill a reward model's batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What a judge says of one task."""

    choice: int
    """-3 left much better ... 0 tie ... +3 right much better."""
    both_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A program ready to vote. It sees what a person would see, and nothing else."""

    name: str
    """Under which it is registered as an annotator."""
    kind: Kind
    ballots: Callable[[Sequence[ShownTask]], list[Ballot]]


def vote(
    database: Database,
    study: Study,
    recipe: Recipe,
    config: RecipeConfig,
    *,
    now: datetime,
    seed: int = 0,
    progress: Progress | None = None,
) -> int:
    """Let a judge vote once on every task of a study that is open to it.

    Calling it again goes on where it stopped, and adds nothing once everything is judged.

    Args:
        database: Where the study is kept.
        study: An open one.
        recipe: An entry of `JUDGES`.
        config: The recipe's options.
        now: When the votes are given.
        seed: Draws the order of the tasks and the sides of the answers.
        progress: Told after each batch.

    Returns:
        How many votes were given.

    Raises:
        NotAllowed: The study is closed, or asks for something else than choices.
        InvalidOption: A person has the judge's name.
    """
    judge: Judge = recipe.run(config)
    rng = np.random.default_rng(seed)
    with database.write() as connection:
        if find_study(connection, study.id).closed is not None:
            raise NotAllowed(f"The study {study.name!r} is closed; it takes no more votes.")
        if (form := study.plan.get("form", "pair")) != "pair":
            raise NotAllowed(
                f"Judges choose between two answers, and the study {study.name!r} asks for another"
                f" form of task ({form}). Open one that asks for pairs."
            )
        project = next(one for one in projects(connection) if one.id == study.project)
        annotator = find_annotator(connection, judge.name) or add_annotator(
            connection, judge.name, role=Role.PARTICIPANT, kind=judge.kind, now=now
        )
    if annotator.kind is not judge.kind:
        raise InvalidOption("judge", f"the name belongs to a {annotator.kind}", judge.name)
    given = 0
    while tasks := next_tasks(
        database, annotator, project, study=study.id, count=AT_ONCE, now=now, rng=rng
    ):
        for task, ballot in zip(tasks, judge.ballots(tasks), strict=True):
            given += _hand_in(database, annotator, task, ballot, now)
        if progress is not None:
            progress.report(given, message=f"{judge.name} voted")
    return given


def _hand_in(
    database: Database, annotator: Annotator, task: ShownTask, ballot: Ballot, now: datetime
) -> bool:
    answer = Answer(
        # Made from the assignment, so that handing in again after a crash changes nothing.
        submission=uuid.uuid5(uuid.NAMESPACE_OID, task.assignment.id),
        assignment=task.assignment.id,
        choice=ballot.choice,
        both_bad=ballot.both_bad,
        interface="judge",
    )
    return take(database, annotator, answer, now=now).saved
