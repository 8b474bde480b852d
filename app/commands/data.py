"""`tandem import`, `export` and `snapshot`: data in, data out, data frozen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from app.commands.home import DEFAULT_PROJECT, AsJson, InHome, ProjectName, project_called
from app.commands.output import agreed, tell, tell_json, tell_table

snapshot = App(name="snapshot", help="Freeze judgements so that models can be trained on them.")

SnapshotName = Annotated[str, Parameter(help="A snapshot, by its id or its first digits.")]


def import_file(
    path: Annotated[
        str,
        Parameter(
            help="A .jsonl, .json, .csv (each also .gz) or .parquet file; or its address:"
            " https://..., or hf://datasets/OWNER/NAME/FILE."
        ),
    ],
    /,
    *,
    home: InHome,
    format_name: Annotated[
        str | None,
        Parameter(name="--format", help="A format, such as pairs; detected when left out."),
    ] = None,
    project: Annotated[
        str, Parameter(help="Project to import into, made when it is not there.")
    ] = DEFAULT_PROJECT,
    option: Annotated[
        list[str] | None,
        Parameter(help="An option of the format, NAME=VALUE; may be given several times."),
    ] = None,
    broken: Annotated[
        Literal["refuse", "skip"],
        Parameter(
            help="What a broken line does: refuse the whole file, or be left out and reported."
        ),
    ] = "refuse",
    as_json: AsJson = False,
) -> None:
    """Import prompts, responses and judgements from a file, whole or not at all.

    Importing a file twice adds nothing. The formats and their options are described in
    docs/importing.md.
    """
    from app.fetching import fetched, is_address
    from app.importing import import_into
    from app.progress import ConsoleProgress, utc_now

    with ExitStack() as stack:
        _, database = stack.enter_context(home.open())
        progress = stack.enter_context(ConsoleProgress("import"))
        found = import_into(
            database,
            stack.enter_context(fetched(path, progress=progress))
            if is_address(path)
            else Path(path),
            project=project,
            format_name=format_name,
            options=options_of(option),
            broken=broken,
            now=utc_now(),
            progress=progress,
        )
    if as_json:
        tell_json(found)
        return
    tell(f"Imported into project {project!r}:")
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{number} {what}" for what, number in value.items()) or "nothing"  # noqa: PLW2901
        elif isinstance(value, tuple):
            value = "".join(f"\n    {one}" for one in value) or "none"  # noqa: PLW2901
        tell(f"  {name}: {value}")


def export(
    format_name: Annotated[
        str,
        Parameter(
            name="FORMAT",
            help="preference, margin, ratings, unpaired, sft, prompts (TRL), openrlhf,"
            " openrlhf_prompts, llamafactory, llamafactory_sft, alpaca_eval, reward_bench, both or"
            " raw.",
        ),
    ],
    /,
    *,
    home: InHome,
    output: Annotated[
        str | None,
        Parameter(
            help="A new folder; a new file (.jsonl, .jsonl.gz, .json, .csv, .parquet); or a folder"
            " in a store, such as s3://bucket/folder."
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None, Parameter(help="OWNER/NAME of a data set on the Hugging Face Hub; private.")
    ] = None,
    public: Annotated[
        bool, Parameter(negative=(), help="Let everybody read it on the Hub; asks first.")
    ] = False,
    yes: Annotated[bool, Parameter(negative=(), help="Publish without asking.")] = False,
    project: ProjectName = None,
    file_type: Annotated[
        Literal["jsonl", "jsonl.gz", "json", "csv", "parquet"] | None,
        Parameter(help="Type of the files in a folder; the format's own when left out."),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None, Parameter(help="The only part to write.")
    ] = None,
    licence: Annotated[
        str, Parameter(help="For the card, as the Hub abbreviates it, such as cc-by-4.0")
    ] = "unknown",
    option: Annotated[
        list[str] | None,
        Parameter(help="An option of the format, NAME=VALUE; may be given several times."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a project's judgements as training data, with a card that describes them.

    The options of formats are `of` (margin: choice or ratings) and `policy` (alpaca_eval).
    """
    from app.exporting import export_to
    from app.exporting import push_to_hub as push
    from app.progress import utc_now
    from storage.errors import InvalidOption

    if (output is None) == (push_to_hub is None):
        raise InvalidOption("output", "name either --output or --push-to-hub", output)
    options: dict[str, Any] = options_of(option) | {"licence": licence}
    options |= {} if split is None else {"split": split}
    options |= {} if file_type is None else {"file_type": file_type}
    with home.open() as (_, database):
        with database.read() as connection:
            found = project_called(connection, project)
        if push_to_hub is None:
            place = output or ""
            report = export_to(
                database, found, format_name, output=place, options=options, now=utc_now()
            )
        else:
            report, place = push(
                database,
                found,
                format_name,
                name=push_to_hub,
                public=public,
                confirm=lambda question: yes or agreed(question),
                options=options,
                now=utc_now(),
            )
    if as_json:
        names = [path.name for path in report.files]
        remote = "://" in place
        tell_json(
            {
                "project": found.name,
                "format": report.format,
                "place": place,
                "files": [f"{place.rstrip('/')}/{name}" for name in names]
                if remote
                else [str(path) for path in report.files],
                "rows": dict(report.rows),
                "left_out": dict(report.left_out),
                "no_place": list(report.no_place),
                "simulated": report.simulated,
            }
        )
    else:
        tell(report.sentence(place))


@snapshot.command
def create(*, home: InHome, project: ProjectName = None, as_json: AsJson = False) -> None:
    """Freeze everything that was judged so far. The same judgements give the same snapshot."""
    from app.progress import utc_now
    from storage import snapshots

    with home.open() as (settings, database):
        with database.read() as connection:
            found = project_called(connection, project)
        frozen = snapshots.freeze(database, found.id, data_dir=settings.data_dir, now=utc_now())
    if as_json:
        tell_json({"snapshot": frozen.id, "project": found.name, "rows": dict(frozen.rows)})
        return
    tell(f"Snapshot {frozen.id}")
    for name, rows in frozen.rows.items():
        tell(f"  {name}: {rows}")


@snapshot.command(name="list")
def list_snapshots(*, home: InHome, as_json: AsJson = False) -> None:
    """List the snapshots, the newest first."""
    from storage import projects, snapshots

    with home.open() as (_, database), database.read() as connection:
        frozen = snapshots.snapshots(connection)
        names = {project.id: project.name for project in projects.projects(connection)}
    if as_json:
        tell_json(
            {
                "snapshots": [
                    {
                        "snapshot": one.id,
                        "project": names[one.project],
                        "rows": dict(one.rows),
                        "simulated": one.simulated,
                        "created": one.created.isoformat(),
                    }
                    for one in frozen
                ]
            }
        )
        return
    tell_table(
        ("snapshot", "project", "comparisons", "ratings", "simulated", "created"),
        [
            (
                one.id[:12],
                names[one.project],
                _total(one.rows, "comparisons"),
                _total(one.rows, "ratings"),
                "simulated" if one.simulated else "",
                f"{one.created:%Y-%m-%d %H:%M}",
            )
            for one in frozen
        ],
        empty="There is no snapshot yet; make one with: tandem snapshot create",
    )


@snapshot.command
def diff(
    first: SnapshotName, second: SnapshotName, /, *, home: InHome, as_json: AsJson = False
) -> None:
    """Say how many rows were added, superseded and withdrawn from one snapshot to another."""
    from storage import snapshots

    with home.open() as (settings, database), database.read() as connection:
        one, other = (snapshots.snapshot(connection, name) for name in (first, second))
        found = snapshots.difference(
            settings.data_dir / one.folder, settings.data_dir / other.folder
        )
    if as_json:
        tell_json({"first": one.id, "second": other.id, **snapshots.as_json(found)})
        return
    tell(f"From {one.id[:12]} to {other.id[:12]}:")
    tell_table(
        ("", "added", "superseded", "withdrawn", "unchanged"),
        [
            (table, rows.added, rows.superseded, rows.withdrawn, rows.unchanged)
            for table, rows in found.items()
        ],
        empty="",
    )


def _total(rows: Any, table: str) -> int:
    return sum(number for name, number in rows.items() if name.startswith(f"{table}/"))


def options_of(options: Sequence[str] | None) -> dict[str, Any]:
    """NAME=VALUE options of an importer; its configuration checks names and values.

    Raises:
        InvalidOption: There is no equals sign.
    """
    from storage.errors import InvalidOption

    found = {}
    for text in options or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidOption("option", "an option is written NAME=VALUE", text)
        found[name] = value
    return found
