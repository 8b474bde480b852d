"""A sweep: one job that makes a policy for each weight between two rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, open_workshop

from app.cli import main
from app.kinds import PromptsJob, job_config
from app.pages.runs import job_title
from app.probes import probes
from app.work import perform
from storage import jobs, models
from storage.errors import InvalidOption, JobCancelled
from storage.records import Job, JobState
from storage.settings import Settings

SMALL: dict[str, Any] = {
    "start": "tiny",
    "rewards": {"length": 1.0, "matches:e": 1.0},
    "steps": 2,
    "episodes": 4,
    "max_new_tokens": 6,
    "sweep": [0, 0.25, 1],
}


@pytest.fixture
def workshop(data_dir: Path, now: datetime) -> Iterator[Workshop]:
    settings = Settings(data_dir=data_dir, database_url="", device="cpu")
    opened = open_workshop(settings, now, prompts=30)
    yield opened
    opened.database.close()


@dataclass
class Heard:
    """Progress that remembers, and may stop the job at a report."""

    stop_at: int | None = None
    steps: list[tuple[int, int | None]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        self.steps.append((step, total))
        self.messages.append(message or "")
        if step == self.stop_at:
            raise JobCancelled("stopped")

    def log(self, line: str) -> None:
        self.lines.append(line)


def do(workshop: Workshop, job: Job, heard: Heard) -> dict[str, Any]:
    return perform(job, database=workshop.database, settings=workshop.settings, progress=heard)


def test_each_weight_makes_a_policy_that_is_registered(workshop: Workshop) -> None:
    job = workshop.queue("policy", "ppo", name="mix", **SMALL)
    assert job_title(job) == "3 policies with PPO"
    heard = Heard()
    result = do(workshop, job, heard)
    assert result["models"] == ["mix-0", "mix-0.25", "mix-1"]
    assert sorted(result["metrics"]) == sorted(result["models"])
    with workshop.database.read() as connection:
        made = {one.name: one for one in models.models(connection, "policy")}
    assert sorted(made) == result["models"]
    for name, share in zip(result["models"], (0, 0.25, 1), strict=True):
        assert made[name].config["rewards"] == {"length": share, "matches:e": 1 - share}
        assert made[name].job == job.id
        assert (workshop.settings.data_dir / made[name].folder / "tandem.json").is_file()
    assert len({one.id for one in made.values()}) == 3
    # One run for whoever watches.
    assert [step for step, _ in heard.steps] == sorted(step for step, _ in heard.steps)
    assert heard.steps[-1] == (6, 6)
    assert heard.messages[-1].startswith("mix-1: reward")
    # Its samples are those of the last one.
    assert probes(workshop.settings, replace(job, result=result))


def test_a_sweep_that_was_stopped_goes_on_with_the_policy_it_was_at(workshop: Workshop) -> None:
    job = workshop.queue("policy", "ppo", name="mix", **SMALL)
    with pytest.raises(JobCancelled):
        do(workshop, job, Heard(stop_at=3))  # the first step of the second policy
    with workshop.database.read() as connection:
        [first] = models.models(connection, "policy")
    assert first.name == "mix-0"
    assert probes(workshop.settings, job)  # of the one that is learning
    heard = Heard()
    assert do(workshop, job, heard)["models"] == ["mix-0", "mix-0.25", "mix-1"]
    with workshop.database.read() as connection:
        assert models.model(connection, "mix-0") == first
    assert not any(line.startswith("mix-0:") for line in heard.lines)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"rewards": {"length": 1.0}}, "a sweep is between two rewards, and 1 are named"),
        ({"sweep": [0, 0]}, "sweep: a weight is there twice"),
        ({"sweep": [0, 1.5]}, "sweep.1: input should be less than or equal to 1"),
    ],
)
def test_what_is_no_sweep_is_refused(
    workshop: Workshop, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        workshop.queue("policy", "ppo", **SMALL | change)


def test_names_that_are_taken_are_refused_before_hours_of_work(workshop: Workshop) -> None:
    job = workshop.queue("policy", "ppo", name="mix", **SMALL)
    with pytest.raises(JobCancelled):
        do(workshop, job, Heard(stop_at=3))
    with workshop.database.write() as connection:
        jobs.finish(connection, job.id, JobState.CANCELLED, now=workshop.now)
    with pytest.raises(InvalidOption, match=r"a model of this name exists.*'mix-0'"):
        workshop.queue("policy", "ppo", name="mix", **SMALL)


def test_every_recipe_that_learns_from_rewards_can_be_swept() -> None:
    for recipe in ("ppo", "grpo", "rloo", "iterative-dpo", "rejection-sampling"):
        config = job_config("policy", recipe).read(
            {"rewards": {"a": 1.0, "b": 1.0}, "sweep": [0.5], "name": "x"}
        )
        assert isinstance(config, PromptsJob)
        [part] = config.parts()
        assert part.model_dump()["rewards"] == {"a": 0.5, "b": 0.5}
    with pytest.raises(InvalidOption, match="sweep: there is no such option"):
        job_config("policy", "dpo").read({"snapshot": "x", "sweep": [0.5]})


def test_the_command_line_queues_a_sweep_and_does_none_itself(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "policy", "ppo", "--rewards", "length", "json", "--sweep", "0", "0.5", "1"]
    store = ["--start", "tiny", "--data-dir", str(workshop.settings.data_dir)]
    assert main([*asked, *store]) == 1
    assert "add --queue" in capsys.readouterr().err
    assert main([*asked, *store, "--queue"]) == 0
    assert "Queued as job" in capsys.readouterr().out
    prompts = workshop.settings.data_dir / "judged.jsonl"
    output = ["--data", str(prompts), "--output", str(workshop.settings.data_dir / "policy")]
    assert main([*asked, *store, *output]) == 1
    assert "sweep: this needs the store" in capsys.readouterr().err
