"""How tasks are asked in Argilla, and what the answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.argilla.questions import (
    BOTH_BAD,
    COMMENT,
    LABELS,
    PREFERENCE,
    RANKING,
    TITLES,
    Question,
    questions,
    read_answers,
    response_field,
)
from feedback.tasks import TASKS, Screen, TaskType
from storage.errors import InvalidAnswer
from storage.records import PromptId, ResponseId

ASPECTS = ("helpful", "Safety & care", "safety_care")
"""Two of them would be called alike if their names were only made plain."""


def options(question: Question) -> list[Any]:
    """Every answer that Argilla lets somebody give, for texts two."""
    names = list(question.options or {})
    match question.kind:
        case "label":
            return names
        case "rating":
            return list(range(1, 8))
        case "ranking":
            return [
                [{"value": name, "rank": rank} for name, rank in zip(names, ranks, strict=True)]
                for ranks in (range(1, len(names) + 1), [1] * len(names), [2] * len(names))
            ]
        case "text":
            return ["A text.", "Another text."]


@pytest.mark.parametrize("kind", TASKS.values(), ids=lambda kind: kind.name)
@settings(deadline=None)
@given(data=st.data())
def test_every_answer_that_can_be_given_is_a_judgement(kind: TaskType, data: st.DataObject) -> None:
    number = data.draw(st.integers(kind.fewest, kind.most))
    asked = questions(kind, number, ASPECTS)
    values = {
        one.name: data.draw(st.sampled_from(options(one)))
        for one in asked
        if one.required or data.draw(st.booleans())
    }
    said = read_answers(values, kind, number, ASPECTS)
    shown = tuple(ResponseId(f"r{place}") for place in range(number))
    screen = Screen(prompt=PromptId("p"), shown=shown, aspects=ASPECTS)
    meaning = kind.judgements(said.reply, screen)
    assert meaning.comparisons or meaning.ratings
    assert said.comment == values.get(COMMENT, "")
    ratings = sum(one.kind == "rating" for one in asked)
    assert len(meaning.ratings) == ratings


@pytest.mark.parametrize("kind", TASKS.values(), ids=lambda kind: kind.name)
def test_a_missing_answer_is_named(kind: TaskType) -> None:
    asked = questions(kind, kind.fewest, ASPECTS)
    whole = {one.name: options(one)[0] for one in asked}
    for one in asked:
        values = {name: value for name, value in whole.items() if name != one.name}
        if one.required:
            with pytest.raises(InvalidAnswer, match=repr(one.name)):
                read_answers(values, kind, kind.fewest, ASPECTS)
        else:
            read_answers(values, kind, kind.fewest, ASPECTS)


@pytest.mark.parametrize("kind", TASKS.values(), ids=lambda kind: kind.name)
def test_names_are_such_as_argilla_takes(kind: TaskType) -> None:
    names = [one.name for one in questions(kind, kind.most, ASPECTS)]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and name.replace("_", "a").isalnum() for name in names)
    assert all(name.isascii() for name in names)


@pytest.mark.parametrize(
    ("label", "choice", "both_bad"),
    [
        ("1_much_better", -3, False),
        ("1_better", -2, False),
        ("1_slightly_better", -1, False),
        ("tie", 0, False),
        ("2_slightly_better", 1, False),
        ("2_better", 2, False),
        ("2_much_better", 3, False),
        ("both_bad", None, True),
    ],
)
def test_each_label_is_one_choice(label: str, choice: int | None, both_bad: bool) -> None:
    reply = read_answers({PREFERENCE: label}, TASKS["pair"], 2, ASPECTS).reply
    assert (reply.choice, reply.both_bad) == (choice, both_bad)
    assert set(TITLES) == {*LABELS, BOTH_BAD}


def test_ratings_follow_the_order_of_the_fields() -> None:
    values = {PREFERENCE: "tie", "rating_1": 2, "rating_2": 7, "comment": "  So so.  "}
    said = read_answers(values, TASKS["pair_with_ratings"], 2, ASPECTS)
    assert said.reply.ratings == [2, 7]
    assert said.comment == "So so."


def test_aspects_are_kept_apart() -> None:
    asked = [one.name for one in questions(TASKS["aspects"], 2, ASPECTS)]
    assert asked[1:3] == ["rating_1_helpful", "rating_2_helpful"]
    values = {name: 1 + place for place, name in enumerate(asked) if name.startswith("rating")}
    reply = read_answers({**values, PREFERENCE: "tie"}, TASKS["aspects"], 2, ASPECTS).reply
    assert reply.aspects == {
        "helpful": [2, 3],
        "Safety & care": [4, 5],
        "safety_care": [6, 7],
    }


@pytest.mark.parametrize(
    ("ranks", "places"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([3, 1, 2], [3, 1, 2]),
        ([1, 1, 2], [1, 1, 3]),
        ([1, 3, 3], [1, 2, 2]),
        # Nobody in the first place: they tie in it.
        ([2, 2, 3], [1, 1, 3]),
        ([3, 3, 3], [1, 1, 1]),
    ],
)
def test_places_are_those_of_a_competition(ranks: list[int], places: list[int]) -> None:
    value = [{"value": response_field(n), "rank": rank} for n, rank in enumerate(ranks)]
    reply = read_answers({RANKING: value[::-1]}, TASKS["ranking"], 3, ASPECTS).reply
    assert reply.ranks == places


def test_a_ranking_without_ranks_goes_by_its_order() -> None:
    value = ["response_2", "response_3", "response_1"]
    assert read_answers({RANKING: value}, TASKS["ranking"], 3, ASPECTS).reply.ranks == [3, 1, 2]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({PREFERENCE: "1_better", "rating_1": 8, "rating_2": 1}, "'rating_1'.*from 1 to 7; got 8"),
        ({PREFERENCE: "1_better", "rating_1": True, "rating_2": 1}, "got True"),
        ({PREFERENCE: "1_better", "rating_1": 2.0, "rating_2": 1}, "got 2.0"),
        ({PREFERENCE: "C", "rating_1": 1, "rating_2": 1}, "'preference'.*got 'C'"),
        ({PREFERENCE: ["tie"], "rating_1": 1, "rating_2": 1}, "got \\['tie'\\]"),
        ({PREFERENCE: "tie", "rating_1": 1, "rating_2": 1, COMMENT: 5}, "'comment' is a text"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_value(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidAnswer, match=named):
        read_answers(values, TASKS["pair_with_ratings"], 2, ASPECTS)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "response_1",
        [{"value": "response_1", "rank": 1}, {"value": "response_2", "rank": 2}],
        [{"value": f"response_{n}", "rank": "1"} for n in (1, 2, 3)],
        [{"value": f"response_{n}", "rank": n} for n in (1, 2, 4)],
        [{"value": f"response_{n}", "rank": n} for n in (1, 2, 3, 4)],
        [{"value": [f"response_{n}"], "rank": n} for n in (1, 2, 3)],
    ],
)
def test_a_ranking_places_each_response(value: Any) -> None:
    with pytest.raises(InvalidAnswer, match="gives each of response_1, response_2, response_3"):
        read_answers({RANKING: value}, TASKS["ranking"], 3, ASPECTS)
