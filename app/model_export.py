"""Models for other programs: into a folder, or to the Hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.hub import check_destination, check_name, send
from app.sources import model_folder
from storage import models, snapshots
from storage.errors import NotFound
from storage.records import Model
from training.export_form import read_model_record, refuse_form

if TYPE_CHECKING:
    from app.kinds import ExportJob
    from storage.database import Connection
    from storage.recipes import Progress
    from storage.settings import Settings
    from training.export import Exported
    from training.export_config import ExportConfig

FORMS = {True: "merged", False: "adapter"}
"""What the two forms of an export are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exportable:
    """A model that may leave."""

    name: str
    folder: Path
    lineage: tuple[str, ...] = ()
    """Where it comes from, in sentences for its card."""


def exportable(connection: Connection, settings: Settings, name: str) -> Exportable:
    """A registered model by its name or id, or the folder of one that is not registered.

    Raises:
        NotFound: There is neither.
    """
    try:
        return registered_exportable(connection, settings, name)
    except NotFound:
        folder = Path(name)
        if not (folder / "tandem.json").is_file():
            raise
    return Exportable(name=folder.absolute().name, folder=folder)


def registered_exportable(connection: Connection, settings: Settings, name: str) -> Exportable:
    """A registered model by its name or id.

    Raises:
        NotFound: There is none, or its folder was removed.
    """
    model = models.model(connection, name)
    return Exportable(
        name=model.name,
        folder=model_folder(settings, model),
        lineage=tuple(_lineage(connection, model)),
    )


def complete_export(connection: Connection, settings: Settings, config: ExportJob) -> ExportJob:
    """A job's configuration with the model's name, after a look at whether it can be done.

    Raises:
        NotFound: There is no such model.
        InvalidOption: It cannot be written in this form, or the repository's name is none.
    """
    model = registered_exportable(connection, settings, config.model)
    if config.push_to:
        check_name(config.push_to, option="push_to")
    record = read_model_record(model.folder)
    refuse_form(model.folder, record, config, for_others=bool(config.push_to))
    return config.model_copy(update={"model": model.name})


def perform_export(
    model: Exportable, config: ExportJob, *, settings: Settings, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Do what a job asks. It may be done twice: the same model makes the same export.

    Args:
        model: The one that the job names.
        config: The job's.
        settings: Where exports are kept.
        folder: The job's own, with room for what is on its way to the Hub.
        progress: Where to say how far it is.

    Returns:
        What was exported, as JSON, with its `folder` in the data directory or its `place`.

    Raises:
        TandemError: As `export_model_to` and `push_model`.
    """
    if config.push_to:
        scratch = folder / "push"
        shutil.rmtree(scratch, ignore_errors=True)  # of a try that was killed
        scratch.mkdir()
        done, address = push_model(
            model,
            config,
            name=config.push_to,
            public=False,
            confirm=lambda _: False,
            progress=progress,
            scratch=scratch,
        )
        return {"model": model.name, "place": address, **told(done)}
    form = "-".join(filter(None, [model.name, FORMS[config.merge], config.dtype]))
    done = export_model_to(
        model, settings.folder("exports") / form, config, progress=progress, replace=True
    )
    return {"model": model.name, "folder": f"exports/{form}", **told(done)}


def export_model_to(
    model: Exportable,
    output: Path,
    config: ExportConfig,
    *,
    progress: Progress,
    replace: bool = False,
) -> Exported:
    """Write a model into a folder; see `training.export.export_model`."""
    from training.export import export_model

    return export_model(
        model.folder,
        output,
        config,
        title=model.name,
        place=output.name,
        progress=progress,
        lineage=model.lineage,
        replace=replace,
    )


def push_model(
    model: Exportable,
    config: ExportConfig,
    *,
    name: str,
    public: bool,
    confirm: Callable[[str], bool],
    progress: Progress,
    scratch: Path | None = None,
) -> tuple[Exported, str]:
    """Write a model into a repository on the Hugging Face Hub, private unless asked otherwise.

    Args:
        model: What to send.
        config: In which form.
        name: OWNER/NAME of the repository, made where there is none.
        public: Whether everybody may read it.
        confirm: Asked with a sentence before anything goes where everybody may read it.
        progress: Told the steps of the export, and that it is being sent.
        scratch: Where there is room for the weights; by default where temporary files lie.

    Returns:
        What was written, and the address of the repository.

    Raises:
        InvalidOption: The name is none; or the repository is there, and is no export of Tandem, or
            is public where a private one is wanted or the other way round; or the model cannot be
            written in this form.
        NotAllowed: It was not confirmed, or the Hub does not let this account write there.
        ServiceFailed: The Hub does not answer, or is not to be asked (HF_HUB_OFFLINE).
        InvalidData, ModelNotFound, StorageFailed: As `training.export.export_model`.
    """
    from training.export import export_model

    check_destination(name, "model", option="to")
    refuse_form(model.folder, read_model_record(model.folder), config, for_others=True)
    with tempfile.TemporaryDirectory(prefix="tandem-export-", dir=scratch) as place:
        folder = Path(place) / "model"
        done = export_model(
            model.folder,
            folder,
            config,
            title=model.name,
            place=name,
            progress=progress,
            lineage=model.lineage,
            for_others=True,
        )
        size = sum(done.files.values())
        progress.log(f"Sending {size / 1e6:,.0f} MB to {name}.")
        address = send(
            folder,
            kind="model",
            name=name,
            option="to",
            public=public,
            question=f"Everybody will be able to read the model {model.name!r} at {name}, and what"
            " was published cannot be called back. Go on?",
            confirm=confirm,
            message=f"Export of {model.name} by Tandem",
        )
    return done, address


def told(done: Exported) -> dict[str, Any]:
    """What was exported, as JSON."""
    merged = done.merged
    return {
        "purpose": done.purpose,
        "form": FORMS[merged is not None],
        "dtype": merged and merged.dtype,
        "weights": merged and merged.weights,
        "difference": merged and merged.difference,
        "files": dict(done.files),
    }


def _lineage(connection: Connection, model: Model) -> list[str]:
    """The judgements a model learned from, and the models it was made with."""
    said = []
    if model.snapshot:
        rows = snapshots.snapshot(connection, model.snapshot).rows
        counted = [
            f"{sum(number for part, number in rows.items() if part.startswith(f'{table}/')):,}"
            f" {table}"
            for table in ("comparisons", "ratings")
        ]
        said.append(f"That snapshot holds {' and '.join(counted)}.")
    known = {one.id: one for one in models.models(connection)}
    for parent in (known[one] for one in model.parents if one in known):
        what = "reward model" if parent.purpose == "reward" else "policy"
        learned = f", from the snapshot `{parent.snapshot}`" if parent.snapshot else ""
        simulated = ", of simulated judgements" if parent.simulated else ""
        said.append(
            f"Made with the {what} {json.dumps(parent.name)}, recipe `{parent.recipe}`{learned}"
            f"{simulated}."
        )
    return said
