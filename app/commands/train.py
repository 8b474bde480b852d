"""`tandem train`: one command per recipe, with the options that its configuration declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from pydantic import create_model

from app.commands.home import AsJson, Home, InHome, ProjectName, project_called
from app.commands.options import read_options, unknown_recipe, with_options
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from app.kinds import PolicyJob, PromptsJob
from app.processes import place_among_processes
from storage.errors import InvalidOption
from storage.recipes import Entry, Recipe, RecipeConfig

if TYPE_CHECKING:
    from storage.records import Job, ProjectId
    from training.policies import PolicyRecipe

train = App(name="train", help="Train a reward model or a policy.")
rewards = App(name="reward", help="Train a reward model. Each recipe has its own --help.")
policies = App(name="policy", help="Train a policy. Each recipe has its own --help.")
train.command(rewards)
train.command(policies)

ModelFolder = Annotated[
    Path | None,
    Parameter(help="Folder for the model; without it the model is registered in the store."),
]
ToQueue = Annotated[
    bool, Parameter(name="--queue", negative=(), help="Hand it to the worker instead of waiting.")
]
NewName = Annotated[str, Parameter(help="Name of the new model; empty makes one of the recipe.")]


def reward_command(recipe: Recipe) -> Callable[..., None]:
    """The command that trains one kind of reward model."""
    return _snapshot_command("reward", recipe)


def policy_command(recipe: PolicyRecipe) -> Callable[..., None]:
    """The command that trains one kind of policy."""
    if recipe.learns_from == "snapshot":
        return _snapshot_command("policy", recipe)
    return _prompts_command(recipe)


def _snapshot_command(kind: Literal["reward", "policy"], recipe: Recipe) -> Callable[..., None]:
    """The command of a recipe that learns from judgements."""
    asked = _asked(kind, recipe)

    def command(
        *,
        home: InHome,
        snapshot: Annotated[
            str | None, Parameter(help="Snapshot to learn from, by its id or its first digits.")
        ] = None,
        data: Annotated[
            Path | None,
            Parameter(
                help="Learn from a file, a folder with a dataset, or a snapshot's folder, without a"
                " store; needs --output."
            ),
        ] = None,
        output: ModelFolder = None,
        name: NewName = "",
        queue: ToQueue = False,
        estimate: Annotated[
            bool,
            Parameter(negative=(), help="Only say how much memory it would take; train nothing."),
        ] = False,
        as_json: AsJson = False,
        **typed: Any,
    ) -> None:
        from storage.snapshots import snapshot as frozen

        options = read_options(asked, typed)
        if (data is None) == (snapshot is None):
            raise InvalidOption("data", "name either --data or --snapshot", data and str(data))
        if estimate:
            own = _own(recipe, options)
            _tell_memory(home, recipe, own, data or str(snapshot), as_json=as_json)
            return
        _refuse_contradictions(data=data, output=output, queue=queue, name=name)
        _refuse_company(together=data is not None and recipe.together)
        if data is not None:
            own = _own(recipe, options, alone=True)
            _from_file(home, recipe, own, data, output, kind=kind, as_json=as_json)
            return
        config = {**options.model_dump(), "snapshot": snapshot, "name": name}
        with home.open() as (_, database), database.read() as connection:
            found = frozen(connection, str(snapshot)).project
        _from_store(
            home,
            kind,
            recipe,
            config,
            project=found,
            output=output,
            queue=queue,
            as_json=as_json,
        )

    command.__doc__ = f"{recipe.summary}."
    return with_options(command, asked)


def _asked(kind: str, recipe: Recipe) -> type[RecipeConfig]:
    """The options of a command: the recipe's own, and what its jobs say besides."""
    if kind == "reward":
        return recipe.config
    besides = PromptsJob if "rewards" in recipe.config.model_fields else PolicyJob
    return create_model(f"{recipe.name}_command", __base__=(besides, recipe.config))


def _own(recipe: Recipe, options: RecipeConfig, *, alone: bool = False) -> RecipeConfig:
    """The recipe's own among the options of a command.

    Raises:
        InvalidOption: It is to do without a store, and others were given.
    """
    typed = options.model_dump()
    for name in ("judges", "sweep"):
        if alone and typed.get(name):
            raise InvalidOption(
                name, "this needs the store; leave out --data and --output", typed[name]
            )
    return recipe.config.read({field: typed[field] for field in recipe.config.model_fields})


def _tell_memory(
    home: Home, recipe: Recipe, options: RecipeConfig, source: Path | str, *, as_json: bool
) -> None:
    """Print what training would take at its peak, part by part, in MiB."""
    from app.memory_needs import memory_needed

    with home.open() as (settings, database):
        found = memory_needed(recipe, options, source, database=database, settings=settings)
    if as_json:
        tell_json({"bytes": found})
        return
    parts = {name: size for name, size in found.items() if name not in {"total", "free"}}
    tell_table(
        ("at the peak", "MiB"),
        [(name, f"{size / 2**20:.0f}") for name, size in parts.items()],
        empty="",
    )
    tell(f"Altogether {found['total'] / 2**30:.1f} GiB; {found['free'] / 2**30:.1f} GiB are free.")


def _prompts_command(recipe: Recipe) -> Callable[..., None]:
    """The command of a policy recipe that learns from prompts."""
    asked = _asked("policy", recipe)

    def command(
        *,
        home: InHome,
        project: ProjectName = None,
        data: Annotated[
            Path | None,
            Parameter(help="File with prompts, instead of the project's; needs --output."),
        ] = None,
        output: ModelFolder = None,
        name: NewName = "",
        queue: ToQueue = False,
        as_json: AsJson = False,
        **typed: Any,
    ) -> None:
        options = read_options(asked, typed)
        _refuse_contradictions(data=data, output=output, queue=queue, name=name)
        _refuse_company(together=data is not None and recipe.together)
        if data is not None:
            own = _own(recipe, options, alone=True)
            _from_file(home, recipe, own, data, output, kind="policy", as_json=as_json)
            return
        config = {**options.model_dump(), "name": name}
        if config["sweep"] and not queue:
            raise InvalidOption("sweep", "this is work for the worker; add --queue", "no --queue")
        with home.open() as (_, database), database.read() as connection:
            found = project_called(connection, project).id
        _from_store(
            home,
            "policy",
            recipe,
            config,
            project=found,
            output=output,
            queue=queue,
            as_json=as_json,
        )

    command.__doc__ = f"{recipe.summary}."
    return with_options(command, asked)


def _refuse_contradictions(
    *, data: Path | None, output: Path | None, queue: bool, name: str
) -> None:
    """Raises InvalidOption when options exclude each other or a place for the model is missing."""
    if data is not None and output is None:
        raise InvalidOption("output", "a model made from a file needs a folder; name one", None)
    if queue and output is not None:
        raise InvalidOption(
            "queue",
            "the worker keeps models in the store; leave out --output and --data",
            "--queue",
        )
    if name and output is not None:
        raise InvalidOption("name", "a model in a folder is named by the folder", name)
    if output is not None and output.exists() and (output.is_file() or any(output.iterdir())):
        raise InvalidOption("output", "it already holds something; name another", str(output))


def _refuse_company(*, together: bool) -> None:
    """Raises InvalidOption in one of several processes, if they cannot do this together."""
    _, processes = place_among_processes()
    if processes > 1 and not together:
        raise InvalidOption(
            "processes",
            "several train together only reward models (all but multi-objective ones) and PPO, from"
            " --data to --output; start this without a launcher",
            processes,
        )


def _from_file(
    home: Home,
    recipe: Recipe,
    options: RecipeConfig,
    data: Path,
    output: Path | None,
    *,
    kind: Literal["reward", "policy"],
    as_json: bool,
) -> None:
    from app.foreground import policy_from_file, reward_from_file

    make: Callable[..., dict[str, Any]] = reward_from_file if kind == "reward" else policy_from_file
    with home.open() as (settings, database):
        metrics = make(
            recipe, options, data, database=database, settings=settings, output=_there(output)
        )
    if place_among_processes()[0] == 0:
        _report(str(output), metrics, as_json=as_json)


def _there(output: Path | None) -> Path:
    assert output is not None, "_refuse_contradictions asks for it"  # noqa: S101
    return output


def _from_store(
    home: Home,
    kind: str,
    recipe: Recipe,
    config: Mapping[str, Any],
    *,
    project: ProjectId | None,
    output: Path | None,
    queue: bool,
    as_json: bool,
) -> None:
    from app.foreground import run_here
    from app.progress import utc_now
    from app.queue import enqueue

    with home.open() as (settings, database):
        if queue:
            job = enqueue(
                database,
                settings,
                kind=kind,
                recipe=recipe.name,
                config=config,
                project=project,
                now=utc_now(),
            )
            tell_queued(job, as_json=as_json)
            return
        result = run_here(
            database,
            settings,
            kind=kind,
            recipe=recipe.name,
            config=config,
            project=project,
            output=output,
        )
    _report(result["model"], result["metrics"], as_json=as_json)


def tell_queued(job: Job, *, as_json: bool) -> None:
    """Say that a job waits, and how to follow it."""
    if as_json:
        tell_json({"job": job.id, "state": job.state, "kind": job.kind, "recipe": job.recipe})
    else:
        tell(f"Queued as job {job.id}. Follow it with: tandem jobs show {job.id}")


def _report(model: str, metrics: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json({"model": model, "metrics": metrics})
        return
    tell(f"The model is ready: {model}")
    card = metrics.get("held_out", {})
    for name, words in (
        ("pair_accuracy", "pair accuracy on held-out prompts"),
        ("length_only_accuracy", "the same by length alone"),
        ("spearman", "rank correlation with held-out ratings"),
    ):
        if card.get(name):
            tell(f"  {words}: {written_estimate(card[name])}")
    for warning in card.get("warnings", ()):
        note(f"warning: {warning}")


def _fill(
    group: App,
    table: Mapping[str, Entry],
    kind: str,
    make: Callable[[Entry], Callable[..., None]],
) -> None:
    for recipe in table.values():
        group.command(make(recipe), name=recipe.name)
    group.default(unknown_recipe(table, kind))


def _fill_all() -> None:
    from training.policies import POLICIES
    from training.rewards import REWARDS

    _fill(rewards, REWARDS, "reward recipe", reward_command)
    _fill(policies, POLICIES, "policy recipe", policy_command)


_fill_all()

__all__: Sequence[str] = ("train",)
