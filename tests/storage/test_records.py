"""Records refuse what contradicts itself, and their names depend on their content alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InvalidAnswer, InvalidData
from storage.records import (
    AnnotatorId,
    Comparison,
    JobState,
    Message,
    ProjectId,
    Prompt,
    PromptId,
    Rating,
    Response,
    ResponseId,
    Split,
    Submission,
    SubmissionId,
    as_messages,
    check_text,
    digest,
    split_of,
)

LEFT, RIGHT = ResponseId("l"), ResponseId("r")


def test_a_digest_is_that_of_canonical_json() -> None:
    # printf '["a",{"b":1,"ü":2}]' | sha256sum
    expected = hashlib.sha256('["a",{"b":1,"ü":2}]'.encode()).hexdigest()
    assert digest("a", {"ü": 2, "b": 1}, length=64) == expected
    assert digest("a", {"ü": 2, "b": 1}) == expected[:16]


def test_a_text_is_a_conversation_of_one_turn() -> None:
    assert as_messages("Hi") == (Message(role="user", content="Hi"),)
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": "Hi", "name": "x"}]
    assert as_messages(turns) == (
        Message(role="system", content=""),
        Message(role="user", content="Hi"),
    )


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ("", "needs some text"),
        (" \n", "needs some text"),
        ([], "at least one turn"),
        (7, "at least one turn"),
        ([{"role": "system", "content": "Be kind."}], "needs some text"),
        ([{"role": "robot", "content": "Hi"}], "role"),
        ([{"role": "user"}], "content"),
        (["Hi"], "role"),
        ("Hi\0", r"U\+0000 at position 2"),
        ("\ud800", r"U\+D800 at position 0"),
    ],
)
def test_what_is_no_prompt_is_refused(prompt: Any, complaint: str) -> None:
    with pytest.raises(InvalidData, match=complaint):
        as_messages(prompt)


@pytest.mark.parametrize("text", ["", " ", None, 3, "a\0b", "\udfff"])
def test_what_is_no_response_is_refused(text: Any) -> None:
    with pytest.raises(InvalidData):
        Response.of(PromptId("p"), text)


@given(st.text())
def test_every_text_is_kept_or_refused_by_name(text: str) -> None:
    try:
        check_text(text, "It")
    except InvalidData:
        assert "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)
    else:
        assert "\0" not in text
        text.encode()


def test_an_answer_written_for_a_study_says_so() -> None:
    answers = [Response.of(PromptId("p"), "x", sampling=s) for s in ({}, {"study": "s"})]
    assert [answer.study for answer in answers] == [None, "s"]


def test_the_same_content_has_the_same_name_and_other_content_another() -> None:
    project = ProjectId("p")
    ids = [
        Prompt.of(project, "Hi").id,
        Prompt.of(project, [{"role": "user", "content": "Hi"}], tags=["x"], source="y").id,
    ]
    assert ids[0] == ids[1]
    assert Prompt.of(project, "Ho").id != ids[0] != Prompt.of(ProjectId("q"), "Hi").id
    answer = Response.of(ids[0], "Hello", policy="a")
    assert answer.id == Response.of(ids[0], "Hello", policy="a", sampling={"seed": 1}).id
    assert answer.id != Response.of(ids[0], "Hello", policy="b").id


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_spacing_case_and_punctuation_do_not_move_a_prompt(text: str) -> None:
    def part(words: str) -> Split:
        return split_of([Message(role="user", content=words)])

    assert part(text) == part(f"  {text} ?!") == part(text.replace(" ", "\n"))


def test_splits_have_the_sizes_they_promise() -> None:
    parts = [split_of(as_messages(f"Question number {n}")) for n in range(4000)]
    shares = [parts.count(split) / 4000 for split in Split]
    # Standard errors are 0.7, 0.5 and 0.6 percent: four of them are a false alarm in 10,000 runs.
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.03)


@pytest.mark.parametrize(
    "fields",
    [
        {"right": LEFT},
        {"choice": 4},
        {"choice": -4},
        {"choice": 1.0},
        {"choice": True},
        {"choice": None},
        {"choice": 2, "graded": False},
        {"choice": 1, "both_bad": True},
    ],
)
def test_a_comparison_that_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidAnswer):
        Comparison(**{"left": LEFT, "right": RIGHT, "choice": 1} | fields)


def test_a_comparison_knows_what_is_preferred() -> None:
    choices = [-3, -1, 0, 1, 3]
    preferred = [Comparison(left=LEFT, right=RIGHT, choice=c).preferred for c in choices]
    assert preferred == [LEFT, LEFT, None, RIGHT, RIGHT]


@pytest.mark.parametrize("value", [0, 8, 0.99, float("nan"), float("inf"), "5", True, None])
def test_a_rating_outside_of_its_scale_is_refused(value: Any) -> None:
    with pytest.raises(InvalidAnswer, match="between 1 and 7"):
        Rating(response=LEFT, value=value)


def submission(**changes: Any) -> Submission:
    fields = {
        "id": SubmissionId("s"),
        "annotator": AnnotatorId("a"),
        "prompt": PromptId("p"),
        "ratings": (Rating(response=LEFT, value=3),),
        "received": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Submission(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"ratings": ()}, "neither"),
        ({"active_seconds": -1}, "-1 seconds"),
        ({"active_seconds": float("nan")}, "nan seconds"),
        ({"ratings": (Rating(response=LEFT, value=3), Rating(response=LEFT, value=4))}, "twice"),
        (
            {
                "comparisons": (
                    Comparison(left=LEFT, right=RIGHT, choice=1),
                    Comparison(left=RIGHT, right=LEFT, choice=1),
                )
            },
            "twice",
        ),
    ],
)
def test_a_submission_that_contradicts_itself_is_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidAnswer, match=complaint):
        submission(**changes)


def test_one_response_may_be_rated_in_several_aspects() -> None:
    ratings = [Rating(response=LEFT, value=3, aspect=aspect) for aspect in ("clear", "true")]
    assert submission(ratings=tuple(ratings)).ratings == tuple(ratings)


def test_three_states_are_the_end() -> None:
    assert [state for state in JobState if state.is_over] == ["done", "failed", "cancelled"]
