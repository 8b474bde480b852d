"""Programs vote through the same records as people, once, and are marked as what they are."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from evaluation.judges import JUDGES, vote
from evaluation.studies import open_study, results
from feedback.assignment import LEASE, tasks_beside
from feedback.intake import Answer, take
from feedback.simulation import gold_quality
from storage import seats, tables
from storage.annotators import add_annotator, annotator_named
from storage.database import Database
from storage.errors import InvalidOption, JobCancelled, NotAllowed
from storage.judgements import judgements
from storage.projects import ensure_project, project_named
from storage.prompts import add_prompts, prompt, responses_by_id
from storage.recipes import RecipeConfig, find
from storage.records import Kind, Message, Prompt, Role, Study
from storage.studies import close_study
from storage.studies import study as find_study

GOOD = (
    "You can start small:\n- choose one question\n- write your own answer\n\nThat is all you need."
)
POOR = "As an AI I think I am a model and I think I am a model and I"


@pytest.fixture
def study(database: Database, now: datetime) -> Study:
    with database.write() as connection:
        project = ensure_project(connection, "judged", now=now)
        prompts = [Prompt.of(project.id, f"How should one answer question {n}?") for n in range(12)]
        add_prompts(connection, prompts)
    return open_study(
        database,
        name="good against poor",
        project=project,
        arms={
            "good": [f"{GOOD} {n}." for n in range(12)],
            "poor": [f"{POOR} {n}" for n in range(12)],
        },
        prompts=prompts,
        overlap=3,
        now=now,
        rng=np.random.default_rng(0),
    )


def run(database: Database, study: Study, name: str, now: datetime, **options: object) -> int:
    recipe = find(JUDGES, "judge", name)
    return vote(database, study, recipe, recipe.config.read(options), now=lambda: now).votes


def close(database: Database, study: Study, now: datetime) -> None:
    with database.write() as connection:
        close_study(connection, study.id, now)


def test_the_gold_judge_finds_the_better_policy_and_marks_the_study_simulated(
    database: Database, study: Study, now: datetime
) -> None:
    asked: list[Message] = [{"role": "user", "content": "How should one answer question 3?"}]
    assert gold_quality(asked, GOOD) > gold_quality(asked, POOR) + 2
    assert [run(database, study, "gold", now, seed=seed) for seed in range(3)] == [12, 12, 12]
    close(database, study, now)
    found = results(database, study)
    assert found.win_rate.low > 0.5
    assert found.verdict.startswith("good beats poor: ")
    assert "(3 simulated raters)" in found.verdict
    assert found.warnings[0].startswith("Simulated raters voted here")
    with database.read() as connection:
        assert find_study(connection, study.id).simulated


def test_a_judge_votes_once_and_its_votes_lie_beside_those_of_people(
    database: Database, study: Study, now: datetime
) -> None:
    assert run(database, study, "longest", now) == 12
    assert run(database, study, "longest", now) == 0
    with database.read() as connection:
        kept = list(judgements(connection, study.project, study=study.id))
        judge = annotator_named(connection, "judge: longest answer")
    assert len(kept) == 12
    assert {one.kind for one in kept} == {Kind.PROGRAM}
    assert {one.annotator for one in kept} == {judge.pseudonym}
    assert {one.interface for one in kept} == {"judge"}
    assert (judge.kind, judge.role) == (Kind.PROGRAM, Role.PARTICIPANT)
    assert all(one.assignment is not None and one.shown for one in kept)
    # The good answer is the longer one, wherever it stood.
    found = results(database, study, peek=True)
    assert found.win_rate.value == 1
    assert "(1 program)" in found.verdict


def test_answers_of_equal_length_are_a_tie_for_the_longest_judge(
    database: Database, now: datetime
) -> None:
    with database.write() as connection:
        project = ensure_project(connection, "equal", now=now)
        prompts = [Prompt.of(project.id, f"Question {n}?") for n in range(4)]
        add_prompts(connection, prompts)
    study = open_study(
        database,
        name="equal",
        project=project,
        arms={"a": ["abc"] * 4, "b": ["xyz"] * 4},
        prompts=prompts,
        overlap=1,
        now=now,
        rng=np.random.default_rng(0),
    )
    assert run(database, study, "longest", now) == 4
    assert results(database, study, peek=True).ties == 4


def test_a_closed_study_takes_no_votes(database: Database, study: Study, now: datetime) -> None:
    close(database, study, now)
    with pytest.raises(NotAllowed, match="is closed; it takes no more votes"):
        run(database, study, "longest", now)


def test_a_person_is_not_voted_for(database: Database, study: Study, now: datetime) -> None:
    with database.write() as connection:
        add_annotator(connection, "judge: longest answer", role=Role.ANNOTATOR, now=now)
    with pytest.raises(InvalidOption, match="the name belongs to a person"):
        run(database, study, "longest", now)


def test_cancelling_keeps_the_votes_given(database: Database, study: Study, now: datetime) -> None:
    class Stopped:
        def report(self, step: int, *_: object, **__: object) -> None:
            raise JobCancelled("Stopped.")

        def log(self, line: str) -> None: ...

    recipe = JUDGES["longest"]
    with pytest.raises(JobCancelled):
        vote(database, study, recipe, recipe.config(), now=lambda: now, progress=Stopped())
    with database.read() as connection:
        assert len(list(judgements(connection, study.project, study=study.id))) == 12


def test_a_reward_model_votes_by_its_own_scores(
    database: Database, study: Study, now: datetime, reward_model: Callable[[], Path]
) -> None:
    from training.rewards.scoring import RewardScorer

    folder = reward_model()
    assert run(database, study, "reward", now, model=str(folder), device="cpu") == 12
    scorer = RewardScorer.load(folder, device="cpu")
    with database.read() as connection:
        kept = list(judgements(connection, study.project, study=study.id))
        for judgement in kept:
            (said,) = judgement.comparisons
            asked = prompt(connection, judgement.prompt).messages
            texts = responses_by_id(connection, [said.left, said.right])
            left, right = scorer.score(
                [(asked, texts[said.left].text), (asked, texts[said.right].text)]
            )
            assert said.choice == np.sign(right - left)
        assert {judgement.kind for judgement in kept} == {Kind.PROGRAM}


@pytest.mark.parametrize("name", JUDGES)
def test_every_judge_says_what_it_is_and_refuses_unknown_options(name: str) -> None:
    recipe = JUDGES[name]
    assert recipe.name == name
    assert recipe.summary
    assert not recipe.summary.endswith(".")
    assert issubclass(recipe.config, RecipeConfig)
    needed = {field: "x" for field, how in recipe.config.model_fields.items() if how.is_required()}
    with pytest.raises(InvalidOption, match="there is no such option"):
        recipe.config.read({**needed, "colour": "red"})


def people_vote(database: Database, study: Study, now: datetime, *, people: int) -> list[int]:
    """Simulated raters stand for people: how many votes each could still give."""
    return [run(database, study, "gold", now, seed=seed) for seed in range(people)]


def test_programs_take_nobody_s_place_and_find_one_where_all_are_taken(
    database: Database, study: Study, now: datetime
) -> None:
    assert run(database, study, "longest", now) == 12
    assert people_vote(database, study, now, people=4) == [12, 12, 12, 0]
    with database.write() as connection:
        add_annotator(connection, "another", role=Role.PARTICIPANT, kind=Kind.PROGRAM, now=now)
        other = annotator_named(connection, "another")
        project = project_named(connection, study.project)
    asked = {"study": study.id, "now": now, "rng": np.random.default_rng(0)}
    first = tasks_beside(database, other, project, count=5, **asked)
    assert len(first) == 5
    # What it holds comes first; two programs sit at one task.
    again = tasks_beside(database, other, project, count=20, **asked)
    assert [one.assignment.id for one in again[:5]] == [one.assignment.id for one in first]
    assert len(again) == 12
    assert len({one.assignment.task for one in again}) == 12
    with database.read() as connection:
        free = [
            row.free_seats
            for row in connection.execute(
                select(tables.tasks.c.free_seats).where(tables.tasks.c.study == study.id)
            )
        ]
    assert free == [0] * 12


def test_a_program_may_take_its_time_and_what_it_leaves_stays_as_it_was_shown(
    database: Database, study: Study, now: datetime
) -> None:
    with database.write() as connection:
        add_annotator(connection, "slow", role=Role.PARTICIPANT, kind=Kind.PROGRAM, now=now)
        slow = annotator_named(connection, "slow")
        project = project_named(connection, study.project)
    asked = {"study": study.id, "count": 12, "rng": np.random.default_rng(0)}
    held = tasks_beside(database, slow, project, now=now, **asked)
    later = now + 3 * LEASE
    assert people_vote(database, study, later, people=1) == [12]  # frees what ran out
    answer = Answer(
        submission=uuid.uuid4(), assignment=held[0].assignment.id, choice=1, interface="judge"
    )
    assert take(database, slow, answer, now=later).saved
    with database.write() as connection:
        seats.leave(connection, slow.id, project.id, study.id)
    back = {one.assignment.id: one for one in tasks_beside(
        database, slow, project, now=later, **asked
    )}  # fmt: skip
    assert back.keys() == {one.assignment.id for one in held[1:]}
    assert all(back[one.assignment.id].responses == one.responses for one in held[1:])
    assert people_vote(database, study, later, people=3) == [0, 12, 12]


def test_a_program_sees_each_side_about_equally_often(
    database: Database, study: Study, now: datetime
) -> None:
    assert run(database, study, "longest", now) == 12
    with database.read() as connection:
        kept = list(judgements(connection, study.project, study=study.id))
    left = sum(one.comparisons[0].choice < 0 for one in kept)
    assert 2 <= left <= 10  # fails by chance once in 150 draws, and the draw is fixed
