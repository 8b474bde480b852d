"""A study of three arms in a database: people vote, and a program beside them."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from itertools import count, cycle, islice
from typing import Any

import numpy as np
from made_study import TOPICS

from evaluation.judges import JUDGES, vote
from evaluation.studies import open_study
from storage import studies
from storage.annotators import add_annotator
from storage.database import Database
from storage.judgements import record_submission
from storage.prompts import add_prompts, response
from storage.records import (
    Annotator,
    Assignment,
    Comparison,
    Project,
    Prompt,
    Role,
    Split,
    Study,
    Submission,
    SubmissionId,
)
from storage.tasks import lease, task

ARMS = ("Combined", "Preference only", "SFT")
STRENGTH = dict(zip(ARMS, (0.8, 0.35, 0.0), strict=True))
WORDS = (
    "Start with the part that matters most to you.",
    "Yeast turns sugar into gas, and the gas is **caught in the dough**.",
    "If it stays flat, the water was too hot or the yeast too old.",
    "A tuple cannot be changed once it is there, and a list can: `items[0] = 1`.",
    "Ask what is included, who repairs what, and how one gets out again.",
)


def three_arms(
    database: Database,
    project: Project,
    now: datetime,
    *,
    prompts: int = 12,
    people: int = 9,
    overlap: int = 3,
    close: bool = True,
    share: float = 1.0,
    judged: bool = False,
    name: str = "Which signal helps?",
) -> Study:
    """A study of so many prompts, each of whose pairs of answers is to get `overlap` votes.

    Args:
        database: Where it is kept.
        project: Whose study it is.
        now: When it is over; it was opened two days before.
        prompts: How many.
        people: Who votes; each gets the same number of tasks.
        overlap: Votes on each pair of answers.
        close: Whether it is closed.
        share: Which part of the tasks people do.
        judged: Whether a program votes beside people.
        name: Of the study.
    """
    rng = np.random.default_rng(4)
    opened = now - timedelta(days=2)
    texts = (f"{TOPICS[n % len(TOPICS)]} ({name} {n + 1})" for n in count())
    tags = cycle(("advice", "writing", "code"))
    made = (Prompt.of(project.id, text, tags=(next(tags),)) for text in texts)
    said = list(islice((prompt for prompt in made if prompt.split is Split.TEST), prompts))
    with database.write() as connection:
        add_prompts(connection, said)
        voters = [
            add_annotator(
                connection, f"voter-{n}-{name}@example.org", role=Role.PARTICIPANT, now=opened
            )
            for n in range(people)
        ]
    answers = {
        arm: [
            " ".join(rng.choice(WORDS, size=rng.integers(2, 8) + 2 - at)) + f" ({n})."
            for n in range(prompts)
        ]
        for at, arm in enumerate(ARMS)
    }
    study = open_study(
        database,
        name=name,
        project=project,
        arms=answers,
        prompts=said,
        overlap=overlap,
        now=opened,
        rng=rng,
    )
    with database.read() as connection:
        key = studies.study_key(connection, study.id, for_totals=True)
    each = round(share * prompts * 3 * overlap / people)
    with database.write() as connection:
        # Nobody gets a task twice, so that some are left over for who comes again.
        for voter in [*voters, *(voters if share == 1 else ())]:
            held = lease(
                connection,
                voter.id,
                project=project.id,
                study=study.id,
                count=each,
                now=opened,
                lifetime=timedelta(days=3),
                rng=rng,
            )
            for one in held:
                _vote(connection, study, one, voter, key, now=now, rng=rng)
    if judged:
        judge = JUDGES["longest"]
        vote(database, study, judge, judge.config.read({}), now=lambda: now)
    if close:
        with database.write() as connection:
            study = studies.close_study(connection, study.id, now=now)
    return study


def _vote(
    connection: Any,
    study: Study,
    held: Assignment,
    voter: Annotator,
    key: Any,
    *,
    now: datetime,
    rng: np.random.Generator,
) -> None:
    left, right = held.shown
    lengths = [len(response(connection, one).text) for one in (left, right)]
    better = STRENGTH[key[left]] - STRENGTH[key[right]] + 0.002 * (lengths[0] - lengths[1])
    tied, won = rng.random() < 0.15, rng.random() < 1 / (1 + np.exp(-better))
    said = Comparison(left=left, right=right, choice=0 if tied else -2 if won else 2)
    record_submission(
        connection,
        Submission(
            id=SubmissionId(secrets.token_hex(8)),
            annotator=voter.id,
            prompt=task(connection, held.task).prompt,
            assignment=held.id,
            study=study.id,
            comparisons=(said,),
            received=now - timedelta(hours=float(rng.uniform(1, 40))),
        ),
    )
