"""What a run's policy answered to the same few prompts as it learned: read, and given to people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feedback.pairing import put_side_by_side
from storage import prompts as stored
from storage.database import Database
from storage.errors import InvalidData, NotFound
from storage.records import Job, Message, Project, Prompt, Response, as_messages, check_text
from storage.settings import Settings

SAMPLES = "samples.jsonl"


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt and the answers to it."""

    prompt: tuple[Message, ...]
    answers: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """By the step after which they were written: `response`, `tokens` and `finished`."""


def probes(settings: Settings, job: Job) -> list[Probe]:
    """The probes of a job, in the order of the file; none where the recipe writes no samples.

    Raises:
        InvalidData: The file is damaged.
    """
    file = _file(settings, job)
    if file is None:
        return []
    found: dict[str, Probe] = {}
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            key = json.dumps(said["prompt"])
            probe = found.setdefault(key, Probe(as_messages(said["prompt"])))
            probe.answers[int(said["step"])] = said
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidData(f"The samples of job {job.id} cannot be read: {error}.") from error
    return list(found.values())


def steps_of(found: Sequence[Probe]) -> list[int]:
    """The steps after which all probes were answered, first to last."""
    if not found:
        return []
    return sorted(set.intersection(*(set(probe.answers) for probe in found)))


def give_to_annotators(
    database: Database, project: Project, job: Job, found: Sequence[Probe], steps: tuple[int, int]
) -> dict[str, int]:
    """Let people compare what a policy answered after one step with what it did after another.

    Args:
        database: The store.
        project: Whose annotators.
        job: The run.
        found: Its probes.
        steps: The two steps.

    Returns:
        {"new_responses", "tasks"}; answers that are the same or empty make no task.

    Raises:
        NotFound: A probe has no answer of such a step.
        InvalidData: A prompt is none of the project's any more.
        InvalidOption: The project asks for nothing that shows two responses.
    """
    name = str(job.result.get("model") or job.config.get("name") or job.id[:8])
    for step in steps:
        if step not in steps_of(found):
            raise NotFound("step with samples", str(step), map(str, steps_of(found)))
    responses = [
        [_response(project, probe, step, f"{name} after step {step}") for step in steps]
        for probe in found
    ]
    pairs = [(one, other) for one, other in responses if one is not None and other is not None]
    with database.write() as connection:
        new = stored.add_responses(connection, [one for pair in pairs for one in pair])
        return {"new_responses": new, "tasks": put_side_by_side(connection, project, pairs)}


def _response(project: Project, probe: Probe, step: int, policy: str) -> Response | None:
    # A model may write NUL, which no database keeps.
    text = str(probe.answers[step]["response"]).replace("\0", "\ufffd")
    if not text.strip():
        return None
    check_text(text, "An answer")
    prompt = Prompt.of(project.id, probe.prompt)
    return Response.of(prompt.id, text, policy=policy, sampling={"step": step})


def _file(settings: Settings, job: Job) -> Path | None:
    """Beside the checkpoints while it learns; with the model when it is done.

    Of a job that makes several models, those of the one that is learning, or of the last.
    """
    home = settings.data_dir / "jobs" / job.id
    learning = [home / "checkpoints" / SAMPLES, *home.glob(f"*/checkpoints/{SAMPLES}")]
    made = job.result.get("models") or [job.result.get("model")]
    done = [settings.data_dir / "models" / str(name) / SAMPLES for name in reversed(made) if name]
    return next((place for place in (*learning, *done) if place.is_file()), None)
