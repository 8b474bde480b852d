"""A small open study of a good policy against a poor one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from evaluation.judges import JUDGES, Voting, vote
from evaluation.studies import open_study
from storage.database import Database
from storage.judgements import Judgement, judgements
from storage.projects import ensure_project
from storage.prompts import add_prompts, responses_by_id
from storage.records import Prompt, Study

ARMS = {
    "policy-zebra": [f"A long answer that says all there is to say of {n}." for n in range(12)],
    "policy-okapi": [f"Short {n}." for n in range(12)],
}


def small_study(
    database: Database,
    now: datetime,
    arms: Mapping[str, Sequence[str]] = ARMS,
    *,
    overlap: int = 3,
) -> Study:
    """As many prompts as the arms have answers."""
    (count,) = {len(answers) for answers in arms.values()}
    with database.write() as connection:
        project = ensure_project(connection, "judged", now=now)
        prompts = [
            Prompt.of(
                project.id,
                f"How should one answer question {n}?",
                tags=("even", "odd")[n % 2 : n % 2 + 1],
            )
            for n in range(count)
        ]
        add_prompts(connection, prompts)
    return open_study(
        database,
        name="good against poor",
        project=project,
        arms=arms,
        prompts=prompts,
        overlap=overlap,
        now=now,
        rng=np.random.default_rng(0),
    )


def let_vote(
    database: Database,
    study: Study,
    name: str,
    now: datetime,
    *,
    progress: Any = None,
    sides: int = 0,
    **options: Any,
) -> Voting:
    """Let a judge vote, as the command does; `sides` draws other sides for the answers."""
    recipe = JUDGES[name]
    config = recipe.config.read(options)
    return vote(database, study, recipe, config, now=lambda: now, seed=sides, progress=progress)


def votes_of(database: Database, study: Study) -> list[Judgement]:
    with database.read() as connection:
        return list(judgements(connection, study.project, study=study.id))


def choices(database: Database, study: Study) -> list[tuple[str, str, int]]:
    """The texts on the left and on the right, and what was said of them."""
    found = []
    with database.read() as connection:
        for one in judgements(connection, study.project, study=study.id):
            (said,) = one.comparisons
            texts = responses_by_id(connection, [said.left, said.right])
            found.append((texts[said.left].text, texts[said.right].text, said.choice))
    return found
