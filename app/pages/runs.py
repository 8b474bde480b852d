"""A job as its page shows it: how far it is, its curves, the end of its log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from markupsafe import Markup

from app.arms import read_arm
from app.forms import label
from app.pages.charts import line_chart
from app.pages.fragments import (
    Column,
    Tone,
    ago,
    badge,
    code,
    duration,
    facts,
    joined,
    lines,
    link,
    notice,
    progress,
    section,
    table,
)
from app.pages.visit import Visit
from storage.records import Job, JobState

LOG_LINES = 14
LOG_BYTES = 16_000
"""Read from the end of the log, which may be long."""

TONES: dict[JobState, Tone] = {
    JobState.QUEUED: "plain",
    JobState.RUNNING: "live",
    JobState.DONE: "good",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "warn",
}
MOST_RUNS = 200
"""The newest, beyond which a page looks for none."""
TRAINING = ("reward", "policy", "ablation")
"""Kinds of job that are watched on the Train page."""
TITLES = {"push": "Tasks to Argilla", "pull": "Answers from Argilla"}
"""Of jobs whose recipe says what they do."""
PARTS = ("train", "validation", "test")
"""A metric named `validation/loss` is a second line in the chart of `loss`."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What a metric is called on the page, its unit, and what to look for."""

    title: str
    unit: str
    hint: str


CURVES = {
    "loss": Curve("Loss", "nats", "Should fall. Validation rising while train falls: overfitting."),
    "pair_accuracy": Curve(
        "Pair accuracy", "fraction", "Pairs in which the better answer gets the higher reward."
    ),
    "accuracy": Curve(
        "Pair accuracy", "fraction", "Pairs in which the better answer gets the higher reward."
    ),
    "token_accuracy": Curve(
        "Token accuracy",
        "fraction",
        "Tokens of the answers that the model would have chosen itself.",
    ),
    "reward": Curve("Reward", "standard deviations", "What the policy is trained to raise."),
    "kl": Curve(
        "KL from the start", "nats per answer", "How far the policy moved. A runaway is a warning."
    ),
    "entropy": Curve(
        "Entropy", "nats per token", "Near 0 the policy says the same thing every time."
    ),
    "response_length": Curve(
        "Answer length", "tokens", "A steady climb may be padding, not quality."
    ),
    "repeated_text": Curve(
        "Repeated text", "fraction", "4-token phrases of an answer that stood in it before."
    ),
    "explained_variance": Curve(
        "Explained variance", "fraction", "How well the value head foretells the reward; 1 is best."
    ),
    "clip_fraction": Curve(
        "Clipped updates", "fraction", "Far above 0.3: the learning rate is too high."
    ),
}
"""What to look at first, in the order in which charts stand. Other metrics wait behind a fold."""
TARGETS = {"kl": "kl_target"}
"""The option that says where a metric should go."""


def job_title(job: Job) -> str:
    """What a job does, as a person would say it."""
    match job.kind:
        case "reward":
            return f"{label(job.recipe)} reward model"
        case "policy":
            if job.config.get("sweep"):
                return f"{len(job.config['sweep'])} policies with {label(job.recipe)}"
            return f"Policy with {label(job.recipe)}"
        case "ablation":
            return "Ablation of " + ", ".join(job.config.get("kinds", ()))
        case "sample" | "export":
            named = job.config.get("policies") or [job.config.get("model", "")]
            what = "Answers" if job.kind == "sample" else "Export"
            return f"{what} of " + ", ".join(read_arm(one).label for one in named)
        case _:
            return str(job.config.get("title") or TITLES.get(job.recipe) or label(job.kind))


def state_badge(job: Job) -> Markup:
    """The job's state in a word and a colour."""
    if job.cancel_asked and not job.state.is_over:
        return badge("stopping", "warn")
    return badge(job.state.value, TONES[job.state])


def elapsed(job: Job, now: datetime) -> float | None:
    """Seconds since it was started, until it was over; None before."""
    return ((job.finished or now) - job.started).total_seconds() if job.started else None


def runs_table(jobs: Sequence[Job], visit: Visit, *, chosen: Job | None) -> Markup:
    """Every run with its state; the names lead to its curves."""
    columns = (
        Column("Run"),
        Column("State"),
        Column("Progress"),
        Column("Elapsed", numeric=True),
        Column("Started", numeric=True),
    )

    def row(job: Job) -> tuple[Markup | str | None, ...]:
        name = link(job_title(job), visit.address("train", job=job.id))
        here = Markup('<span class="t-chosen">{}</span>') if chosen == job else Markup("{}")
        spent = elapsed(job, visit.now)
        return (
            here.format(lines(name, job.config.get("name") or job.id[:8])),
            state_badge(job),
            progress(job.step, job.total, running=job.state is JobState.RUNNING) or None,
            None if spent is None else duration(spent),
            ago(job.started or job.created, visit.now),
        )

    drawn = table(columns, [row(job) for job in jobs], caption="Training runs, newest first")
    return joined([section("Runs"), drawn])


def jobs_running(jobs: Sequence[Job], visit: Visit) -> Markup:
    """Whatever waits or runs, of every kind; says so when that is nothing."""
    busy = [job for job in jobs if not job.state.is_over]
    if not busy:
        return section("Running now", "Nothing runs.")
    columns = (Column("Job"), Column("State"), Column("Progress"), Column("Elapsed", numeric=True))
    rows = [
        (
            lines(_watch(job, visit), job.message or job.id[:8]),
            state_badge(job),
            progress(job.step, job.total, running=job.state is JobState.RUNNING) or None,
            None if job.started is None else duration(elapsed(job, visit.now) or 0),
        )
        for job in busy
    ]
    return joined([section("Running now"), table(columns, rows, caption="Jobs that wait or run")])


def run_head(job: Job, visit: Visit) -> Markup:
    """What the job is, how far, how long still, and how it ended."""
    spent = elapsed(job, visit.now)
    shown = [
        ("Elapsed", None if spent is None else duration(spent)),
        ("Left", time_left(job, spent)),
        ("Learns from", _source(job)),
        ("Job", code(job.id[:12])),
    ]
    return Markup('<div class="t-card t-stack">{}</div>').format(
        joined(
            [
                Markup('<div class="t-section"><h2>{} {}</h2><p>{}</p></div>').format(
                    job_title(job), state_badge(job), job.message or _said(job)
                ),
                progress(job.step, job.total, running=job.state is JobState.RUNNING),
                facts([(name, value) for name, value in shown if value is not None]),
                _ending(job, visit),
            ]
        )
    )


def curves(
    job: Job, metrics: Iterable[tuple[int, str, float]], *, leading: Markup | str = ""
) -> tuple[Markup, Markup]:
    """A small chart for each metric.

    Args:
        job: Whose metrics these are.
        metrics: (step, name, value); `train/loss` and `validation/loss` share a chart.
        leading: A chart that stands before the others.

    Returns:
        The charts to look at first, and the others.
    """
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for step, name, value in metrics:
        base, part = split_name(name)
        charts.setdefault(base, {}).setdefault(part, []).append((step, value))
    first = [name for name in CURVES if name in charts]
    others = sorted(set(charts) - set(first))
    if not first:
        first, others = others, []
    return _charts(job, first, charts, leading), _charts(job, others, charts)


def split_name(metric: str) -> tuple[str, str]:
    """A metric's own name, and the part of the data that it was measured on."""
    first, _, rest = metric.partition("/")
    return (rest, first) if rest and first in PARTS else (metric, "train")


def metric_title(metric: str) -> str:
    """A metric's name as a person would write it; a reward's own name in it stays as it is."""
    kind, _, of = metric.partition("/")
    return f"{label(kind)} {of}".rstrip()


def log_tail(file: Path) -> Markup:
    """The last lines of a job's log, as the job wrote them."""
    try:
        with file.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - LOG_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return Markup('<pre class="t-log">Nothing was written yet.</pre>')
    kept = text.rstrip().splitlines()[-LOG_LINES:]
    return Markup('<pre class="t-log">{}</pre>').format("\n".join(kept) or "Nothing yet.")


def _watch(job: Job, visit: Visit) -> Markup | str:
    """The way to where the job can be watched."""
    if job.kind in TRAINING:
        return link(job_title(job), visit.address("train", job=job.id))
    if job.kind == "argilla":
        return link(job_title(job), visit.address("data"))
    return job_title(job)


def _charts(
    job: Job,
    names: Sequence[str],
    charts: Mapping[str, Mapping[str, list[tuple[float, float]]]],
    leading: Markup | str = "",
) -> Markup:
    drawn = [leading] if leading else []
    for name in names:
        known = CURVES.get(name, Curve(metric_title(name), "", ""))
        target = job.config.get(TARGETS.get(name, ""))
        drawn.append(
            line_chart(
                known.title,
                known.unit,
                {part: sorted(charts[name][part]) for part in PARTS if part in charts[name]},
                hint=known.hint,
                reference=target if isinstance(target, (int, float)) else None,
            )
        )
    return Markup('<div class="t-charts">{}</div>').format(joined(drawn)) if drawn else Markup("")


def time_left(job: Job, spent: float | None) -> str | None:
    """How long still, if the rest goes as fast as what is done."""
    if job.state is not JobState.RUNNING or not spent or not job.total or not job.step:
        return None
    return f"about {duration(spent * (job.total - job.step) / job.step)}"


def _source(job: Job) -> Markup | str | None:
    if "snapshot" in job.config:
        return code(str(job.config["snapshot"])[:12])
    if job.kind == "policy":
        weights = job.config.get("rewards") or {}
        return Markup("<br>").join(
            name if weight == 1 else f"{weight:g} × {name}" for name, weight in weights.items()
        )
    return None


def _said(job: Job) -> str:
    match job.state:
        case JobState.QUEUED:
            return "Waits for the worker. If this takes long, see whether one runs: tandem worker."
        case JobState.RUNNING:
            return "Runs now. You may close this page; the run goes on."
        case JobState.DONE:
            return "Finished."
        case JobState.FAILED:
            return "Failed; nothing that was stored before is changed."
        case JobState.CANCELLED:
            return "Was stopped; its last checkpoint is kept."


def _ending(job: Job, visit: Visit) -> Markup:
    if job.state is JobState.FAILED:
        return notice(job.error or "No reason was given; see the log.", "bad", title="Failed.")
    if job.state is JobState.DONE and "ablation" in job.result:
        way = Markup('<a href="/api/v1/jobs/{}/report" download>Download the report</a>').format(
            job.id
        )
        return notice(Markup("{}, one file with its figures and tables.").format(way), "good")
    if job.state is JobState.DONE and "models" in job.result:
        ways = Markup(", ").join(
            link(name, visit.address("models", model=name)) for name in job.result["models"]
        )
        return notice(
            Markup("{} are registered, compared on the page Models.").format(ways), "good"
        )
    if job.state is JobState.DONE and "model" in job.result:
        name = str(job.result["model"])
        way = link("See its report card", visit.address("models", model=name))
        return notice(Markup("{} is registered. {}.").format(name, way), "good", title="Done.")
    return Markup("")
