"""Sending exports where they are wanted: a folder, a file, a store, the Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.hub import check_destination, send
from storage.errors import InvalidOption, StorageFailed

if TYPE_CHECKING:
    from feedback.exporters.card import Background
    from feedback.exporters.writing import ExportReport
    from storage.database import Database
    from storage.records import Project

AGREEMENT_FROM = 10_000
"""Judgements that the agreement in a card is worked out from at most."""


def export_to(
    database: Database,
    project: Project,
    format_name: str,
    *,
    output: str,
    options: Mapping[str, Any],
    now: datetime,
) -> ExportReport:
    """Write an export into a new folder, a new file or a store.

    Args:
        database: Where the project is kept.
        project: What to export.
        format_name: Name of an entry of `feedback.exporters.EXPORTERS`.
        output: A folder; a file, told by its ending; or the address of a folder in a store that
            fsspec knows (s3://bucket/folder, memory://folder).
        options: Options of the format's config.
        now: For the card.

    Raises:
        InvalidOption: The place holds something already, or the store is of an unknown kind.
        NotFound, TooLittleData: As `feedback.exporters.export`.
        StorageFailed: The disk, the database or the store refused.
    """
    from feedback.exporters import export, export_file
    from feedback.exporters.single import file_type_of

    told = background(database, project)
    if "://" in output:
        with tempfile.TemporaryDirectory(prefix="tandem-export-") as scratch:
            report = export(
                database,
                project,
                format_name,
                folder=Path(scratch) / "export",
                options=options,
                background=told,
                now=now,
            )
            _put(report, output)
        return report
    path = Path(output)
    if file_type_of(path.name):
        return export_file(
            database, project, format_name, path=path, options=options, background=told, now=now
        )
    return export(
        database, project, format_name, folder=path, options=options, background=told, now=now
    )


def push_to_hub(
    database: Database,
    project: Project,
    format_name: str,
    *,
    name: str,
    public: bool,
    confirm: Callable[[str], bool],
    options: Mapping[str, Any],
    now: datetime,
) -> tuple[ExportReport, str]:
    """Write an export into a data set on the Hugging Face Hub, private unless asked otherwise.

    Args:
        database: Where the project is kept.
        project: What to export.
        format_name: Name of an entry of `feedback.exporters.EXPORTERS`.
        name: OWNER/NAME of the data set, made where there is none.
        public: Whether everybody may read it.
        confirm: Asked with a sentence before anything goes where everybody may read it.
        options: Options of the format's config.
        now: For the card.

    Returns:
        The report, and the address of the data set.

    Raises:
        InvalidOption: The name is none; or the data set is there, and is no export of Tandem, or is
            public where a private one is wanted or the other way round.
        NotAllowed: It was not confirmed, or the Hub does not let this account write there.
        ServiceFailed: The Hub does not answer, or is not to be asked (HF_HUB_OFFLINE).
        NotFound, TooLittleData, StorageFailed: As `feedback.exporters.export`.
    """
    from feedback.exporters import export

    check_destination(name, "dataset", option="push-to-hub")
    with tempfile.TemporaryDirectory(prefix="tandem-export-") as scratch:
        folder = Path(scratch) / "export"
        # Written first: nobody needs to be asked about an export that does not come about.
        report = export(
            database,
            project,
            format_name,
            folder=folder,
            options=options,
            background=background(database, project),
            now=now,
        )
        address = send(
            folder,
            kind="dataset",
            name=name,
            option="push-to-hub",
            public=public,
            question=f"Everybody will be able to read {sum(report.rows.values())} rows of the"
            f" project {project.name!r} at {name}, and what was published cannot be called back."
            " Go on?",
            confirm=confirm,
            message=f"Export of {format_name} by Tandem",
        )
    return report, address


def background(database: Database, project: Project) -> Background:
    """Agreement with intervals, and the snapshot and the plan that a project's rows belong to.

    Agreement is worked out from whole prompts in the order of their ids. These are digests, so the
    first ones are a random draw of all, and the same one every time.
    """
    import numpy as np

    from evaluation.annotator_agreement import CHOICES, agreement_of, answers_by_aspect
    from feedback.exporters.card import Background
    from storage import snapshots
    from storage.judgements import judgements
    from storage.records import digest

    with database.read() as connection:
        said = judgements(connection, project.id, by_prompt=True, without_excluded=True)
        first = list(islice(said, AGREEMENT_FROM + 1))
        frozen = snapshots.snapshots(connection, project.id)
    told = []
    for what, answers in sorted(answers_by_aspect(first[:AGREEMENT_FROM]).items()):
        subject = "choices" if what == CHOICES else f"ratings of {what!r}"
        found = agreement_of(answers, rng=np.random.default_rng(0))
        if found.alpha is None:
            told.append(f"- Agreement on {subject} is not known: {found.reason}")
            continue
        alpha = found.alpha
        told.append(
            f"- Agreement on {subject}: Krippendorff's alpha (ordinal)"
            f" {alpha.value:.2f}, {alpha.confidence:.0%} interval {alpha.low:.2f} to"
            f" {alpha.high:.2f}, from {found.items} items that two or more of"
            f" {found.annotators} annotators judged."
        )
    if len(first) > AGREEMENT_FROM:
        told.append(f"- Agreement is that of {AGREEMENT_FROM:,} judgements drawn by prompt.")
    plan = digest(asdict(project.collecting), project.overlap)
    lineage = [f"- Plan of collecting (what is asked, of how many): `{plan}`."]
    if frozen:
        lineage.append(
            f"- Newest snapshot of the project: `{frozen[0].id}`, frozen on"
            f" {frozen[0].created:%Y-%m-%d}. This export holds what was said until today, which may"
            " be more."
        )
    else:
        lineage.append("- The project has no snapshot yet.")
    return Background(agreement=told, lineage=lineage)


def _put(report: ExportReport, address: str) -> None:
    """Copy an export into a store. The card goes last: where it is, everything is.

    Raises:
        InvalidOption: The store is of no kind that is known here, or holds something there.
        StorageFailed: The store refused.
    """
    import fsspec  # type: ignore[import-untyped]

    try:
        store, folder = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise InvalidOption("output", f"there is no such store here: {error}", address) from error
    try:
        if store.exists(folder) and store.ls(folder):
            raise InvalidOption(
                "output", "it already holds something; name another or remove it", address
            )
        store.makedirs(folder, exist_ok=True)
        for path in report.files:
            store.put_file(str(path), f"{folder.rstrip('/')}/{path.name}")
    except OSError as error:
        raise StorageFailed(
            f"{address} could not be written ({error}); what is there of it has no README.md and is"
            " not whole."
        ) from error
