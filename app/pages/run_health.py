"""The health of a PPO run on its page: what goes wrong, in words, beside the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from app.pages.charts import line_chart
from app.pages.fragments import badge, count, joined, notice, section
from storage.records import Job, Model
from training.policies.config import PPOConfig
from training.policies.health import RULES, findings
from training.policies.health.history import FIRST, HELD_OUT_REWARD, RECENT, WATCHED, History
from training.policies.health.record import when

Metrics = Sequence[tuple[int, str, float]]
MOST_WATCHED = 2
"""Series beside the reward that is learned from, in a chart of three."""


def health(job: Job, metrics: Metrics) -> Markup:
    """What the rules say of a run now, or what its record says when it is over.

    Args:
        job: Of any kind; only PPO has rules.
        metrics: (step, name, value), in the order of steps.
    """
    if job.recipe != "ppo" or not metrics:
        return Markup("")
    record = (job.result.get("metrics") or {}).get("health")
    if isinstance(record, Mapping):
        told = _recorded(record)
    else:
        history = History.of(metrics)
        found = findings(history, _options(job.config))
        told = joined(_warning(asdict(one)) for one in found) or _nothing_wrong(history.steps())
    return Markup('<section class="t-health" aria-label="Health">{}{}</section>').format(
        section("Health"), told
    )


def held_out(metrics: Metrics) -> Markup:
    """A chart of what is learned from and what is only watched, on the same held-out answers."""
    wanted: dict[str, list[tuple[float, float]]] = {}
    for step, name, value in metrics:
        if name == HELD_OUT_REWARD:
            wanted.setdefault("learned", []).append((step, value))
        elif name.startswith(WATCHED):
            wanted.setdefault(name.removeprefix(WATCHED), []).append((step, value))
    if "learned" not in wanted:
        return Markup("")
    watched = [name for name in wanted if name != "learned"]
    names = ["learned", *watched[:MOST_WATCHED]]
    return line_chart(
        "Held-out reward",
        "",
        {name: wanted[name] for name in names},
        hint="In standard deviations. What is only watched should rise with what is learned from."
        " Where it turns, the policy has begun to fool the reward models.",
    )


def health_of_model(model: Model) -> Markup:
    """The health of the run that made a policy; nothing where it has no record."""
    record = model.metrics.get("health")
    if not isinstance(record, Mapping):
        return Markup("")
    return Markup(
        '<section class="t-health"><h3 class="t-part">Health of the run</h3>{}</section>'
    ).format(_recorded(record))


def _recorded(record: Mapping[str, Any]) -> Markup:
    """The health of a run that is over: how it ended, and every warning with its steps."""
    steps, kept = record["steps"], record["weights_of_step"]
    pieces = []
    if record["stopped"]:
        pieces.append(notice(record["stopped"], "warn", title=f"Stopped after step {steps}."))
    if kept != steps:
        pieces.append(
            notice(
                f"The weights of step {kept} of {steps} were kept, where the watched reward was"
                " best.",
                "live",
            )
        )
    pieces += [_warning(one, when(one, steps)) for one in record["warnings"]]
    return joined(pieces) or _nothing_wrong(steps)


def _warning(finding: Mapping[str, Any], span: str = "") -> Markup:
    tone = "bad" if finding["grave"] else "warn"
    return Markup(
        '<article class="t-notice t-{}"><h3>{} {}</h3><p>{} {}</p>'
        '<p class="t-remedy"><strong>What to do</strong> {}</p></article>'
    ).format(
        tone,
        finding["title"],
        badge(span) if span else "",
        Markup("<b>{}</b>").format(finding["seen"]),
        finding["meaning"],
        finding["remedy"],
    )


def _nothing_wrong(steps: int) -> Markup:
    if steps < FIRST + RECENT:
        return notice(
            f"Nothing so far; most rules need {FIRST + RECENT} steps, and there are {steps}.",
        )
    return notice(
        f"Nothing looks wrong: {count(len(RULES), 'rule')} on divergence, entropy, length,"
        f" repetition and rewards, {count(steps, 'step')}.",
        "good",
    )


def _options(config: Mapping[str, Any]) -> PPOConfig:
    """The options of a job, also of an older one that lacks some; they were checked before."""
    known = {name: config[name] for name in PPOConfig.model_fields if name in config}
    return PPOConfig.model_construct(**known)
