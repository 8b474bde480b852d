"""`tandem models`, `sample` and `score`: what was trained, put to use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from app.commands.evaluate import tell_card
from app.commands.home import AsJson, InHome, ProjectName, project_called
from app.commands.options import read_options, with_options
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from app.commands.train import ToQueue, tell_queued
from app.kinds import SampleJob
from storage.errors import InvalidOption

if TYPE_CHECKING:
    from storage.database import Database
    from storage.records import Model
    from storage.settings import Settings

models = App(name="models", help="List, show and export trained models.")
models.command(
    "app.commands.model_export:export",
    name="export",
    help="Write a model as a folder that other programs open without Tandem.",
)
models.command(
    "app.commands.model_export:push",
    name="push",
    help="Write a model with its card into a repository on the Hugging Face Hub.",
)


@models.command(name="list")
def list_models(
    *,
    home: InHome,
    purpose: Annotated[
        Literal["reward", "policy"] | None, Parameter(help="Only models of this purpose.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the registered models, the newest first."""
    from storage import models as stored

    with home.open() as (_, database), database.read() as connection:
        found = stored.models(connection, purpose)
    found = sorted(found, key=lambda model: model.created, reverse=True)
    if as_json:
        tell_json({"models": [_described(model) for model in found]})
        return
    tell_table(
        ("model", "purpose", "recipe", "base", "pair accuracy", "simulated", "created"),
        [
            (
                model.name,
                model.purpose,
                model.recipe,
                model.base,
                written_estimate(model.metrics.get("held_out", {}).get("pair_accuracy")),
                "simulated" if model.simulated else "",
                f"{model.created:%Y-%m-%d %H:%M}",
            )
            for model in found
        ],
        empty="There is no model yet; make one with: tandem train",
    )


@models.command
def show(
    name: Annotated[str, Parameter(help="A model, by its name or id.")],
    /,
    *,
    home: InHome,
    as_json: AsJson = False,
) -> None:
    """Show where a model lies, where it came from, and what was measured."""
    from storage import models as stored

    with home.open() as (settings, database), database.read() as connection:
        model = stored.model(connection, name)
    described = {**_described(model), "path": str(settings.data_dir.absolute() / model.folder)}
    if as_json:
        tell_json(described)
        return
    metrics = described.pop("metrics")
    for label, value in described.items():
        tell(f"{label}: {value}")
    tell_card({name: value for name, value in metrics.items() if name != "held_out"})
    if "held_out" in metrics:
        tell("on held-out prompts:")
        tell_card(metrics["held_out"])


def _described(model: Model) -> dict[str, Any]:
    return {
        "model": model.name,
        "id": model.id,
        "purpose": model.purpose,
        "recipe": model.recipe,
        "base": model.base,
        "snapshot": model.snapshot,
        "job": model.job,
        "parents": list(model.parents),
        "config": dict(model.config),
        "metrics": dict(model.metrics),
        "simulated": model.simulated,
        "created": model.created.isoformat(),
    }


def _sample(
    *,
    home: InHome,
    project: ProjectName = None,
    prompts_file: Annotated[
        Path | None, Parameter(name="--input", help="File with prompts, instead of the project's.")
    ] = None,
    output: Annotated[
        Path | None, Parameter(help="File for prompts and answers, which `tandem import` reads.")
    ] = None,
    queue: ToQueue = False,
    as_json: AsJson = False,
    **typed: Any,
) -> None:
    """Let one or several policies answer the prompts of a project or of a file.

    A policy is a registered model, a folder, the name of a Hugging Face model, a model behind an
    OpenAI-compatible address as openai:NAME@http://host:port/v1, or answers that are there already
    as file:PATH, with lines of {prompt, response} or of AlpacaEval's {instruction, output}.
    """
    from app.answer_files import named_answers
    from app.progress import utc_now
    from app.queue import enqueue

    if queue and (prompts_file is not None or output is not None):
        raise InvalidOption("queue", "the worker answers a project's prompts", "--queue")
    if not queue and output is None and not typed.get("keep"):
        raise InvalidOption("output", "name a file for the answers, or --keep them", None)
    if output is not None:
        _refuse_unwritable(output)
    with home.open() as (settings, database):
        typed["policies"] = named_answers(settings, typed["policies"])
        config = read_options(SampleJob, typed)
        if not queue:
            result = _sample_here(
                database, settings, config, project=project, prompts=prompts_file, output=output
            )
        else:
            with database.read() as connection:
                found = project_called(connection, project).id
            job = enqueue(
                database,
                settings,
                kind="sample",
                recipe="sample",
                config=config.model_dump(),
                project=found,
                now=utc_now(),
            )
    if queue:
        tell_queued(job, as_json=as_json)
    elif as_json:
        tell_json(result)
    else:
        _tell_sampled(result)


def _refuse_unwritable(output: Path) -> None:
    """Refuse a place for answers before anybody is paid for them."""
    there = next(folder for folder in output.absolute().parents if folder.exists())
    if output.is_dir() or not (there.is_dir() and os.access(there, os.W_OK)):
        raise InvalidOption(
            "output", "it is a folder, or lies where you may not write; name a file", str(output)
        )


def _sample_here(
    database: Database,
    settings: Settings,
    config: SampleJob,
    *,
    project: str | None,
    prompts: Path | None,
    output: Path | None,
) -> dict[str, Any]:
    from app.answering import sample_file
    from app.foreground import prompts_of, run_here
    from app.progress import ConsoleProgress
    from storage.files import write_text

    if prompts is not None:
        if output is None or config.keep:
            raise InvalidOption(
                "keep", "a file's prompts are in no project; name --output instead", "--keep"
            )
        with ConsoleProgress("sample") as progress:
            result = sample_file(
                database, settings, config, prompts_of(prompts), output=output, progress=progress
            )
        return {**result, "output": str(output)}
    with database.read() as connection:
        found = project_called(connection, project).id
    result = run_here(
        database,
        settings,
        kind="sample",
        recipe="sample",
        config=config.model_dump(),
        project=found,
    )
    lines = (settings.data_dir / result.pop("file")).read_text(encoding="utf-8")
    if output is not None:
        write_text(output, lines)
        result["output"] = str(output)
    return result


def _tell_sampled(result: dict[str, Any]) -> None:
    endings = result.pop("endings")
    tell_table(
        ("policy", "answers", "empty", "cut", "filtered"),
        [(policy, *counts.values()) for policy, counts in endings.items()],
        empty="",
    )
    for name, value in result.items():
        tell(f"{name}: {value}")


_sample.__name__ = "sample"
sample = with_options(_sample, SampleJob, without=("prompts",))


def score(
    *,
    home: InHome,
    model: Annotated[str, Parameter(help="A reward model: name, id or folder.")],
    input_file: Annotated[
        Path,
        Parameter(
            name="--input", help="Lines with answers: .jsonl, .jsonl.gz, .parquet or .arrow."
        ),
    ],
    output: Annotated[
        Path, Parameter(help="The same lines with rewards: .jsonl, .jsonl.gz or .parquet.")
    ],
    skip_too_long: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Give answers that the model cannot read whole null instead of a reward; without"
            " it they are refused. Nothing is ever cut.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write every line again with `reward` and `reward_standardised`.

    A line holds a prompt and a response, or what TRL writes: prompt and completion, or messages
    that end with an answer. Lines with several answers (responses, or chosen and rejected) get a
    reward for each.

    The standardised reward is in standard deviations around the mean of the model's own training
    data, so that rewards of different models can be put side by side.
    """
    from app.scoring_files import score_file

    with home.open() as (settings, database):
        summary = score_file(
            database,
            settings,
            model=model,
            source=input_file,
            target=output,
            skip_too_long=skip_too_long,
        )
    if summary["too_long"]:
        note(f"warning: {summary['too_long']} answers are too long for the model: no reward.")
    if summary["mean_standardised"] is not None and abs(summary["mean_standardised"]) > 3:
        note("warning: these responses lie far from what the model was trained on.")
    if as_json:
        tell_json({"output": str(output), **summary})
    else:
        tell(f"{summary['lines']} lines written to {output}")
