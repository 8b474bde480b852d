"""What a file of votes says: win rates, a ranking, who agrees with whom, and what to doubt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from evaluation.chance import holm
from evaluation.compared_arms import ArmComparison, Ballots, Pair, compare
from evaluation.group_orders import GroupOrders, Preference, group_orders
from evaluation.intervals import FEWEST_RATERS, Estimate, enough_raters
from evaluation.judge_agreement import judge_agreement, verdicts_in_votes
from evaluation.likeness import seen_design
from evaluation.ranking import Ranking, ranking
from evaluation.rater_effects import RaterEffects, odd_raters, rater_effects
from evaluation.statistics import agreement, position_bias
from evaluation.votes import Vote
from storage.errors import NoConvergence, TooLittleData


def votes_report(
    votes: Sequence[Vote],
    *,
    rng: np.random.Generator,
    programs: Sequence[str] = (),
    tie_break: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """What the votes say of every pair of models.

    Args:
        votes: As `evaluation.votes.read_votes` gives them.
        rng: Source of permutations and of the bootstrap of the agreement.
        programs: Judges that are programs. Where there are votes of others, these alone count, and
            the programs' stand beside them.
        tie_break: All models, in the order that settles ties in the orders of groups; None leaves
            them open.
        confidence: Coverage of every interval.

    Returns:
        Fractions, not percent.

        - `win_rates`: one entry for each model against each opponent it met. `win_rate` is
          clustered by question, and by judge too where `other_people`; `bootstrap` likewise;
          `length_controlled` needs lengths; `any_time` holds at whatever line one stops reading;
          `p_value` is corrected by Holm's way for the number of pairs; `sign_test` lets every
          question count once; `with_judges` is prediction-powered. An estimate that cannot be had
          is None.
        - `ranking`: models by strength (Bradley and Terry), with `elo` and the range of places that
          the intervals leave open; where strengths do not exist, by `average_win_rate`, the plain
          mean over opponents, each counting once. `points` are wins and half the ties.
        - `group_orders`: of three or more models where judges put all of them in order, most of
          the times they said something of a question: points by ranked pairs, and Borda's; else
          None.
        - `raters`: how sharply each judge follows the ranking, and what a side is worth to them,
          who follows least first; None below `FEWEST_RATERS` judges, or without a ranking.
        - `agreement`: nominal alpha over verdicts. `judges`: programs against the others.
        - `position_bias`: share of left, where the file tells sides; `side`: what standing on the
          left is worth, in logits, by the model behind the ranking.
        - `design`: ties and likeness of votes on one question, to plan the next study with.
        - `warnings`: in words.

    Raises:
        InvalidOption: `tie_break` does not name each model once.
    """
    beside = [vote for vote in votes if vote.judge in programs]
    counting = [vote for vote in votes if vote.judge not in programs] or list(votes)
    if len(counting) == len(votes):
        beside = []
    pairs, judged = _by_pair(counting), _by_pair(beside)
    warnings = _odd_lines(counting)

    compared: dict[Pair, ArmComparison | None] = {
        pair: _compared(pair, cast, judged.get(pair, []), rng, confidence)
        for pair, cast in sorted(pairs.items())
    }
    found = [pair for pair in compared.values() if pair is not None]
    for one, p_value in zip(found, holm([one.p_value for one in found]), strict=True):
        compared[one.arm, one.opponent] = replace(one, p_value=p_value)
    alone = sum(one is None for one in compared.values())
    if alone:
        warnings.append(
            f"{alone} of {len(pairs)} pairs of models were compared on a single question,"
            " so they have no win rate."
        )
    judges = _raters(counting)
    if judges is not None and not enough_raters(judges):
        warnings.append(
            f"{len(set(judges))} judges voted; below {FEWEST_RATERS} an interval says how other"
            " questions would go with these judges, and not how other judges would vote."
        )
    ranked, problem = _ranked(counting, confidence)
    raters = _rater_effects(counting, ranked, confidence)
    if raters is not None and (odd := odd_raters(raters)):
        warnings.append(odd)
    if problem:
        warnings.append(f"There is no ranking by strength. {problem}")
    agreed = _agreement(counting, rng, confidence)
    if agreed["alpha"] is None:
        warnings.append(f"Agreement is unknown. {agreed['reason']}")
    return {
        "win_rates": [
            side for pair, one in compared.items() for side in _both_sides(pair, pairs[pair], one)
        ],
        "ranking": _standings(pairs, ranked),
        "group_orders": _orders(counting, tie_break, confidence),
        "raters": raters and asdict(raters),
        "agreement": agreed,
        "judges": _judges(beside, counting, rng, confidence),
        "position_bias": _json(_position_bias(counting, confidence)),
        "side": _json(ranked.side if ranked else None),
        "design": _design(counting, confidence),
        "warnings": warnings,
    }


def _by_pair(votes: Sequence[Vote]) -> dict[Pair, list[Vote]]:
    pairs: dict[Pair, list[Vote]] = defaultdict(list)
    for vote in votes:
        first, second = sorted((vote.first, vote.second))
        pairs[first, second].append(vote)
    return pairs


def _odd_lines(votes: Sequence[Vote]) -> list[str]:
    found = []
    itself = sum(vote.first == vote.second for vote in votes)
    if itself:
        found.append(f"{itself} votes compare a model with itself; the ranking leaves them out.")
    said = Counter((vote.item, vote.judge) for vote in votes if vote.judge is not None)
    again = said.total() - len(said)
    if again:
        found.append(
            f"{again} votes are a judge's second word on the same answers. All are counted; if they"
            " are copies, take them out."
        )
    return found


def _raters(votes: Sequence[Vote]) -> list[str] | None:
    """Who gave each vote; None where that is not known of all."""
    known = [vote.judge for vote in votes if vote.judge is not None]
    return known if len(known) == len(votes) else None


def _ballots(votes: Sequence[Vote], arm: str) -> Ballots:
    """Votes on one pair from the side of `arm`."""
    turned = [vote.second != arm for vote in votes]
    return Ballots(
        scores=[1 - v.score if turn else v.score for v, turn in zip(votes, turned, strict=True)],
        prompts=[vote.question for vote in votes],
        raters=[vote.judge for vote in votes],
        longer_by=[
            v.second_longer_by and v.second_longer_by * (-1 if turn else 1)
            for v, turn in zip(votes, turned, strict=True)
        ],
    )


def _compared(
    pair: Pair,
    votes: Sequence[Vote],
    judged: Sequence[Vote],
    rng: np.random.Generator,
    confidence: float,
) -> ArmComparison | None:
    try:
        return compare(
            pair,
            _ballots(votes, pair[0]),
            judged=_ballots(judged, pair[0]) if judged else None,
            rng=rng,
            confidence=confidence,
        )
    except TooLittleData:
        return None


def _both_sides(
    pair: Pair, votes: Sequence[Vote], found: ArmComparison | None
) -> list[dict[str, Any]]:
    """The entry of each of two models; of one that was held against itself there is one."""
    sides = []
    for model, opponent in (pair, pair[::-1])[: len(set(pair))]:
        entry: dict[str, Any] = {
            "model": model,
            "opponent": opponent,
            "votes": len(votes),
            "ties": sum(vote.score == 0.5 for vote in votes),
            "prompts": len({vote.question for vote in votes}),
        }
        for name, field in ESTIMATES.items():
            estimate: Estimate | None = getattr(found, field) if found else None
            mirror = estimate is not None and model != pair[0]
            entry[name] = _json(estimate.mirrored() if mirror and estimate else estimate)
        entry["p_value"] = found and found.p_value
        entry["sign_test"] = found and asdict(
            found.by_prompt if model == pair[0] else found.by_prompt.mirrored()
        )
        entry["other_people"] = bool(found and found.other_people)
        sides.append(entry)
    return sides


ESTIMATES = {
    "win_rate": "win_rate",
    "bootstrap": "resampled",
    "length_controlled": "at_equal_length",
    "any_time": "any_time",
    "with_judges": "with_judges",
}
"""Name in an entry of `win_rates`, and where it comes from."""


def _ranked(votes: Sequence[Vote], confidence: float) -> tuple[Ranking | None, str]:
    """The ranking by strength, or why there is none."""
    between = [vote for vote in votes if vote.first != vote.second]
    raters = _raters(between)
    try:
        found = ranking(
            *_sides(between),
            [vote.question for vote in between],
            raters=raters if raters is not None and enough_raters(raters) else None,
            side_effect=_sides_known(between),
            confidence=confidence,
        )
    except (TooLittleData, NoConvergence) as refusal:
        return None, str(refusal)
    return found, ""


def _rater_effects(
    votes: Sequence[Vote], ranked: Ranking | None, confidence: float
) -> RaterEffects | None:
    """Each judge beside the ranking; None where that cannot be told."""
    between = [vote for vote in votes if vote.first != vote.second]
    raters = _raters(between)
    if ranked is None or raters is None:
        return None
    try:
        return rater_effects(*_sides(between), raters, ranked=ranked, confidence=confidence)
    except (TooLittleData, NoConvergence):
        return None


def _sides_known(votes: Sequence[Vote]) -> bool:
    return all(vote.second_was_left is not None for vote in votes)


def _sides(votes: Sequence[Vote]) -> tuple[list[str], list[str], list[float]]:
    """Models on the left and on the right, as far as sides are known, and how left scored."""
    turned = [bool(vote.second_was_left) for vote in votes]
    return (
        [v.second if turn else v.first for v, turn in zip(votes, turned, strict=True)],
        [v.first if turn else v.second for v, turn in zip(votes, turned, strict=True)],
        [v.score if turn else 1 - v.score for v, turn in zip(votes, turned, strict=True)],
    )


def _standings(pairs: dict[Pair, list[Vote]], ranked: Ranking | None) -> list[dict[str, Any]]:
    averages: dict[str, list[float]] = defaultdict(list)
    points: Counter[str] = Counter()
    for (first, second), cast in pairs.items():
        if first != second:
            won = float(np.sum(_ballots(cast, first).scores))
            points.update({first: won, second: len(cast) - won})
            averages[first].append(won / len(cast))
            averages[second].append(1 - won / len(cast))
    known = {one.model: one for one in ranked.standings} if ranked else {}
    entries: list[dict[str, Any]] = []
    for model, rates in averages.items():
        one = known.get(model)
        entries.append(
            {
                "model": model,
                "strength": one and one.strength.as_json(),
                "elo": one and one.elo.as_json(),
                "place": one and one.place,
                "best_place": one and one.best_place,
                "worst_place": one and one.worst_place,
                "average_win_rate": sum(rates) / len(rates),
                "opponents": len(rates),
                "points": points[model],
            }
        )
    return sorted(
        entries,
        key=lambda entry: (
            entry["place"] or 0,
            -float(entry["average_win_rate"]),
            str(entry["model"]),
        ),
    )


def _orders(
    votes: Sequence[Vote], tie_break: Sequence[str] | None, confidence: float
) -> dict[str, Any] | None:
    """Orders of each question, where what judges said are orders for the most part."""
    known = [vote for vote in votes if vote.judge is not None and vote.first != vote.second]
    models = sorted({model for vote in known for model in (vote.first, vote.second)})
    try:
        found: GroupOrders = group_orders(
            [
                Preference(
                    prompt=vote.question,
                    rater=str(vote.judge),
                    first=vote.second,
                    second=vote.first,
                    score=vote.score,
                )
                for vote in known
            ],
            arms=models,
            tie_break=tie_break,
            confidence=confidence,
        )
    except TooLittleData:
        return None
    return asdict(found) if found.orders > found.left_out else None


def _judges(
    programs: Sequence[Vote],
    others: Sequence[Vote],
    rng: np.random.Generator,
    confidence: float,
) -> list[dict[str, Any]]:
    """Each program against the others, on what both judged."""
    if not programs:
        return []
    found = judge_agreement(
        verdicts_in_votes([*programs, *others], programs={str(vote.judge) for vote in programs}),
        rng=rng,
        confidence=confidence,
    )
    return [asdict(one) for one in found]


def _position_bias(votes: Sequence[Vote], confidence: float) -> Estimate | None:
    shown = [vote for vote in votes if vote.second_was_left is not None]
    # Below 0 where left was preferred, as position_bias reads choices.
    choices = [(0.5 - v.score) * (1 if v.second_was_left else -1) for v in shown]
    return position_bias(choices, confidence=confidence) if any(choices) else None


def _design(votes: Sequence[Vote], confidence: float) -> dict[str, Any] | None:
    """How alike votes are, to plan the next study with; None where that cannot be told."""
    between = [vote for vote in votes if vote.first != vote.second]
    try:
        seen = seen_design(
            [v.score if v.second > v.first else 1 - v.score for v in between],
            [vote.question for vote in between],
            raters=_raters(between),
            comparisons=["\\n".join(sorted((vote.first, vote.second))) for vote in between],
            confidence=confidence,
        )
    except TooLittleData:
        return None
    return asdict(seen)


def _agreement(
    votes: Sequence[Vote], rng: np.random.Generator, confidence: float
) -> dict[str, Any]:
    known = [vote for vote in votes if vote.judge is not None and vote.first != vote.second]
    verdicts = [
        float(np.sign(vote.score - 0.5)) * (1 if vote.second > vote.first else -1) for vote in known
    ]
    found = agreement(
        [vote.item for vote in known],
        [str(vote.judge) for vote in known],
        verdicts,
        level="nominal",
        rng=rng,
        confidence=confidence,
    )
    return found.as_json()


def _json(estimate: Estimate | None) -> dict[str, float | int] | None:
    return None if estimate is None else estimate.as_json()
