"""The arms of a study, completed before the job is queued, and the prompts that they answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.answer_files import is_kept, kept_prompts
from app.answering import check_key, project_prompts
from app.arms import AnswersArm, ModelArm, read_arm
from app.sources import model_folder, registered, start_of
from evaluation.study_plan import check_design
from storage.errors import InvalidOption, NotAllowed, NotFound, TooLittleData
from storage.records import ProjectId, Prompt, Split

if TYPE_CHECKING:
    from app.kinds import StudyJob
    from storage.database import Connection, Database
    from storage.settings import Settings

PUBLIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
"""What a model of Hugging Face may be called."""


def complete_study(connection: Connection, settings: Settings, config: StudyJob) -> StudyJob:
    """The job with policies under their registered names, and with the starts that belong to them.

    Raises:
        NotFound: A file was not imported.
        InvalidOption: There are fewer than two arms, one is there twice, one is a reward model, or
            a reason says why a start is left out that is not.
    """
    names = [complete_arm(connection, settings, written) for written in config.policies]
    left_out = starts_left_out(connection, names)
    if left_out and not config.without_start:
        names += left_out
    if config.without_start and not left_out:
        raise InvalidOption(
            "without_start",
            "no start is left out here, so there is nothing to give a reason for; leave it empty",
            config.without_start,
        )
    complete = config.model_copy(update={"policies": tuple(names)})
    _check_whole(complete)
    return complete


def starts_left_out(connection: Connection, policies: Sequence[str]) -> list[str]:
    """What registered policies grew from and is no arm beside them.

    A policy that is itself the start of another arm needs none.
    """
    starts = {
        one: start_of(connection, one) for one in policies if isinstance(read_arm(one), ModelArm)
    }
    found = [
        start
        for one, start in starts.items()
        if start is not None and start not in policies and one not in starts.values()
    ]
    return list(dict.fromkeys(found))


def refuse_paths(connection: Connection, policies: Sequence[str]) -> None:
    """Refuse folders of the server, as a page may not name them.

    Raises:
        NotAllowed: An arm is neither registered, nor what a registered policy grew from, nor
            written as Hugging Face writes names.
    """
    starts = {start_of(connection, one) for one in policies if isinstance(read_arm(one), ModelArm)}
    for one in policies:
        arm = read_arm(one)
        if not isinstance(arm, ModelArm) or one in starts:
            continue
        if registered(connection, one, purpose="policy") is None and not (
            PUBLIC.fullmatch(one) and not Path(one).exists()
        ):
            raise NotAllowed(
                f"A page may not name a folder of the server, and {one!r} is neither a registered"
                " policy nor the name of a Hugging Face model. Use the command line."
            )


def study_prompts(
    database: Database, settings: Settings, project: ProjectId, config: StudyJob
) -> list[Prompt]:
    """The prompts of a study: those of an imported file, or the project's that are held out.

    Those of a file may not be stored in the project yet.

    Raises:
        NotFound: The file was not imported.
        TooLittleData: There are fewer than two.
    """
    if not config.prompts:
        return project_prompts(database, project, Split.TEST)[: config.limit]
    chosen = kept_prompts(settings, config.prompts, project)[: config.limit]
    if len(chosen) < 2:
        raise TooLittleData(f"A study needs at least 2 prompts; the file has {len(chosen)}.")
    return chosen


def origins_of(connection: Connection, config: StudyJob) -> dict[str, Any]:
    """Where each arm's answers come from, for the plan: what was named, and how it was sampled."""
    sampling = config.model_dump(
        mode="json", include={"max_new_tokens", "temperature", "top_p", "seed"}
    )
    found: dict[str, Any] = {}
    for written in config.policies:
        arm = read_arm(written)
        found[arm.label] = {"source": written}
        if not isinstance(arm, AnswersArm):
            found[arm.label]["sampling"] = sampling
        if isinstance(arm, ModelArm):
            model = registered(connection, arm.label, purpose="policy")
            found[arm.label]["model"] = None if model is None else model.id
    return found


def complete_arm(connection: Connection, settings: Settings, written: str) -> str:
    """An arm as it is kept: a registered policy by its name, whatever it was called by.

    Raises:
        NotFound: A file was not imported.
        InvalidOption: It is a reward model.
    """
    arm = read_arm(written)
    if isinstance(arm, AnswersArm) and not is_kept(settings, arm.digest):
        raise NotFound("imported file", arm.digest)
    if not isinstance(arm, ModelArm):
        return written
    model = registered(connection, written, purpose="policy")
    if model is None:
        return written
    model_folder(settings, model)
    return model.name


def _check_whole(config: StudyJob) -> None:
    """Refuse what can only be seen once all arms are there."""
    labels = [read_arm(written).label for written in config.policies]
    if len(labels) < 2:
        raise InvalidOption(
            "policies",
            "a study compares at least two, and what this one grew from is not known; name another",
            list(labels),
        )
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InvalidOption("policies", "each arm needs a name of its own", twice)
    check_design(config.question, config.form, len(labels))
    check_key(config)
