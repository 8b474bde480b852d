"""A worker that is killed loses nothing: its successor goes on from the last checkpoint."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest
from workshop import Workshop, open_workshop

from storage import jobs, models
from storage.records import Job, JobState
from storage.settings import Settings

CHECKPOINT_EVERY = 20


@pytest.fixture
def workshop(data_dir: Path, now: datetime) -> Workshop:
    return open_workshop(Settings(data_dir=data_dir, database_url="", device="cpu"), now)


def kill_in_the_middle(workshop: Workshop, job: Job, *, after: int) -> int:
    """SIGKILL the worker once the job is past `after` steps; returns how far the job had come."""
    with workshop.worker() as worker:
        workshop.wait(job, lambda current: current.step > after, what="never got that far")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    time.sleep(1.0)  # the kernel ends the job's process with its parent
    reached = workshop.job(job)
    time.sleep(1.0)
    assert workshop.job(job).step == reached.step, "the job's process outlived the worker"
    assert reached.state is JobState.RUNNING
    return reached.step


def resumed_from(workshop: Workshop, job: Job) -> int:
    found = re.search(r"resumed from step (\d+)", workshop.log(job))
    assert found, workshop.log(job)[-3000:]
    return int(found.group(1))


def finish(workshop: Workshop, job: Job) -> Job:
    with workshop.worker():
        return workshop.wait_for_end(job)


@pytest.mark.timeout(900)
def test_reward_training_goes_on_from_its_checkpoint(workshop: Workshop) -> None:
    job = workshop.queue(
        "reward",
        "combined",
        snapshot=workshop.snapshot.id,
        name="polite",
        base="tiny",
        layers=None,
        epochs=40,
        batch_tokens=256,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    reached = kill_in_the_middle(workshop, job, after=3 * CHECKPOINT_EVERY)
    ended = finish(workshop, job)
    assert ended.state is JobState.DONE, ended.error
    start = resumed_from(workshop, job)
    assert 0 < start <= reached + CHECKPOINT_EVERY
    assert start % CHECKPOINT_EVERY == 0
    with workshop.database.read() as connection:
        curve = [step for step, name, _ in jobs.metrics(connection, job.id) if name == "loss"]
        model = models.model(connection, "polite")
    assert curve == sorted(set(curve)), "a step was drawn twice"
    assert curve[-1] == ended.total
    assert (model.job, model.snapshot) == (job.id, workshop.snapshot.id)
    folder = workshop.settings.data_dir / model.folder
    assert json.loads((folder / "tandem.json").read_text())["metrics"]["held_out"]
    assert not (workshop.settings.data_dir / "jobs" / job.id / "checkpoints").exists()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("recipe", "grown_from"), [("sft", "base"), ("dpo", "start")])
def test_what_trl_teaches_goes_on_from_its_checkpoint(
    workshop: Workshop, recipe: str, grown_from: str
) -> None:
    policy = workshop.queue(
        "policy",
        recipe,
        snapshot=workshop.snapshot.id,
        epochs=20,
        rank=0,
        batch_tokens=256,
        checkpoint_every=5,
        **{grown_from: "tiny"},
    )
    reached = kill_in_the_middle(workshop, policy, after=12)
    ended = finish(workshop, policy)
    assert ended.state is JobState.DONE, ended.error
    assert 0 < resumed_from(workshop, policy) <= reached + 5
    with workshop.database.read() as connection:
        curve = [step for step, name, _ in jobs.metrics(connection, policy.id) if name == "loss"]
        model = models.model(connection, f"{recipe}-1")
    assert curve == list(range(1, (ended.total or 0) + 1))
    assert (model.job, model.snapshot) == (policy.id, workshop.snapshot.id)
    assert (workshop.settings.data_dir / model.folder / "model.safetensors").is_file()
    assert not (workshop.settings.data_dir / "jobs" / policy.id / "checkpoints").exists()


@pytest.mark.timeout(900)
def test_ppo_goes_on_from_its_checkpoint(workshop: Workshop) -> None:
    reward = workshop.queue(
        "reward",
        "preference",
        snapshot=workshop.snapshot.id,
        name="polite",
        base="tiny",
        layers=None,
        epochs=1,
    )
    assert finish(workshop, reward).state is JobState.DONE, workshop.log(reward)
    policy = workshop.queue(
        "policy",
        "ppo",
        start="tiny",
        rewards={"polite": 1.0},
        steps=60,
        episodes=4,
        max_new_tokens=8,
        checkpoint_every=5,
    )
    reached = kill_in_the_middle(workshop, policy, after=12)
    ended = finish(workshop, policy)
    assert ended.state is JobState.DONE, ended.error
    start = resumed_from(workshop, policy)
    assert 0 < start <= reached + 5
    with workshop.database.read() as connection:
        curve = [step for step, name, _ in jobs.metrics(connection, policy.id) if name == "kl"]
        model = models.model(connection, "ppo-1")
        parent = models.model(connection, "polite")
    assert curve == sorted(set(curve)), "a step was drawn twice"
    assert model.parents == (parent.id,)
