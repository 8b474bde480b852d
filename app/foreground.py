"""Slow work in the terminal: the same work as a queued job's, with a bar instead of a row.

A run that was interrupted goes on from its last checkpoint when the same command is given again:
its folder is named by everything that the run depends on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.ablation import REPORT, ablation, deliver, run_ablation
from app.kinds import job_config
from app.processes import place_among_processes
from app.progress import ConsoleProgress, utc_now
from app.queue import complete_config
from app.runs import frozen_prompts, publish, train_policy, train_reward
from app.sources import ancestors
from app.work import forget, perform
from evaluation.ablation_config import Ablated
from storage.recipes import Progress, Recipe, RecipeConfig, Silent
from storage.records import Job, JobId, JobState, Message, ProjectId, digest

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings
    from training.policies import PolicyRecipe


def run_here(
    database: Database,
    settings: Settings,
    *,
    kind: str,
    recipe: str,
    config: Mapping[str, Any],
    project: ProjectId | None,
    output: Path | None = None,
) -> dict[str, Any]:
    """Do what a queued job would do, now and here.

    Args:
        database: The store.
        settings: Where everything is kept.
        kind: See `app.queue.enqueue`.
        recipe: See `app.queue.enqueue`.
        config: See `app.queue.enqueue`.
        project: Whose prompts are used.
        output: Put the model, or what an ablation made, here and do not keep it in the store.

    Returns:
        What `app.work.perform` returns.
    """
    checked = job_config(kind, recipe).read(config)
    with database.read() as connection:
        complete = complete_config(
            connection, settings, checked, kind=kind, recipe=recipe, project=project
        )
    written = complete.model_dump(mode="json")
    now = utc_now()
    job = Job(
        id=JobId(digest("foreground", kind, recipe, written, project, str(output))),
        kind=kind,
        recipe=recipe,
        config=written,
        state=JobState.RUNNING,
        project=project,
        created=now,
        started=now,
    )
    with ConsoleProgress(recipe) as progress:
        result = perform(
            job,
            database=database,
            settings=settings,
            progress=progress,
            recorded=False,
            output=output,
        )
    forget(job, settings)
    if kind in ("reward", "policy") or output is not None:
        shutil.rmtree(settings.folder("jobs", job.id))
    return result


def reward_from_file(
    recipe: Recipe,
    options: RecipeConfig,
    data: Path,
    *,
    database: Database,
    settings: Settings,
    output: Path,
) -> dict[str, Any]:
    """Train a reward model on judgements outside of the store.

    Several processes that a launcher started may call this together; what is told and given back is
    for the first of them.

    Args:
        recipe: An entry of `REWARDS`.
        options: Its configuration.
        data: A file of judgements, a folder with a dataset, or a snapshot's folder.
        database: Where registered models are named.
        settings: Where what was interrupted is kept.
        output: The model's folder.

    Returns:
        The metrics of training and the report card on the held-out prompts of the same data.

    Raises:
        InvalidData: The file is missing, half-written or holds something else.
        TooLittleData: It holds too little to learn from.
        InvalidOption: The base is no model that a reward model can start from.
    """
    workspace = _workspace(settings, recipe, options, data, output)
    with database.read() as connection:
        named = ancestors(connection, settings, options.model_dump(), purpose="reward")
    number, processes = place_among_processes()
    follows = number > 0
    with nullcontext(Silent()) if follows else ConsoleProgress(recipe.name) as progress:
        with _one_before_the_others(settings.device) if processes > 1 else nullcontext():
            snapshot = snapshot_of(data, workspace, progress)
        described = train_reward(
            recipe,
            recipe.config.read(named.options),
            snapshot=snapshot,
            folder=workspace,
            progress=progress,
            device=settings.device,
        )
    return {} if follows else _delivered(described, workspace, output)


def _one_before_the_others(device: str) -> AbstractContextManager[None]:
    """Within, the first process writes what the others then find."""
    from training.backbone import pick_device
    from training.processes import accelerator_on

    first: AbstractContextManager[None] = accelerator_on(pick_device(device)).main_process_first()
    return first


def policy_from_file(
    recipe: PolicyRecipe,
    options: RecipeConfig,
    data: Path,
    *,
    database: Database,
    settings: Settings,
    output: Path,
) -> dict[str, Any]:
    """Train a policy on a file, or on a snapshot's folder.

    Several processes that a launcher started may call this together; what is told and given back is
    for the first of them.

    Args:
        recipe: How.
        options: Its options.
        data: Prompts in any format that can be imported. Where the recipe learns from judgements:
            these, or answers to learn from as they are (see `feedback.importers.demonstrations`).
        database: Where registered models are named.
        settings: Where models lie, and the workspace.
        output: The policy's folder.

    Returns:
        The metrics of training.

    Raises:
        InvalidData: The file is missing, half-written or holds something else.
        NotFound: A reward model is neither registered nor a folder.
    """
    workspace = _workspace(settings, recipe, options, data, output)
    with database.read() as connection:
        named = ancestors(connection, settings, options.model_dump(), purpose="policy")
    source: dict[str, Any]
    number, processes = place_among_processes()
    follows = number > 0
    with nullcontext(Silent()) if follows else ConsoleProgress(recipe.name) as progress:
        with _one_before_the_others(settings.device) if processes > 1 else nullcontext():
            if recipe.learns_from == "snapshot":
                source = {"data": demonstrations_of(data, workspace, progress)}
            else:
                prompts = frozen_prompts(workspace, prompts_of(data))
                source = {"prompts": prompts, "rewards": named.rewards}
        described = train_policy(
            recipe,
            recipe.config.read(named.options),
            source=source,
            folder=workspace,
            progress=progress,
            device=settings.device,
        )
    return {} if follows else _delivered(described, workspace, output)


def ablation_from_file(
    config: Ablated, data: Path, *, database: Database, settings: Settings, output: Path
) -> dict[str, Any]:
    """Compare kinds of reward model on judgements outside of the store.

    Args:
        config: What to compare.
        data: A file of judgements, a folder with a dataset, or a snapshot's folder.
        database: Where registered models are named.
        settings: Where what was interrupted is kept.
        output: The folder for summary and report.

    Returns:
        What `app.work.perform` returns for an ablation.

    Raises:
        InvalidData: The file is missing, half-written or holds something else.
        TooLittleData: It holds too little to learn from, or to judge by.
        InvalidOption: It cannot fill the budgets.
    """
    workspace = _workspace(settings, ablation, config, data, output)
    with database.read() as connection:
        named = ancestors(connection, settings, config.model_dump(), purpose="reward")
    with ConsoleProgress(ablation.name) as progress:
        said = run_ablation(
            Ablated.read(named.options),
            snapshot=snapshot_of(data, workspace, progress),
            folder=workspace,
            progress=progress,
            device=settings.device,
        )
    deliver(workspace, output)
    shutil.rmtree(workspace)
    return {"file": str(output / REPORT), "ablation": said}


def snapshot_of(data: Path, workspace: Path, progress: Progress) -> Path:
    """A snapshot's folder: `data` itself if it is one, else made of a file of judgements.

    What a person should know of how it was read goes into the log.

    Raises:
        InvalidData: The file is missing, half-written or holds no judgements.
    """
    from feedback.importers.reading import judged_rows
    from storage.snapshots import write_snapshot

    if (data / "snapshot.json").is_file():
        return data
    snapshot = workspace / "snapshot"
    if not snapshot.exists():
        rows = judged_rows(data)
        for remark in rows.remarks:
            progress.log(remark)
        write_snapshot(snapshot, rows.comparisons, rows.ratings, splits=rows.splits)
    return snapshot


def demonstrations_of(data: Path, workspace: Path, progress: Progress) -> Path:
    """What a recipe picks good answers from: a file of such, or else a snapshot's folder.

    Raises:
        InvalidData: The file is missing, half-written or holds neither.
    """
    from feedback.importers.demonstrations import is_demonstrated, read_demonstrations
    from training.policies.demonstrations import Demonstration, write_demonstrations

    if data.is_dir() or not is_demonstrated(data):
        return snapshot_of(data, workspace, progress)
    shown = workspace / "demonstrations.jsonl"
    if not shown.exists():
        found = read_demonstrations(data)
        write_demonstrations(
            shown, (Demonstration(prompt=prompt, answer=answer) for prompt, answer in found)
        )
    return shown


def prompts_of(path: Path) -> list[tuple[Message, ...]]:
    """The prompts of a file in any format that can be imported, each once, in the file's order.

    Raises:
        InvalidData: The file is missing, half-written or holds something else.
    """
    from feedback.importers.reading import choose, read_judged_prompts

    recipe, config = choose(path, None, {})
    found = {
        json.dumps(judged.messages): judged.messages
        for judged in read_judged_prompts(path, recipe, config)
    }
    return list(found.values())


def _delivered(described: Mapping[str, Any], workspace: Path, output: Path) -> dict[str, Any]:
    """Put the model where it was asked for; returns its metrics."""
    publish(workspace, output)
    shutil.rmtree(workspace)
    metrics: dict[str, Any] = described["metrics"]
    return metrics


def _workspace(
    settings: Settings, recipe: Recipe, options: RecipeConfig, data: Path, output: Path
) -> Path:
    """A folder that the same command finds again, as long as no file of the data was changed."""
    files = sorted(path for path in (data, *data.rglob("*")) if path.is_file())
    stamps = [
        (str(path.relative_to(data)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    ]
    key = digest(
        "foreground",
        recipe.name,
        options.model_dump(mode="json"),
        str(data.absolute()),
        stamps,
        str(output.absolute()),
    )
    return settings.folder("jobs", key)
