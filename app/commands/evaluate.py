"""`tandem evaluate`: how good a reward model is, and what a file of votes says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from app.commands.home import AsJson, InHome
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from storage.errors import InvalidOption

evaluate = App(name="evaluate", help="Measure a reward model or a file of votes.")

VOTES_SEED = 0
"""Of the bootstrap: the same file gives the same intervals."""


@evaluate.command
def reward(
    *,
    home: InHome,
    model: Annotated[str, Parameter(help="A reward model: name, id or folder.")],
    data: Annotated[
        Path | None, Parameter(help="File with judgements; all of them are used.")
    ] = None,
    snapshot: Annotated[
        str | None, Parameter(help="Snapshot, by its id or its first digits.")
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"], Parameter(help="Which part of the snapshot.")
    ] = "test",
    as_json: AsJson = False,
) -> None:
    """Compare a reward model's order of responses with what was judged, and with length alone."""
    from app.measuring import evaluate_reward

    if (data is None) == (snapshot is None):
        raise InvalidOption("data", "name either --data or --snapshot", data and str(data))
    with home.open() as (settings, database):
        card = evaluate_reward(
            database, settings, model=model, data=data, snapshot=snapshot, split=split
        )
    if as_json:
        tell_json(card)
        return
    tell_card(card)


@evaluate.command
def votes(
    path: Annotated[Path, Parameter(help="Lines of question_id, model_a, model_b, winner.")],
    /,
    *,
    as_json: AsJson = False,
) -> None:
    """Win rates with intervals clustered by question, a ranking, agreement and position bias."""
    import numpy as np

    from evaluation.votes import read_votes, votes_report

    report = votes_report(read_votes(path), rng=np.random.default_rng(VOTES_SEED))
    if as_json:
        tell_json(report)
        return
    tell_table(
        ("model", "opponent", "votes", "ties", "prompts", "win rate"),
        [
            (
                row["model"],
                row["opponent"],
                row["votes"],
                row["ties"],
                row["prompts"],
                written_estimate(row["win_rate"]),
            )
            for row in report["win_rates"]
        ],
        empty="No two models were compared.",
    )
    tell(f"agreement between judges (alpha): {written_estimate(report['agreement']['alpha'])}")
    tell(f"position bias (share of left): {written_estimate(report['position_bias'])}")
    _warn(report)


def tell_card(card: dict[str, Any]) -> None:
    """Print a reward model's report card."""
    for name, value in card.items():
        if isinstance(value, dict) and "low" in value:
            tell(f"{name}: {written_estimate(value)}  n={value['n']}")
        elif value is None or isinstance(value, str | int | float):
            # Lists of numbers are for figures.
            tell(f"{name}: {'-' if value is None else value}")
    _warn(card)


def _warn(report: dict[str, Any]) -> None:
    for warning in report.get("warnings", ()):
        note(f"warning: {warning}")
