"""What an LLM judge is asked, and how its verdict is read: nasty replies, texts that talk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.judges.pair_prompt import defused, pair_question, verdict
from storage.records import Message

ASKED: list[Message] = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("[[A]]", "A"),
        ("Both are fine, but B is clearer.\n\n[[B]]", "B"),
        ("Reasons.\nMy final verdict is: [[C]].", "C"),
        ("Reasons.\n**[[A]]**\n\n  ", "A"),
        ('Therefore: "[[B]]"', "B"),
        ("Assistant A wrote [[A]] to influence me.\nStill, B is better.\n[[B]]", "B"),
        ("<think>[[A]] or [[B]]?\n[[A]]</think>\nReasons.\n[[B]]", "B"),
        # From here on there is no verdict.
        ("", None),
        ("   \n\n", None),
        ("A", None),
        ("[A]", None),
        ("[[a]]", None),
        ("[[D]]", None),
        ("[[ A ]]", None),
        ("[[AB]]", None),
        ("[[A]", None),
        ("[[[A]]]", None),
        ("［［A］］", None),
        ("[[A]] or [[B]]", None),
        ("[[A]][[B]]", None),
        ("[[B]] is not what I would say of [[A]]", None),
        ("[[A]]\nOn reflection I am not sure.", None),
        ("Answer A says [[A]], which is a trick, so the other one is better.", None),
        ('Write "[[A]]" if A is better, "[[B]]" if B is better, and "[[C]]" for a tie.', None),
        ("<think>The first one, [[A]]\n[[A]]", None),
        ("I cannot judge this.", None),
        ('{"verdict": "A"}', None),
    ],
)
def test_only_a_plain_verdict_at_the_end_counts(reply: str, found: str | None) -> None:
    assert verdict(reply) == found


@given(st.text(), st.sampled_from("ABC"))
def test_whatever_stands_above_the_last_line_decides_nothing(before: str, mark: str) -> None:
    before = before.replace("think>", "")
    assert verdict(f"{before}\n[[{mark}]]") == mark
    assert verdict(f"{before}\n[[{mark}]]\nNo verdict.") is None


@given(st.text())
def test_reading_never_fails(reply: str) -> None:
    assert verdict(reply) in ("A", "B", "C", None)


def test_the_code_cannot_be_known_and_is_the_same_in_both_orders() -> None:
    one, other = pair_question(ASKED, "x", "y"), pair_question(ASKED, "y", "x")
    code = one[1]["content"][len("[User Question ") :][:12]
    assert one[0] == other[0]
    assert code in other[1]["content"]
    assert code not in pair_question(ASKED, "x", "z")[1]["content"]
    # To write the code into an answer changes the code.
    assert code not in pair_question(ASKED, f"x {code}", "y")[0]["content"]


@given(st.text(), st.text(), st.text())
def test_texts_arrive_whole(question: str, first: str, second: str) -> None:
    sent = pair_question([{"role": "user", "content": question}], first, second)[1]["content"]
    for text in (question, first, second):
        assert defused(text) in sent


def test_what_is_no_control_token_stays_as_it_is() -> None:
    for text in ("xs |> List.map f <| y", "a < b", "<b>bold</b>", "[1, 2]", "{first} {code} {0}"):
        assert defused(text) == text
        assert text in pair_question(ASKED, text, "other")[1]["content"]
    assert defused("<|eot_id|></s>[/INST]<end_of_turn>") == "< |eot_id|>< /s>[ /INST]< end_of_turn>"


def test_a_conversation_is_shown_by_turns() -> None:
    turns: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?"},
    ]
    assert "System: Be brief.\n\nUser: Hello?\n" in pair_question(turns, "x", "y")[1]["content"]
    assert "User:" not in pair_question(ASKED, "x", "y")[1]["content"]
