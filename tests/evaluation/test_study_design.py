"""What a study asks and how it is counted: forms of task, the frozen plan, answers that reveal."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from evaluation.judges import JUDGES, vote
from evaluation.studies import open_study, results
from evaluation.study_plan import frozen, plan_digest
from evaluation.study_tasks import standing_for
from evaluation.verdict import StudyResult
from feedback.assignment import ShownTask, next_tasks
from feedback.intake import Answer, take
from storage import studies, tables
from storage.annotators import add_annotator
from storage.database import Database
from storage.errors import InvalidData, InvalidOption, NotAllowed
from storage.projects import ensure_project
from storage.prompts import add_prompts, responses
from storage.records import Project, Prompt, Role, Split, Study
from storage.studies import close_study
from storage.tasks import tasks

GOOD, FAIR, BAD = "A good answer", "A fair answer", "A bad answer"
ORDER = (GOOD, FAIR, BAD)
Vote = Callable[[ShownTask], dict[str, Any]]


@pytest.fixture
def project(database: Database, now: datetime) -> Project:
    with database.write() as connection:
        return ensure_project(connection, "held out", now=now)


@pytest.fixture
def prompts(database: Database, project: Project) -> list[Prompt]:
    made = [Prompt.of(project.id, f"Question number {n}?") for n in range(80)]
    chosen = [prompt for prompt in made if prompt.split is Split.TEST][:8]
    with database.write() as connection:
        add_prompts(connection, chosen)
    return chosen


@pytest.fixture
def opened(
    database: Database, project: Project, prompts: list[Prompt], now: datetime
) -> Callable[..., Study]:
    def open_one(**changes: Any) -> Study:
        settings: dict[str, Any] = {
            "name": "Three at once",
            "project": project,
            "arms": {
                "ppo-1": [f"{GOOD}, {n}." for n in range(8)],
                "sft-1": [f"{FAIR}, {n}." for n in range(8)],
                "start": [f"{BAD}, {n}." for n in range(8)],
            },
            "prompts": prompts,
            "overlap": 2,
            "now": now,
            "rng": np.random.default_rng(0),
        }
        return open_study(database, **(settings | changes))

    return open_one


@pytest.fixture
def voted(
    database: Database, project: Project, now: datetime
) -> Callable[[Study, Vote], StudyResult]:
    def let_vote(study: Study, vote: Vote) -> StudyResult:
        for number in range(2):
            with database.write() as connection:
                who = add_annotator(
                    connection, f"{number} {study.id}", role=Role.PARTICIPANT, now=now
                )
            given_out = next_tasks(
                database, who, project, study=study.id, count=99, now=now,
                rng=np.random.default_rng(number),
            )  # fmt: skip
            for task in given_out:
                said = {"submission": uuid.uuid4(), "assignment": task.assignment.id, **vote(task)}
                take(database, who, Answer(**said), now=now)
        with database.write() as connection:
            close_study(connection, study.id, now)
        return results(database, study)

    return let_vote


def place(text: str) -> int:
    """1 for a good answer, 2 for a fair, 3 for a bad one."""
    return next(n for n, start in enumerate(ORDER, start=1) if text.startswith(start))


def in_order(task: ShownTask) -> dict[str, Any]:
    places = [place(text) for text in task.responses]
    if task.type == "ranking":
        used = sorted(set(places))
        return {"ranks": [used.index(one) + 1 for one in places]}
    choice = {"choice": 2 * int(np.sign(places[0] - places[1]))}
    if task.type == "pair":
        return choice
    return choice | {"ratings": [8 - 2 * one for one in places]}


def counted(found: StudyResult) -> list[tuple[str, str, float, int, int]]:
    return [
        (one.arm, one.opponent, one.win_rate.value, one.votes, one.identical)
        for one in found.comparisons
    ]


def test_a_ranking_counts_as_the_votes_on_pairs_that_it_implies(
    opened: Callable[..., Study], voted: Callable[..., StudyResult], database: Database
) -> None:
    study = opened(form="ranking")
    with database.read() as connection:
        made = tasks(connection, study.project, study=study.id)
    assert {(one.type, len(one.responses)) for one in made} == {("ranking", 3)}
    assert (len(made), study.plan["votes"]) == (8, 8 * 3 * 2)
    found = voted(study, in_order)
    assert counted(found) == [
        ("ppo-1", "sft-1", 1, 16, 0),
        ("ppo-1", "start", 1, 16, 0),
        ("sft-1", "start", 1, 16, 0),
    ]
    assert not any("planned" in warning for warning in found.warnings)
    assert found.ratings == ()


def test_rankings_and_pairs_that_say_the_same_give_the_same_win_rates(
    opened: Callable[..., Study], voted: Callable[..., StudyResult]
) -> None:
    def moody(task: ShownTask) -> dict[str, Any]:
        # On even questions the fair answer is the best one, on every third two are equal.
        number = int(task.responses[0].rstrip(".").rsplit(" ", 1)[1])
        worth = {GOOD: 2 + (number % 2), FAIR: 2.5, BAD: 2.5 if number % 3 == 0 else 1}
        values = [
            next(v for k, v in worth.items() if text.startswith(k)) for text in task.responses
        ]
        if task.type == "ranking":
            return {"ranks": [1 + sum(other > one for other in set(values)) for one in values]}
        return {"choice": int(np.sign(values[1] - values[0]))}

    ranked = voted(opened(form="ranking"), moody)
    paired = voted(opened(), moody)
    assert counted(ranked) == counted(paired)
    assert [one.win_rate for one in ranked.comparisons] == [
        one.win_rate for one in paired.comparisons
    ]
    assert [one.ties for one in ranked.comparisons] == [one.ties for one in paired.comparisons]


def test_an_answer_that_two_arms_gave_is_ranked_once_and_its_place_is_that_of_both(
    opened: Callable[..., Study],
    voted: Callable[..., StudyResult],
    prompts: list[Prompt],
    database: Database,
) -> None:
    arms = {
        "a": [f"{GOOD}, {n}." for n in range(8)],
        "b": [f"{GOOD}, {n}. " if n < 3 else f"{FAIR}, {n}." for n in range(8)],
        "c": [f"{BAD}, {n}." for n in range(8)],
        "d": [f"{GOOD}, {n}." if n == 0 else f"{FAIR}, {n}!" for n in range(8)],
    }
    study = opened(form="ranking", arms=arms)
    with database.read() as connection:
        shown = {
            one.prompt: (one.type, len(one.responses))
            for one in tasks(connection, study.project, study=study.id)
        }
    # The first prompt has two different answers to rank, which are a pair.
    assert [shown[one.id] for one in prompts] == [
        ("pair", 2), ("ranking", 3), ("ranking", 3), *[("ranking", 4)] * 5
    ]  # fmt: skip
    found = voted(study, in_order)
    assert counted(found) == [
        # 5 prompts won, 3 identical ones as ties, all by both people: (10 + 3) / 16.
        ("a", "b", pytest.approx(13 / 16), 10, 3),
        ("a", "c", 1, 16, 0),
        ("a", "d", pytest.approx(15 / 16), 14, 1),
        ("b", "c", 1, 16, 0),
        # Better on two prompts, equal on one because identical and on five because fair: 2+3 of 8.
        ("b", "d", pytest.approx(5 / 8), 14, 1),
        ("c", "d", 0, 16, 0),
    ]
    assert study.plan["votes"] == sum(one.votes for one in found.comparisons)


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=6))
def test_an_answer_stands_for_the_arms_that_gave_it_and_for_no_other(
    texts: list[list[int]],
) -> None:
    arms = ["a", "b", "c", "d"]
    identical = {
        (arms[i], arms[j]): [str(n) for n, row in enumerate(texts) if row[i] == row[j]]
        for i, j in combinations(range(4), 2)
    }
    found = standing_for(arms, identical)  # type: ignore[arg-type]
    for n, row in enumerate(texts):
        groups = [
            found.get((str(n), arms[first]), [arms[first]])  # type: ignore[call-overload]
            for first in {row.index(text) for text in row}
        ]
        assert sorted(arm for group in groups for arm in group) == arms
        for group in groups:
            assert len({row[arms.index(arm)] for arm in group}) == 1


def test_ratings_are_told_as_means_of_each_arm_and_never_touch_the_win_rate(
    opened: Callable[..., Study], voted: Callable[..., StudyResult]
) -> None:
    study = opened(form="pair_with_ratings")
    assert "no part of a win rate" in study.plan["ratings"]

    def contrary(task: ShownTask) -> dict[str, Any]:
        """The better answer is chosen and rated lower."""
        number = int(task.responses[0].rstrip(".").rsplit(" ", 1)[1])
        return in_order(task) | {
            "ratings": [min(7, 2 * place(text) - 1 + number % 2) for text in task.responses]
        }

    found = voted(study, contrary)
    assert found.win_rate.value == 1
    # 8 prompts with 4 even numbers or so: the mean of 1 or 2, of 3 or 4, of 5 or 6.
    numbers = [int(text) for text in _numbers(study)]
    odd = sum(n % 2 for n in numbers) / len(numbers)
    assert [(one.arm, one.mean.value, one.mean.n) for one in found.ratings] == [
        ("ppo-1", pytest.approx(1 + odd), 32),
        ("sft-1", pytest.approx(3 + odd), 32),
        ("start", pytest.approx(5 + odd), 32),
    ]
    first = found.ratings[0].mean
    # By hand: four prompts (clusters) of four ratings at each of 1 and 2 around 1.5.
    assert odd == 0.5
    error = np.sqrt(8 / 7 * 8 * (4 * 0.5) ** 2) / 32
    assert (first.low, first.high) == (
        pytest.approx(max(1, 1.5 - 2.364624 * error)),
        pytest.approx(1.5 + 2.364624 * error),
    )


def _numbers(study: Study) -> list[int]:
    return list(range(len(study.plan["prompts"])))


def test_the_plan_says_all_that_the_analysis_uses(opened: Callable[..., Study]) -> None:
    study = opened(
        question="Which one is kinder?",
        without_start="The start cannot answer at all.",
        origins={"ppo-1": {"source": "ppo-1", "model": "0123"}},
    )
    plan = study.plan
    assert (plan["question"], plan["form"]) == ("Which one is kinder?", "pair")
    assert plan["arms"] == ["ppo-1", "sft-1", "start"]
    assert plan["without_start"] == "The start cannot answer at all."
    assert plan["origins"]["ppo-1"]["model"] == "0123"
    for part in ("prompts", "overlap", "votes", "confidence", "ties", "interval", "correction",
                 "stopping", "exclusions", "identical", "revealing"):  # fmt: skip
        assert part in plan
    assert plan["digest"] == plan_digest(plan)
    assert len(plan["digest"]) == 64


def test_the_result_shows_the_digest_and_the_reason(
    opened: Callable[..., Study], voted: Callable[..., StudyResult]
) -> None:
    study = opened(without_start="It is no model.", question="Which is kinder?")
    found = voted(study, in_order)
    assert found.design is not None
    assert found.design.digest == study.plan["digest"]
    assert found.design.without_start == "It is no model."
    assert found.as_json()["design"]["question"] == "Which is kinder?"


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 0.5},
        {"question": "Which is worse?"},
        {"overlap": 1},
        {"arms": ["sft-1", "ppo-1", "start"]},
        {"stopping": "when it pleases"},
    ],
)
def test_a_plan_that_was_changed_gives_no_result(
    opened: Callable[..., Study],
    voted: Callable[..., StudyResult],
    database: Database,
    change: dict[str, Any],
) -> None:
    study = opened()
    voted(study, in_order)
    with database.write() as connection:
        row = tables.studies.c.id == study.id
        changed = {**study.plan, **change}
        connection.execute(update(tables.studies).where(row).values(plan=changed))
    with pytest.raises(InvalidData, match="was changed after it was opened"):
        results(database, study)


def test_nothing_in_storage_changes_a_study_but_its_closing() -> None:
    writers = [
        name
        for name, made in vars(studies).items()
        if callable(made) and getattr(made, "__module__", "") == studies.__name__
    ]
    assert sorted(name for name in writers if not name.startswith("_")) == [
        "add_study", "close_study", "studies", "study", "study_key"
    ]  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_freezing_twice_changes_nothing_and_any_change_changes_the_digest(
    plan: dict[str, Any],
) -> None:
    plan.pop("digest", None)
    once = frozen(plan)
    assert frozen(once) == once
    assert plan_digest({**once, "one more": 1}) != once["digest"]


LEAK = "I am ChatGPT, so"


def leaking(which: str, numbers: range, text: str = LEAK) -> dict[str, list[str]]:
    arms = {
        "ppo-1": [f"{GOOD}, {n}." for n in range(8)],
        "start": [f"{BAD}, {n}." for n in range(8)],
    }
    arms[which] = [
        f"{old} {text} {n}." if n in numbers else old for n, old in enumerate(arms[which])
    ]
    return arms


def test_names_are_redacted_in_what_participants_see_and_the_plan_says_so(
    opened: Callable[..., Study], database: Database
) -> None:
    study = opened(arms=leaking("ppo-1", range(2)), revealing="redact")
    told = study.plan["revealing"]
    assert (told["rule"], told["answers"], told["replaced_by"]) == (
        "redact",
        {"ppo-1": 2},
        "[name]",
    )
    assert told["prompts"] == study.plan["prompts"][:2]
    with database.read() as connection:
        shown = [
            one.text
            for texts in responses(connection, study.plan["prompts"]).values()
            for one in texts
        ]
    assert sum("I am [name], so" in text for text in shown) == 2
    assert not any("ChatGPT" in text for text in shown)


def test_answers_that_reveal_are_refused_with_how_many_and_which(
    opened: Callable[..., Study],
) -> None:
    with pytest.raises(InvalidData, match="3 answers tell who wrote them: start says 'ChatGPT'"):
        opened(arms=leaking("start", range(3)), revealing="refuse")
    opened(arms=leaking("start", range(0)), revealing="refuse")


def test_flagged_answers_are_shown_counted_and_warned_of_where_they_matter(
    opened: Callable[..., Study], voted: Callable[..., StudyResult]
) -> None:
    def votes_for_chatgpt(task: ShownTask) -> dict[str, Any]:
        left, right = task.responses
        if LEAK in left or LEAK in right:
            return {"choice": -1 if LEAK in left else 1}
        return {"choice": 0}

    found = voted(opened(arms=leaking("ppo-1", range(4))), votes_for_chatgpt)
    assert found.win_rate.value == 0.75
    (warning,) = [one for one in found.warnings if "tell, or seem to tell" in one]
    assert warning.startswith("Answers to 4 of the prompts")
    assert "With them ppo-1 won 75 %" in warning
    assert "without them 50 % [" in warning
    assert found.as_json()["design"]["revealing"] == {
        "rule": "flag", "answers": {"ppo-1": 4}, "prompts": 4
    }  # fmt: skip


def test_flagged_answers_that_change_nothing_are_counted_without_a_warning(
    opened: Callable[..., Study], voted: Callable[..., StudyResult]
) -> None:
    found = voted(opened(arms=leaking("ppo-1", range(2))), in_order)
    assert found.design is not None
    assert found.design.revealing["answers"] == {"ppo-1": 2}
    assert not any("seem to tell" in warning for warning in found.warnings)


def test_where_nearly_all_answers_reveal_nothing_can_be_said_without_them(
    opened: Callable[..., Study], voted: Callable[..., StudyResult]
) -> None:
    found = voted(opened(arms=leaking("ppo-1", range(7))), in_order)
    assert any("Without these prompts there are too few votes" in one for one in found.warnings)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"question": " "}, "question: it needs one line"),
        ({"question": "Which?\nSay."}, "question: it needs one line"),
        ({"question": "x" * 201}, "question: it needs one line"),
        ({"question": "Is ppo-1 better?"}, "question: it names a model"),
        ({"form": "essay"}, "form: it is one of pair, ranking"),
        ({"form": "ranking", "arms": leaking("start", range(0))}, "3 to 8 arms .* has 2"),
    ],
)
def test_a_design_that_cannot_be_put_to_people_is_refused(
    opened: Callable[..., Study], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidOption, match=problem):
        opened(**changes)


def test_judges_that_choose_do_not_vote_where_answers_are_ranked(
    opened: Callable[..., Study], database: Database, now: datetime
) -> None:
    longest = JUDGES["longest"]
    with pytest.raises(NotAllowed, match=r"asks for another form of task \(ranking\)"):
        vote(database, opened(form="ranking"), longest, longest.config.read({}), now=now)
