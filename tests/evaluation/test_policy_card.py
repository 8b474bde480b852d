"""A policy beside its start: by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.length_control import length_controlled_win_rate
from evaluation.policy_card import against_start
from evaluation.statistics import win_rate
from storage.errors import InvalidData, TooLittleData


def test_wins_ties_and_lengths_by_hand() -> None:
    card = against_start(
        {"gold": [2.0, 1.0, 0.0, 5.0], "other": [0.0] * 4},
        {"gold": [1.0, 1.0, 3.0, 1.0], "other": [1.0] * 4},
        tokens=[10, 20, 30, 40],
        tokens_of_start=[20, 10, 10, 20],
        prompts=range(4),
    )
    assert (card["prompts"], card["tokens"], card["tokens_of_start"]) == (4, 25.0, 15.0)
    gold, other = card["judges"]["gold"], card["judges"]["other"]
    assert gold["win_rate"]["value"] == (1 + 0.5 + 0 + 1) / 4
    assert gold["win_rate"] == win_rate([1, 0.5, 0, 1], range(4)).as_json()
    expected = length_controlled_win_rate([1, 0.5, 0, 1], [-10, 10, 20, 20], range(4))
    assert gold["length_controlled"] == expected.as_json()
    # Whoever loses everywhere loses at any length, and how surely, nobody can say.
    assert other["win_rate"]["value"] == 0
    assert other["length_controlled"] is None
    assert gold["is"] == "not shown to be better than its start"


def test_only_an_interval_on_one_side_of_a_half_is_a_verdict() -> None:
    # Of 40 prompts 30 are won: 0.75, and 1.96 standard errors of 0.069 do not reach 0.5.
    won = [1.0] * 30 + [-1.0] * 10
    for sign, verdict in ((1, "better than its start"), (-1, "worse than its start")):
        card = against_start(
            {"gold": [sign * reward for reward in won]},
            {"gold": [0.0] * 40},
            tokens=[10, 20] * 20,
            tokens_of_start=[20, 10] * 20,
            prompts=range(40),
        )
        assert card["judges"]["gold"]["is"] == verdict


def test_a_policy_that_wins_little_and_loses_much_is_told() -> None:
    # It wins every other prompt: 0.5. Mean (1 - 5) / 2 = -2, and its error 3 / sqrt(39) = 0.48.
    card = against_start(
        {"gold": [1.0, -5.0] * 20},
        {"gold": [0.0] * 40},
        tokens=[10, 20] * 20,
        tokens_of_start=[20, 10] * 20,
        prompts=range(40),
    )
    gold = card["judges"]["gold"]
    assert gold["win_rate"]["value"] == 0.5
    assert gold["gain"]["value"] == -2
    assert gold["gain"]["high"] == pytest.approx(-2 + 2.0227 * 3 / np.sqrt(39), abs=1e-3)
    assert gold["is"] == "not shown to be better than its start, and lower in mean reward"


def test_answers_that_do_not_belong_together_are_refused() -> None:
    one = {"tokens": [1, 2], "tokens_of_start": [1, 2], "prompts": [0, 1]}
    with pytest.raises(ValueError, match="Columns of different lengths"):
        against_start({"gold": [1.0]}, {"gold": [1.0]}, **one)
    with pytest.raises(InvalidData):
        against_start({"gold": [1.0, np.nan]}, {"gold": [1.0, 0.0]}, **one)
    with pytest.raises(TooLittleData):
        against_start({"gold": [1.0, 2.0]}, {"gold": [1.0, 0.0]}, **{**one, "prompts": [0, 0]})
