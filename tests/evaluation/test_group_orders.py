"""Orders of groups from what people said of every two arms: by hand, and laws."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.group_orders import GroupOrders, Preference, group_orders
from evaluation.ranked_votes import Ballots, borda, study_points
from storage.errors import InvalidOption, TooLittleData

ARMS = ("a", "b", "c")


def said(prompt: str, rater: str, ranks: dict[str, float]) -> list[Preference]:
    """Every pair of one person's ranks, 1 is best."""
    return [
        Preference(
            prompt=prompt,
            rater=rater,
            first=first,
            second=second,
            score=0.5 + 0.5 * (ranks[first] < ranks[second]) - 0.5 * (ranks[first] > ranks[second]),
        )
        for first, second in combinations(ranks, 2)
    ]


def ranks(order: str) -> dict[str, float]:
    """`a=bc` puts a and b first and c behind both."""
    places: dict[str, float] = {}
    for at, sign in enumerate(order):
        if sign != "=":
            tied = at > 0 and order[at - 1] == "="
            places[sign] = places[order[at - 2]] if tied else 1 + len(places)
    return places


def told(*prompts: tuple[str, ...], **more: Any) -> GroupOrders:
    """Who ranked how on each prompt."""
    preferences = [
        one
        for at, orders in enumerate(prompts)
        for number, order in enumerate(orders)
        for one in said(f"p{at}", f"r{number}", ranks(order))
    ]
    return group_orders(preferences, arms=ARMS, **more)


def by_arm(found: GroupOrders, what: str) -> dict[str, float]:
    return {one.arm: getattr(one, what).value for one in found.standings}


def test_points_and_borda_by_hand() -> None:
    # First: a before c 2 : 1, b before c 2 : 1, a and b even; they share the first place, 5/6.
    # Second: c, b, a.
    found = told(("abc", "bac", "cab"), ("cba",))
    # cab and abc put a before b, bac the other way round: a before b 2 : 1 after all.
    assert by_arm(found, "points") == pytest.approx(
        {"a": (1 + 1 / 3) / 2, "b": 2 / 3, "c": (1 / 3 + 1) / 2}
    )
    # Of two others and three people: a 2 + 1 + 1 of 6, b 1 + 2 + 0, c 0 + 0 + 2.
    assert by_arm(found, "borda") == pytest.approx(
        {"a": (4 / 6 + 0) / 2, "b": (3 / 6 + 1 / 2) / 2, "c": (2 / 6 + 1) / 2}
    )
    assert {one.arm: one.first for one in found.standings} == {"a": 1, "b": 0, "c": 1}
    # Equal points: Borda's go first.
    assert [one.arm for one in found.standings] == ["c", "b", "a"]
    assert (found.prompts, found.orders, found.left_out) == (2, 4, 0)


def test_identical_answers_are_tied_and_a_prompt_on_which_all_are_counts() -> None:
    preferences = [
        # On p0 a and b gave the same answer, so nobody was asked of them.
        *(one for one in said("p0", "r0", ranks("a=bc")) if {one.first, one.second} != {"a", "b"}),
        *said("p1", "r0", ranks("cba")),
    ]
    identical = {("a", "b"): ["p0", "p2"], ("a", "c"): ["p2"], ("b", "c"): ["p2"]}
    found = group_orders(preferences, arms=ARMS, identical=identical)
    assert (found.prompts, found.orders, found.left_out) == (3, 2, 0)
    assert by_arm(found, "points") == pytest.approx(
        {"a": (5 / 6 + 1 / 3 + 2 / 3) / 3, "b": (5 / 6 + 2 / 3 + 2 / 3) / 3, "c": 2 / 3}
    )
    assert {one.arm: one.first for one in found.standings} == {"a": 2, "b": 2, "c": 2}


def test_what_is_no_order_is_left_out_and_counted() -> None:
    whole = [one for prompt in ("p0", "p1") for one in said(prompt, "r0", ranks("abc"))]
    circle = [
        Preference(prompt="p0", rater="r1", first=first, second=second, score=1.0)
        for first, second in ("ab", "bc", "ca")
    ]
    missing = said("p0", "r2", ranks("cba"))[:2]
    twice = [*said("p1", "r3", ranks("cba")), *said("p1", "r3", ranks("bca"))[:1]]
    instead = [*said("p1", "r4", ranks("cba"))[:2], said("p1", "r4", ranks("cba"))[0]]
    # Whoever prefers one of two identical answers to the third, and not the other, gives no order.
    apart = [one for one in said("p2", "r5", ranks("acb")) if {one.first, one.second} != {"a", "b"}]
    found = group_orders(
        [*whole, *circle, *missing, *twice, *instead, *apart],
        arms=ARMS,
        identical={("a", "b"): ["p2"]},
    )
    assert (found.prompts, found.orders, found.left_out) == (2, 2, 5)
    assert by_arm(found, "borda") == {"a": 1, "b": 0.5, "c": 0}


def test_a_tie_break_settles_what_was_left_open() -> None:
    open_, settled = (
        told(("abc", "bac"), ("a=bc",), tie_break=tie_break) for tie_break in (None, "bac")
    )
    assert by_arm(open_, "points") == pytest.approx({"a": 5 / 6, "b": 5 / 6, "c": 1 / 3})
    assert by_arm(settled, "points") == pytest.approx({"b": 1, "a": 2 / 3, "c": 1 / 3})
    assert {one.arm: one.first for one in settled.standings} == {"b": 2, "a": 0, "c": 0}


places = st.fixed_dictionaries(dict.fromkeys(ARMS, st.integers(1, 3)))


@given(st.lists(st.lists(places, min_size=1, max_size=4), min_size=2, max_size=5), st.randoms())
def test_pairs_in_any_order_and_from_any_side_give_what_the_ranks_give(
    prompts: list[list[dict[str, int]]], random: Any
) -> None:
    preferences = [
        one
        for at, people in enumerate(prompts)
        for number, theirs in enumerate(people)
        for one in said(str(at), str(number), theirs)
    ]
    random.shuffle(preferences)
    turned = [
        Preference(
            prompt=one.prompt,
            rater=one.rater,
            first=one.second,
            second=one.first,
            score=1 - one.score,
        )
        if random.random() < 0.5
        else one
        for one in preferences
    ]
    found = group_orders(turned, arms=ARMS)
    ballots = [Ballots.read(people) for people in prompts]
    points = study_points(ballots)
    shares = [{arm: n / 2 / len(b.ranks) for arm, n in borda(b).items()} for b in ballots]
    for one in found.standings:
        assert one.points == points[one.arm]
        assert one.borda.value == pytest.approx(sum(s[one.arm] for s in shares) / len(shares))
    assert sum(one.points.value for one in found.standings) == pytest.approx(2)
    assert sum(one.borda.value for one in found.standings) == pytest.approx(1.5)
    assert found.left_out == 0


def test_what_has_no_order_of_a_group_is_refused() -> None:
    with pytest.raises(TooLittleData, match="at least 3 arms; there are 2"):
        group_orders(said("p", "r", ranks("ab")), arms="ab")
    with pytest.raises(TooLittleData, match="all of them; there are 1"):
        told(("abc", "cba"))
    with pytest.raises(InvalidOption, match="tie_break"):
        told(("abc",), ("abc",), tie_break="ab")
