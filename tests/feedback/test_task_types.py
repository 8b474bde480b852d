"""What an answer to each kind of task must hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.tasks import TASKS
from storage.errors import InvalidAnswer
from storage.records import Comparison, Rating, ResponseId

LEFT, RIGHT = ResponseId("l"), ResponseId("r")
rated, plain = TASKS["pair_with_ratings"], TASKS["pair"]


def test_a_table_entry_is_called_what_its_key_says() -> None:
    assert all(name == task_type.name for name, task_type in TASKS.items())


@given(choice=st.integers(-3, 3), ratings=st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_a_whole_answer_says_the_same_of_the_same_responses(
    choice: int, ratings: tuple[int, int]
) -> None:
    comparisons, scores = rated.judgements((LEFT, RIGHT), choice=choice, ratings=ratings)
    assert comparisons == (Comparison(left=LEFT, right=RIGHT, choice=choice),)
    assert scores == (
        Rating(response=LEFT, value=ratings[0]),
        Rating(response=RIGHT, value=ratings[1]),
    )
    assert plain.judgements((LEFT, RIGHT), choice=choice) == (comparisons, ())


def test_both_bad_needs_no_choice_and_is_a_tie() -> None:
    (comparison,), _ = plain.judgements((LEFT, RIGHT), choice=None, both_bad=True)
    assert (comparison.choice, comparison.both_bad) == (0, True)


@pytest.mark.parametrize(
    ("task_type", "answer", "sentence"),
    [
        (plain, {"choice": None}, "choice is missing"),
        (plain, {"choice": 4}, "from -3 .* to 3 .*got 4"),
        (plain, {"choice": 2, "both_bad": True}, "either the choice or both_bad"),
        (plain, {"choice": 1, "ratings": [4, 4]}, r"takes no ratings; got \[4, 4\]"),
        (rated, {"choice": 1}, "one rating for each of its 2 responses.*got None"),
        (rated, {"choice": 1, "ratings": [4]}, r"got \[4\]"),
        (rated, {"choice": 1, "ratings": [4, 8]}, "between 1 and 7; got 8"),
        (rated, {"choice": 1, "ratings": [0, 4]}, "between 1 and 7; got 0"),
        (rated, {"choice": 1, "ratings": [True, 4]}, "between 1 and 7; got True"),
    ],
)
def test_half_an_answer_is_refused(task_type: Any, answer: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidAnswer, match=sentence):
        task_type.judgements((LEFT, RIGHT), **answer)
