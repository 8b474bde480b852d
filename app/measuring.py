"""Measuring outside of jobs: a reward model's report card, a judge's votes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.progress import ConsoleProgress, utc_now
from app.sources import reward_folder
from storage import snapshots, studies
from storage.errors import NotFound
from storage.recipes import find
from storage.records import Split
from storage.snapshots import SnapshotData

if TYPE_CHECKING:
    from evaluation.judges import Voting
    from storage.database import Connection, Database
    from storage.settings import Settings


def evaluate_reward(
    database: Database,
    settings: Settings,
    *,
    model: str,
    data: Path | None,
    snapshot: str | None,
    split: str,
) -> dict[str, Any]:
    """The report card of a reward model on a file, or on a part of a snapshot.

    Where the store has the snapshot that the model learned from, a file's prompts are held against
    that one's, so that leaks are seen.

    Raises:
        NotFound: No such model or snapshot.
        InvalidData: The file is missing or half-written.
        TooLittleData: It holds too few judgements to say anything.
    """
    from evaluation.report_card import (
        evaluate_reward_model,
        evaluate_reward_rows,
        training_part,
    )
    from feedback.importers.reading import rows_of

    with database.read() as connection:
        folder = reward_folder(connection, settings, model)
        learned_from = _learned_from(connection, settings, folder)
        if snapshot is not None:
            frozen = settings.data_dir / snapshots.snapshot(connection, snapshot).folder
    with ConsoleProgress("evaluate") as progress:
        if data is None:
            return evaluate_reward_model(
                folder, frozen, split=Split(split), progress=progress, device=settings.device
            )
        comparisons, ratings = rows_of(data)
        training, seen = training_part(learned_from) if learned_from else ((), None)
        return evaluate_reward_rows(
            folder,
            comparisons,
            ratings,
            training=training,
            seen=seen,
            progress=progress,
            device=settings.device,
        )


def evaluate_on_benchmark(
    database: Database, settings: Settings, *, model: str, path: Path
) -> dict[str, Any]:
    """How a reward model does on a file in the format of RewardBench or RewardBench 2.

    Raises:
        NotFound: No such model.
        InvalidData: The file is missing, half-written or in neither format.
        TooLittleData: It holds too little to say anything.
    """
    from evaluation.reward_bench import evaluate_benchmark

    with database.read() as connection:
        folder = reward_folder(connection, settings, model)
    with ConsoleProgress("evaluate") as progress:
        return evaluate_benchmark(folder, path, progress=progress, device=settings.device)


def _learned_from(connection: Connection, settings: Settings, folder: Path) -> SnapshotData | None:
    """The snapshot that a reward model learned from, where the store has it."""
    from training.rewards.card import read_record

    try:
        known = snapshots.snapshot(connection, read_record(folder)["snapshot"])
    except NotFound:
        return None
    frozen = settings.data_dir / known.folder
    return SnapshotData.open(frozen) if frozen.is_dir() else None


def judge_study(
    database: Database, settings: Settings, *, judge: str, study: str, options: Mapping[str, Any]
) -> Voting:
    """Let a program vote on every open task of a study.

    Args:
        database: Where the study is kept.
        settings: Where models lie, and on which device one runs.
        judge: Name of an entry of `JUDGES`.
        study: Its code or id.
        options: The judge's own, as they were typed; a reward model by name, id or folder.

    Raises:
        NotFound: No such judge, study or model.
        InvalidOption: An option of the judge is missing or out of bounds.
        NotAllowed: The study is closed, or a service does not accept the key.
        ServiceFailed: A service that the judge asks does not answer.
    """
    from evaluation.judges import JUDGES, vote

    recipe = find(JUDGES, "judge", judge)
    typed = dict(options)
    with database.read() as connection:
        found = studies.study(connection, study)
        if typed.get("model") is not None:
            typed["model"] = str(reward_folder(connection, settings, typed["model"]))
    if "device" in recipe.config.model_fields:
        typed["device"] = settings.device
    with ConsoleProgress(judge) as progress:
        return vote(
            database, found, recipe, recipe.config.read(typed), now=utc_now, progress=progress
        )
