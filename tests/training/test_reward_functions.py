"""Rewards that the text settles, what they are called, and how their weights move."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.errors import InvalidOption
from training.policies.config import PPOConfig
from training.policies.functions import EXAMPLES, LONGEST_EXPRESSION, text_function
from training.policies.measured import ANSWERS
from training.policies.mixer import weights_at
from training.policies.reward_options import is_reward_model, short
from training.policies.schedule import points
from training.policies.service import (
    MOST_CHARACTERS,
    MOST_CONVERSATIONS,
    PASSING,
    PATIENCE,
    PAUSES,
    TOKENS,
)
from training.policies.sources import TextFunction


def reward(name: str, *answers: str) -> list[float]:
    function = text_function(name)
    assert function is not None
    found: list[float] = TextFunction(function).score([((), one) for one in answers]).tolist()
    return found


# --- functions ------------------------------------------------------------------------------------


def test_length_counts_words() -> None:
    assert reward("length", "", "  \n", "one", "one, two\n\tthree ") == [0, 0, 1, 3]


def test_closeness_to_a_length_falls_by_one_a_word_on_either_side() -> None:
    assert reward("length:3", "a b c", "a b", "a b c d e", "") == [0, -1, -2, -3]


def test_an_expression_is_found_anywhere() -> None:
    assert reward(r"matches:\d", "room 7", "no room", "") == [1, 0, 0]
    assert reward("matches:^(?i)yes", "YES, it is", "Oh yes") == [1, 0]
    # What stands behind the first colon is the expression, whatever it holds.
    assert reward("matches:a:b=c", "xa:b=cx", "a:b") == [1, 0]


def test_only_whole_objects_and_arrays_are_json() -> None:
    for answer in ("{}", ' {"a": [1, 2.5e3, null]}\n', "[]", "[" + "9" * 9000 + "]", "[1e999]"):
        assert reward("json", answer) == [1], answer
    lone = ("", "1", '"text"', "null", "true")
    broken = ("{", "{'a': 1}", "[1,]", "[NaN]", "[-Infinity]", "[1] [2]", "Here: {}", "[" * 100_000)
    assert reward("json", *lone, *broken) == [0.0] * (len(lone) + len(broken))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_whatever_python_writes_as_json_is_json(value: Any) -> None:
    assert reward("json", json.dumps([value])) == [1]
    assert reward("json", json.dumps({"a": value}), json.dumps([value])[:-1]) == [1, 0]


@pytest.mark.parametrize(
    "expression", ["(a+)+$", "(a|aa)+$", "(.*)*=", "(a*)*b", "([a-z]+)*[0-9]", "(x+x+)+y"]
)
def test_no_expression_holds_up_the_worker(expression: str) -> None:
    # Python's `re` would not be done with these in this universe.
    hostile = ["a" * 30_000 + "!", "x" * 30_000]
    began = time.process_time()
    reward(f"matches:{expression}", *hostile)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("matches:", "a regular expression stands behind"),
        ("matches:(", r"regular expression '\(' cannot be used: unclosed group"),
        ("matches:[z-a]", "invalid character class range"),
        ("matches:(?=x)", "look-around, including look-ahead and look-behind, is not supported"),
        (r"matches:(a)\1", "backreferences are not supported"),
        (r"matches:(\w{100}){100}", "exceeds size limit"),
        ("matches:((((a{50}){50}){50}){50}){50}", "exceeds size limit"),
        ("matches:" + "(" * 490, "unclosed group"),
        ("matches:" + "x" * (LONGEST_EXPRESSION + 1), "at most 500 characters, this one 501"),
        ("length:", "whole number of words from 1 to 100000, as in `length:80`, not ''"),
        ("length:0", "not '0'"),
        ("length:-5", "not '-5'"),
        ("length:8.5", "not '8.5'"),
        ("length:٨", "not '٨'"),
        ("length:100001", "not '100001'"),
        ("json:pretty", "nothing stands behind `json`"),
    ],
)
def test_a_function_that_cannot_be_is_refused_with_the_configuration(
    name: str, complaint: str
) -> None:
    began = time.process_time()
    with pytest.raises(InvalidOption, match=f"rewards: .*{complaint}"):
        PPOConfig.read({"rewards": {name: 1.0}})
    assert time.process_time() - began < 1


@pytest.mark.parametrize("name", ["helpful", "length-1", "lengths", "matches", "./json", "C:/json"])
def test_other_names_are_those_of_reward_models(name: str) -> None:
    assert text_function(name) is None
    assert is_reward_model(PPOConfig.read({"rewards": {name: 1.0}}).rewards.popitem()[0])


@pytest.mark.parametrize(
    "name", ["length", "length:80", "json", "matches:x", "matches:(", "http://h/s", "HTTPS://h/s"]
)
def test_functions_and_services_are_not_looked_for_among_models(name: str) -> None:
    assert not is_reward_model(name)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("http://", "names no host"),
        ("https:///score", "names no host"),
        ("http://host:99999/", "no port from 1 to 65535"),
        ("http://host:port/", "cannot be used"),
        ("http://ho\nst/", "holds what cannot be shown"),
        ("matches:a ", "begins or ends with a space"),
        ("", "begins or ends with a space"),
        ("matches:a\x00b", "holds what cannot be shown"),
        ("matches:\ud800", "holds what cannot be shown"),
    ],
)
def test_an_address_or_a_name_that_cannot_be_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(InvalidOption, match=f"rewards: .*{complaint}"):
        PPOConfig.read({"rewards": {name: 1.0}})


def test_a_long_name_is_short_among_the_metrics_and_still_its_own() -> None:
    long = "matches:" + "a" * 400
    assert short("length:80") == "length:80"
    assert short(long) != short(long + "b")
    assert max(len(short(long)), len(short("x" * 81))) == 79
    assert short("x" * 80) == "x" * 80


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"what host wants .* variable TANDEM_REWARD_TOKENS"):
        PPOConfig.read({"rewards": {"https://me:secret@host/score": 1.0}})


# --- schedules ------------------------------------------------------------------------------------


def test_weights_move_in_straight_lines_and_rest_outside_them() -> None:
    weights = {"a": 2.0, "b": -1.0, "c": 0.5}
    schedule = {"a": "0.2:0,0.6:1", "b": "0:1,1:0.5"}
    found = [weights_at(share, weights, schedule) for share in (0, 0.2, 0.3, 0.6, 1)]
    # a: 2 x (0.3 - 0.2) / (0.6 - 0.2) = 0.5 at 0.3; b: -1 x (1 - 0.5 x share).
    assert [one["a"] for one in found] == pytest.approx([0, 0, 0.5, 2, 2])
    assert [one["b"] for one in found] == pytest.approx([-1, -0.9, -0.85, -0.7, -0.5])
    assert [one["c"] for one in found] == [0.5] * 5


@given(
    st.dictionaries(st.floats(0, 1), st.floats(0, 100), min_size=1, max_size=6).filter(
        lambda drawn: any(drawn.values())
    ),
    st.floats(0, 1),
)
@example({0.0: 1.0}, 0.7)
def test_a_factor_lies_between_those_of_its_neighbours(
    drawn: dict[float, float], share: float
) -> None:
    text = ",".join(f"{place!r}:{drawn[place]!r}" for place in sorted(drawn))
    assert points(text) == (sorted(drawn), [drawn[place] for place in sorted(drawn)])
    found = weights_at(share, {"a": 1.0}, {"a": text})["a"]
    below = max((place for place in drawn if place <= share), default=min(drawn))
    above = min((place for place in drawn if place >= share), default=max(drawn))
    low, high = sorted((drawn[below], drawn[above]))
    assert low - 1e-9 <= found <= high + 1e-9


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "SHARE:FACTOR"),
        ("1", "SHARE:FACTOR"),
        ("0:1,", "SHARE:FACTOR"),
        ("0:1:2", "SHARE:FACTOR"),
        ("0:a", "SHARE:FACTOR"),
        ("-0.1:1", "-0.1 does not"),
        ("0:1,1.1:1", "1.1 does not"),
        ("nan:1", "nan does not"),
        ("0:-1", "-1 is not"),
        ("0:inf", "inf is not"),
        ("0:nan", "nan is not"),
        ("0.5:1,0.5:0", "must rise"),
        ("0.5:1,0.2:0", "must rise"),
        ("0:0,1:0", "never lets the reward count"),
        (",".join(f"{place / 200}:1" for place in range(101)), "at most 100 points"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidOption, match=f"weight_schedule: .*{complaint}"):
        PPOConfig.read({"rewards": {"a": 1.0}, "weight_schedule": {"a": text}})


def test_a_schedule_is_for_a_reward_that_is_there() -> None:
    with pytest.raises(InvalidOption, match="weight_schedule: 'b' is not among the rewards"):
        PPOConfig.read({"rewards": {"a": 1.0}, "weight_schedule": {"b": "0:1"}})


# --- the document ---------------------------------------------------------------------------------

DOCUMENT = (Path(__file__).parents[2] / "docs/rewards.md").read_text("utf-8")


def test_the_document_names_every_kind_of_reward_as_it_is_read() -> None:
    table = re.findall(r"^\| (`.+?) \|", DOCUMENT, re.MULTILINE)
    named = re.findall("`([^`]+)`", " ".join(table))
    assert set(EXAMPLES) < set(named)
    PPOConfig.read({"rewards": dict.fromkeys(named, 1.0)})
    assert [name for name in named if is_reward_model(name)] == ["combined-1", "./my-reward-model"]
    (schedule,) = re.findall("--weight-schedule length:80=([0-9.,:]+)`", DOCUMENT)
    assert points(schedule) == ([0, 0.5], [0, 1])


def test_the_document_tells_the_bounds_of_a_service_as_they_are() -> None:
    for told in (
        f"at most {MOST_CONVERSATIONS} conversations, with {MOST_CHARACTERS:,} characters",
        f"waited for {PATIENCE:g} seconds",
        "after 1, 2, 4, … and 64 seconds",
        f"on {ANSWERS} answers",
        f"`{TOKENS}=",
    ):
        assert told in DOCUMENT
    assert (PAUSES[:3], PAUSES[-1]) == ((1, 2, 4), 64)
    *others, last = map(str, sorted(PASSING))
    assert f"{', '.join(others)} and {last}" in DOCUMENT
