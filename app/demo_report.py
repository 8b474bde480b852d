"""What the demonstration found, gathered from its store: the report's parts and the summary."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.progress import utc_now
from app.sources import reward_folder
from app.version import tandem_version
from evaluation.report import (
    Collected,
    CostPart,
    CurvePart,
    LoopReport,
    PolicyPart,
    RewardModelPart,
    SamplePart,
    write_report,
)
from evaluation.statistics import agreement, position_bias
from evaluation.studies import results
from evaluation.verdict import StudyResult
from storage import files, jobs, judgements, studies
from storage import prompts as stored
from storage.records import Job, Message, Study

if TYPE_CHECKING:
    from app.demo import Loop

CURVES = {
    "reward": ("Reward", "standard deviations"),
    "kl": ("KL from the start", "nats per answer"),
    "entropy": ("Entropy", "nats per token"),
    "response_length": ("Answer length", "tokens"),
    "clip_fraction": ("Clipped updates", "fraction"),
    "explained_variance": ("Explained variance", "fraction"),
}
"""PPO's metrics that the report draws, with their units."""
SHOWN_SAMPLES = 6
SEED = 0
"""Of the bootstraps."""


def write_summary(loop: Loop, output: Path) -> dict[str, Any]:
    """Write report.html and summary.json, and return the summary."""
    with loop.step("Report"):
        compared = [results(loop.database, study) for study in loop.studies]
        answers = [_study_answers(loop, study) for study in loop.studies]
        policies = [
            _policy(loop, job, given) for job, given in zip(loop.policy_jobs, answers, strict=True)
        ]
    target = output / "report.html"
    first = loop.policy_jobs[0].result["model"]
    write_report(
        LoopReport(
            title="Tandem: once around the loop",
            created=utc_now(),
            simulated=True,
            summary=(
                "Simulated raters judged real answers of a small model through the HTTP API; reward"
                " models learned from their judgements, a policy from a reward model; simulated"
                " voters compared it, blinded, with its start on prompts that nothing learned from."
            ),
            facts=_facts(loop),
            collected=_collected(loop),
            reward_models=[_reward_model(job) for job in loop.reward_jobs],
            policies=policies,
            studies=compared,
            samples=_samples(answers[0]),
            before_name=loop.scale.base,
            after_name=first,
            costs=[
                CostPart(
                    step=cost.step,
                    seconds=cost.seconds,
                    detail=cost.detail,
                    peak_memory=cost.peak_memory,
                )
                for cost in loop.costs
            ],
        ),
        target,
    )
    summary = _summary(loop, compared, target)
    files.write_text(output / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _summary(loop: Loop, compared: Sequence[StudyResult], target: Path) -> dict[str, Any]:
    return {
        "simulated": True,
        "report": str(target),
        "reward_models": [
            {"model": job.result["model"], "held_out": job.result["metrics"]["held_out"]}
            for job in loop.reward_jobs
        ],
        "studies": [result.as_json() for result in compared],
        "seconds": sum(cost.seconds for cost in loop.costs),
        "steps": [
            {"step": cost.step, "seconds": cost.seconds, "detail": cost.detail}
            for cost in loop.costs
        ],
    }


def _facts(loop: Loop) -> dict[str, str]:
    return {
        "Base model": loop.scale.base,
        "Snapshot": loop.snapshot.id if loop.snapshot else "",
        "Tandem": tandem_version(),
        "Machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "PyTorch": version("torch"),
    }


def _collected(loop: Loop) -> Collected:
    """What the raters said, and how far they agree."""
    with loop.database.read() as connection:
        said = list(judgements.judgements(connection, loop.project.id))
    pairs = [(one, comparison) for one in said for comparison in one.comparisons]
    items, raters, values = [], [], []
    for one, comparison in pairs:
        # In a fixed order of the two responses, whoever stood on the left.
        turned = comparison.left > comparison.right
        items.append(" ".join(sorted((comparison.left, comparison.right))))
        raters.append(one.annotator)
        values.append(-comparison.choice if turned else comparison.choice)
    choices = [comparison.choice for _, comparison in pairs]
    return Collected(
        prompts=loop.collected["prompts"],
        responses=loop.collected["responses"],
        comparisons=loop.collected["comparisons"],
        ratings=loop.collected["ratings"],
        annotators=loop.collected["annotators"],
        choices=Counter(choices),
        rating_values=Counter(round(rating.value) for one in said for rating in one.ratings),
        agreement=agreement(
            items, raters, values, level="ordinal", rng=np.random.default_rng(SEED)
        ),
        position_bias=position_bias(choices) if any(choices) else None,
    )


def _reward_model(job: Job) -> RewardModelPart:
    return RewardModelPart(
        name=job.result["model"],
        recipe=job.recipe,
        card=job.result["metrics"]["held_out"],
        seconds=job.result["cost"]["seconds"],
    )


class StudyAnswers:
    """The answers of a study to its prompts, once it is closed: arm to texts, in one order."""

    def __init__(self, prompts: Sequence[tuple[Message, ...]], arms: Mapping[str, list[str]]):
        self.prompts = prompts
        self.arms = arms


def _study_answers(loop: Loop, study: Study) -> StudyAnswers:
    with loop.database.read() as connection:
        key = studies.study_key(connection, study.id)
        texts = stored.responses_by_id(connection, key)
        asked = stored.prompts_by_id(connection, {one.prompt for one in texts.values()})
    order = sorted(asked)
    by_arm: dict[str, list[str]] = {arm: [] for arm in study.arms}
    for prompt in order:
        for response, arm in key.items():
            if texts[response].prompt == prompt:
                by_arm[arm].append(texts[response].text)
    return StudyAnswers([asked[prompt].messages for prompt in order], by_arm)


def _policy(loop: Loop, job: Job, answers: StudyAnswers) -> PolicyPart:
    """Curves of the run, and rewards of the held-out answers before and after."""
    with loop.database.read() as connection:
        measured = jobs.metrics(connection, job.id)
    curves = []
    for name, (title, unit) in CURVES.items():
        points = [(float(step), value) for step, metric, value in measured if metric == name]
        if points:
            target = float(job.config["kl_target"]) if name == "kl" else None
            curves.append(CurvePart(title=title, points=points, unit=unit, reference=target))
    rewards = ", ".join(f"{name} x {weight:g}" for name, weight in job.config["rewards"].items())
    return PolicyPart(
        name=job.result["model"],
        summary=f"From {job.config['start']} against {rewards}, {job.config['steps']} steps",
        curves=curves,
        scores=_scores(loop, job.config["rewards"], answers),
    )


def _scores(
    loop: Loop, rewards: Mapping[str, float], answers: StudyAnswers
) -> dict[str, dict[str, list[float]]]:
    """Standardised rewards, and the gold quality, of the held-out answers of each arm."""
    from feedback.simulation import gold_quality
    from training.rewards.scoring import RewardScorer

    found: dict[str, dict[str, list[float]]] = {}
    for name in rewards:
        with loop.database.read() as connection:
            scorer = RewardScorer.load(reward_folder(connection, loop.settings, name))
        found[f"{name} reward, standard deviations"] = {
            arm: scorer.standardise(
                scorer.score(list(zip(answers.prompts, texts, strict=True)))
            ).tolist()
            for arm, texts in _after_last(answers.arms).items()
        }
    found["gold quality, logits (simulated taste)"] = {
        arm: [
            gold_quality(prompt, text) for prompt, text in zip(answers.prompts, texts, strict=True)
        ]
        for arm, texts in _after_last(answers.arms).items()
    }
    return found


def _after_last(arms: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The arms with the start first: before stands left of after."""
    return dict(reversed(list(arms.items())))


def _samples(answers: StudyAnswers) -> list[SamplePart]:
    """The first held-out prompts with both answers, unselected."""
    after, before = answers.arms.values()
    return [
        SamplePart(prompt=prompt[-1]["content"], before=old, after=new)
        for prompt, old, new in list(zip(answers.prompts, before, after, strict=True))[
            :SHOWN_SAMPLES
        ]
    ]
