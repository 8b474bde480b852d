"""`tandem judge`: one command per program that votes in studies, with that program's options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Parameter

from app.commands.home import AsJson, InHome
from app.commands.options import unknown_recipe, with_options
from app.commands.output import note, tell, tell_json
from evaluation.judges import JUDGES, Voting
from storage.recipes import Recipe

judge = App(
    name="judge",
    help="Let a program vote in an open study; its votes are marked as a program's.",
)


def _command(recipe: Recipe) -> Callable[..., None]:
    """The command that lets one judge vote."""

    def command(
        *,
        home: InHome,
        study_name: Annotated[str, Parameter(name="--study", help="A study, by its code or id.")],
        as_json: AsJson = False,
        **typed: Any,
    ) -> None:
        from app.measuring import judge_study

        with home.open() as (settings, database):
            found = judge_study(
                database, settings, judge=recipe.name, study=study_name, options=typed
            )
        if as_json:
            tell_json({"judge": recipe.name, "study": study_name, **found.as_json()})
        else:
            _tell(recipe.name, found)

    command.__doc__ = f"{recipe.summary}."
    return with_options(command, recipe.config, without=("device",))


def _tell(name: str, found: Voting) -> None:
    tell(f"The judge {name!r} gave {found.votes} votes.")
    if found.parse_rate is not None:
        tell(f"  inconsistent between the two orders (ties): {found.inconsistent}")
        tell(f"  abstained: {found.abstained}")
        tell(f"  replies with a verdict: {found.parse_rate:.1%}".replace("%", " %"))
        tell(f"  tokens: {found.spent.tokens}")
        cost = "unknown" if found.spent.cost is None else f"{found.spent.cost:.4f}"
        tell(f"  cost: {cost}")
    for warning in found.warnings:
        note(f"warning: {warning}")


for _recipe in JUDGES.values():
    judge.command(_command(_recipe), name=_recipe.name)
judge.default(unknown_recipe(JUDGES, "judge"))
