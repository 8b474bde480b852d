"""A study from opening to result on a real database: blinded, sealed, balanced, honest."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, timedelta

import numpy as np
import pytest

from evaluation.studies import open_study, results
from evaluation.verdict import StudyResult
from feedback.assignment import ShownTask, next_tasks
from feedback.intake import Answer, take
from feedback.pairing import make_tasks
from storage.annotators import add_annotator
from storage.database import Database
from storage.errors import InvalidData, InvalidOption, NotAllowed, TooLittleData
from storage.projects import ensure_project
from storage.prompts import add_prompts, responses
from storage.records import Annotator, Project, Prompt, Role, Split, Study
from storage.studies import close_study, studies, study_key
from storage.tasks import tasks

ARMS = ("PPO", "its start")


@pytest.fixture
def project(database: Database, now: datetime) -> Project:
    with database.write() as connection:
        return ensure_project(connection, "held out", now=now)


@pytest.fixture
def prompts(database: Database, project: Project) -> list[Prompt]:
    made = [Prompt.of(project.id, f"Question number {n}?") for n in range(120)]
    chosen = [prompt for prompt in made if prompt.split is Split.TEST][:20]
    with database.write() as connection:
        add_prompts(connection, chosen)
    return chosen


@pytest.fixture
def study(database: Database, project: Project, prompts: list[Prompt], now: datetime) -> Study:
    return opened(database, project, prompts, now)


def opened(
    database: Database, project: Project, prompts: list[Prompt], now: datetime, **changes: object
) -> Study:
    settings: dict[str, object] = {
        "name": "Does PPO help?",
        "project": project,
        "arms": {
            "PPO": [f"A good answer, {n}." for n in range(len(prompts))],
            "its start": [f"Some answer, {n}." for n in range(len(prompts))],
        },
        "prompts": prompts,
        "overlap": 3,
        "now": now,
        "rng": np.random.default_rng(0),
    }
    return open_study(database, **(settings | changes))  # type: ignore[arg-type]


def participant(database: Database, name: str, now: datetime) -> Annotator:
    with database.write() as connection:
        return add_annotator(connection, name, role=Role.PARTICIPANT, now=now)


def shown(
    database: Database, study: Study, project: Project, who: Annotator, now: datetime
) -> list[ShownTask]:
    rng = np.random.default_rng(1)
    return next_tasks(database, who, project, study=study.id, count=99, now=now, rng=rng)


def votes_for(text: str, task: ShownTask) -> int:
    """A choice for the answer that begins with `text`."""
    return -2 if task.responses[0].startswith(text) else 2


def cast(
    database: Database,
    study: Study,
    project: Project,
    now: datetime,
    *,
    people: int = 3,
    limit: int = 99,
    name: str = "person",
) -> list[ShownTask]:
    seen = []
    for number in range(people):
        who = participant(database, f"{name} {number}", now)
        for task in shown(database, study, project, who, now)[:limit]:
            answer = Answer(
                submission=uuid.uuid4(),
                assignment=task.assignment.id,
                choice=votes_for("A good", task),
            )
            take(database, who, answer, now=now)
            seen.append(task)
    return seen


def doubts(found: StudyResult) -> list[str]:
    """The warnings, but for the one that chance may bring: sides are drawn at random."""
    return [doubt for doubt in found.warnings if "on the left" not in doubt]


def close(database: Database, study: Study, now: datetime) -> None:
    with database.write() as connection:
        close_study(connection, study.id, now)


def test_a_study_that_everybody_votes_alike_in_is_won_with_an_honest_interval(
    database: Database, project: Project, study: Study, now: datetime
) -> None:
    seen = cast(database, study, project, now)
    close(database, study, now + timedelta(hours=1))
    found = results(database, study)
    # 20 prompts, all won: 1 - 0.025 ** (1 / 20) of all prompts may still be otherwise.
    assert (found.win_rate.value, found.win_rate.high) == (1, 1)
    assert found.win_rate.low == pytest.approx(1 - 0.1684335)
    assert found.verdict == (
        "PPO beats its start: 100 % [83, 100] of 60 votes over 20 prompts (3 people). Decided."
    )
    assert (found.votes, found.participants, found.simulated) == (60, 3, False)
    assert [doubt.split(";")[0] for doubt in doubts(found)] == ["3 people voted"]
    # Sides are drawn at random: outside of this less than once in 20,000 runs.
    left = sum(task.responses[0].startswith("A good") for task in seen)
    assert 14 <= left <= 46


def test_nothing_that_is_stored_or_shown_tells_the_arms_apart(
    database: Database, project: Project, study: Study, prompts: list[Prompt], now: datetime
) -> None:
    with database.read() as connection:
        stored = responses(connection, [prompt.id for prompt in prompts])
    every = [response for answers in stored.values() for response in answers]
    assert len(every) == 40
    assert {response.policy for response in every} == {""}
    assert {json.dumps(dict(response.sampling)) for response in every} == {
        json.dumps({"study": study.id})
    }
    for task in shown(database, study, project, participant(database, "ann", now), now):
        assert not any(arm in repr(task) for arm in ARMS)
        assert task.type == "pair"


def test_the_order_within_tasks_does_not_give_the_arms_away(
    database: Database, project: Project, study: Study, now: datetime
) -> None:
    close(database, study, now)
    with database.read() as connection:
        key = study_key(connection, study.id)
        first = [key[task.responses[0]] for task in tasks(connection, project.id, study=study.id)]
    # 20 fair coins: outside of 3 ... 17 once in 2,500 seeds.
    assert 3 <= first.count("PPO") <= 17


def test_the_code_cannot_be_guessed_and_the_plan_is_whole(
    database: Database, project: Project, prompts: list[Prompt], now: datetime, study: Study
) -> None:
    other = opened(database, project, prompts, now)
    assert re.fullmatch("[0-9a-f]{32}", study.code)  # 128 bits, and no dash to lead it
    assert study.code != other.code
    with database.read() as connection:
        (kept,) = [one for one in studies(connection) if one.id == study.id]
    assert kept == study
    assert kept.plan["prompts"] == [prompt.id for prompt in prompts]
    assert (kept.plan["votes"], kept.plan["overlap"], kept.plan["confidence"]) == (60, 3, 0.95)
    assert kept.plan["training_prompts"] == 0
    assert kept.arms == ARMS


def test_an_open_study_is_sealed_and_an_early_look_says_so(
    database: Database, project: Project, study: Study, now: datetime
) -> None:
    cast(database, study, project, now, people=2)
    with pytest.raises(NotAllowed, match="still open"):
        results(database, study)
    early = results(database, study, peek=True)
    assert early.win_rate.value == 1
    assert any(doubt.startswith("Early look: 40 of 60 planned votes") for doubt in early.warnings)
    close(database, study, now)
    assert [doubt.split(",")[0].split(";")[0] for doubt in doubts(results(database, study))] == [
        "2 people voted",
        "Closed early: 40 of 60 planned votes were given",
    ]


def test_votes_on_fewer_than_two_prompts_are_too_little(
    database: Database, project: Project, study: Study, now: datetime
) -> None:
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 0"):
        results(database, study, peek=True)
    cast(database, study, project, now, people=1, limit=1)
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 1"):
        results(database, study, peek=True)
    cast(database, study, project, now, people=1, limit=2, name="another")


def test_identical_answers_are_not_asked_about_and_count_as_ties(
    database: Database, project: Project, prompts: list[Prompt], now: datetime
) -> None:
    ours = [f"A good answer, {n}." for n in range(20)]
    theirs = [f" {text}\n" if n < 10 else "Some answer." for n, text in enumerate(ours)]
    study = opened(database, project, prompts, now, arms={"PPO": ours, "its start": theirs})
    assert study.plan["votes"] == 30
    seen = cast(database, study, project, now)
    assert len(seen) == 30
    close(database, study, now)
    found = results(database, study)
    assert found.win_rate.value == pytest.approx(0.75)
    assert found.comparisons[0].identical == 10
    assert "Identical answers to 10 prompts count as ties" in found.verdict


def test_study_answers_are_not_put_before_people_who_judge_for_training(
    database: Database, project: Project, study: Study
) -> None:
    with database.write() as connection:
        made = make_tasks(connection, project, rng=np.random.default_rng(0))
    assert made == 0


def test_three_arms_give_three_pairs(
    database: Database, project: Project, prompts: list[Prompt], now: datetime
) -> None:
    arms = {
        "PPO": [f"A good answer, {n}." for n in range(20)],
        "its start": [f"Some answer, {n}." for n in range(20)],
        "SFT": [f"Some answer, {n}." if n < 5 else f"Third, {n}." for n in range(20)],
    }
    study = opened(database, project, prompts, now, arms=arms, overlap=1)
    assert study.plan["votes"] == 20 + 20 + 15
    cast(database, study, project, now, people=1)
    close(database, study, now)
    found = results(database, study)
    assert [(one.arm, one.opponent, one.votes, one.identical) for one in found.comparisons] == [
        ("PPO", "its start", 20, 0),
        ("PPO", "SFT", 20, 0),
        ("its start", "SFT", 15, 5),
    ]


def test_prompts_that_models_learn_from_are_a_doubt(
    database: Database, project: Project, now: datetime
) -> None:
    made = [Prompt.of(project.id, f"Question number {n}?") for n in range(60)]
    seen = [prompt for prompt in made if prompt.split is Split.TRAIN][:20]
    with database.write() as connection:
        add_prompts(connection, seen)
    study = opened(database, project, seen, now)
    cast(database, study, project, now)
    assert any(
        "trained on 20 prompts of this study" in doubt
        for doubt in results(database, study, peek=True).warnings
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"arms": {"PPO": ["a"] * 20}}, (InvalidOption, "at least two policies")),
        ({"overlap": 0}, (InvalidOption, "overlap: each pair of answers")),
        ({"confidence": 95.0}, (InvalidOption, "strictly between 0 and 1")),
        (
            {"arms": {"PPO": ["a"] * 20, "its start": ["b"] * 19}},
            (InvalidData, "its start has 19 answers to 20 prompts"),
        ),
        (
            {"arms": {"PPO": ["a"] * 20, "its start": ["a"] * 19 + ["b"]}},
            (TooLittleData, "answer 1 of 20 prompts differently"),
        ),
        ({"arms": {"PPO": ["a"] * 20, "its start": [""] * 20}}, (InvalidData, "needs some text")),
    ],
)
def test_a_study_that_cannot_be_is_refused_and_leaves_nothing_behind(
    database: Database,
    project: Project,
    prompts: list[Prompt],
    now: datetime,
    *,
    changes: dict[str, object],
    problem: tuple[type[Exception], str],
) -> None:
    kind, text = problem
    with pytest.raises(kind, match=text):
        opened(database, project, prompts, now, **changes)
    with pytest.raises(InvalidData, match="twice"):
        opened(database, project, [prompts[0]] * 20, now)
    with database.read() as connection:
        assert studies(connection) == []
        assert not any(responses(connection, project.id).values())
