"""What is kept of a run's health when it is over, and how the model card tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from training.policies.health.finding import Finding

Warned = Mapping[str, Mapping[str, Any]]
"""Each finding of a run as JSON, with the steps `since` which and `until` which it held."""


def warned_too(warned: Warned, found: Iterable[Finding], *, step: int) -> dict[str, Any]:
    """What was found before, and what is found now."""
    merged: dict[str, Any] = dict(warned)
    for finding in found:
        name = f"{finding.rule} {finding.about}".strip()
        since = merged[name]["since"] if name in merged else step
        merged[name] = {**asdict(finding), "since": since, "until": step}
    return merged


def health_record(warned: Warned, *, steps: int, kept: int, stopped: str) -> dict[str, Any]:
    """The record as JSON.

    Args:
        warned: Everything that went wrong; the record has the gravest first.
        steps: How many were taken.
        kept: The step after which the weights were as they are kept.
        stopped: Why the run ended early; empty if it did not.
    """
    return {
        "steps": steps,
        "weights_of_step": kept,
        "stopped": stopped or None,
        "warnings": sorted(warned.values(), key=lambda one: (not one["grave"], one["since"])),
    }


def markdown(record: Mapping[str, Any]) -> str:
    """The record as a part of a model card."""
    steps, kept = record["steps"], record["weights_of_step"]
    lines = ["## Health of the run", ""]
    if record["stopped"]:
        lines += [f"It was stopped after step {steps}. {record['stopped']}", ""]
    if kept != steps:
        lines += [
            f"The weights are those of step {kept} of {steps}, where the watched reward was best.",
            "The metrics are those of the steps before it.",
            "",
        ]
    if not record["warnings"]:
        lines += ["No rule found anything wrong.", ""]
    for warning in record["warnings"]:
        lines += [f"- **{warning['title']}** ({when(warning, steps)}). {told(warning)}"]
    return "\n".join(lines).rstrip() + "\n"


def when(warning: Mapping[str, Any], steps: int) -> str:
    """In which steps a warning held."""
    since, until = warning["since"], warning["until"]
    return f"from step {since} to the end" if until == steps else f"steps {since} to {until}"


def told(warning: Mapping[str, Any]) -> str:
    """What was seen, what it means and what to do, in one paragraph."""
    return f"{warning['seen']} {warning['meaning']} {warning['remedy']}"
