"""Handing slow work to the worker: refuse what cannot work, then keep the job in one transaction.

The worker finds the new row by itself (see `app.worker`), so the web process needs nothing else.
`app.kinds` says what a job of each kind holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from app.answering import check_key
from app.kinds import (
    AblationJob,
    ExportJob,
    PromptsJob,
    PushJob,
    Registered,
    SampleJob,
    SnapshotJob,
    StudyJob,
    job_config,
)
from app.model_export import complete_export
from app.sources import ancestors, reward_folder
from app.study_arms import complete_arm, complete_study
from storage import jobs, models, projects, snapshots
from storage.errors import InvalidOption
from storage.recipes import RecipeConfig
from storage.records import Job, JobId, JobState, ProjectId, Split

if TYPE_CHECKING:
    from storage.database import Connection, Database
    from storage.settings import Settings


def enqueue(
    database: Database,
    settings: Settings,
    *,
    kind: str,
    recipe: str,
    config: Mapping[str, Any],
    project: ProjectId | None,
    now: datetime,
) -> Job:
    """Check a job whole and queue it.

    Args:
        database: Where jobs are kept.
        settings: Where models lie.
        kind: One of `app.kinds.KINDS`.
        recipe: Which recipe of that kind; "ablation", "sample", "export" and "study" for the kinds
            of these names, "push" and "pull" for "argilla".
        config: Options by name; what is left out takes its default and is stored too.
        project: Whose prompts are used and whose page shows the job.
        now: When.

    Raises:
        NotFound: No such kind, recipe, snapshot, model or project.
        InvalidOption: An option is unknown, missing, out of bounds or contradicts the others.
    """
    checked = job_config(kind, recipe).read(config)
    with database.write() as connection:
        complete = complete_config(
            connection, settings, checked, kind=kind, recipe=recipe, project=project
        )
        return jobs.add_job(
            connection,
            kind=kind,
            recipe=recipe,
            config=complete.model_dump(mode="json"),
            project=project,
            now=now,
        )


def cancel(database: Database, job: JobId, *, now: datetime) -> Job:
    """Stop a job: at once when it waits, at its next report when it runs. Its checkpoints stay."""
    with database.write() as connection:
        jobs.ask_cancel(connection, job)
        if jobs.job(connection, job).state is JobState.QUEUED:
            jobs.finish(connection, job, JobState.CANCELLED, now=now)
        return jobs.job(connection, job)


def complete_config(
    connection: Connection,
    settings: Settings,
    config: RecipeConfig,
    *,
    kind: str,
    recipe: str,
    project: ProjectId | None,
) -> RecipeConfig:
    """The configuration with abbreviations written out, after a look at everything it names.

    Raises:
        NotFound: It names a snapshot, model or project that is not there.
        InvalidOption: The new model's name is taken, or a project is needed and none is named.
    """
    if isinstance(config, Registered):
        config = _named(connection, config, recipe)
    if kind in ("reward", "policy"):
        ancestors(connection, settings, config.model_dump(), purpose=kind)
    if isinstance(config, SnapshotJob):
        snapshot = snapshots.snapshot(connection, config.snapshot)
        return config.model_copy(update={"snapshot": snapshot.id})
    if isinstance(config, AblationJob):
        ancestors(connection, settings, config.model_dump(), purpose="reward")
        snapshot = snapshots.snapshot(connection, config.snapshot)
        rows = {name: snapshot.rows[f"{name}/{Split.TRAIN}"] for name in ("comparisons", "ratings")}
        config.check_enough(**rows)
        return config.model_copy(update={"snapshot": snapshot.id})
    if isinstance(config, ExportJob):
        return complete_export(connection, settings, config)
    if project is not None:
        projects.project_named(connection, project)
    elif not (isinstance(config, SampleJob) and config.prompts):
        raise InvalidOption("project", "this job takes its prompts from a project; name one", None)
    if isinstance(config, StudyJob):
        return complete_study(connection, settings, config)
    if isinstance(config, SampleJob):
        check_key(config)
        complete = tuple(complete_arm(connection, settings, one) for one in config.policies)
        return config.model_copy(update={"policies": complete})
    if isinstance(config, PushJob) and config.suggest:
        reward_folder(connection, settings, config.suggest)
    return config


def _named(connection: Connection, config: Registered, recipe: str) -> Registered:
    """The configuration with a name that no model has and no open job will give."""
    taken = {model.name for model in models.models(connection)}
    taken |= {job.config["name"] for job in jobs.open_jobs(connection) if "name" in job.config}
    if config.name in taken:
        raise InvalidOption("name", "a model of this name exists or is being made", config.name)
    free = (f"{recipe}-{number}" for number in count(1))
    name = config.name or next(name for name in free if name not in taken)
    named = config.model_copy(update={"name": name})
    for part in named.parts() if isinstance(named, PromptsJob) and named.sweep else ():
        if part.name in taken:
            raise InvalidOption("name", "a model of this name exists or is being made", part.name)
    return named
