"""Writing an export: files by part of the data, and a card that says what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from feedback.exporters.card import Background, dataset_card, in_words
from feedback.exporters.files import Files
from feedback.exporters.parts import Part
from feedback.exporters.source import Source
from feedback.exporters.table import ExportConfig, Table
from storage.database import Database
from storage.errors import InvalidOption, TooLittleData
from storage.files import write_folder
from storage.recipes import Recipe
from storage.records import Kind, Project, Split

CARD = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote, and what it left out."""

    format: str
    folder: Path
    files: tuple[Path, ...]
    """The data files and the card."""
    rows: Mapping[Split, int]
    left_out: Mapping[str, int]
    """How many of what are not in the files, for example {"ties": 12}."""
    no_place: tuple[str, ...]
    """What the project holds and the format does not, for example ("ratings",)."""
    simulated: bool

    def sentence(self, place: str = "") -> str:
        """The report for people; `place` names where the files are, if not in the folder."""
        left_out = "".join(f", {number} {what} left out" for what, number in self.left_out.items())
        no_place = f"; no place for {in_words(self.no_place)}" if self.no_place else ""
        simulated = "; some or all judgements are simulated" if self.simulated else ""
        return (
            f"{sum(self.rows.values())} rows ({self.format}) in {place or self.folder}"
            f"{left_out}{no_place}{simulated}."
        )


def write_export(
    database: Database,
    project: Project,
    recipe: Recipe,
    config: ExportConfig,
    *,
    folder: Path,
    only_file: str = "",
    background: Background,
    now: datetime,
) -> ExportReport:
    """Write one export of a project into a new folder, whole or not at all.

    Args:
        database: Where the project is kept.
        project: What to export.
        recipe: The format.
        config: Its options.
        folder: A folder that does not exist or is empty.
        only_file: Name of the one data file that is wanted; a file for each part when empty.
        background: For the card, like `now`.
        now: The moment.

    Raises:
        TooLittleData: The project holds nothing that this format has a place for.
        InvalidOption: The folder already holds something; or one file is wanted, and there are
            several parts, or the format consists of several files.
        StorageFailed: The disk or the database refused.
    """
    left_out: Counter[str] = Counter()
    written: Counter[Split] = Counter()
    with write_folder(folder) as partial, database.read() as connection:
        source = Source(connection=connection, project=project, split=config.split)
        table: Table = recipe.run(config, source)
        if only_file and table.beside is not None:
            raise InvalidOption(
                "output", f"the format {recipe.name!r} is several files; name a folder", only_file
            )
        written_files: dict[Split, Files] = {}
        with ExitStack() as opened:
            for split, row in table.rows(left_out):
                if split not in written_files:
                    if only_file and written_files:
                        raise InvalidOption(
                            "split",
                            f"there are rows of {next(iter(written_files))} and {split}; name the"
                            " part that is wanted, or a folder for all",
                            None,
                        )
                    files = Files(
                        partial,
                        only_file or f"{split}.{config.file_type}",
                        table.columns,
                        may_be_several=not only_file and table.beside is None,
                    )
                    written_files[split] = opened.enter_context(files)
                written_files[split].add(row)
                written[split] += 1
        if source.excluded:
            left_out["excluded annotators"] = len(source.excluded)
        if not written:
            raise TooLittleData(
                f"The project {project.name!r} has nothing to export as {recipe.name!r} yet"
                f"{f' in {config.split}' if config.split else ''}"
                f"{''.join(f' ({number} {what})' for what, number in left_out.items())};"
                " annotate some tasks or import some judgements first."
            )
        no_place = tuple(str(part) for part in Part if part in table.lacks & source.met)
        names = {split: written_files[split].names for split in Split if split in written_files}
        alone = {split: name for split, (name, *_) in names.items()}
        beside = table.beside(alone) if table.beside is not None else {}
        for name, text in beside.items():
            (partial / name).write_text(text, encoding="utf-8")
        simulated = project.simulated or Kind.SIMULATED in source.raters
        card = dataset_card(
            table,
            title=f"{project.name}: {recipe.name}",
            summary=recipe.summary,
            files=names,
            rows={split: written[split] for split in Split},
            left_out=left_out,
            no_place=no_place,
            raters={kind: len(who) for kind, who in source.raters.items()},
            simulated=simulated,
            guidelines=project.guidelines,
            licence=config.licence,
            background=background,
            now=now,
        )
        (partial / CARD).write_text(card, encoding="utf-8")
    return ExportReport(
        format=recipe.name,
        folder=folder,
        files=tuple(folder / name for name in (*chain(*names.values()), *beside, CARD)),
        rows={split: written[split] for split in Split},
        left_out={what: number for what, number in left_out.items() if number},
        no_place=no_place,
        simulated=simulated,
    )
