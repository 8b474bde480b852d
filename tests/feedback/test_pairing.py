"""Which responses become tasks."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np

from feedback.pairing import make_tasks
from storage.database import Database
from storage.prompts import add_responses, prompts, responses
from storage.records import Project, Response
from storage.tasks import tasks


def test_every_pair_becomes_a_task_once(
    database: Database, project: Project, rng: np.random.Generator
) -> None:
    with database.write() as connection:
        assert make_tasks(connection, project, rng=rng) == 6  # 2 prompts x 3 pairs
        assert make_tasks(connection, project, rng=rng) == 0
        made = tasks(connection, project.id)
        answers = responses(connection, project.id)
    expected = {
        frozenset((one.id, other.id))
        for theirs in answers.values()
        for one, other in combinations(theirs, 2)
    }
    assert {frozenset(task.responses) for task in made} == expected
    assert {(task.type, task.overlap, task.study) for task in made} == {
        ("pair_with_ratings", 2, None)
    }


def test_a_new_response_is_paired_with_the_old_ones(
    database: Database, project: Project, rng: np.random.Generator
) -> None:
    with database.write() as connection:
        make_tasks(connection, project, rng=rng)
        prompt = prompts(connection, project.id)[0]
        add_responses(connection, [Response.of(prompt.id, "delta")])
        assert make_tasks(connection, project, rng=rng) == 3


def test_some_pairs_of_each_prompt_are_drawn_and_topped_up(
    database: Database, project: Project, rng: np.random.Generator
) -> None:
    with database.write() as connection:
        assert make_tasks(connection, project, rng=rng, pairs_per_prompt=1) == 2
        assert make_tasks(connection, project, rng=rng, pairs_per_prompt=1) == 0
        assert make_tasks(connection, project, rng=rng, pairs_per_prompt=2) == 2
        per_prompt = Counter(task.prompt for task in tasks(connection, project.id))
        assert set(per_prompt.values()) == {2}
        assert make_tasks(connection, project, rng=rng, pairs_per_prompt=9) == 2


def test_equal_texts_and_answers_of_studies_are_not_put_side_by_side(
    database: Database, plain_project: Project, rng: np.random.Generator
) -> None:
    with database.write() as connection:
        [prompt] = prompts(connection, plain_project.id)
        twin = Response.of(prompt.id, "one", policy="another model")
        voted = Response.of(prompt.id, "three", sampling={"study": "s"})
        add_responses(connection, [twin, voted])
        # one-two and one'-two, but neither one-one' nor anything with three.
        assert make_tasks(connection, plain_project, rng=rng) == 2
        assert all(voted.id not in task.responses for task in tasks(connection, plain_project.id))
