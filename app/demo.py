"""`tandem demo`: the whole loop without people, on a real server with a temporary database.

Simulated raters sign in by link and judge real answers of the small model through the HTTP API; the
judgements are frozen; three reward models and a policy are trained by the worker, as queued jobs;
a blinded study of held-out prompts is judged; a report is written. Everything is marked simulated.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.output import note
from app.demo_server import running_server
from app.importing import STARTER_PROJECT, add_starter_project
from app.progress import utc_now
from app.queue import enqueue
from app.simulation import invite, judge_everything, vote_in_study
from feedback.simulation import SimulatedRater
from storage import jobs, judgements, snapshots, studies
from storage.errors import StorageFailed, TandemError
from storage.records import Job, JobState, Project, Snapshot, Study
from storage.settings import Settings
from training.places import DEFAULT_BASE, TINY

if TYPE_CHECKING:
    from storage.database import Database

REWARDS = ("preference", "absolute", "combined")
LOOK_EVERY = 0.3
"""Seconds between two looks at a running job."""
RATERS = (
    SimulatedRater(name="simulated-1", seed=1, leniency=0.4, position_bias=-0.3),
    SimulatedRater(name="simulated-2", seed=2, leniency=-0.4, position_bias=0.2),
    SimulatedRater(name="simulated-3", seed=3, leniency=0.1, position_bias=-0.1),
    SimulatedRater(name="simulated-4", seed=4, leniency=-0.1, noise=0.5, reliability=1.8),
)
VOTERS = 5
"""How many simulated voters judge each pair of a study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the demonstration is: all that differs between the real one and the tiny one."""

    base: str
    pairs_per_prompt: int
    """How many pairs of a prompt's answers are judged."""
    overlap: int
    """How many raters judge each of them."""
    reward: Mapping[str, Any]
    """Options of every reward recipe."""
    policy: Mapping[str, Any]
    """Options of PPO, besides its start and rewards."""
    study: Mapping[str, Any]
    """How the study's answers are sampled."""


REAL = Scale(
    base=DEFAULT_BASE,
    pairs_per_prompt=6,
    overlap=2,
    reward={},
    # Few, bold steps: some hundred answers are all that two processor cores manage in ten minutes.
    policy={
        "steps": 36,
        "episodes": 20,
        "max_new_tokens": 64,
        "layers": 10,
        "learning_rate": 5e-4,
    },
    study={"max_new_tokens": 64, "temperature": 1.0, "top_p": 1.0},
)
SMALL = Scale(
    base=TINY,
    pairs_per_prompt=2,
    overlap=1,
    reward={"layers": None, "epochs": 1, "prompts": 24},
    # So bold that the policy answers differently after three steps; alike answers are not judged.
    policy={"steps": 3, "episodes": 8, "max_new_tokens": 16, "learning_rate": 1e-2},
    study={"max_new_tokens": 16, "temperature": 1.0, "top_p": 1.0},
)


@dataclass(slots=True, kw_only=True)
class Loop:
    """What the demonstration has made so far."""

    settings: Settings
    database: Database
    scale: Scale
    project: Project
    costs: list[Cost] = field(default_factory=list)
    snapshot: Snapshot | None = None
    collected: Mapping[str, int] = field(default_factory=dict)
    """How much the project held when its judgements were frozen; studies add answers later."""
    reward_jobs: list[Job] = field(default_factory=list)
    policy_jobs: list[Job] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Cost]:
        """Time one part, and say so on the terminal."""
        note(f"{name} ...")
        cost = Cost(step=name)
        began = time.monotonic()
        yield cost
        cost.seconds = time.monotonic() - began
        self.costs.append(cost)
        note(f"{name}: {cost.seconds:.0f} s{'; ' * bool(cost.detail)}{cost.detail}")


@dataclass(slots=True, kw_only=True)
class Cost:
    """What one part took."""

    step: str
    seconds: float = 0.0
    detail: str = ""
    peak_memory: float | None = None
    """Bytes, of the job's process; None where the part is no job."""


def run_demo(output: Path, *, tiny: bool = False, all_rewards: bool = False) -> dict[str, Any]:
    """Go once around the loop.

    Args:
        output: Folder for report.html and summary.json.
        tiny: Use a random model of two layers, so that it takes about a minute.
        all_rewards: Tune one policy against each reward model, not against the combined one alone.

    Returns:
        The summary: {"simulated", "report", "reward_models", "studies", "seconds", "steps"}.

    Raises:
        TandemError: A part failed; says which and why.
    """
    with tempfile.TemporaryDirectory(prefix="tandem-demo-") as folder:
        return _run(
            Settings(data_dir=Path(folder), database_url=""),
            output,
            SMALL if tiny else REAL,
            against=REWARDS if all_rewards else ("combined",),
        )


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary for a person."""
    lines = ["", "SIMULATED: programs judged here, so this says nothing about people.", ""]
    width = max(len(step["step"]) for step in summary["steps"])
    lines += [
        f"  {step['step'].ljust(width)}  {step['seconds']:6.0f} s  {step['detail']}"
        for step in summary["steps"]
    ]
    lines += [f"  {'total'.ljust(width)}  {summary['seconds']:6.0f} s", ""]
    for model in summary["reward_models"]:
        card = model["held_out"]
        if card.get("pair_accuracy"):
            lines.append(
                f"  {model['model']}: {card['pair_accuracy']['value']:.0%} of held-out pairs,"
                f" by length alone {card['length_only_accuracy']['value']:.0%}"
            )
    lines += [f"  {study['verdict']}" for study in summary["studies"]]
    return [*lines, "", f"Report: {summary['report']}"]


def _run(
    settings: Settings, output: Path, scale: Scale, *, against: Sequence[str]
) -> dict[str, Any]:
    from app.demo_report import write_summary
    from storage.database import Database

    settings.folder()
    database = Database(settings.database)
    try:
        database.migrate()
        project = add_starter_project(
            database,
            now=utc_now(),
            simulated=True,
            overlap=scale.overlap,
            pairs_per_prompt=scale.pairs_per_prompt,
        )
        if project is None:
            raise StorageFailed(
                "The starter project's data is not installed, and the demo judges its answers;"
                " install Tandem again."
            )
        loop = Loop(settings=settings, database=database, scale=scale, project=project)
        with running_server(settings) as address:
            _collect(loop, address)
            _learn(loop, against)
            _compare(loop)
        return write_summary(loop, output)
    finally:
        database.close()


def _collect(loop: Loop, address: str) -> None:
    """Have everything judged through the HTTP API, and freeze it."""
    with loop.step("Simulated raters judge") as cost:
        invited = invite(loop.database, RATERS, now=utc_now())
        judged = judge_everything(address, invited, project=STARTER_PROJECT)
        cost.detail = f"{judged} judgements by {len(RATERS)} raters through the HTTP API"
    with loop.step("Snapshot") as cost:
        loop.snapshot = snapshots.freeze(
            loop.database, loop.project.id, data_dir=loop.settings.data_dir, now=utc_now()
        )
        with loop.database.read() as connection:
            loop.collected = judgements.counts(connection, loop.project.id)
        rows = loop.snapshot.rows
        cost.detail = f"{sum(rows.values())} rows, {loop.snapshot.id[:12]}"


def _learn(loop: Loop, against: Sequence[str]) -> None:
    """Train the reward models, then a policy against each of `against`."""
    scale, snapshot = loop.scale, loop.snapshot
    assert snapshot is not None, "_collect comes first"  # noqa: S101
    for recipe in REWARDS:
        config = {"snapshot": snapshot.id, "name": recipe, "base": scale.base, **scale.reward}
        loop.reward_jobs.append(_job(loop, f"Reward model: {recipe}", "reward", recipe, config))
    for reward in against:
        config = {
            "name": f"ppo-{reward}",
            "start": scale.base,
            "rewards": {reward: 1.0},
            **scale.policy,
        }
        loop.policy_jobs.append(_job(loop, f"PPO against {reward}", "policy", "ppo", config))


def _compare(loop: Loop) -> None:
    """Put each policy and its start before voters, blinded."""
    for made in loop.policy_jobs:
        policy = made.result["model"]
        config = {
            "title": f"{policy} against its start (simulated)",
            "policies": (policy, loop.scale.base),
            "overlap": VOTERS,
            **loop.scale.study,
        }
        job = _job(loop, f"Held-out answers: {policy}", "study", "study", config)
        with loop.step(f"Blinded study: {policy}") as cost:
            with loop.database.read() as connection:
                study = studies.study(connection, job.result["code"])
            votes = vote_in_study(loop.database, study, voters=VOTERS, now=utc_now)
            with loop.database.write() as connection:
                loop.studies.append(studies.close_study(connection, study.id, utc_now()))
            cost.detail = f"{votes} votes by {VOTERS} simulated voters"


def _job(loop: Loop, title: str, kind: str, recipe: str, config: Mapping[str, Any]) -> Job:
    """Hand a job to the worker and wait for its end.

    Raises:
        TandemError: It failed; says why.
    """
    with loop.step(title) as cost:
        job = enqueue(
            loop.database,
            loop.settings,
            kind=kind,
            recipe=recipe,
            config=config,
            project=loop.project.id,
            now=utc_now(),
        )
        while not job.state.is_over:
            time.sleep(LOOK_EVERY)
            with loop.database.read() as connection:
                job = jobs.job(connection, job.id)
        if job.state is not JobState.DONE:
            raise TandemError(f"{title} {job.state}: {job.error}")
        took = job.result["cost"]
        cost.peak_memory = took["peak_memory_bytes"]
        cost.detail = f"{job.step} steps, {took['processor_seconds']:.0f} s of processor time"
    return job
