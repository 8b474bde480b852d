"""One order of k answers to a prompt from the orders that several people gave, and points for it.

The seed thesis asked four people to rank three answers to each of 20 prompts, put each prompt's
answers in the order of ranked pairs, and gave 3/3, 2/3 and 1/3 points for first, second and third
place. Four people often split evenly, so what is done with ties decides the result: the thesis' 40
orders come out exactly only with ties (of people, and of one person) broken alphabetically, which
put the absolute model ("abs") first. Where ties stay ties, the absolute model's lead over the
preference model is gone in the first group of people (0.10 before) and shrinks from 0.38 to 0.16
points in the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Estimate, clustered_mean
from storage.errors import InvalidData, InvalidOption, TooLittleData

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballots:
    """What several people said of the same answers: ranks, 1 is best, equal ranks are ties."""

    answers: tuple[str, ...]
    ranks: Floats
    """Shape (people, answers)."""

    @classmethod
    def read(cls, rankings: Sequence[Mapping[str, float]]) -> Ballots:
        """Put rankings by name into a table.

        Args:
            rankings: For each person the rank of every answer.

        Raises:
            TooLittleData: Nobody ranked, or there are fewer than two answers.
            InvalidData: Somebody ranked other answers than the first person, or gave no number.
        """
        if not rankings:
            raise TooLittleData("Nobody ranked these answers.")
        answers = tuple(sorted(rankings[0]))
        if len(answers) < 2:
            raise TooLittleData(f"A ranking needs at least 2 answers; there is {len(answers)}.")
        for ranking in rankings:
            if set(ranking) != set(answers):
                raise InvalidData(
                    "Everybody must have ranked the same answers;"
                    f" {', '.join(answers)} are not {', '.join(sorted(ranking))}."
                )
        ranks = np.array([[ranking[each] for each in answers] for ranking in rankings], dtype=float)
        if not np.isfinite(ranks).all():
            raise InvalidData(f"A rank is a number; got {ranks[~np.isfinite(ranks)][0]}.")
        return cls(answers=answers, ranks=ranks)

    def preferring(self, *, tie_break: Sequence[str] | None = None) -> Floats:
        """How many people put each answer (row) before each other (column), half for a tie.

        With `tie_break`, answers to which a person gave one rank stand in that order instead.
        """
        before = np.sign(self.ranks[:, None, :] - self.ranks[:, :, None])
        if tie_break is not None:
            at = self._at(tie_break)
            before = np.where(before == 0, np.sign(at[None, :] - at[:, None]), before)
        counts: Floats = ((before + 1) / 2).sum(axis=0)
        np.fill_diagonal(counts, 0)
        return counts

    def _at(self, order: Sequence[str]) -> NDArray[np.int64]:
        """Place of each answer in an order that must name all of them once."""
        if sorted(order) != sorted(self.answers):
            raise InvalidOption("tie_break", "must name each answer once", list(order))
        return np.array([list(order).index(answer) for answer in self.answers])


def borda(ballots: Ballots) -> dict[str, float]:
    """Points for each answer: one for each other that a person put it before, half for a tie.

    Source:
        Borda (1784), "Mémoire sur les élections au scrutin".
    """
    points = ballots.preferring().sum(axis=1)
    return dict(zip(ballots.answers, points.tolist(), strict=True))


def ranked_pairs(
    ballots: Ballots, *, tie_break: Sequence[str] | None = None
) -> tuple[tuple[str, ...], ...]:
    """The order that the largest majorities give, each kept unless larger ones contradict it.

    Majorities are looked at from the largest margin to the smallest. One is kept unless those kept
    before would, with it, put an answer above itself.

    Args:
        ballots: Who ranked how.
        tie_break: All answers, in the order that settles what people left open: equal ranks of one
            person and evenly split pairs go to the earlier answer; of two equal majorities the one
            with the earlier winner is looked at first (for one winner their order changes nothing).
            None leaves ties open: equal majorities are looked at together, and those that would
            close a circle are all dropped; a place is 1 + the number of answers that majorities
            kept put above, and answers of one place share it.

    Returns:
        Answers by place, best first; those that share a place stand together.

    Raises:
        InvalidOption: `tie_break` does not name each answer once.

    Source:
        Tideman (1987), "Independence of clones as a criterion for voting rules", Social Choice and
        Welfare 4; Zavist and Tideman (1989), Social Choice and Welfare 6 (breaking ties).
    """
    support = ballots.preferring(tie_break=tie_break)
    margin = support - support.T
    size = len(ballots.answers)
    pairs = [(winner, loser) for winner in range(size) for loser in range(size) if winner != loser]
    if tie_break is None:
        rounds = [
            [pair for pair in pairs if margin[pair] == each]
            for each in np.unique(margin[margin > 0])[::-1]
        ]
    else:
        at = ballots._at(tie_break)
        decided = [
            (winner, loser)
            for winner, loser in pairs
            if (margin[winner, loser], at[loser]) > (0, at[winner])
        ]
        decided.sort(key=lambda pair: (-margin[pair], at[pair[0]]))
        rounds = [[pair] for pair in decided]
    above = np.eye(size, dtype=bool)
    for together in rounds:
        tried = _with(above, together)
        above = _with(above, [pair for pair in together if not tried[pair[::-1]]])
    beaten_by = above.sum(axis=0) - 1
    return tuple(
        tuple(
            answer
            for answer, count in zip(ballots.answers, beaten_by, strict=True)
            if count == number
        )
        for number in np.unique(beaten_by)
    )


def _with(above: NDArray[np.bool_], pairs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Who stands above whom, by some chain, once these pairs are kept, too."""
    above = above.copy()
    for winner, loser in pairs:
        above |= np.outer(above[:, winner], above[loser])
    return above


def place_points(order: Sequence[Sequence[str]]) -> dict[str, float]:
    """Points for places among k answers: k/k for the first, then (k - 1)/k, down to 1/k.

    Answers that share places get the mean of what these places give, so that the sum stays.
    """
    count, taken = sum(map(len, order)), 0
    points: dict[str, float] = {}
    for shared in order:
        places = range(taken, taken + len(shared))
        mean = sum(count - place for place in places) / len(shared) / count
        points |= dict.fromkeys(shared, mean)
        taken += len(shared)
    return points


def study_points(
    prompts: Sequence[Ballots], *, tie_break: Sequence[str] | None = None, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Points of each model over the prompts of a study: `place_points` of each prompt's order.

    Args:
        prompts: For each prompt who ranked how; answers go by the names of their models.
        tie_break: As for `ranked_pairs`.
        confidence: Coverage of the intervals, strictly between 0 and 1.

    Returns:
        Means over prompts, from 1/k to 1, with intervals about other prompts for these people.
        These are no win rates: a model in the middle of three always has 2/3.

    Raises:
        TooLittleData: Fewer than two prompts.
        InvalidData: Not every prompt has answers of the same models.
    """
    models = prompts[0].answers if prompts else ()
    for ballots in prompts:
        if ballots.answers != models:
            raise InvalidData(
                "Every prompt must have answers of the same models;"
                f" {', '.join(models)} are not {', '.join(ballots.answers)}."
            )
    given = [place_points(ranked_pairs(ballots, tie_break=tie_break)) for ballots in prompts]
    if len(given) < 2:
        raise TooLittleData(f"Points need at least 2 ranked prompts; there are {len(given)}.")
    return {
        model: clustered_mean(
            [points[model] for points in given],
            range(len(given)),
            what="Points",
            confidence=confidence,
            bounds=(1 / len(models), 1.0),
        )
        for model in models
    }
