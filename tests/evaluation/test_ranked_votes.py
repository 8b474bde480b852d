"""Orders from several people's orders: textbook elections, laws, and the thesis' study anew."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.ranked_votes import Ballots, borda, place_points, ranked_pairs, study_points
from storage.errors import InvalidData, InvalidOption, TooLittleData

ALPHABET = ("abs", "crs", "rank")


def election(*orders: tuple[int, str]) -> Ballots:
    """So many people for each order, written best first."""
    return Ballots.read(
        [
            {name: place for place, name in enumerate(order, start=1)}
            for people, order in orders
            for _ in range(people)
        ]
    )


# Tennessee's capital: the textbook election of Memphis, Nashville, Chattanooga and Knoxville.
TENNESSEE = election((42, "MNCK"), (26, "NCKM"), (15, "CKNM"), (17, "KCNM"))


def test_a_textbook_election() -> None:
    assert borda(TENNESSEE) == {"C": 173, "K": 107, "M": 126, "N": 194}
    # Nashville beats each of the others, Chattanooga the rest, Knoxville Memphis.
    assert ranked_pairs(TENNESSEE) == (("N",), ("C",), ("K",), ("M",))


def test_the_smallest_majority_of_a_circle_gives_way() -> None:
    # 7: a b c, 5: b c a, 4: c a b. b before c 12 : 4, a before b 11 : 5, c before a 9 : 7. The last
    # would close the circle.
    circle = election((7, "abc"), (5, "bca"), (4, "cab"))
    assert ranked_pairs(circle) == (("a",), ("b",), ("c",))
    # Points: a 14 + 5 + ... = 2*7 + 0*5 + 1*4 = 18; b = 7 + 2*5 = 17; c = 5 + 2*4 = 13.
    assert borda(circle) == {"a": 18, "b": 17, "c": 13}


def test_a_circle_of_equal_majorities_leaves_all_in_one_place_unless_ties_are_broken() -> None:
    circle = election((1, "abc"), (1, "bca"), (1, "cab"))
    assert ranked_pairs(circle) == (("a", "b", "c"),)
    assert place_points(ranked_pairs(circle)) == pytest.approx(dict.fromkeys("abc", 2 / 3))
    # a > c is none of the majorities (c > a is); a's own majority comes first, then b's.
    assert ranked_pairs(circle, tie_break="abc") == (("a",), ("b",), ("c",))
    assert ranked_pairs(circle, tie_break="cab") == (("c",), ("a",), ("b",))


def test_who_is_beaten_by_nobody_does_not_stand_above_a_circle() -> None:
    # a, b and c beat each other 4 : 2 in a circle, and d is even with each of them.
    circle = election(*((1, order) for order in ("dabc", "abcd", "dbca", "bcad", "dcab", "cabd")))
    assert ranked_pairs(circle) == (("a", "b", "c", "d"),)


def test_an_even_split_goes_to_the_earlier_answer_if_to_any() -> None:
    split = election((1, "ab"), (1, "ba"))
    assert ranked_pairs(split) == (("a", "b"),)
    assert ranked_pairs(split, tie_break="ba") == (("b",), ("a",))
    assert place_points((("a", "b"),)) == {"a": 0.75, "b": 0.75}


def test_equal_ranks_of_one_person_are_half_a_vote_each_or_broken_likewise() -> None:
    ballots = Ballots.read([{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}])
    assert borda(ballots) == {"a": 1.5, "b": 1.5}
    assert ranked_pairs(ballots) == (("a", "b"),)
    assert ballots.preferring(tie_break="ba").tolist() == [[0, 1], [2, 0]]
    assert ranked_pairs(ballots, tie_break="ba") == (("b",), ("a",))


# Laws


@st.composite
def elections(draw: st.DrawFn) -> Ballots:
    """One to six people, two to five answers, ties allowed."""
    answers = "abcde"[: draw(st.integers(2, 5))]
    place = st.integers(1, len(answers))
    ranking = st.fixed_dictionaries(dict.fromkeys(answers, place))
    return Ballots.read(draw(st.lists(ranking, min_size=1, max_size=6)))


def flat(order: Sequence[Sequence[str]]) -> list[str]:
    return [answer for shared in order for answer in shared]


@given(elections())
def test_points_are_shared_out_completely(ballots: Ballots) -> None:
    people, count = ballots.ranks.shape
    assert sum(borda(ballots).values()) == people * count * (count - 1) / 2
    assert sum(place_points(ranked_pairs(ballots)).values()) == pytest.approx((count + 1) / 2)


@given(elections(), st.randoms(use_true_random=False))
def test_the_order_of_the_people_does_not_matter(ballots: Ballots, random: Any) -> None:
    rows = ballots.ranks.tolist()
    random.shuffle(rows)
    mixed = Ballots(answers=ballots.answers, ranks=np.array(rows))
    assert ranked_pairs(mixed) == ranked_pairs(ballots)
    assert borda(mixed) == borda(ballots)


@given(elections(), st.permutations("vwxyz"))
def test_open_ties_favour_no_name(ballots: Ballots, names: list[str]) -> None:
    new = dict(zip(ballots.answers, names, strict=False))
    renamed = Ballots.read(
        [
            {new[name]: rank for name, rank in zip(ballots.answers, row, strict=True)}
            for row in ballots.ranks.tolist()
        ]
    )
    expected = [sorted(new[name] for name in shared) for shared in ranked_pairs(ballots)]
    assert [sorted(shared) for shared in ranked_pairs(renamed)] == expected


@given(elections())
def test_who_beats_everybody_comes_first_alone(ballots: Ballots) -> None:
    support = ballots.preferring()
    beats_all = (support > support.T).sum(axis=1) == len(ballots.answers) - 1
    order = ranked_pairs(ballots)
    assert sorted(flat(order)) == sorted(ballots.answers)
    if beats_all.any():
        assert order[0] == (ballots.answers[int(beats_all.argmax())],)


@given(elections(), st.randoms(use_true_random=False))
def test_a_tie_break_leaves_no_tie_and_agrees_with_trying_all_orders(
    ballots: Ballots, random: Any
) -> None:
    # A second implementation: of all orders, the one whose kept pairs, listed from the pair that is
    # looked at first, come earliest.
    tie_break = list(ballots.answers)
    random.shuffle(tie_break)
    support = ballots.preferring(tie_break=tie_break)
    number = {answer: place for place, answer in enumerate(ballots.answers)}
    pairs = []
    for place, one in enumerate(tie_break):
        for other in tie_break[place + 1 :]:
            ahead = support[number[one], number[other]] - support[number[other], number[one]]
            winner, loser = (one, other) if ahead >= 0 else (other, one)
            pairs.append((winner, loser, abs(ahead)))
    pairs.sort(key=lambda each: (-each[2], tie_break.index(each[0])))
    best = max(
        permutations(ballots.answers),
        key=lambda order: [order.index(winner) < order.index(loser) for winner, loser, _ in pairs],
    )
    found = ranked_pairs(ballots, tie_break=tie_break)
    assert all(len(shared) == 1 for shared in found)
    assert flat(found) == list(best)


# The thesis' user study


@pytest.fixture(scope="module")
def study(shared_data: Path) -> list[dict[str, Any]]:
    path = shared_data / "votes_thesis_user_study_groups12.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def ballots_of(study: list[dict[str, Any]], group: int) -> list[Ballots]:
    return [
        Ballots.read([each["rank"] for each in row["rankings"]])
        for row in study
        if row["group"] == group
    ]


def test_all_40_orders_of_the_thesis_come_out_with_ties_broken_alphabetically(
    study: list[dict[str, Any]],
) -> None:
    assert len(study) == 40
    for row in study:
        ballots = Ballots.read([each["rank"] for each in row["rankings"]])
        found = ranked_pairs(ballots, tie_break=ALPHABET)
        assert flat(found) == row["group_ranking_published"], row["id"]


def test_no_other_tie_break_gives_the_orders_of_the_thesis(study: list[dict[str, Any]]) -> None:
    right = {
        tie_break: sum(
            flat(
                ranked_pairs(
                    Ballots.read([each["rank"] for each in row["rankings"]]), tie_break=tie_break
                )
            )
            == row["group_ranking_published"]
            for row in study
        )
        for tie_break in permutations(ALPHABET)
    }
    assert [order for order, count in right.items() if count == 40] == [ALPHABET]


def test_the_points_of_the_thesis_come_out_exactly(
    study: list[dict[str, Any]], shared_data: Path
) -> None:
    published = json.loads((shared_data / "expected" / "thesis_published_visible.json").read_text())
    table = published["table17_user_study_points"]
    names = {each["rid"]: each["model"] for each in study[0]["responses"]}
    assert len(table) == 3
    for group in (1, 2):
        points = study_points(ballots_of(study, group), tie_break=ALPHABET)
        for answer, estimate in points.items():
            assert round(estimate.value, 2) == table[names[answer]][group - 1]
            assert estimate.n == 20


def test_the_lead_of_the_absolute_model_rests_on_the_alphabet(
    study: list[dict[str, Any]],
) -> None:
    def lead(group: int, tie_break: Sequence[str] | None) -> float:
        points = study_points(ballots_of(study, group), tie_break=tie_break)
        return points["abs"].value - points["rank"].value

    assert [round(lead(group, ALPHABET), 2) for group in (1, 2)] == [0.1, 0.38]
    assert [round(lead(group, None), 2) for group in (1, 2)] == [0, 0.16]


def test_points_by_hand() -> None:
    # First, first, second of two: 1, 1, 1/2. Mean 5/6, deviations 1/6, 1/6, -1/3, their squares add
    # to 1/6; se = sqrt(3/2 * 1/6) / 3 = 1/6, and t(2, 0.75) = 0.8164966 from tables. At most one
    # prompt differs from the typical one, so the interval also holds what three may have hidden.
    ab, ba = election((1, "ab")), election((1, "ba"))
    points = study_points([ab, ab, ba], confidence=0.5)
    assert points["a"].value == pytest.approx(5 / 6)
    assert points["b"].value == pytest.approx(2 / 3)
    assert points["a"].low <= 5 / 6 - 0.8164966 / 6
    assert points["a"].high == 1


# Refusals


@pytest.mark.parametrize(
    ("rankings", "error", "message"),
    [
        ([], TooLittleData, "Nobody ranked"),
        ([{"a": 1}], TooLittleData, "at least 2 answers; there is 1"),
        ([{"a": 1, "b": 2}, {"a": 1, "c": 2}], InvalidData, "a, b are not a, c"),
        ([{"a": 1, "b": float("nan")}], InvalidData, "A rank is a number; got nan"),
    ],
)
def test_what_is_no_ranking_is_refused(
    rankings: list[dict[str, float]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Ballots.read(rankings)


def test_what_is_no_study_is_refused() -> None:
    ab, ac = election((1, "ab")), election((1, "ac"))
    with pytest.raises(InvalidOption, match="must name each answer once"):
        ranked_pairs(ab, tie_break="abc")
    with pytest.raises(TooLittleData, match="at least 2 ranked prompts; there are 1"):
        study_points([ab])
    with pytest.raises(TooLittleData, match="there are 0"):
        study_points([])
    with pytest.raises(InvalidData, match="a, b are not a, c"):
        study_points([ab, ac])
