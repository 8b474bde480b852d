"""`tandem check`: what would hurt in a file, a snapshot or a project, before it is learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from app.commands.home import AsJson, InHome
from app.commands.output import note, tell, tell_json
from storage.errors import InvalidData, InvalidOption

if TYPE_CHECKING:
    from evaluation.linting.check import CheckReport


def check(
    file: Annotated[
        Path | None, Parameter(help="File or folder in any format that can be imported.")
    ] = None,
    /,
    *,
    home: InHome,
    snapshot: Annotated[
        str | None, Parameter(help="Instead of a file: a snapshot, by its id or first digits.")
    ] = None,
    project: Annotated[
        str | None, Parameter(help="Instead of a file: all judgements of a project.")
    ] = None,
    format_name: Annotated[
        str | None, Parameter(name="--format", help="Format of the file; detected when left out.")
    ] = None,
    against: Annotated[
        list[Path] | None,
        Parameter(
            consume_multiple=True, help="Evaluation sets whose prompts must not be in the data."
        ),
    ] = None,
    report: Annotated[
        Path | None, Parameter(help="Write the report with figures to this HTML file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for duplicates, leaks, length bias, odd ratings, cut answers and personal data.

    Ends with code 1 where there are errors, so that an import can be made to depend on it.
    """
    from app.checking import check_file, check_project, check_snapshot, evaluation_sets
    from evaluation.linting.findings import Severity, counted

    if sum(source is not None for source in (file, snapshot, project)) != 1:
        raise InvalidOption(
            "file", "name one of FILE, --snapshot and --project", file and str(file)
        )
    if format_name is not None and file is None:
        raise InvalidOption("format", "only a file has a format", format_name)
    sets = evaluation_sets(against or [])
    if file is not None:
        found = check_file(file, format_name, against=sets)
    else:
        with home.open() as (settings, database):
            if snapshot is not None:
                found = check_snapshot(database, settings, snapshot, against=sets)
            else:
                found = check_project(database, str(project), against=sets)
    if report is not None:
        from evaluation.linting.report import check_report
        from storage.files import write_text

        write_text(report, check_report(found))
        note(f"The report is in {report}.")
    if as_json:
        tell_json(found.as_json())
    else:
        _tell(found)
    errors = found.number(Severity.ERROR)
    if errors:
        raise InvalidData(f"{counted(errors, 'error')} in {found.name}; mend them first.")


def _tell(found: CheckReport) -> None:
    tell(found.verdict)
    for one in found.findings:
        tell("")
        tell(f"{one.severity.value.upper()}  {one.sentence}")
        tell(f"  {one.advice}")
        for shown in one.examples:
            tell(f"    {shown.place}: {shown.text}")
    for words in found.sampled:
        note(words)
