"""Writing judgements as training data: one table of formats.

A new format is one more file with a function that makes a `Table`, and one more entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from feedback.exporters.alpaca_eval import AlpacaEvalConfig, alpaca_eval
from feedback.exporters.both import both
from feedback.exporters.card import Background
from feedback.exporters.llamafactory import LlamaFactoryConfig, llamafactory, llamafactory_sft
from feedback.exporters.margin import MarginConfig, margin
from feedback.exporters.openrlhf import openrlhf, openrlhf_prompts
from feedback.exporters.preference import preference
from feedback.exporters.prompts import prompts
from feedback.exporters.ratings import ratings
from feedback.exporters.raw import raw
from feedback.exporters.reward_bench import reward_bench
from feedback.exporters.sft import sft
from feedback.exporters.single import file_type_of, write_single
from feedback.exporters.table import ExportConfig
from feedback.exporters.unpaired import unpaired
from feedback.exporters.writing import ExportReport, write_export
from storage.database import Database
from storage.errors import InvalidOption
from storage.recipes import Recipe, find
from storage.records import Project

# `run(config, source)` gives a Table.
EXPORTERS: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="preference",
            summary="Prompt, chosen and rejected response, for reward models and DPO in TRL",
            config=ExportConfig,
            run=preference,
        ),
        Recipe(
            name="margin",
            summary="The same with a margin in every row, for reward models in TRL",
            config=MarginConfig,
            run=margin,
        ),
        Recipe(
            name="ratings",
            summary="Prompt, response and its rating from 1 to 7",
            config=ExportConfig,
            run=ratings,
        ),
        Recipe(
            name="unpaired",
            summary="Prompt, completion and whether it is good, for KTO in TRL",
            config=ExportConfig,
            run=unpaired,
        ),
        Recipe(
            name="sft",
            summary="Each prompt with its best answer, for supervised fine-tuning in TRL",
            config=ExportConfig,
            run=sft,
        ),
        Recipe(
            name="prompts",
            summary="Prompts alone, for GRPO and RLOO in TRL",
            config=ExportConfig,
            run=prompts,
        ),
        Recipe(
            name="openrlhf",
            summary="Chosen and rejected conversation, for reward models and DPO in OpenRLHF",
            config=ExportConfig,
            run=openrlhf,
        ),
        Recipe(
            name="openrlhf_prompts",
            summary="Prompts alone, for PPO in OpenRLHF",
            config=ExportConfig,
            run=openrlhf_prompts,
        ),
        Recipe(
            name="llamafactory",
            summary="Preferences with their dataset_info.json, for LLaMA-Factory",
            config=LlamaFactoryConfig,
            run=llamafactory,
        ),
        Recipe(
            name="llamafactory_sft",
            summary="Best answers with their dataset_info.json, for LLaMA-Factory",
            config=LlamaFactoryConfig,
            run=llamafactory_sft,
        ),
        Recipe(
            name="alpaca_eval",
            summary="What policies answered, for alpaca_eval",
            config=AlpacaEvalConfig,
            run=alpaca_eval,
        ),
        Recipe(
            name="reward_bench",
            summary="Pairs that a majority decided, to test reward models as RewardBench does",
            config=ExportConfig,
            run=reward_bench,
        ),
        Recipe(
            name="both",
            summary="Prompts with responses, ratings and preferences, to be imported again",
            config=ExportConfig,
            run=both,
        ),
        Recipe(
            name="raw",
            summary="Every judgement with everything that was kept about it",
            config=ExportConfig,
            run=raw,
        ),
    )
}


def export(
    database: Database,
    project: Project,
    format_name: str,
    *,
    folder: Path,
    file_type: str | None = None,
    options: Mapping[str, Any] | None = None,
    background: Background | None = None,
    now: datetime,
) -> ExportReport:
    """Write a project's judgements, without the votes of studies, into a new folder.

    The folder holds train, validation and test as far as they have rows, and a dataset card, so
    that `datasets.load_dataset(folder)` opens it.

    Args:
        database: Where the project is kept.
        project: What to export.
        format_name: Name of an entry of `EXPORTERS`.
        folder: A folder that does not exist or is empty.
        file_type: One of those that the format can have; its own when None.
        options: Further options of the format's config.
        background: What the card is to say beside what stands in the rows.
        now: For the card.

    Raises:
        NotFound: There is no format of that name.
        InvalidOption: Another file type or option, or a folder that already holds something.
        TooLittleData: The project holds nothing that this format has a place for.
        StorageFailed: The disk or the database refused.
    """
    recipe = find(EXPORTERS, "export format", format_name)
    typed = {**(options or {}), **({} if file_type is None else {"file_type": file_type})}
    return write_export(
        database,
        project,
        recipe,
        recipe.config.read(typed),  # type: ignore[arg-type] # every entry has an ExportConfig
        folder=folder,
        background=background or Background(),
        now=now,
    )


def export_file(
    database: Database,
    project: Project,
    format_name: str,
    *,
    path: Path,
    options: Mapping[str, Any] | None = None,
    background: Background | None = None,
    now: datetime,
) -> ExportReport:
    """Write one part of a project's judgements into a new file, with its card beside it.

    Args:
        database: Where the project is kept.
        project: What to export.
        format_name: Name of an entry of `EXPORTERS`.
        path: A new file; its name says of which type (.jsonl, .jsonl.gz, .json, .csv, .parquet).
        options: Options of the format's config; `split` where the rows belong to several parts.
        background: What the card is to say beside what stands in the rows.
        now: For the card.

    Raises:
        InvalidOption: The name says no type, there is such a file, or the rows belong to several
            parts.
        NotFound, TooLittleData, StorageFailed: As `export`.
    """
    recipe = find(EXPORTERS, "export format", format_name)
    kind = file_type_of(path.name)
    if kind is None:
        raise InvalidOption("output", "the name of the file says no type", str(path))
    return write_single(
        database,
        project,
        recipe,
        recipe.config.read({**(options or {}), "file_type": kind}),  # type: ignore[arg-type]
        path=path,
        background=background or Background(),
        now=now,
    )
