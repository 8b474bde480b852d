"""What a report card says of annotators, kinds of prompt, sources and leaks; two cards compared."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_rows import comparison, rating
from scipy import stats

from evaluation.card_comparison import accuracy_difference, judged_by
from evaluation.card_groups import of_each_kind
from evaluation.card_words import verdict
from evaluation.leakage import leaked, question
from evaluation.report_card import reward_report_card
from storage.errors import InvalidData
from storage.records import as_messages
from storage.snapshots import ComparisonRow

patient = settings(deadline=None)  # a busy machine is no failure


def card_of(correct: list[float], rows: list[ComparisonRow], **more: Any) -> dict[str, Any]:
    """A card of a model that is right (1), wrong (0) or undecided (1/2) on each comparison."""
    gaps = [
        -np.sign(row.choice) * (2 * right - 1) for right, row in zip(correct, rows, strict=True)
    ]
    zeros = [0.0] * len(rows)
    return reward_report_card(gaps, zeros, rows, [], [], rng=np.random.default_rng(0), **more)


def doubts(card: dict[str, Any]) -> str:
    return "\n".join(card["warnings"])


def test_each_annotator_is_agreed_with_on_their_own_decided_pairs() -> None:
    rows = [
        *(comparison(n, -1, annotator="amber-heron-42") for n in range(30)),
        *(comparison(n, 0, annotator="amber-heron-42") for n in range(30, 40)),
        *(comparison(n, 1, annotator="teal-badger-26") for n in range(25)),
        *(comparison(n, 1, annotator="too-few-1") for n in range(19)),
        *(comparison(n % 4, 1, annotator="four-prompts-2") for n in range(40)),
    ]
    correct = [*([1.0] * 24 + [0.0] * 6), *[0.5] * 10, *([1.0] * 10 + [0.0] * 15), *[1.0] * 59]
    first, second = card_of(correct, rows)["annotators"]
    assert (first["annotator"], second["annotator"]) == ("amber-heron-42", "teal-badger-26")
    assert (first["pair_accuracy"]["value"], first["pair_accuracy"]["n"]) == (0.8, 30)
    assert (second["pair_accuracy"]["value"], second["pair_accuracy"]["n"]) == (0.4, 25)
    # 24 of 30 prompts: a t interval with 29 degrees.
    expected = stats.ttest_1samp([1.0] * 24 + [0.0] * 6, 0).confidence_interval()
    assert first["pair_accuracy"]["low"] == pytest.approx(expected.low)
    assert first["kind"] == "person"


def tagged(count: int, *tags: str, start: int = 0) -> list[ComparisonRow]:
    return [replace(comparison(start + n, -1), tags=tags) for n in range(count)]


def test_a_kind_of_prompt_that_is_clearly_worse_is_named() -> None:
    rows = [
        *tagged(60, "code"),
        *tagged(60, "chat", "short", start=60),
        *tagged(19, "few", start=120),
    ]
    correct = [1.0] * 20 + [0.0] * 40 + [1.0] * 57 + [0.0] * 3 + [1.0] * 19
    card = card_of(correct, rows)
    kinds = {one["kind"]: one for one in card["kinds"]}
    assert list(kinds) == ["chat", "code", "short"]
    assert kinds["code"]["pair_accuracy"]["value"] == pytest.approx(1 / 3)
    assert kinds["chat"] == kinds["short"] | {"kind": "chat"}
    assert kinds["chat"]["length_only_accuracy"]["value"] == 1
    assert [name for name, one in kinds.items() if one["clearly_worse"]] == ["code"]
    assert "Worse on prompts of the kind 'code': 33 % [21, 46] against 69 %" in doubts(card)
    even = card_of([1.0] * 45 + [0.0] * 15 + [1.0] * 50 + [0.0] * 10 + [1.0] * 19, rows)
    assert not any(one["clearly_worse"] for one in even["kinds"])
    assert "Worse on prompts" not in doubts(even)


def test_many_kinds_looked_at_do_not_raise_false_alarms() -> None:
    # 20 kinds without any difference; at most 5 % of such cards may name one. Binomial(100, 0.05)
    # exceeds 12 with a chance of 0.001. Without the correction, nearly half of them would.
    rng = np.random.default_rng(11)
    rows = [row for kind in range(20) for row in tagged(40, f"kind {kind}", start=40 * kind)]
    alarms = 0
    for _ in range(100):
        correct = (rng.random(800) < 0.7).astype(float)
        alarms += any(one["clearly_worse"] for one in of_each_kind(rows, correct, correct))
    assert alarms <= 12


def test_rewards_are_grouped_by_source_and_kind_with_every_answer_once() -> None:
    rows = [
        replace(comparison(n, -1), left_policy="big", right_policy="small", tags=("odd",) * (n % 2))
        for n in range(30)
    ]
    ratings = [replace(rating(n, 5), policy="big", tags=("odd",) * (n % 2)) for n in range(30)]
    scores = np.arange(30.0)
    card = reward_report_card(
        [*scores, *scores],
        [0.0] * 60,
        [*rows, *rows],
        scores,
        ratings,
        rng=np.random.default_rng(0),
    )
    policies, kinds = card["distributions"]["policies"], card["distributions"]["kinds"]
    assert {name: group["n"] for name, group in policies.items()} == {"big": 30, "small": 30}
    assert policies["big"]["quantiles"] == pytest.approx(scores.tolist())
    # 15 of the 30 prompts are odd: their answers are 1, 3, ... on the left and 0 on the right.
    assert kinds["odd"]["n"] == 30
    assert kinds["odd"]["quantiles"][15:] == pytest.approx(scores[1::2].tolist())
    # 60 answers: 30 zeros, then 1 to 29 and another zero. 5 % and 95 % of 59 steps: 0 and 26.05.
    assert card["reward_spread"] == pytest.approx(26.05)
    assert card["by_length"]["characters"] == sorted(card["by_length"]["characters"])
    assert len(card["by_length"]["rewards"]) == 60
    assert json.loads(json.dumps(card)) == card


def test_what_is_not_known_of_answers_makes_no_group() -> None:
    card = card_of([1.0] * 30, [replace(comparison(n, -1), left_policy="m") for n in range(30)])
    assert list(card["distributions"]["policies"]) == ["m"]
    assert card["distributions"]["kinds"] == {}
    assert card["kinds"] == []


def test_rewards_that_hardly_differ_are_a_collapsed_scale() -> None:
    rows = [comparison(n, -1) for n in range(120)]
    zeros = [0.0] * 120

    def said(gap: float) -> str:
        rng = np.random.default_rng(0)
        return doubts(reward_report_card([gap] * 120, zeros, rows, [], [], rng=rng))

    assert "The scale has collapsed: nine in ten rewards lie within 0.05 logits" in said(0.05)
    assert "collapsed" not in said(0.2)


def test_leaked_prompts_are_counted_and_told() -> None:
    rows = [comparison(n, -1) for n in range(120)]
    seen = {question(as_messages(f"  question {n} ")) for n in (3, 5, 500)}
    card = card_of([1.0] * 120, rows, seen=seen)
    assert card["leaked_prompts"] == 2
    assert "2 of the 120 prompts were in the training data too" in doubts(card)
    assert card_of([1.0] * 120, rows)["leaked_prompts"] is None
    clean = card_of([1.0] * 120, rows, seen=set())
    assert clean["leaked_prompts"] == 0
    assert "training data" not in doubts(clean)


def test_a_question_is_the_same_however_it_is_written() -> None:
    asked = question(as_messages("Why is the sky blue?"))
    rude = [
        {"role": "system", "content": "Be rude."},
        {"role": "user", "content": "WHY is the sky\nblue"},
    ]
    assert question(as_messages(rude)) == asked
    assert question(as_messages("Why is the sky blue")) == asked
    assert question(as_messages("Why is the sea blue?")) != asked
    # Nothing but signs: two such prompts are not the same for want of letters.
    assert question(as_messages("?!")) != question(as_messages("+-"))
    assert leaked([comparison(1, 0)], {question(as_messages("Question 1"))}) == {
        comparison(1, 0).prompt_id
    }


@patient
@given(st.permutations(range(24)), st.integers(0, 2**32 - 1))
def test_the_order_of_judgements_makes_no_difference(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [comparison(n % 12, int(rng.choice([-1, 1])), annotator=f"a{n % 3}") for n in range(24)]
    right = rng.choice([0.0, 0.5, 1.0], size=24)
    # The model sees texts alone, so it says the same of the same pair.
    right = [float(right[n % 12] if rows[n].choice < 0 else 1 - right[n % 12]) for n in range(24)]
    card = card_of(right, rows)
    mixed = card_of([right[place] for place in order], [rows[place] for place in order])
    assert mixed["outcomes"] == card["outcomes"]
    assert mixed["judged_by"] == card["judged_by"]
    assert mixed["pair_accuracy"] == pytest.approx(card["pair_accuracy"])


def test_two_cards_are_compared_pair_by_pair() -> None:
    rows = [comparison(n, -1) for n in range(40)]
    good, poor = [1.0] * 30 + [0.0] * 10, [1.0] * 20 + [0.0] * 18 + [0.5] * 2
    found = accuracy_difference(card_of(good, rows), card_of(poor, rows))
    gained = np.subtract(good, poor)
    expected = stats.ttest_1samp(gained, 0).confidence_interval()
    assert found.value == pytest.approx(9 / 40)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    turned = accuracy_difference(card_of(poor, rows), card_of(good, rows))
    assert turned.value == pytest.approx(-found.value)


def test_cards_on_other_pairs_are_not_compared() -> None:
    rows = [comparison(n, -1) for n in range(40)]
    card = card_of([1.0] * 40, rows)
    with pytest.raises(InvalidData, match="same pairs only"):
        accuracy_difference(card, card_of([1.0] * 39, rows[1:]))
    with pytest.raises(InvalidData, match="same pairs only"):
        accuracy_difference({}, {})
    assert judged_by([comparison(1, 1)]) != judged_by([comparison(1, -1)])


def test_a_model_that_knows_no_ratings_is_compared_all_the_same() -> None:
    rows = [comparison(n, -1) for n in range(40)]
    ratings = [rating(n, 1 + n % 7) for n in range(40)]
    rewards, zeros = np.arange(40.0), [0.0] * 40
    rng = np.random.default_rng(0)
    rated = reward_report_card(rewards, zeros, rows, rewards, ratings, rng=rng)
    pairwise = reward_report_card(rewards, zeros, rows, [], [], rng=rng, single_answers=False)
    assert (rated["rated"], pairwise["rated"]) == (40, 0)
    assert accuracy_difference(rated, pairwise).value == 0


def test_a_model_that_reads_two_answers_at_once_has_no_rewards_of_single_ones() -> None:
    rows = [comparison(n, -1) for n in range(120)]
    both = [
        reward_report_card(
            [0.05] * 120,
            [0.0] * 120,
            rows,
            [],
            [],
            rng=np.random.default_rng(0),
            single_answers=own,
        )
        for own in (True, False)
    ]
    assert both[1]["rewards"] == {}
    assert both[1]["reward_spread"] is both[1]["length_correlation"] is None
    assert both[1]["by_length"] == {"characters": [], "rewards": []}
    assert both[1]["pair_accuracy"] == both[0]["pair_accuracy"]
    assert both[1]["calibration_curve"] == both[0]["calibration_curve"]
    assert "collapsed" not in doubts(both[1])


def estimate(value: float, reach: float = 0.05) -> dict[str, Any]:
    return {
        "value": value,
        "low": value - reach,
        "high": value + reach,
        "confidence": 0.95,
        "n": 90,
    }


@pytest.mark.parametrize(
    ("accuracy", "ceiling", "said"),
    [
        (0.4, 0.8, "Counting characters does better."),
        (0.53, 0.8, "Not clearly better than counting characters."),
        (0.58, 0.8, "Not clearly better than counting characters."),
        (0.7, None, "Clearly better than counting characters."),
        (0.7, 0.8, "Better than counting characters, and behind what annotators agree on"),
        (0.78, 0.8, "Agrees with annotators about as often as they agree with one another."),
        (0.9, 0.8, "Agrees with annotators more often than they agree with one another."),
    ],
)
def test_the_verdict_on_pairs(accuracy: float, ceiling: float | None, said: str) -> None:
    card = {
        "pair_accuracy": estimate(accuracy),
        "length_only_accuracy": estimate(0.55),
        "length_only_direction": "shorter",
        "human_ceiling": estimate(ceiling) if ceiling else None,
    }
    sentence = verdict(card)
    assert sentence.startswith(said)
    assert f"in {accuracy:.0%}".replace("%", " %") in sentence
    assert "always choosing the shorter one is right in 55 %" in sentence
    assert ("one annotator agrees with the others in 80 %" in sentence) == bool(ceiling)


def test_the_verdict_goes_by_the_difference_on_the_same_pairs_where_it_is_known() -> None:
    card = {"pair_accuracy": estimate(0.62), "length_only_accuracy": estimate(0.6)}
    assert verdict(card).startswith("Not clearly better")
    closer = card | {"above_length_only": estimate(0.02, 0.01)}
    assert verdict(closer).startswith("Clearly better")
    below = card | {"above_length_only": estimate(-0.02, 0.01)}
    assert verdict(below).startswith("Counting characters does better.")


def test_the_verdict_on_ratings_alone_and_on_nothing() -> None:
    assert verdict({"spearman": estimate(0.6)}).startswith("Orders answers as their ratings do")
    assert "0.60 [0.55, 0.65]" in verdict({"spearman": estimate(0.6)})
    assert verdict({"spearman": estimate(0.02)}).startswith("No clear connection with ratings.")
    assert verdict({"warnings": ["Too little."]}) == ""
