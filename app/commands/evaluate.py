"""`tandem evaluate`: how good a reward model is, and what a file of votes says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from app.commands.ablation import ablation
from app.commands.home import AsJson, InHome
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from storage.errors import InvalidOption

evaluate = App(name="evaluate", help="Measure a reward model or a file of votes.")
evaluate.command(ablation, name="ablation")

MOST_RATERS = 5
"""Judges that are shown of those who follow a ranking least; `--json` has all."""

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
    benchmark: Annotated[
        Path | None, Parameter(help="File in the format of RewardBench or RewardBench 2.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a reward model's order of responses with what was judged, and with length alone."""
    from app.measuring import evaluate_on_benchmark, evaluate_reward

    if sum(source is not None for source in (data, snapshot, benchmark)) != 1:
        raise InvalidOption(
            "data", "name either --data or --snapshot or --benchmark", data and str(data)
        )
    with home.open() as (settings, database):
        if benchmark is not None:
            report = evaluate_on_benchmark(database, settings, model=model, path=benchmark)
        else:
            report = evaluate_reward(
                database, settings, model=model, data=data, snapshot=snapshot, split=split
            )
    if as_json:
        tell_json(report)
    elif benchmark is not None:
        _tell_benchmark(report)
    else:
        tell_card(report)


@evaluate.command
def votes(
    path: Annotated[
        Path, Parameter(help="Lines of question_id, model_a, model_b, winner; or rankings.")
    ],
    /,
    *,
    programs: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, help="Judges that are programs; the others decide."),
    ] = None,
    tie_break: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            help="All models, in the order that settles ties in rankings; else ties stay ties.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Win rates with intervals, also at equal length, a ranking, agreement and what to doubt."""
    import numpy as np

    from evaluation.votes import read_votes
    from evaluation.votes_report import votes_report

    report = votes_report(
        read_votes(path),
        rng=np.random.default_rng(VOTES_SEED),
        programs=programs or (),
        tie_break=tie_break,
    )
    if as_json:
        tell_json(report)
        return
    tell_table(
        (
            "model", "opponent", "votes", "ties", "prompts", "win rate", "at equal length",
            "at any time", "p", "questions won, lost",
        ),
        [
            (
                row["model"],
                row["opponent"],
                row["votes"],
                row["ties"],
                row["prompts"],
                written_estimate(row["win_rate"]),
                written_estimate(row["length_controlled"]),
                written_estimate(row["any_time"]),
                "-" if row["p_value"] is None else f"{row['p_value']:.3g}",
                _won_and_lost(row["sign_test"]),
            )
            for row in report["win_rates"]
        ],
        empty="No two models were compared.",
    )  # fmt: skip
    tell("")
    tell_table(
        ("place", "model", "strength (logits)", "Elo", "average win rate"),
        [
            (
                _place(row),
                row["model"],
                written_estimate(row["strength"]),
                _elo(row["elo"]),
                f"{row['average_win_rate']:.3f}",
            )
            for row in report["ranking"]
        ],
        empty="No two models were compared.",
    )
    tell("")
    if (orders := report["group_orders"]) is not None:
        tell_table(
            ("model", "points by ranked pairs", "Borda", "first on"),
            [
                (
                    one["arm"],
                    written_estimate(one["points"]),
                    written_estimate(one["borda"]),
                    f"{one['first']} of {orders['prompts']}",
                )
                for one in orders["standings"]
            ],
            empty="",
        )
        tell("")
    if (raters := report["raters"]) is not None:
        _tell_raters(raters["raters"])
    tell(f"agreement between judges (alpha): {written_estimate(report['agreement']['alpha'])}")
    tell(f"position bias (share of left): {written_estimate(report['position_bias'])}")
    for one in report["judges"]:
        beside = one["all"]
        tell(
            f"{one['judge']} says what a person says: {written_estimate(beside['judge']['equal'])};"
            f" two people do: {written_estimate(beside['people']['equal'])}"
        )
    _warn(report)


def _tell_raters(raters: list[dict[str, Any]]) -> None:
    """The judges who follow the ranking least."""
    tell_table(
        ("judges who follow the ranking least", "votes", "follows", "worth of the left, logits"),
        [
            (
                one["rater"],
                one["follows"]["n"],
                written_estimate(one["follows"]),
                written_estimate(one["first_place"]),
            )
            for one in raters[:MOST_RATERS]
        ],
        empty="",
    )
    tell("1 follows the ranking as sharply as judges do on the whole, 0 is a coin.")
    tell("")


def _won_and_lost(found: dict[str, Any] | None) -> str:
    """On how many questions, each counting once, and how likely that is by chance."""
    if found is None:
        return "-"
    return f"{found['won']}, {found['lost']} (p {found['p_value']:.3g})"


def _place(row: dict[str, Any]) -> str:
    """The place with the places that the intervals leave open."""
    if row["place"] is None:
        return "-"
    best, worst = row["best_place"], row["worst_place"]
    return f"{row['place']}" if best == worst else f"{row['place']} ({best} to {worst})"


def _elo(elo: dict[str, Any] | None) -> str:
    return "-" if elo is None else f"{elo['value']:.0f} [{elo['low']:.0f}, {elo['high']:.0f}]"


def tell_card(card: dict[str, Any]) -> None:
    """Print a reward model's report card: what it comes to, the figures, and parts of the whole."""
    if card.get("verdict"):
        tell(f"{card['verdict']}\n")
    for name, value in card.items():
        if isinstance(value, dict) and "low" in value:
            tell(f"{name}: {written_estimate(value)}  n={value['n']}")
        elif name not in ("verdict", "outcomes") and (
            value is None or isinstance(value, str | int | float)
        ):
            # Lists of numbers, and what was right of each pair, are for figures.
            tell(f"{name}: {'-' if value is None else value}")
    for part, what in (("kinds", "kind"), ("annotators", "annotator")):
        if card.get(part):
            tell("")
            tell_table(
                (what, "pair accuracy", "n"),
                [
                    (one[what], written_estimate(one["pair_accuracy"]), one["pair_accuracy"]["n"])
                    for one in card[part]
                ],
                empty="",
            )
    _warn(card)


def _tell_benchmark(report: dict[str, Any]) -> None:
    """Print each subset and section, then the figures over all."""
    tell_table(
        ("part", "score", "length only", "n"),
        [
            (
                one[what],
                written_estimate(one["score"]),
                written_estimate(one["length_only_score"]),
                one["score"]["n"],
            )
            for part, what in (("subsets", "subset"), ("sections", "section"))
            for one in report[part]
        ],
        empty="",
    )
    for name in ("accuracy", "length_only_accuracy", "score"):
        tell(f"{name}: {written_estimate(report[name])}")
    _warn(report)


def _warn(report: dict[str, Any]) -> None:
    for warning in report.get("warnings", ()):
        note(f"warning: {warning}")
