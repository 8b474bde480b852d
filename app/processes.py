"""Which process this is, and how the program starts itself again: as worker, job or server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.settings import Settings

ROOT = Path(__file__).parents[1]
"""Where the packages are, installed or not."""


def own_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours in a new process.

    `-P` keeps the working directory out of the search path: a file called app.py where somebody
    happens to stand must not be run in our place.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def place_among_processes() -> tuple[int, int]:
    """This process' number, from 0, and how many a launcher such as torchrun started together."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def own_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of such a process: this one's, with the settings in force."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TANDEM_DATA_DIR": str(settings.data_dir.absolute()),
        "TANDEM_DATABASE_URL": settings.database,
        "TANDEM_DEVICE": settings.device,
        **more,
    }
