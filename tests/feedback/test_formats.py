"""What a line of each format says, and the sentence each broken line gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.importers import IMPORTERS
from feedback.importers.reading import choose, detect, read_judged_prompts, rows_of
from feedback.importers.records import JudgedPrompt
from storage.errors import InvalidData, InvalidOption, NotFound
from storage.records import Kind

# Writing a file leaves nothing behind that the next example could meet.
same_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

PAIR = {"prompt": "p", "chosen": "good", "rejected": "bad"}
RATING = {"prompt": "p", "response": "r", "rating": 3, "scale_min": 1, "scale_max": 5}
BOTH = {
    "prompt": "p",
    "responses": [
        {"rid": "x", "text": "one", "model": "m", "ratings": [{"rating": 2, "annotator": "ann"}]},
        {"rid": "y", "text": "two"},
    ],
    "preferences": [{"a": "x", "b": "y", "winner": "b", "annotator": "bob"}],
}


@pytest.fixture
def read(write_lines: Callable[..., Path]) -> Any:
    def read(
        *lines: dict[str, Any] | str, format_name: str | None = None, **options: Any
    ) -> list[JudgedPrompt]:
        path = write_lines(*lines)
        return list(read_judged_prompts(path, *choose(path, format_name, options)))

    return read


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (PAIR, "pairs"),
        (RATING, "ratings"),
        (BOTH, "both"),
        ({"prompt": "p", "responses": [{"text": "t", "ratings": []}]}, "both"),
        ({"prompt": "p", "preferences": [], "responses": []}, "both"),
        ({"prompt": "p", "responses": ["t"]}, "prompts"),
        ({"prompt": "p"}, "prompts"),
        ({"prompt": "p", "chosen": None, "response": "r", "rating": 1}, "ratings"),
    ],
)
def test_the_first_line_tells_the_format(
    write_lines: Callable[..., Path], line: dict[str, Any], name: str
) -> None:
    assert detect(write_lines(line, "not read")) == name


def test_a_format_that_cannot_be_told_is_named(write_lines: Callable[..., Path]) -> None:
    with pytest.raises(InvalidData, match="cannot be told from the fields question, answer"):
        detect(write_lines({"question": "q", "answer": "a"}))
    with pytest.raises(InvalidData, match="tandem evaluate votes"):
        detect(write_lines({"question_id": 1, "model_a": "a", "model_b": "b", "winner": "tie"}))


def test_an_unknown_format_or_option_is_named(read: Any) -> None:
    with pytest.raises(NotFound, match=r"no format called 'pear'\. Did you mean 'pairs'"):
        read(PAIR, format_name="pear")
    with pytest.raises(InvalidOption, match=r"annotator_kind.*got 'robot'"):
        read(PAIR, annotator_kind="robot")
    with pytest.raises(InvalidOption, match="each_vote: there is no such option"):
        read(RATING, each_vote=True)


def test_every_table_entry_is_called_what_its_key_says() -> None:
    assert all(name == recipe.name for name, recipe in IMPORTERS.items())


# --- pairs


def test_a_pair_is_an_ungraded_comparison(read: Any) -> None:
    [judged] = read(PAIR | {"judge": "gpt"})
    [verdict] = judged.verdicts
    better = verdict.left if verdict.choice < 0 else verdict.right
    assert judged.responses[better].text == "good"
    assert (abs(verdict.choice), verdict.graded, verdict.both_bad) == (1, False, False)
    assert (verdict.annotator, verdict.kind) == ("gpt", Kind.PERSON)


@same_fixture
@given(texts=st.sets(st.text("abc", min_size=1), min_size=2, max_size=2))
def test_the_side_says_nothing_about_which_response_was_chosen(
    write_lines: Callable[..., Path], texts: set[str]
) -> None:
    one, other = texts
    path = write_lines(
        {"prompt": "p", "chosen": one, "rejected": other},
        {"prompt": "p", "chosen": other, "rejected": one},
    )
    first, second = read_judged_prompts(path, *choose(path, None, {}))
    assert first.responses == second.responses
    assert first.verdicts[0].choice == -second.verdicts[0].choice


def test_the_chosen_response_is_left_half_of_the_time(read: Any) -> None:
    lines = [{"prompt": "p", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(400)]
    left = sum(judged.verdicts[0].choice < 0 for judged in read(*lines))
    # Binomial(400, 1/2) leaves 160..240 with a chance below 1 in 10,000.
    assert 160 <= left <= 240


def test_trl_messages_are_read_as_answers(read: Any) -> None:
    said = {name: [{"role": "assistant", "content": PAIR[name]}] for name in ("chosen", "rejected")}
    assert read(PAIR | said) == read(PAIR)


@pytest.mark.parametrize(
    "named", [{"models": ["m", "n"]}, {"chosen_model": "m", "rejected_model": "n"}]
)
def test_who_wrote_the_answers_of_a_pair_and_what_kind_of_prompt_it_is_are_kept(
    read: Any, named: dict[str, Any]
) -> None:
    [judged] = read(PAIR | named | {"tags": ["easy"], "kind": "code", "subset": "easy"})
    assert {r.text: r.policy for r in judged.responses} == {"good": "m", "bad": "n"}
    assert judged.tags == ("easy", "code")


def test_a_list_of_models_that_are_not_one_for_each_answer_says_nothing(read: Any) -> None:
    [judged] = read(PAIR | {"models": ["m", "n", "o"]})
    assert [r.policy for r in judged.responses] == ["", ""]


def test_rows_without_a_store_say_who_wrote_and_what_kind_of_prompt_it_is(
    write_lines: Callable[..., Path],
) -> None:
    more = {"subset": "code"}
    [pair], _ = rows_of(write_lines(PAIR | more | {"models": ["m", "n"]}))
    assert {pair.left: pair.left_policy, pair.right: pair.right_policy} == {"good": "m", "bad": "n"}
    assert pair.tags == ("code",)
    _, [rating] = rows_of(write_lines(RATING | more | {"model": "m"}))
    assert (rating.policy, rating.tags) == ("m", ("code",))


def test_votes_replace_the_verdict_only_when_asked(read: Any) -> None:
    line = PAIR | {"strength": 0.5, "votes": {"a": "chosen", "b": "rejected", "c": "tie"}}
    assert len(read(line)[0].verdicts) == 1
    verdicts = read(line, each_vote=True)[0].verdicts
    by = {verdict.annotator: verdict.choice for verdict in verdicts}
    assert by["a"] == -by["b"] != 0
    assert by["c"] == 0


def test_two_equal_texts_are_left_out_and_counted(read: Any) -> None:
    [judged] = read(PAIR | {"rejected": "good"})
    assert (judged.verdicts, judged.skipped) == ((), 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt": None}, "there is no prompt"),
        ({"prompt": " "}, "prompt needs some text"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "needs a role"),
        ({"prompt": ["first turn", "second turn"]}, "needs a role"),
        ({"chosen": None}, "'chosen' needs some text; got None"),
        ({"rejected": "  "}, "'rejected' needs some text; got '  '"),
        ({"rejected": 7}, "'rejected' needs some text; got 7"),
        ({"chosen": "a\0b"}, r"'chosen' holds the character U\+0000"),
        ({"chosen": "a\ud800b"}, r"'chosen' holds the character U\+D800"),
        ({"prompt": "a\0b"}, r"U\+0000"),
        ({"chosen": [{"role": "user", "content": "x"}]}, "the last one is the assistant's"),
        ({"judge": "x" * 151}, "the annotator has 151 characters"),
        ({"annotator_kind": "robot"}, "'annotator_kind' is one of person, program, simulated"),
        ({"source": "x" * 501}, "'source' has 501 characters"),
        ({"votes": {"a": "maybe"}}, "a vote is one of chosen, rejected, tie; 'a' has 'maybe'"),
        ({"votes": []}, "votes need to be an object"),
    ],
)
def test_a_broken_pair_is_refused(read: Any, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidData, match=f"file.jsonl, line 2: .*{sentence}"):
        read(PAIR, PAIR | change, each_vote=True)


# --- ratings


@pytest.mark.parametrize(
    ("rating", "low", "high", "expected"),
    [
        (1, 1, 5, 1.0),
        (5, 1, 5, 7.0),
        (3, 1, 5, 4.0),
        (2, 1, 5, 2.5),  # 1 + 6 * 1/4
        (0.25, 0, 1, 2.5),
        (-1, -3, 3, 3.0),  # 1 + 6 * 2/6
        (10, 1, 10, 7.0),
        (4.2, 1, 7, 4.2),
    ],
)
def test_a_rating_is_mapped_from_its_scale(
    read: Any, rating: float, low: float, high: float, expected: float
) -> None:
    line = {"prompt": "p", "response": "r", "rating": rating, "scale_min": low, "scale_max": high}
    # A field computed by somebody else is not believed.
    assert read(line | {"rating_1_7": 6.9})[0].scores[0].value == pytest.approx(expected, abs=1e-12)


@same_fixture
@given(
    low=st.integers(-50, 50), width=st.integers(1, 50), share=st.floats(0, 1), other=st.floats(0, 1)
)
def test_the_mapping_keeps_order_and_ends(
    write_lines: Callable[..., Path], low: int, width: int, share: float, other: float
) -> None:
    high = low + width
    path = write_lines(
        *(
            {"prompt": "p", "response": "r", "rating": r, "scale_min": low, "scale_max": high}
            for r in (low, high, min(high, low + share * width), min(high, low + other * width))
        )
    )
    judged = read_judged_prompts(path, *choose(path, None, {}))
    lowest, highest, one, two = (line.scores[0].value for line in judged)
    assert (lowest, highest) == (1, 7)
    assert 1 <= one <= 7
    assert (one <= two) == (one == two or share < other)


def test_a_rating_without_a_scale_is_taken_from_1_to_7(read: Any) -> None:
    [judged] = read({"prompt": "p", "response": "r", "rating": 6})
    [score] = judged.scores
    assert (score.value, score.aspect, score.annotator) == (6, "overall", "unknown")


def test_another_field_may_hold_the_rating(read: Any) -> None:
    [judged] = read(RATING | {"logit_1_7": 2.5}, rating_field="logit_1_7")
    assert judged.scores[0].value == 2.5


def test_a_scale_may_be_an_option_where_lines_tell_none(read: Any) -> None:
    bare = {"prompt": "p", "response": "r", "rating": 5}
    scale = {"scale_min": 0, "scale_max": 10}
    ours, theirs = read(bare, RATING, **scale)
    # 1 + 6 * 5 / 10, and by the scale of its own line 1 + 6 * (3 - 1) / 4.
    assert (ours.scores[0].value, ours.scores[0].scale) == (4, (0, 10))
    assert (theirs.scores[0].value, theirs.scores[0].scale) == (4, (1, 5))
    [both] = read(BOTH, **scale)
    assert [score.value for score in both.scores] == [pytest.approx(2.2)]
    [other] = read(RATING | {"share": 5}, rating_field="share", **scale)
    assert other.scores[0].value == 4
    with pytest.raises(InvalidData, match="rating 11 lies outside its scale 0 to 10"):
        read(bare | {"rating": 11}, **scale)
    with pytest.raises(InvalidOption, match="scale_min and scale_max belong together"):
        read(bare, scale_min=0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rating": 8}, "rating 8 lies outside its scale 1 to 5"),
        ({"rating": 0.5}, "rating 0.5 lies outside its scale 1 to 5"),
        ({"rating": None}, "'rating' needs to be a number; got None"),
        ({"rating": "5"}, "'rating' needs to be a number; got '5'"),
        ({"rating": True}, "'rating' needs to be a number; got True"),
        ({"rating": 10**400}, "'rating' needs to be a finite number"),
        ({"scale_min": None}, "'scale_min' needs to be a number"),
        ({"scale_max": 1}, "scale_min 1 needs to be lower than scale_max 1"),
        (
            {"rating": 8, "scale_min": None, "scale_max": None},
            "rating 8 lies outside 1 to 7 and its scale is not given; give the options scale_min",
        ),
        ({"response": None}, "the response needs some text"),
        ({"aspect": ""}, "the aspect needs some text"),
        ({"sampling": "hot"}, "sampling of the response needs to be an object"),
    ],
)
def test_a_broken_rating_is_refused(read: Any, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidData, match=f"file.jsonl, line 2: .*{sentence}"):
        read(RATING, RATING | change)


# --- both


def test_ratings_and_preferences_of_a_line_are_read(read: Any) -> None:
    [judged] = read(
        BOTH | {"tags": ["t"], "kind": "explain", "source": "s"},
        annotator_kind="program",
    )
    assert [(r.text, r.policy) for r in judged.responses] == [("one", "m"), ("two", "")]
    assert (judged.tags, judged.source) == (("t", "explain"), "s")
    [score], [verdict] = judged.scores, judged.verdicts
    assert (score.response, score.value, score.annotator) == (0, 2, "ann")
    assert (verdict.left, verdict.right, verdict.choice, verdict.graded) == (0, 1, 1, False)
    assert (verdict.annotator, verdict.kind) == ("bob", Kind.PROGRAM)


def test_what_our_own_export_adds_is_read_back(read: Any) -> None:
    preference = {"a": "x", "b": "y", "winner": "a", "choice": -3, "graded": True}
    more = {"annotator_kind": "simulated", "submission": "s1"}
    [judged] = read(BOTH | {"preferences": [preference | more]})
    [verdict] = judged.verdicts
    assert (verdict.choice, verdict.graded, verdict.kind) == (-3, True, Kind.SIMULATED)
    assert verdict.sitting == "s1"


def test_dependent_and_empty_comparisons_are_counted(read: Any) -> None:
    twin = {"rid": "z", "text": "two"}
    [judged] = read(
        BOTH
        | {
            "responses": [*BOTH["responses"], twin],
            "preferences": [
                {"a": "x", "b": "y", "winner": "tie", "independent": False},
                {"a": "y", "b": "z", "winner": "tie", "independent": True},
            ],
        }
    )
    assert (len(judged.verdicts), judged.skipped, judged.dependent) == (1, 1, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"responses": []}, "the prompt has no responses"),
        ({"responses": None}, "the prompt has no responses"),
        ({"responses": ["text"]}, "'responses' needs to be a list of objects"),
        ({"responses": [{"rid": "x", "text": ""}]}, "response 1 needs some text"),
        ({"responses": [{"rid": "x", "text": "a"}] * 2}, "two responses are called 'x'"),
        ({"preferences": [{"a": "x", "b": "q", "winner": "a"}]}, "response 'q', which this prompt"),
        ({"preferences": [{"a": "x", "b": "y", "winner": "c"}]}, "one of a, tie, b; got 'c'"),
        (
            {"preferences": [{"a": "x", "b": "y", "winner": "a", "choice": 1}]},
            "the winner 'a' contradicts the choice 1",
        ),
        (
            {"preferences": [{"a": "x", "b": "y", "winner": "b", "choice": 2}]},
            "whole number from -1 .* to 1",
        ),
        (
            {"preferences": [{"a": "x", "b": "y", "winner": "b", "graded": "yes"}]},
            "'graded' and 'both_bad' are true or false",
        ),
        (
            {"preferences": [], "responses": [{"text": "a", "ratings": [{"rating": 9}]}]},
            "rating 9 lies outside 1 to 7",
        ),
        ({"tags": "explain"}, "'tags' needs to be a list"),
    ],
)
def test_a_broken_line_of_both_is_refused(read: Any, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidData, match=f"file.jsonl, line 2: .*{sentence}"):
        read(BOTH, BOTH | change)


# --- prompts


def test_prompts_may_bring_responses(read: Any) -> None:
    [judged] = read(
        {
            "prompt": "p",
            "kind": "plan",
            "responses": ["one", {"text": "two", "policy": "m", "sampling": {"temperature": 0.7}}],
        }
    )
    assert [r.text for r in judged.responses] == ["one", "two"]
    assert judged.responses[1].sampling == {"temperature": 0.7}
    assert judged.tags == ("plan",)
    assert read({"prompt": "p"})[0].responses == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"responses": "text"}, "'responses' needs to be a list of texts"),
        ({"responses": [" "]}, "response 1 needs some text"),
        ({"preferences": [{}]}, "judgements here.*format 'both'"),
        ({"responses": [{"text": "t", "ratings": [{"rating": 1}]}]}, "judgements here"),
    ],
)
def test_a_broken_prompt_is_refused(read: Any, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidData, match=f"line 2: .*{sentence}"):
        read({"prompt": "p"}, {"prompt": "q"} | change)
