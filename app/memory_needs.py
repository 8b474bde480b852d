"""How much memory training would take, told before anything is trained.

What finds it out loads torch and reads the whole snapshot, so the web server asks a process of its
own, which runs `python -m app.memory_needs`: a question in JSON comes in, an answer goes out.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.child import NICENESS, die_with
from app.kinds import job_config
from app.processes import own_environment, own_module
from app.progress import ConsoleProgress
from app.sources import ancestors
from storage.errors import InvalidOption, TandemError
from storage.recipes import Recipe, RecipeConfig
from storage.snapshots import snapshot as frozen_snapshot

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings

logger = logging.getLogger(__name__)

PARTS = ("program", "weights", "learning", "activations", "kept")
"""Parts of an estimate, in the order in which they are told."""

_one_at_a_time = Lock()


def memory_needed(
    recipe: Recipe,
    options: RecipeConfig,
    source: Path | str,
    *,
    database: Database,
    settings: Settings,
) -> dict[str, int]:
    """What training would take at its peak, in bytes, part by part; nothing is trained.

    Args:
        recipe: An entry of `REWARDS`.
        options: Its configuration.
        source: A file or folder of judgements, or a snapshot's id or its first digits.
        database: Where snapshots and models are registered.
        settings: Where they lie, and on which device training would run.

    Raises:
        InvalidOption: The recipe has no estimate.
        NotFound: There is no such snapshot.
        InvalidData: The file is missing, half-written or holds something else.
        TooLittleData: It holds too little to learn from.
    """
    from app.foreground import snapshot_of
    from training.backbone import pick_device
    from training.frozen import free_memory

    if recipe.foretell is None:
        raise InvalidOption(
            "estimate", f"{recipe.name} learns on frozen features and has no estimate", True
        )
    with database.read() as connection:
        named = ancestors(connection, settings, options.model_dump(), purpose="reward")
        if isinstance(source, str):
            found = settings.data_dir / frozen_snapshot(connection, source).folder
    with tempfile.TemporaryDirectory() as scratch, ConsoleProgress(recipe.name) as progress:
        if isinstance(source, Path):
            found = snapshot_of(source, Path(scratch), progress)
        needed = recipe.foretell(
            recipe.config.read(named.options), snapshot=found, device=settings.device
        )
    parts = {name: getattr(needed, name) for name in PARTS}
    return {
        **parts,
        "total": sum(parts.values()),
        "free": free_memory(pick_device(settings.device)),
    }


def asked_elsewhere(settings: Settings, recipe: str, config: Mapping[str, Any]) -> dict[str, int]:
    """The same in a process of its own, for the job that a form describes.

    Args:
        settings: Where everything is kept.
        recipe: Name of an entry of `REWARDS`.
        config: Of a job that trains it, with the snapshot.

    Raises:
        InvalidOption: An option is missing or out of bounds.
        TandemError: The estimate cannot be made; says why.
    """
    job_config("reward", recipe).read(config)
    question = json.dumps({"recipe": recipe, "config": dict(config), "parent": os.getpid()})
    with _one_at_a_time:
        ended = subprocess.run(  # noqa: S603 - our own module, no shell
            own_module("app.memory_needs"),
            input=question,
            env=own_environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode != 0:
        logger.error("The memory estimate ended with code %s: %s", ended.returncode, ended.stderr)
        raise TandemError("The estimate came to no end; the server's log says more.")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    if "refused" in answer:
        raise TandemError(answer["refused"])
    needed: dict[str, int] = answer["bytes"]
    return needed


def main() -> None:
    """Answer the question on standard input."""
    from storage.database import Database
    from storage.settings import Settings
    from training.rewards import REWARDS

    question = json.load(sys.stdin)
    die_with(question["parent"], signal.SIGKILL)
    os.nice(NICENESS)
    settings = Settings()
    database = Database(settings.database)
    recipe = REWARDS[question["recipe"]]
    known = recipe.config.model_fields
    options = {name: value for name, value in question["config"].items() if name in known}
    try:
        needed = memory_needed(
            recipe,
            recipe.config.read(options),
            question["config"]["snapshot"],
            database=database,
            settings=settings,
        )
    except TandemError as error:
        answer: dict[str, Any] = {"refused": str(error)}
    else:
        answer = {"bytes": needed}
    database.close()
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
