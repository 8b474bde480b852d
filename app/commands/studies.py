"""`tandem study` and `judge`: policies put side by side, blinded."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from app.commands.home import AsJson, InHome, ProjectName, project_called
from app.commands.options import read_options, with_options
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from app.commands.study_plan import plan
from app.commands.train import ToQueue, tell_queued
from app.kinds import StudyJob

study = App(name="study", help="Compare policies in blinded studies.")
study.command(plan, name="plan")

StudyName = Annotated[str, Parameter(help="A study, by its code or id.")]


def _open(
    *,
    home: InHome,
    project: ProjectName = None,
    queue: ToQueue = False,
    as_json: AsJson = False,
    **typed: Any,
) -> None:
    """Let two policies answer held-out prompts and open a blinded study of the answers."""
    from app.foreground import run_here
    from app.progress import utc_now
    from app.queue import enqueue

    config = read_options(StudyJob, typed).model_dump()
    with home.open() as (settings, database):
        with database.read() as connection:
            found = project_called(connection, project).id
        if queue:
            job = enqueue(
                database,
                settings,
                kind="study",
                recipe="study",
                config=config,
                project=found,
                now=utc_now(),
            )
            tell_queued(job, as_json=as_json)
            return
        result = run_here(
            database, settings, kind="study", recipe="study", config=config, project=found
        )
    address = f"{settings.address}/study/{result['code']}"
    if as_json:
        tell_json({**result, "link": address})
        return
    tell(f"The study is open; participants vote, while the server runs, at:\n{address}")


_open.__name__ = "open"
study.command(with_options(_open, StudyJob), name="open")


@study.command
def close(name: StudyName, /, *, home: InHome, as_json: AsJson = False) -> None:
    """Close a study: nobody votes any more, and its result may be read."""
    from app.progress import utc_now
    from storage import studies

    with home.open() as (_, database), database.write() as connection:
        found = studies.study(connection, name)
        studies.close_study(connection, found.id, utc_now())
    if as_json:
        tell_json({"study": found.id, "code": found.code, "closed": True})
    else:
        tell(f"The study {found.name!r} is closed. Its result: tandem study report {found.code}")


@study.command
def report(
    name: StudyName,
    /,
    *,
    home: InHome,
    peek: Annotated[
        bool, Parameter(negative=(), help="Look although the study is open; the result says so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which policy won, how sure that is, and what to doubt."""
    from evaluation.studies import results
    from storage import studies

    with home.open() as (_, database):
        with database.read() as connection:
            found = studies.study(connection, name)
        result = results(database, found, peek=peek)
    described = result.as_json()
    if as_json:
        tell_json({"study": found.id, "name": found.name, **described})
        return
    tell(described["verdict"])
    for label, value in described.items():
        if isinstance(value, dict) and "low" in value:
            tell(f"  {label}: {written_estimate(value)}")
        elif label not in ("verdict", "warnings"):
            tell(f"  {label}: {value}")
    for warning in described["warnings"]:
        note(f"warning: {warning}")


@study.command(name="list")
def list_studies(*, home: InHome, as_json: AsJson = False) -> None:
    """List the studies, the newest first."""
    from storage import studies

    with home.open() as (_, database), database.read() as connection:
        found = studies.studies(connection)
    rows = [
        {
            "code": one.code,
            "name": one.name,
            "arms": list(one.arms),
            "opened": f"{one.opened:%Y-%m-%d %H:%M}",
            "closed": one.closed and f"{one.closed:%Y-%m-%d %H:%M}",
            "simulated": one.simulated,
        }
        for one in found
    ]
    if as_json:
        tell_json({"studies": rows})
        return
    tell_table(
        ("code", "name", "arms", "opened", "closed", "simulated"),
        [[*row.values()] for row in rows],
        empty="There is no study yet; open one with: tandem study open",
    )


def judge(
    judge_name: Annotated[str, Parameter(name="JUDGE", help="gold, reward or longest.")],
    /,
    *,
    home: InHome,
    study_name: Annotated[str, Parameter(name="--study", help="A study, by its code or id.")],
    model: Annotated[
        str | None, Parameter(help="The reward model of the judge 'reward': name, id or folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a program vote in an open study; its votes are marked as a program's."""
    from app.measuring import judge_study

    with home.open() as (settings, database):
        votes = judge_study(database, settings, judge=judge_name, study=study_name, model=model)
    if as_json:
        tell_json({"judge": judge_name, "study": study_name, "votes": votes})
    else:
        tell(f"The judge {judge_name!r} gave {votes} votes.")
