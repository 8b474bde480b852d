"""`tandem study plan`: how many votes a study needs, and what the planned ones will see."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from app.commands.home import AsJson
from app.commands.output import note, tell, tell_json, tell_table

if TYPE_CHECKING:
    from evaluation.likeness import SeenDesign

ANY = 6
"""A design must have prompts, where the question is how many."""


def plan(
    *,
    prompts: Annotated[
        int | None, Parameter(help="Prompts of the study; without, only what is needed is told.")
    ] = None,
    overlap: Annotated[float, Parameter(help="Votes on each prompt, by different people.")] = 3,
    win_rate: Annotated[
        list[float] | None,
        Parameter(
            help="True win rates to be seen, as fractions, ties as half"
            " [default: 0.52 0.55 0.57 0.6 0.65 0.7]",
            consume_multiple=True,
            negative=(),
        ),
    ] = None,
    likeness: Annotated[
        float | None,
        Parameter(
            help="Correlation of two votes on one prompt, 0 to 1 [default: that of --votes, or 0.2]"
        ),
    ] = None,
    ties: Annotated[
        float | None,
        Parameter(help="Share of votes that will be ties [default: that of --votes, or 0]"),
    ] = None,
    raters: Annotated[
        int | None,
        Parameter(help="People who vote, at least 8, if the result is to hold for others, too."),
    ] = None,
    rater_likeness: Annotated[
        float | None,
        Parameter(
            help="Correlation of two votes of one person [default: with --raters, that of --votes,"
            " or 0]"
        ),
    ] = None,
    power: Annotated[float, Parameter(help="How often a difference is to be seen.")] = 0.8,
    confidence: Annotated[float, Parameter(help="Of the interval to be read.")] = 0.95,
    votes: Annotated[
        Path | None,
        Parameter(help="A file of votes, as for evaluate votes, that the study's will be like."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many votes a study needs, and which differences the planned ones can see."""
    from evaluation.power import (
        LIKENESS,
        WIN_RATES,
        StudyDesign,
        needs,
        seeing,
        smallest_difference,
    )
    from storage.errors import TooLittleData

    seen = None if votes is None else _seen(votes)
    if seen is not None:
        likeness = max(0.0, seen.likeness.value) if likeness is None else likeness
        ties = seen.ties.value if ties is None else ties
        if rater_likeness is None and raters is not None and seen.rater_likeness is not None:
            rater_likeness = max(0.0, seen.rater_likeness.value)
    design = StudyDesign(
        prompts=ANY if prompts is None else prompts,
        overlap=overlap,
        likeness=LIKENESS if likeness is None else likeness,
        ties=ties or 0.0,
        raters=raters,
        rater_likeness=rater_likeness or 0.0,
        confidence=confidence,
    )
    possible = [rate for rate in WIN_RATES if rate < 1 - design.ties / 2]
    wanted = needs(design, win_rates=win_rate or possible, power=power)
    smallest = None
    if prompts is not None:
        try:
            smallest = smallest_difference(design, power=power)
        except TooLittleData:
            note("warning: So few votes see no difference reliably.")
    if as_json:
        described: dict[str, Any] = asdict(design) | {"power": power}
        if prompts is None:
            del described["prompts"]
        else:
            described |= {"votes": design.votes, "smallest_difference": smallest}
        tell_json(
            described
            | {
                "needed": [asdict(one) for one in wanted],
                "seen": None if seen is None else asdict(seen),
            }
        )
        return
    if seen is not None:
        tell(
            f"In {votes} two votes on one prompt correlate by {_written(seen.likeness)}, and"
            f" {seen.ties} are ties."
        )
    if prompts is not None:
        tell(seeing(design, power=power))
    people = (
        "" if raters is None else f", {raters} people who correlate by {design.rater_likeness:.2g}"
    )
    tell(
        f"Votes needed to see a true win rate in {power:.0%} of studies, with {overlap:g} on each"
        f" prompt that correlate by {design.likeness:.2g}, {design.ties:.0%} ties{people}:".replace(
            "%", " %"
        )
    )
    tell_table(
        ("win rate", "prompts", "votes"),
        [
            (f"{100 * one.win_rate:g} %", one.prompts or "more raters", one.votes or "-")
            for one in wanted
        ],
        empty="",
    )


def _seen(path: Path) -> SeenDesign:
    """What the votes of a file are like, within pairs of models."""
    from evaluation.likeness import seen_design
    from evaluation.votes import read_votes

    cast = [vote for vote in read_votes(path) if vote.first != vote.second]
    known = all(vote.judge is not None for vote in cast)
    return seen_design(
        [vote.score if vote.first < vote.second else 1 - vote.score for vote in cast],
        [vote.question for vote in cast],
        raters=[str(vote.judge) for vote in cast] if known else None,
        comparisons=["\t".join(sorted((vote.first, vote.second))) for vote in cast],
    )


def _written(estimate: Any) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
