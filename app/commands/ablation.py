"""`tandem evaluate ablation`: kinds of reward model compared at equal numbers of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.commands.home import AsJson, Home, InHome
from app.commands.options import read_options, with_options
from app.commands.output import note, tell, tell_json, tell_table, written_estimate
from app.commands.train import ToQueue, tell_queued
from evaluation.ablation_config import Ablated
from storage.errors import InvalidOption


def _command(
    *,
    home: InHome,
    snapshot: Annotated[
        str | None,
        Parameter(help="Snapshot to learn from and to judge by: its id or its first digits."),
    ] = None,
    data: Annotated[
        Path | None,
        Parameter(
            help="A file, a folder with a dataset, or a snapshot's folder, without a store; needs"
            " --output."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(help="Folder for report.html, ablation.json and the models that are kept."),
    ] = None,
    queue: ToQueue = False,
    as_json: AsJson = False,
    **typed: Any,
) -> None:
    """Compare kinds of reward model that learn from equally many labels, over several seeds.

    All models are judged by the same held-out comparisons. Given again, the command goes on where
    it was interrupted.
    """
    options = read_options(Ablated, typed)
    if (data is None) == (snapshot is None):
        raise InvalidOption("data", "name either --data or --snapshot", data and str(data))
    if queue and (data is not None or output is not None):
        raise InvalidOption(
            "queue", "the worker works in the store; leave out --output and --data", "--queue"
        )
    if output is not None and output.exists() and (output.is_file() or any(output.iterdir())):
        raise InvalidOption("output", "it already holds something; name another", str(output))
    if data is not None:
        result = _from_file(home, options, data, output)
    else:
        config = {**options.model_dump(), "snapshot": snapshot}
        result = _from_store(home, config, output, queue=queue, as_json=as_json)
    if as_json and result:
        tell_json({"report": result["file"], **result["ablation"]})
    elif result:
        _tell(result["ablation"], result["file"])


def _from_file(home: Home, options: Ablated, data: Path, output: Path | None) -> dict[str, Any]:
    from app.foreground import ablation_from_file

    if output is None:
        raise InvalidOption("output", "an ablation of a file needs a folder; name one", None)
    with home.open() as (settings, database):
        return ablation_from_file(
            options, data, database=database, settings=settings, output=output
        )


def _from_store(
    home: Home, config: dict[str, Any], output: Path | None, *, queue: bool, as_json: bool
) -> dict[str, Any]:
    """What was found, or nothing where the job only waits."""
    from app.foreground import run_here
    from app.progress import utc_now
    from app.queue import enqueue
    from storage.snapshots import snapshot

    with home.open() as (settings, database):
        with database.read() as connection:
            project = snapshot(connection, config["snapshot"]).project
        job: dict[str, Any] = {
            "kind": "ablation",
            "recipe": "ablation",
            "config": config,
            "project": project,
        }
        if queue:
            waiting = enqueue(database, settings, **job, now=utc_now())
            tell_queued(waiting, as_json=as_json)
            return {}
        result = run_here(database, settings, **job, output=output)
        return {**result, "file": str(settings.data_dir / result["file"])}


def _tell(found: dict[str, Any], report: str) -> None:
    """Print what the ablation comes to, its figures, and where the report lies."""
    tell(f"{found['verdict']}\n")
    for finding in found["findings"]:
        tell(finding)
    tell("")
    tell_table(
        ("labels", "kind", "pair accuracy", "seeds", "above length only", "spearman"),
        [
            (
                one["labels"],
                one["kind"],
                written_estimate(one["pair_accuracy"]),
                len(one["seeds"]),
                written_estimate(one["above_length_only"]),
                written_estimate(one["spearman"]),
            )
            for one in found["accuracies"]
        ],
        empty="",
    )
    if found["differences"]:
        tell("")
        tell_table(
            ("labels", "kind", "over", "difference", "p after Holm"),
            [
                (
                    one["labels"],
                    one["kind"],
                    one["other"],
                    written_estimate(one["difference"]),
                    f"{one['p_holm']:.3f}",
                )
                for one in found["differences"]
            ],
            empty="",
        )
    tell(f"\nThe report: {report}")
    for warning in found["warnings"]:
        note(f"warning: {warning}")


ablation = with_options(_command, Ablated)
"""The command, with one option for each of its configuration."""
