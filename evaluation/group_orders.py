"""Where arms stand by the orders that people gave: ranked pairs within each prompt, and Borda."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.compared_arms import Pair
from evaluation.intervals import Estimate, clustered_mean
from evaluation.ranked_votes import Ballots, borda, ranked_pairs, study_points
from storage.errors import TooLittleData


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What one person said of two arms' answers to one prompt."""

    prompt: str
    rater: str
    first: str
    second: str
    score: float
    """1 where `first` was preferred, 0 where `second` was, 1/2 for a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStanding:
    """One arm by the orders of each prompt."""

    arm: str
    points: Estimate
    """Mean over prompts of the points for its place in the group's order, from 1/k to 1."""
    borda: Estimate
    """Share of the other arms that it was put before, a tie as half; mean over prompts."""
    first: int
    """Prompts on which the group puts it first, alone or beside others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOrders:
    """The arms by the orders that people gave, most points first."""

    standings: tuple[GroupStanding, ...]
    prompts: int
    orders: int
    """People's orders of all arms that are counted."""
    left_out: int
    """What people said of a prompt that puts not all arms in order: some pairs are missing, were
    judged twice, or go round in a circle."""


def group_orders(
    preferences: Iterable[Preference],
    *,
    arms: Sequence[str],
    identical: Mapping[Pair, Sequence[str]] | None = None,
    tie_break: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> GroupOrders:
    """Put people's orders together prompt by prompt, and give points for places.

    Args:
        preferences: What people said of every two arms.
        arms: Those that an order has to hold, three or more.
        identical: Prompts to which two arms gave the same answer; there they are tied, and where
            all gave the same the prompt is one on which all are.
        tie_break: All arms, in the order that settles ties of one person and of the group by ranked
            pairs; None leaves them open. It decides more than it should: see
            `evaluation.ranked_votes`.
        confidence: Coverage of the intervals, which are about other prompts for these people.

    Raises:
        TooLittleData: Fewer than three arms, or fewer than two prompts with an order of all arms.
        InvalidOption: `tie_break` does not name each arm once.
    """
    if len(arms) < 3:
        raise TooLittleData(f"An order of a group needs at least 3 arms; there are {len(arms)}.")
    same: dict[str, set[frozenset[str]]] = defaultdict(set)
    for pair, prompts in (identical or {}).items():
        for prompt in prompts:
            same[prompt].add(frozenset(pair))
    said: dict[tuple[str, str], list[Preference]] = defaultdict(list)
    for one in preferences:
        said[one.prompt, one.rater].append(one)
    given: dict[str, list[dict[str, float]]] = defaultdict(list)
    for (prompt, _), theirs in said.items():
        order = _order(theirs, arms, same.get(prompt, set()))
        if order is not None:
            given[prompt].append(order)
    orders = sum(map(len, given.values()))
    for prompt, alike in same.items():
        if len(alike) == math.comb(len(arms), 2):
            given[prompt] = [dict.fromkeys(arms, 1.0)]
    if len(given) < 2:
        raise TooLittleData(
            "Orders of a group need at least 2 prompts whose answers somebody put in order, all of"
            f" them; there are {len(given)}."
        )
    ballots = [Ballots.read(given[prompt]) for prompt in sorted(given)]
    points = study_points(ballots, tie_break=tie_break, confidence=confidence)
    shares = [borda(one) for one in ballots]
    most = [len(one.ranks) * (len(arms) - 1) for one in ballots]
    first = Counter(arm for one in ballots for arm in ranked_pairs(one, tie_break=tie_break)[0])
    standings = [
        GroupStanding(
            arm=arm,
            points=points[arm],
            borda=clustered_mean(
                [share[arm] / all_ for share, all_ in zip(shares, most, strict=True)],
                range(len(ballots)),
                what="Borda's points",
                confidence=confidence,
            ),
            first=first[arm],
        )
        for arm in arms
    ]
    return GroupOrders(
        standings=tuple(
            sorted(standings, key=lambda one: (-one.points.value, -one.borda.value, one.arm))
        ),
        prompts=len(ballots),
        orders=orders,
        left_out=len(said) - orders,
    )


def _order(
    said: Sequence[Preference], arms: Sequence[str], alike: set[frozenset[str]]
) -> dict[str, float] | None:
    """A person's ranks, 1 is best; None where what was said is not one order of all arms."""
    scores = {frozenset((one.first, one.second)): one.score for one in said}
    if len(said) + len(alike) != math.comb(len(arms), 2) or len(scores) != len(said):
        return None
    # A place is 1 + the number of answers that were put before.
    ranks = dict.fromkeys(arms, 1.0)
    for one in said:
        if one.score != 0.5:
            ranks[one.second if one.score > 0.5 else one.first] += 1
    said_so = all(
        np.sign(ranks[one.second] - ranks[one.first]) == np.sign(one.score - 0.5) for one in said
    )
    tied = all(len({ranks[arm] for arm in pair}) == 1 for pair in alike)
    return ranks if said_so and tied else None
