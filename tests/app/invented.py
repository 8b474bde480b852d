"""An invented installation, written through storage: people, judgements, runs, models, studies."""

from __future__ import annotations

import json
import math
import secrets
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import made_trials
import numpy as np

from evaluation.ablation import compare
from evaluation.ablation_words import told
from evaluation.policy_card import against_start
from evaluation.report_card import reward_report_card
from evaluation.studies import open_study
from storage import jobs, models, snapshots, studies
from storage.annotators import add_annotator, set_active
from storage.database import Database
from storage.judgements import record_imported, record_submission
from storage.projects import add_project
from storage.prompts import add_prompts, add_responses, response
from storage.records import (
    Annotator,
    Assignment,
    Comparison,
    Job,
    JobState,
    Kind,
    Model,
    ModelId,
    Project,
    ProjectId,
    Prompt,
    Rating,
    Response,
    Role,
    Snapshot,
    Split,
    Study,
    Submission,
    SubmissionId,
    Task,
    TaskId,
)
from storage.settings import Settings
from storage.snapshots import SnapshotData
from storage.tasks import add_tasks, lease, task

ASKED = (
    "Explain to a ten-year-old why the sky is blue.",
    "Rewrite this sentence so that it sounds friendly: 'Your invoice is overdue.'",
    "Plan a three-day walk in the Harz for somebody who has not walked for years.",
    "What is the difference between a virus and a bacterium?",
    "Write a Python function that merges two sorted lists.",
    "Summarise the plot of a story in which a lighthouse keeper befriends a seal.",
    "How do I tell a colleague that I cannot take over their shift?",
    "Give me four ideas for using up a glut of courgettes.",
    "Why do prices rise over time?",
    "How does a vaccine teach the body to fight a disease?",
)
KINDS = ("science", "writing", "planning")
POLICIES = ("SmolLM2-135M-Instruct at 0.7", "SmolLM2-135M-Instruct at 1.1", "ppo-combined-1")
ANSWER = """Light from the sun holds **every colour**. In the air, blue is scattered most:

1. red and yellow go straight on,
2. blue is thrown in all directions, so it reaches your eye from everywhere.

That is why the sky looks blue, and why it turns red when the sun is low."""
MORE = " And there is more to say."


@dataclass(frozen=True, kw_only=True)
class Invented:
    """What was made, for tests to ask for by name."""

    administrator: Annotator
    researcher: Annotator
    annotator: Annotator
    project: Project
    running: Job
    asked: Job
    study: Study


def people(database: Database, now: datetime) -> tuple[Annotator, Annotator, Annotator]:
    """An administrator, a researcher and an annotator."""
    long_ago = now - timedelta(days=40)
    with database.write() as connection:
        return (
            add_annotator(connection, "Ada Byron", role=Role.ADMINISTRATOR, now=long_ago),
            add_annotator(connection, "Ravi Menon", role=Role.RESEARCHER, now=long_ago),
            add_annotator(connection, "Lena Holm", role=Role.ANNOTATOR, now=long_ago),
        )


def fill(database: Database, settings: Settings, now: datetime, *, prompts: int = 60) -> Invented:
    """Fill an empty database."""
    rng = np.random.default_rng(5)
    administrator, researcher, annotator = people(database, now)
    with database.write() as connection:
        others = [
            add_annotator(connection, name, role=Role.ANNOTATOR, now=now - timedelta(days=30 - day))
            for day, name in enumerate(("Tomás Rey", "Mei Lin", "Jonas Brandt"))
        ]
        set_active(connection, others[2].id, active=False)
        machine = add_annotator(
            connection, "gold rater 1", role=Role.ANNOTATOR, kind=Kind.SIMULATED, now=now
        )
        mirror = add_project(connection, _project("demo of the loop", now, simulated=True))
        add_prompts(connection, [Prompt.of(mirror.id, ASKED[0])])
        project = add_project(connection, _project("everyday questions", now))
        asked = [
            Prompt.of(
                project.id,
                f"{ASKED[i % 10]} (Variant {i // 10 + 1})" if i > 9 else ASKED[i],
                tags=(KINDS[i % len(KINDS)],),
            )
            for i in range(prompts)
        ]
        add_prompts(connection, asked)
        answers = {
            prompt.id: [
                Response.of(
                    prompt.id, f"{ANSWER} ({policy}, {place}){MORE * (place % 7)}", policy=policy
                )
                for policy in POLICIES
            ]
            for place, prompt in enumerate(asked)
        }
        add_responses(connection, [one for texts in answers.values() for one in texts])
        _judge(connection, project, asked, answers, [annotator, *others], now=now, rng=rng)
    assert machine.kind is Kind.SIMULATED
    snapshot = snapshots.freeze(
        database, project.id, data_dir=settings.data_dir, now=now - timedelta(hours=30)
    )
    _models(database, settings, snapshot, now, rng)
    running, sampled = _jobs(database, project, snapshot.id, now, rng)
    log = settings.folder("jobs", running.id) / "log.txt"
    log.write_text(
        "2026-03-14 14:58:01 policy ppo: {'start': 'SmolLM2-135M-Instruct', ...}\n"
        "2026-03-14 14:58:09 Loaded combined-1 and the start policy, 139 M weights.\n"
        "2026-03-14 15:04:44 Checkpoint at step 40.\n",
        encoding="utf-8",
    )
    _samples(settings.folder("jobs", running.id) / "checkpoints", asked[:4])
    study = _studies(database, project, asked, [annotator, *others[:2]], now=now, rng=rng)
    return Invented(
        administrator=administrator,
        researcher=researcher,
        annotator=annotator,
        project=project,
        running=running,
        asked=sampled,
        study=study,
    )


def _project(name: str, now: datetime, *, simulated: bool = False) -> Project:
    created = now - timedelta(days=35 if simulated else 25)
    return Project(
        id=ProjectId(secrets.token_hex(8)),
        name=name,
        overlap=2,
        simulated=simulated,
        created=created,
    )


def _judge(
    connection: Any,
    project: Project,
    asked: list[Prompt],
    answers: dict[Any, list[Response]],
    annotators: list[Annotator],
    *,
    now: datetime,
    rng: np.random.Generator,
) -> None:
    """Two annotators for each pair of the first two answers, agreeing more often than not."""
    tasks, said = [], []
    for prompt in asked:
        for first, second in ((0, 1), (0, 2)):
            left, right = answers[prompt.id][first].id, answers[prompt.id][second].id
            tasks.append(
                Task(
                    id=TaskId(secrets.token_hex(8)),
                    project=project.id,
                    prompt=prompt.id,
                    responses=(left, right),
                    type="pair_with_ratings",
                    overlap=2,
                )
            )
            quality = rng.normal(0.6 if second == 2 else -0.4)
            who = rng.choice(len(annotators), size=2, replace=False)
            for place in who:
                choice = int(np.clip(round(quality + rng.normal(0, 0.8)), -3, 3))
                good = int(np.clip(round(4 + quality + rng.normal(0, 0.7)), 1, 7))
                received = now - timedelta(
                    days=float(rng.triangular(0, 2, 17)), hours=float(rng.uniform(0, 9))
                )
                said.append(
                    Submission(
                        id=SubmissionId(secrets.token_hex(8)),
                        annotator=annotators[place].id,
                        prompt=prompt.id,
                        comparisons=(Comparison(left=left, right=right, choice=choice),),
                        ratings=(
                            Rating(response=left, value=max(1, min(7, 8 - good))),
                            Rating(response=right, value=good),
                        ),
                        active_seconds=float(rng.gamma(4, 9)),
                        received=received,
                    )
                )
    add_tasks(connection, tasks)
    record_imported(connection, said)


def _card(
    data: SnapshotData, rng: np.random.Generator, *, sense: float, length: float
) -> dict[str, Any]:
    """A card on all judgements, of a model with so much sense of what is liked, and of length."""
    rows = [row for split in Split for row in data.comparisons(split)]
    ratings = [row for split in Split for row in data.ratings(split)]
    liked: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        liked[row.left_id].append(-row.choice)
        liked[row.right_id].append(row.choice)
    reward = {
        name: sense * float(np.mean(said)) + float(rng.normal(0, 0.8))
        for name, said in liked.items()
    }
    return reward_report_card(
        [reward[row.left_id] + length * len(row.left) / 100 for row in rows],
        [reward[row.right_id] + length * len(row.right) / 100 for row in rows],
        rows,
        [reward[row.response_id] + length * len(row.response) / 100 for row in ratings],
        ratings,
        training=data.comparisons(Split.TRAIN),
        seen=set(),
        rng=rng,
    )


def _models(
    database: Database,
    settings: Settings,
    snapshot: Snapshot,
    now: datetime,
    rng: np.random.Generator,
) -> None:
    made = (
        ("preference-1", "preference", 0.5, 2.0, 28),
        ("absolute-1", "absolute", -0.2, 6.0, 27),
        ("combined-1", "combined", 0.9, 0.0, 26),
    )
    data = SnapshotData.open(settings.data_dir / snapshot.folder)
    rewards = [
        Model(
            id=ModelId(secrets.token_hex(8)),
            name=name,
            purpose="reward",
            recipe=recipe,
            base="HuggingFaceTB/SmolLM2-135M-Instruct",
            folder=f"models/{name}",
            snapshot=snapshot.id,
            config={"epochs": 2, "learning_rate": 1e-4, "rank": 16},
            metrics={"held_out": _card(data, rng, sense=sense, length=length)},
            created=now - timedelta(hours=hours),
        )
        for name, recipe, sense, length, hours in made
    ]
    policy = Model(
        id=ModelId(secrets.token_hex(8)),
        name="ppo-combined-1",
        purpose="policy",
        recipe="ppo",
        base="HuggingFaceTB/SmolLM2-135M-Instruct",
        folder="models/ppo-combined-1",
        parents=(rewards[2].id,),
        config={"steps": 120, "kl_target": 6.0, "rewards": {"combined-1": 1.0}},
        metrics={
            "reward_at_start": -0.02,
            "reward": 0.81,
            "kl": 5.6,
            "entropy": 1.9,
            "response_length": 142.0,
            "against_start": _against_start(np.random.default_rng(8)),
        },
        created=now - timedelta(hours=5),
    )
    with database.write() as connection:
        for model in (*rewards, policy):
            settings.folder(*model.folder.split("/"))
            models.add_model(connection, model)


def _against_start(rng: np.random.Generator) -> dict[str, Any]:
    """A policy whose answers are longer than its start's, and a little better at equal length."""
    longer, better = rng.normal(20, 30, 60), rng.normal(0.4, 0.8, 60)
    learned_from = better + 0.02 * longer + rng.normal(0.4, 0.5, 60)
    nothing = np.zeros(60)
    return against_start(
        {"combined-1": learned_from, "absolute-1": better + 0.01 * longer},
        {"combined-1": nothing, "absolute-1": nothing},
        tokens=122 + longer,
        tokens_of_start=np.full(60, 122),
        prompts=range(60),
    )


def _jobs(
    database: Database, project: Project, snapshot: str, now: datetime, rng: np.random.Generator
) -> tuple[Job, Job]:
    with database.write() as connection:

        def queue(kind: str, recipe: str, ago: timedelta, **config: Any) -> Job:
            return jobs.add_job(
                connection,
                kind=kind,
                recipe=recipe,
                config=config,
                project=project.id,
                now=now - ago,
            )

        learnt = queue(
            "reward", "combined", timedelta(hours=27), snapshot=snapshot, name="combined-1"
        )
        jobs.mark_running(connection, learnt.id, now=now - timedelta(hours=27))
        for step in range(1, 61):
            falling = 0.35 + 0.4 * math.exp(-step / 18)
            points = {
                "train/loss": falling + rng.normal(0, 0.04),
                "train/accuracy": 0.82 - 0.3 * math.exp(-step / 15) + rng.normal(0, 0.03),
            }
            if step % 6 == 0:
                points["validation/loss"] = falling + 0.05 + rng.normal(0, 0.01)
                points["validation/accuracy"] = 0.74 - 0.2 * math.exp(-step / 12)
            jobs.record_progress(
                connection, learnt.id, step=step, total=60, message="", metrics=points, now=now
            )
        jobs.finish(
            connection,
            learnt.id,
            JobState.DONE,
            result={"model": "combined-1"},
            now=now - timedelta(hours=26, minutes=42),
        )
        compared = queue(
            "ablation",
            "ablation",
            timedelta(hours=60),
            snapshot=snapshot,
            kinds=["preference", "absolute", "combined"],
            labels=[250, 500, 1000],
        )
        jobs.mark_running(connection, compared.id, now=now - timedelta(hours=60))
        rows = made_trials.compared(400, prompts=200)
        said = told(compare(made_trials.trials(rows), rows))
        jobs.finish(
            connection,
            compared.id,
            JobState.DONE,
            result={"ablation": said, "file": "report.html"},
            now=now - timedelta(hours=52),
        )
        failed = queue("reward", "absolute", timedelta(hours=29), snapshot=snapshot)
        jobs.mark_running(connection, failed.id, now=now - timedelta(hours=29))
        jobs.finish(
            connection,
            failed.id,
            JobState.FAILED,
            error="The loss is not a number at step 3; lower learning_rate (0.01).",
            now=now - timedelta(hours=28, minutes=58),
        )
        sampled = queue(
            "sample",
            "sample",
            timedelta(minutes=50),
            policies=["ppo-combined-1", "HuggingFaceTB/SmolLM2-135M-Instruct"],
            prompts=[[{"role": "user", "content": "Why is the sky blue? <b>Be brief.</b>"}]],
        )
        jobs.mark_running(connection, sampled.id, now=now - timedelta(minutes=50))
        short = "Because of <script>alert(1)</script> **Rayleigh scattering**, which favours blue."
        jobs.finish(
            connection,
            sampled.id,
            JobState.DONE,
            result={
                "answers": [
                    {"policy": "ppo-combined-1", "prompt": 0, "text": ANSWER, "tokens": 84},
                    {
                        "policy": "HuggingFaceTB/SmolLM2-135M-Instruct",
                        "prompt": 0,
                        "text": short,
                        "tokens": 17,
                    },
                ]
            },
            now=now - timedelta(minutes=49),
        )
        running = queue(
            "policy", "ppo", timedelta(minutes=12), rewards={"combined-1": 1.0}, kl_target=8.0
        )
        jobs.mark_running(connection, running.id, now=now - timedelta(minutes=11, seconds=25))
        for step in range(1, 48):
            rise = 1 - math.exp(-step / 30)
            jobs.record_progress(
                connection,
                running.id,
                step=step,
                total=120,
                message="Round 47 of 120",
                metrics={
                    "reward": -0.1 + 0.9 * rise + rng.normal(0, 0.12),
                    "kl": 7 * rise + rng.normal(0, 0.4),
                    "entropy": 2.4 - 0.6 * rise + rng.normal(0, 0.05),
                    "response_length": 118 + 30 * rise + rng.normal(0, 6),
                    "explained_variance": 0.1 + 0.5 * rise + rng.normal(0, 0.05),
                    "finished_fraction": 0.1 + 0.3 * rise,
                    "value_loss": 0.5 - 0.3 * rise,
                    "clip_fraction": abs(0.08 + rng.normal(0, 0.02)),
                },
                now=now - timedelta(seconds=3),
            )
        queue("reward", "preference", timedelta(minutes=2), snapshot=snapshot, name="preference-2")
        return jobs.job(connection, running.id), jobs.job(connection, sampled.id)


def _samples(folder: Path, asked: list[Prompt]) -> None:
    """What the running policy answered at its start, after 20 steps and after 40."""
    folder.mkdir(parents=True)
    texts = {0: (f"{ANSWER}{MORE * 2}", False), 20: (ANSWER, True), 40: (ANSWER[:120], True)}
    lines = [
        {
            "step": step,
            "prompt": list(prompt.messages),
            "response": text,
            "tokens": len(text) // 4,
            "finished": finished,
        }
        for step, (text, finished) in texts.items()
        for prompt in asked
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "samples.jsonl").write_text(text, encoding="utf-8")


def _studies(
    database: Database,
    project: Project,
    asked: list[Prompt],
    voters: list[Annotator],
    *,
    now: datetime,
    rng: np.random.Generator,
) -> Study:
    closed = _study(
        database,
        project,
        asked[:24],
        voters,
        now=now,
        rng=rng,
        name="Does PPO help?",
        opened_hours=4,
    )
    with database.write() as connection:
        studies.close_study(connection, closed.id, now=now - timedelta(hours=1))
    return _study(
        database,
        project,
        asked[24:40],
        voters[:2],
        now=now,
        rng=rng,
        name="Does PPO help, with strangers?",
        opened_hours=1,
        share=0.5,
    )


def _study(
    database: Database,
    project: Project,
    asked: list[Prompt],
    voters: list[Annotator],
    *,
    now: datetime,
    rng: np.random.Generator,
    name: str,
    opened_hours: int,
    share: float = 1.0,
) -> Study:
    """Each voter judges a share of the prompts, and mostly likes the first policy better."""
    arms = ("ppo-combined-1", "SmolLM2-135M-Instruct")
    opened = now - timedelta(hours=opened_hours)
    study = open_study(
        database,
        name=name,
        project=project,
        arms={arm: [f"Answer {place} of {arm}" for place, _ in enumerate(asked)] for arm in arms},
        prompts=asked,
        overlap=len(voters),
        now=opened,
        rng=rng,
    )
    with database.write() as connection:
        for voter in voters:
            given = lease(
                connection,
                voter.id,
                project=project.id,
                study=study.id,
                count=round(share * len(asked)),
                now=opened,
                lifetime=timedelta(days=1),
                rng=rng,
            )
            for held in given:
                _vote(connection, study, held, arms[0], now=now, rng=rng)
    return study


def _vote(
    connection: Any,
    study: Study,
    held: Assignment,
    favourite: str,
    *,
    now: datetime,
    rng: np.random.Generator,
) -> None:
    left, right = held.shown
    better = -1 if response(connection, left).text.endswith(favourite) else 1
    draw = rng.random()
    choice = 0 if draw < 0.14 else better if draw < 0.72 else -better
    said = Comparison(left=left, right=right, choice=choice, both_bad=not choice and draw < 0.05)
    record_submission(
        connection,
        Submission(
            id=SubmissionId(secrets.token_hex(8)),
            annotator=held.annotator,
            prompt=task(connection, held.task).prompt,
            assignment=held.id,
            study=study.id,
            comparisons=(said,),
            received=now - timedelta(minutes=70),
        ),
    )
