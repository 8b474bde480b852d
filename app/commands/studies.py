"""`tandem study`: policies put side by side, blinded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from app.commands.home import AsJson, InHome, ProjectName, project_called
from app.commands.options import read_options, with_options
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from app.commands.study_plan import plan
from app.commands.train import ToQueue, tell_queued
from app.kinds import StudyJob
from evaluation.study_plan import StudyDesign

study = App(name="study", help="Compare policies in blinded studies.")
study.command(plan, name="plan")

StudyName = Annotated[str, Parameter(help="A study, by its code or id.")]


def _open(
    *,
    home: InHome,
    project: ProjectName = None,
    prompts: Annotated[
        Path | None,
        Parameter(
            help="Ask the prompts of this file, and not those of the project that are held out."
        ),
    ] = None,
    queue: ToQueue = False,
    as_json: AsJson = False,
    **typed: Any,
) -> None:
    """Let policies answer held-out prompts and open a blinded study of the answers.

    Answers that are there already take part as file:PATH, with lines of {prompt, response} or of
    AlpacaEval's {instruction, output, generator}.
    """
    from app.answer_files import keep_prompts, named_answers
    from app.foreground import run_here
    from app.progress import utc_now
    from app.queue import enqueue

    with home.open() as (settings, database):
        typed["policies"] = named_answers(settings, typed["policies"])
        if prompts is not None:
            typed["prompts"] = keep_prompts(settings, prompts)
        config = read_options(StudyJob, typed).model_dump()
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
        elif label not in ("verdict", "warnings", "ratings", "design", "people"):
            tell(f"  {label}: {value}")
    for rating in result.ratings:
        tell(f"  mean rating of {rating.arm}: {written_estimate(rating.mean.as_json())}")
    for sentence in result.people.sentences() if result.people else ():
        tell(f"  {sentence}")
    if result.design is not None:
        _tell_design(result.design)
    for warning in described["warnings"]:
        note(f"warning: {warning}")


@study.command
def package(
    name: StudyName,
    /,
    *,
    output: Annotated[Path, Parameter(help="The zip file to write.")],
    home: InHome,
    as_json: AsJson = False,
) -> None:
    """Write all that a closed study rests on into a zip file, with code that counts it again.

    Plan, key, votes, answers, result, report and figures; people are in it under pseudonyms.
    """
    from app.version import SOFTWARE
    from evaluation.study_package import write_package
    from evaluation.study_record import study_record
    from storage import studies

    with home.open() as (_, database):
        with database.read() as connection:
            found = studies.study(connection, name)
        write_package(study_record(database, found), output, software=SOFTWARE)
    if as_json:
        tell_json({"study": found.id, "code": found.code, "package": str(output)})
    else:
        tell(f"The study {found.name!r} is in {output}.")


def _tell_design(design: StudyDesign) -> None:
    tell(f"  question: {design.question} ({design.form})")
    if design.without_start:
        tell(f"  without the start: {design.without_start}")
    told = sum(design.revealing["answers"].values())
    if told:
        tell(f"  answers that tell who wrote them: {told} ({design.revealing['rule']})")
    tell(f"  plan: {design.digest}")


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


@study.command(name="participants")
def list_participants(name: StudyName, /, *, home: InHome, as_json: AsJson = False) -> None:
    """List whom a panel such as Prolific sent, so that they can be paid; not beside their votes."""
    from evaluation.participants import sent_by_panel
    from feedback.participation import Participation
    from storage import studies

    with home.open() as (_, database), database.read() as connection:
        found = studies.study(connection, name)
        rows = sent_by_panel(connection, found)
    if as_json:
        code = Participation.of(found).completion_code
        tell_json({"study": found.id, "completion_code": code, "participants": rows})
        return
    tell(f"Completion code: {Participation.of(found).completion_code or 'none'}")
    tell_table(
        ("PID", "finished", "attention checks"),
        [[*row.values()] for row in rows],
        empty="No panel sent anybody who stayed.",
    )
