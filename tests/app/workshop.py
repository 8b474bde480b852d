"""A small installation with judgements to learn from, and a real worker beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.foreground import reward_from_file
from app.importing import import_into
from app.progress import utc_now
from app.queue import enqueue
from app.worker import log_file
from storage import jobs, projects, snapshots
from storage.database import Database
from storage.records import Job, Project, Snapshot
from storage.settings import Settings
from training.rewards import REWARDS

PATIENCE = 150.0
"""Seconds; a busy machine takes 20 to import torch."""


@dataclass(frozen=True)
class Workshop:
    """Where the tests of jobs and commands work."""

    settings: Settings
    database: Database
    project: Project
    snapshot: Snapshot
    now: datetime

    def queue(self, kind: str, recipe: str, **config: Any) -> Job:
        return enqueue(
            self.database,
            self.settings,
            kind=kind,
            recipe=recipe,
            config=config,
            project=self.project.id,
            now=utc_now(),  # jobs are worked off in the order in which they came
        )

    def job(self, job: Job) -> Job:
        with self.database.read() as connection:
            return jobs.job(connection, job.id)

    def log(self, job: Job) -> str:
        path = log_file(self.settings, job.id)
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait(self, job: Job, until: Callable[[Job], bool], *, what: str) -> Job:
        """Wait until something holds of the job; fails with its log."""
        deadline = time.monotonic() + PATIENCE
        while not until(current := self.job(job)):
            over = current.state.is_over
            if over or time.monotonic() > deadline:
                raise AssertionError(
                    f"{what}: {current.state}, {current.error}\n{self.log(job)[-3000:]}"
                )
            time.sleep(0.02)
        return current

    def wait_for_end(self, job: Job) -> Job:
        return self.wait(job, lambda current: current.state.is_over, what="never ended")

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A real `tandem worker`; whatever the test does to it, it is gone afterwards."""
        with (self.settings.data_dir / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "worker"],
                env=environment(self.settings),
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """What a process needs to work in this installation, with little of the machine."""
    return {
        **os.environ,
        "TANDEM_DATA_DIR": str(settings.data_dir),
        "TANDEM_DATABASE_URL": settings.database_url,
        "TANDEM_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def open_workshop(settings: Settings, now: datetime, *, prompts: int = 60) -> Workshop:
    """Make an installation with a project, its judgements and a snapshot of them."""
    database = Database(settings.database)
    database.migrate()
    path = settings.folder() / "judged.jsonl"
    write_judgements(path, prompts=prompts)
    import_into(database, path, project="default", now=now)
    with database.read() as connection:
        project = projects.project_named(connection, "default")
    snapshot = snapshots.freeze(database, project.id, data_dir=settings.data_dir, now=now)
    return Workshop(settings, database, project, snapshot, now)


def write_judgements(path: Path, *, prompts: int) -> None:
    """Two answers to each prompt; the polite one is preferred and rated higher."""
    lines = []
    for number in range(prompts):
        ratings = ({"rating": 6 - number % 2}, {"rating": 2 + number % 2})
        scale = {"annotator": "ada", "scale_min": 1, "scale_max": 7}
        texts = (f"You could try plan {number}, please.", f"No idea about {number}!!")
        line = {
            "prompt": f"What do you suggest for case number {number}?",
            "responses": [
                {"rid": rid, "text": text, "ratings": [{**scale, **rating}]}
                for rid, text, rating in zip("ab", texts, ratings, strict=True)
            ],
            "preferences": [{"a": "a", "b": "b", "winner": "a", "annotator": "ada"}],
        }
        lines.append(json.dumps(line) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def small_reward_model(home: Path, **options: Any) -> Path:
    """The folder of a reward model on the tiny base, trained from `home`/judged.jsonl."""
    write_judgements(home / "judged.jsonl", prompts=60)
    recipe = REWARDS["combined"]
    settings = Settings(data_dir=home / "data", device="cpu")
    settings.folder()
    database = Database(settings.database)
    database.migrate()
    try:
        reward_from_file(
            recipe,
            recipe.config.read({"base": "tiny", "epochs": 1, **options}),
            home / "judged.jsonl",
            database=database,
            settings=settings,
            output=home / "model",
        )
    finally:
        database.close()
    return home / "model"
