"""Jobs from the queue to their end, with the processes that they run in replaced by small ones."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from workshop import Workshop, open_workshop

from app.kinds import ARGILLA, KINDS, job_config
from app.launchers import LAUNCHERS, local
from app.queue import cancel
from app.worker import LOST_AFTER, Worker, log_file, system_database
from storage import jobs, models
from storage.errors import InvalidOption, NotFound
from storage.records import Job, JobId, JobState, Model, ModelId
from storage.settings import Settings
from training.policies import POLICIES
from training.rewards import REWARDS


@pytest.fixture
def workshop(data_dir: Path, now: datetime) -> Iterator[Workshop]:
    opened = open_workshop(Settings(data_dir=data_dir, database_url=""), now, prompts=4)
    yield opened
    opened.database.close()


# The queue


def test_a_job_is_kept_with_its_complete_configuration(workshop: Workshop) -> None:
    job = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id[:8], epochs=3)
    assert job.state is JobState.QUEUED
    assert set(job.config) == set(job_config("reward", "combined").model_fields)
    assert job.config["snapshot"] == workshop.snapshot.id
    assert job.config["epochs"] == 3
    assert job.config["name"] == "combined-1"


def test_new_models_are_numbered_past_those_that_are_still_being_made(workshop: Workshop) -> None:
    names = [
        workshop.queue("reward", recipe, snapshot=workshop.snapshot.id).config["name"]
        for recipe in ("combined", "combined", "absolute")
    ]
    assert names == ["combined-1", "combined-2", "absolute-1"]


@pytest.mark.parametrize(
    ("kind", "recipe", "config", "refusal"),
    [
        ("reward", "combine", {}, "no reward recipe called 'combine'. Did you mean 'combined'"),
        ("policy", "pp", {}, "no policy recipe called 'pp'. Did you mean 'ppo'"),
        ("rewards", "combined", {}, "no kind of job called 'rewards'. Did you mean 'reward'"),
        ("reward", "combined", {"snapshot": "x", "epoch": 1}, "epoch: there is no such option"),
        ("reward", "combined", {}, "snapshot: field required"),
        ("reward", "combined", {"snapshot": "feed"}, "no snapshot called 'feed'"),
        ("reward", "combined", {"snapshot": "x", "name": "../x"}, "name: string should match"),
        ("policy", "ppo", {"rewards": {"helpful": 1.0}}, "no reward model called 'helpful'"),
        ("policy", "ppo", {"rewards": {"a": 1.0}, "watch": ["a"]}, "watch: 'a' is learned from"),
        ("policy", "ppo", {"rewards": {}}, "rewards: dictionary should have at least 1"),
        ("policy", "sft", {}, "snapshot: field required"),
        ("policy", "sft", {"snapshot": "feed"}, "no snapshot called 'feed'"),
        ("sample", "sample", {"policies": []}, "policies: tuple should have at least 1"),
        (
            "study",
            "study",
            {"title": "t", "policies": ["a"]},
            "policies: a study compares at least two",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_queued(
    workshop: Workshop, kind: str, recipe: str, config: dict[str, Any], refusal: str
) -> None:
    with pytest.raises((InvalidOption, NotFound), match=refusal):
        workshop.queue(kind, recipe, **config)
    with workshop.database.read() as connection:
        assert jobs.jobs(connection) == []


def test_a_name_that_is_taken_is_refused(workshop: Workshop) -> None:
    workshop.queue("reward", "combined", snapshot=workshop.snapshot.id, name="mine")
    with pytest.raises(InvalidOption, match=r"name: a model of this name exists.*'mine'"):
        workshop.queue("reward", "absolute", snapshot=workshop.snapshot.id, name="mine")


def test_a_policy_is_no_reward_model(workshop: Workshop, now: datetime) -> None:
    with workshop.database.write() as connection:
        models.add_model(connection, invented_policy(now))
    with pytest.raises(InvalidOption, match="this is a policy model, and a reward model is needed"):
        workshop.queue("policy", "ppo", rewards={"ppo-1": 1.0})


def test_a_reward_model_starts_from_whole_weights(workshop: Workshop, now: datetime) -> None:
    policy = invented_policy(now)
    folder = workshop.settings.folder(*policy.folder.split("/"))
    with workshop.database.write() as connection:
        models.add_model(connection, policy)
    options = {"snapshot": workshop.snapshot.id, "base": policy.name}
    assert workshop.queue("reward", "preference", **options).config["base"] == policy.name
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InvalidOption, match="base: this policy is an adapter"):
        workshop.queue("reward", "preference", **options)
    assert workshop.queue("policy", "sft", **options).config["base"] == policy.name


def test_every_recipe_has_a_closed_configuration() -> None:
    alone = {kind: [kind] for kind in ("ablation", "sample", "export", "study")}
    kinds = {"reward": REWARDS, "policy": POLICIES, **alone, "argilla": ARGILLA}
    assert tuple(kinds) == KINDS
    for kind, recipes in kinds.items():
        for recipe in recipes:
            config = job_config(kind, recipe)
            assert config.model_config["extra"] == "forbid"
            for name, field in config.model_fields.items():
                assert field.description, f"{kind} {recipe}: {name} says nothing of itself"


def test_a_waiting_job_is_cancelled_at_once(workshop: Workshop, now: datetime) -> None:
    job = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id)
    assert cancel(workshop.database, job.id, now=now).state is JobState.CANCELLED
    assert Worker(workshop.settings, workshop.database).perform(job.id) is JobState.CANCELLED


def test_a_running_job_is_only_asked(workshop: Workshop, now: datetime) -> None:
    job = running(workshop, now)
    asked = cancel(workshop.database, job.id, now=now)
    assert (asked.state, asked.cancel_asked) == (JobState.RUNNING, True)


# The worker


@contextmanager
def processes(monkeypatch: pytest.MonkeyPatch, code: str) -> Iterator[list[Sequence[str]]]:
    """Let every job's process run this Python code; `JOB` stands for the job's id."""
    started: list[Sequence[str]] = []

    def launch(
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        patience: Callable[[], float | None],
    ) -> int:
        started.append(command)
        script = code.replace("JOB", command[4])
        return local(
            [sys.executable, "-c", script],
            log=log,
            environment=environment,
            patience=patience,
        )

    monkeypatch.setitem(LAUNCHERS, "local", launch)
    yield started


FINISH = """
from datetime import UTC, datetime
from storage import jobs
from storage.database import Database
from storage.records import JobState
from storage.settings import Settings
with Database(Settings().database).write() as connection:
    jobs.finish(connection, "JOB", JobState.DONE, result={"made": 1}, now=datetime.now(UTC))
"""


def test_a_job_runs_in_a_process_of_its_own(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id)
    with processes(monkeypatch, FINISH) as started:
        assert Worker(workshop.settings, workshop.database).perform(job.id) is JobState.DONE
    assert started[0][1:5] == ["-P", "-m", "app.child", job.id]
    assert workshop.job(job).result == {"made": 1}


def test_a_job_that_is_over_is_not_run_again(
    workshop: Workshop, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running(workshop, now)
    with workshop.database.write() as connection:
        jobs.finish(connection, job.id, JobState.DONE, result={"made": 1}, now=now)
    with processes(monkeypatch, FINISH) as started:
        assert Worker(workshop.settings, workshop.database).perform(job.id) is JobState.DONE
    assert started == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; print('so long'); sys.exit(7)", "ended with code 7 before it was done"),
        ("import os; os.kill(os.getpid(), 9)", "was killed, most often because memory ran out"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
    ],
)
def test_a_process_that_dies_fails_its_job_with_a_reason(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    job = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id)
    with processes(monkeypatch, code):
        assert Worker(workshop.settings, workshop.database).perform(job.id) is JobState.FAILED
    error = workshop.job(job).error
    assert why in error
    assert f"tandem jobs log {job.id}" in error


def test_a_process_that_does_not_hear_is_ended_when_its_job_is_cancelled(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.CANCEL_PATIENCE", 0.2)
    monkeypatch.setattr("app.worker.LOOK_EVERY", 0.1)
    job = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id)

    def stop() -> None:
        workshop.wait(job, lambda one: one.state is JobState.RUNNING, what="never started")
        cancel(workshop.database, job.id, now=workshop.now)

    person = threading.Thread(target=stop)
    with processes(monkeypatch, "import time; print('working', flush=True); time.sleep(60)"):
        person.start()
        began = time.monotonic()
        assert Worker(workshop.settings, workshop.database).perform(job.id) is JobState.CANCELLED
    person.join()
    assert time.monotonic() - began < 30
    assert workshop.job(job).error == ""


def test_devices_are_used_side_by_side_and_one_job_has_each(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [workshop.queue("reward", "combined", snapshot=workshop.snapshot.id) for _ in range(2)]
    code = "import os, time; print(os.environ['TANDEM_DEVICE']); time.sleep(1)" + FINISH
    with processes(monkeypatch, code):
        worker = Worker(workshop.settings, workshop.database, devices=("cuda:0", "cuda:1"))
        threads = [threading.Thread(target=worker.perform, args=(job.id,)) for job in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {workshop.log(job).strip() for job in both} == {"cuda:0", "cuda:1"}


def test_another_machines_job_is_lost_only_after_a_silence(
    data_dir: Path, workshop: Workshop, now: datetime
) -> None:
    settings = Settings(data_dir=data_dir, database_url="postgresql://somewhere/tandem")
    worker = Worker(settings, workshop.database, now=lambda: now)
    silent = replace(
        running(workshop, now), beat=now - 2 * LOST_AFTER, created=now - 3 * LOST_AFTER
    )
    taken = int((now - 2 * LOST_AFTER).timestamp() * 1000)
    just_taken = int((now - timedelta(seconds=5)).timestamp() * 1000)
    assert worker._is_lost(silent, "elsewhere", taken)
    assert not worker._is_lost(silent, "elsewhere", just_taken)
    assert not worker._is_lost(replace(silent, beat=now), "elsewhere", taken)


def test_sqlite_and_postgresql_each_keep_the_queue_beside_the_rest(data_dir: Path) -> None:
    sqlite = Settings(data_dir=data_dir, database_url="")
    assert system_database(sqlite) == f"sqlite:///{data_dir.resolve() / 'queue.sqlite'}"
    odd = data_dir / "what? 100% #1"
    address = make_url(system_database(Settings(data_dir=odd, database_url="")))
    with create_engine(address).begin() as connection:
        connection.execute(text("CREATE TABLE kept (one INTEGER)"))
    assert (odd / "queue.sqlite").is_file()
    shared = Settings(data_dir=data_dir, database_url="postgresql://somewhere/tandem")
    assert system_database(shared) == "postgresql://somewhere/tandem"


# A real worker with real processes, and the fates that rows may meet


def test_a_real_worker_samples_fails_and_is_asked_to_stop(workshop: Workshop) -> None:
    prompts = [[{"role": "user", "content": "Good morning"}]]
    sampled = workshop.queue(
        "sample", "sample", policies=["tiny"], prompts=prompts, max_new_tokens=4
    )
    missing = workshop.queue("sample", "sample", policies=["no/such"], prompts=prompts)
    waiting = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id)
    with workshop.worker() as worker:
        done = workshop.wait_for_end(sampled)
        cancel(workshop.database, waiting.id, now=workshop.now)
        failed = workshop.wait_for_end(missing)
        worker.terminate()
        assert worker.wait(20) == 0
    assert done.state is JobState.DONE, workshop.log(sampled)
    answer = done.result["answers"][0]
    assert (answer["policy"], answer["prompt"]) == ("tiny", 0)
    assert done.result["cost"]["peak_memory_bytes"] > 1e7
    assert failed.state is JobState.FAILED
    assert "no/such" in failed.error
    assert "Traceback" not in workshop.log(missing)
    assert workshop.job(waiting).state is JobState.CANCELLED
    assert "Traceback" not in (workshop.settings.data_dir / "worker.log").read_text()


def running(workshop: Workshop, now: datetime) -> Job:
    job = workshop.queue("reward", "combined", snapshot=workshop.snapshot.id)
    with workshop.database.write() as connection:
        return jobs.mark_running(connection, JobId(job.id), now=now)


def invented_policy(now: datetime) -> Model:
    return Model(
        id=ModelId("m1"),
        name="ppo-1",
        purpose="policy",
        recipe="ppo",
        base="tiny",
        folder="models/ppo-1",
        created=now,
    )


def test_the_log_of_a_job_lies_in_its_folder(workshop: Workshop, now: datetime) -> None:
    job = running(workshop, now)
    expected = workshop.settings.data_dir / "jobs" / job.id / "log.txt"
    assert log_file(workshop.settings, job.id) == expected.resolve()
