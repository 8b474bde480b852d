"""What each kind of job does: find what it names, let other packages work, keep the result.

A job may be killed at any moment and performed again, so each looks first at what is already there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from app.ablation import REPORT, deliver, run_ablation
from app.answering import (
    answer_lines,
    answers_of,
    keep_answers,
    project_prompts,
    shown_texts,
)
from app.given import Given, endings
from app.kept_answers import forget_answers
from app.kinds import (
    AblationJob,
    Answering,
    ExportJob,
    PromptsJob,
    PullJob,
    PushJob,
    Registered,
    SampleJob,
    SnapshotJob,
    StudyJob,
    job_config,
)
from app.model_export import perform_export, registered_exportable
from app.progress import OfMany, utc_now
from app.runs import frozen_prompts, publish, train_policy, train_reward
from app.sources import ancestors
from app.study_arms import origins_of, study_prompts
from storage import files, models, projects, snapshots
from storage import prompts as stored
from storage.errors import NotFound
from storage.recipes import Progress, RecipeConfig, find
from storage.records import Job, Message, Model, ModelId, ProjectId, Split, as_messages, digest
from training.policies import POLICIES
from training.rewards import REWARDS

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job and everything it works with."""

    job: Job
    database: Database
    settings: Settings
    progress: Progress
    now: Callable[[], datetime]
    part: str = ""
    """Of a job that makes several models: which one."""

    @property
    def folder(self) -> Path:
        """The job's own folder: log, checkpoints, what is being made; in it one for each part."""
        return self.settings.folder("jobs", self.job.id, self.part)

    @property
    def project(self) -> ProjectId:
        """Whose prompts are used; the queue refuses jobs that need a project and name none."""
        return cast("ProjectId", self.job.project)


def perform(
    job: Job,
    *,
    database: Database,
    settings: Settings,
    progress: Progress,
    now: Callable[[], datetime] = utc_now,
    recorded: bool = True,
    output: Path | None = None,
) -> dict[str, Any]:
    """Do the whole job.

    Args:
        job: What to do.
        database: The store.
        settings: Where everything is kept.
        progress: Where to say how far it is.
        now: Clock for the records.
        recorded: False when the job has no row in the database, as in the foreground.
        output: Put a trained model, or what an ablation made, here instead of keeping it.

    Returns:
        What it made, as JSON: {"model": name, "metrics": ...} for reward and policy, or for a sweep
        {"models": [name, ...], "metrics": {name: ...}}; {"answers": [...]} or {"prompts", "file",
        "endings", "new_responses", "tasks"} for sample, {"study", "code", "endings"} for study,
        {"file": report, "ablation": what it says} for ablation, {"model", "folder" or "place", ...}
        for export, and what `app.in_argilla` tells of a push or a pull for argilla.

    Raises:
        TandemError: What a person can mend, in one sentence.
        JobCancelled: A person stopped it; the checkpoints stay.
    """
    work = Work(job=job, database=database, settings=settings, progress=progress, now=now)
    config = job_config(job.kind, job.recipe).read(job.config)
    if isinstance(config, SampleJob):
        return _sample(work, config, recorded=recorded)
    if isinstance(config, StudyJob):
        return _study(work, config, recorded=recorded)
    if isinstance(config, AblationJob):
        return _ablation(work, config, output=output)
    if isinstance(config, PushJob | PullJob):
        return _argilla(work, config)
    if isinstance(config, ExportJob):
        return _export(work, config)
    return _train(work, cast("Registered", config), recorded=recorded, output=output)


def forget(job: Job, settings: Settings) -> None:
    """Let go of what only a job that is not done needs, in order to go on."""
    shutil.rmtree(settings.folder("jobs", job.id) / "checkpoints", ignore_errors=True)
    config = job_config(job.kind, job.recipe).read(job.config)
    if isinstance(config, Answering):
        forget_answers(settings, config)


def _train(
    work: Work, config: Registered, *, recorded: bool, output: Path | None
) -> dict[str, Any]:
    """Train, and put the model where it belongs."""
    if isinstance(config, PromptsJob) and config.sweep:
        return _sweep(work, config)
    made = _made_before(work, config.name) if recorded else None
    if made is None:
        model = TRAINED[work.job.kind](work, config)
        if output is not None:
            publish(work.folder, output)
            return {"model": str(output), "metrics": model["metrics"]}
        made = _register(work, config.name, recorded=recorded, **model)
    return {"model": made.name, "metrics": dict(made.metrics)}


def _sweep(work: Work, config: PromptsJob) -> dict[str, Any]:
    """Train a policy for each weight, one after the other; each is registered when it is done."""
    parts = config.parts()
    made = []
    for number, part in enumerate(parts):
        one = replace(
            work,
            job=replace(work.job, config=part.model_dump(mode="json")),
            progress=OfMany(work.progress, part.name, number, len(parts)),
            part=part.name,
        )
        made.append(_train(one, part, recorded=True, output=None))
    return {
        "models": [one["model"] for one in made],
        "metrics": {one["model"]: one["metrics"] for one in made},
    }


def _made_before(work: Work, name: str) -> Model | None:
    """The model, if this job registered it before it was interrupted."""
    with work.database.read() as connection:
        try:
            model = models.model(connection, name)
        except NotFound:
            return None
    return model if model.job == work.job.id else None


def _reward(work: Work, config: Registered) -> dict[str, Any]:
    """Train a reward model; returns what its record says about it."""
    recipe = find(REWARDS, "reward recipe", work.job.recipe)
    typed = config.model_dump()
    with work.database.read() as connection:
        snapshot = snapshots.snapshot(connection, typed["snapshot"])
        named = ancestors(connection, work.settings, typed, purpose="reward")
    described = train_reward(
        recipe,
        _options(recipe.config, named.options),
        snapshot=work.settings.data_dir / snapshot.folder,
        folder=work.folder,
        progress=work.progress,
        device=work.settings.device,
    )
    return {
        "purpose": "reward",
        "base": described["base"],
        "metrics": described["metrics"],
        "snapshot": snapshot.id,
        "parents": tuple(parent.id for parent in named.parents),
        "simulated": snapshot.simulated or any(parent.simulated for parent in named.parents),
    }


def _policy(work: Work, config: Registered) -> dict[str, Any]:
    """Train a policy; returns what its record says about it."""
    recipe = find(POLICIES, "policy recipe", work.job.recipe)
    with work.database.read() as connection:
        named = ancestors(connection, work.settings, config.model_dump(), purpose="policy")
        frozen = (
            snapshots.snapshot(connection, config.snapshot)
            if isinstance(config, SnapshotJob)
            else None
        )
    source: dict[str, Any]
    if frozen is not None:
        source = {"data": work.settings.data_dir / frozen.folder}
    else:
        prompts = project_prompts(work.database, work.project, Split.TRAIN)
        conversations = [prompt.messages for prompt in prompts]
        source = {
            "prompts": frozen_prompts(work.folder, conversations),
            "rewards": named.rewards,
        }
    described = train_policy(
        recipe,
        _options(recipe.config, named.options),
        source=source,
        folder=work.folder,
        progress=work.progress,
        device=work.settings.device,
        held_out=_held_out(work),
        judges=named.rewards,
    )
    return {
        "purpose": "policy",
        "base": described["base"],
        "metrics": described["metrics"],
        "snapshot": frozen and frozen.id,
        "parents": tuple(parent.id for parent in named.parents),
        "simulated": described["simulated"] or any(parent.simulated for parent in named.parents),
    }


def _held_out(work: Work) -> list[tuple[Message, ...]]:
    """The project's prompts for validation; those for testing are left to studies."""
    with work.database.read() as connection:
        known = stored.prompts(connection, work.project)
    return [one.messages for one in known if one.split is Split.VALIDATION]


TRAINED = {"reward": _reward, "policy": _policy}
"""How a model of each kind is made."""


def _options(recipe: type[RecipeConfig], typed: dict[str, Any]) -> RecipeConfig:
    """The recipe's own part of a job's configuration."""
    return recipe.read({name: typed[name] for name in recipe.model_fields})


def _register(work: Work, name: str, *, recorded: bool, **known: Any) -> Model:
    # The name is not registered, so a folder of that name is what an interrupted job left behind.
    publish(work.folder, work.settings.folder("models") / name, replace=True)
    model = Model(
        id=ModelId(digest("model", work.job.id, *filter(None, [work.part]))),
        name=name,
        recipe=work.job.recipe,
        folder=f"models/{name}",
        job=work.job.id if recorded else None,
        config=work.job.config,
        created=work.now(),
        **known,
    )
    with work.database.write() as connection:
        models.add_model(connection, model)
    return model


def _ablation(work: Work, config: AblationJob, *, output: Path | None) -> dict[str, Any]:
    with work.database.read() as connection:
        snapshot = snapshots.snapshot(connection, config.snapshot)
        named = ancestors(connection, work.settings, config.model_dump(), purpose="reward")
    said = run_ablation(
        AblationJob.read(named.options),
        snapshot=work.settings.data_dir / snapshot.folder,
        folder=work.folder,
        progress=work.progress,
        device=work.settings.device,
    )
    if output is not None:
        deliver(work.folder, output)
    folder = output or Path("jobs", work.job.id)
    return {"file": str(folder / REPORT), "ablation": said}


def _export(work: Work, config: ExportJob) -> dict[str, Any]:
    with work.database.read() as connection:
        model = registered_exportable(connection, work.settings, config.model)
    return perform_export(
        model, config, settings=work.settings, folder=work.folder, progress=work.progress
    )


def _sample(work: Work, config: SampleJob, *, recorded: bool) -> dict[str, Any]:
    if config.prompts:
        given = [as_messages(prompt) for prompt in config.prompts]
        answers = _answers(work, config, given, recorded=recorded)
        return {
            "answers": [
                {
                    "policy": policy,
                    "prompt": number,
                    "text": answer.text,
                    "tokens": answer.tokens,
                    "finished": not answer.is_cut,
                }
                for policy, texts in answers.items()
                for number, answer in enumerate(texts)
            ]
        }
    split = None if config.split == "all" else Split(config.split)
    prompts = project_prompts(work.database, work.project, split)[: config.limit]
    conversations = [prompt.messages for prompt in prompts]
    answers = _answers(work, config, conversations, recorded=recorded)
    files.write_text(work.folder / "answers.jsonl", answer_lines(conversations, answers, config))
    result: dict[str, Any] = {
        "prompts": len(prompts),
        "file": f"jobs/{work.job.id}/answers.jsonl",
        "endings": _endings(answers),
    }
    if config.keep:
        result |= keep_answers(work.database, work.project, prompts, answers, config)
    return result


def _argilla(work: Work, config: PushJob | PullJob) -> dict[str, Any]:
    from app.in_argilla import pull_project, push_project

    with work.database.read() as connection:
        project = projects.project_named(connection, work.project)
    if isinstance(config, PushJob):
        return push_project(
            work.database,
            work.settings,
            project,
            workspace=config.workspace,
            suggest=config.suggest,
            environment=os.environ,
            progress=work.progress,
        )
    return pull_project(
        work.database,
        project,
        environment=os.environ,
        now=work.now(),
        progress=work.progress,
    )


def _answers(
    work: Work, config: Answering, prompts: Sequence[Sequence[Message]], *, recorded: bool
) -> dict[str, list[Given]]:
    return answers_of(
        config,
        prompts,
        database=work.database,
        settings=work.settings,
        progress=work.progress,
        environment=os.environ,
        # In the foreground the keys are those of whoever asks; a worker's belong to others.
        bound=recorded,
    )


def _endings(answers: Mapping[str, Sequence[Given]]) -> dict[str, dict[str, int]]:
    return {policy: endings(given) for policy, given in answers.items()}


def _study(work: Work, config: StudyJob, *, recorded: bool) -> dict[str, Any]:
    from evaluation.studies import open_study
    from feedback.participation import Participation

    with work.database.read() as connection:
        project = projects.project_named(connection, work.project)
        origins = origins_of(connection, config)
    prompts = study_prompts(work.database, work.settings, work.project, config)
    conversations = [prompt.messages for prompt in prompts]
    given = _answers(work, config, conversations, recorded=recorded)
    answers = shown_texts({arm: [one.text for one in texts] for arm, texts in given.items()})
    with work.database.write() as connection:
        stored.add_prompts(connection, prompts)  # those of a file are new to the project
    study = open_study(
        work.database,
        name=config.title,
        project=project,
        arms=answers,
        prompts=prompts,
        overlap=config.overlap,
        now=work.now(),
        rng=np.random.default_rng(config.seed),
        simulated=project.simulated,
        question=config.question,
        form=config.form,
        revealing=config.revealing,
        without_start=config.without_start,
        origins=origins,
        participation=Participation.among(config),
    )
    return {"study": study.id, "code": study.code, "endings": _endings(given)}
