"""`tandem doctor`: what is installed, which device works, what fits, is the database sound."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from app.version import tandem_version
from storage.errors import TandemError

if TYPE_CHECKING:
    from storage.settings import Settings

PACKAGES = ("torch", "transformers", "peft", "trl", "datasets", "gradio", "dbos")
ENOUGH_DISK = 5.0
"""Gigabytes: the small model, some snapshots, models and checkpoints."""
ENOUGH_MEMORY = 4.0
"""Gigabytes: PPO with the small model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    finding: str
    sound: bool = True

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Look at everything; what is broken is a finding, never an error."""
    checks: list[Check] = [
        Check(name="tandem", finding=tandem_version()),
        Check(name="python", finding=f"{platform.python_version()} on {platform.platform()}"),
    ]
    for package in PACKAGES:
        with _finding(checks, package):
            checks.append(Check(name=package, finding=version(package)))
    with _finding(checks, "device"):
        checks.append(_device(settings.device))
    with _finding(checks, "memory"):
        checks.append(_memory())
    with _finding(checks, "disk"):
        checks.append(_disk(settings))
    with _finding(checks, "small model"):
        checks.append(_small_model())
    with _finding(checks, "database"):
        checks.append(_database(settings))
    return checks


@contextmanager
def _finding(checks: list[Check], name: str) -> Iterator[None]:
    try:
        yield
    except PackageNotFoundError:
        checks.append(Check(name=name, finding="not installed", sound=False))
    except (TandemError, OSError, ImportError, RuntimeError) as error:
        checks.append(Check(name=name, finding=str(error), sound=False))


def _device(wanted: str) -> Check:
    from training.backbone import best_dtype, pick_device

    device = pick_device(wanted)
    dtype = str(best_dtype(device)).removeprefix("torch.")
    return Check(name="device", finding=f"{device}, computing in {dtype}")


def _memory() -> Check:
    import os

    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Check(
        name="memory",
        finding=f"{gigabytes:.1f} GB; PPO with the small model wants {ENOUGH_MEMORY:.0f} GB",
        sound=gigabytes >= ENOUGH_MEMORY,
    )


def _disk(settings: Settings) -> Check:
    free = shutil.disk_usage(settings.folder()).free / 1e9
    return Check(
        name="disk",
        finding=f"{free:.1f} GB free at {settings.data_dir}; {ENOUGH_DISK:.0f} GB are comfortable",
        sound=free >= ENOUGH_DISK,
    )


def _small_model() -> Check:
    from training.backbone import DEFAULT_BASE, resolve

    return Check(name="small model", finding=f"{DEFAULT_BASE} at {resolve(DEFAULT_BASE)}")


def _database(settings: Settings) -> Check:
    from storage import projects
    from storage.database import Database

    database = Database(settings.database)
    try:
        database.migrate()
        with database.read() as connection:
            count = len(projects.projects(connection))
    finally:
        database.close()
    return Check(name="database", finding=f"{database.name}, {count} projects")
