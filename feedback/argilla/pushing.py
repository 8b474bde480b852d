"""Bringing a project's open tasks to Argilla: a data set for each kind of task, a record for each.

Pushing again adds what is new and leaves the rest as it is, with everything that was answered. In
which order a record shows the responses follows from the task's id, so that it is the same at every
push, and for a fair coin's half of the pairs it is turned round. Nothing there says which policy
wrote which response.
"""

from __future__ import annotations

import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import argilla as rg

from feedback.argilla.questions import PREFERENCE, PROMPT, Question, questions, response_field
from feedback.argilla.server import RECORDS_AT_ONCE, SHOWN, telling
from feedback.tasks import TASKS, task_type
from storage.errors import InvalidOption, TooLittleData
from storage.projects import project_named, set_collecting
from storage.prompts import prompts_by_id, responses_by_id
from storage.records import (
    HIGHEST_RATING,
    LOWEST_RATING,
    Message,
    Project,
    Prompt,
    PromptId,
    Purpose,
    Response,
    ResponseId,
    Task,
    TaskId,
    digest,
)
from storage.rows import in_batches
from storage.tasks import tasks, untaken

if TYPE_CHECKING:
    from feedback.argilla.server import Server
    from storage.database import Database
    from storage.recipes import Progress

LONGEST_GUIDELINES = 10_000
"""Characters that Argilla takes."""
EMPTY = "(empty)"
"""Shown for a response without text, which Argilla refuses."""

Gaps = Callable[[Sequence[tuple[Sequence[Message], str, str]]], Sequence[float]]
"""Log-odds that the second of two responses to a prompt is better, for each pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggesting:
    """A reward model that suggests what to prefer."""

    model: str
    """Its name, which annotators see."""
    gaps: Gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tasks that are asked alike, so they share a data set."""

    dataset: str
    """Its name."""
    type: str
    """Name of an entry of `feedback.tasks.TASKS`."""
    responses: int
    """How many each task shows."""
    overlap: int
    """How many people each task wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did with one data set."""

    dataset: str
    added: int
    """Records that are new there."""
    known: int
    """Records that were there already."""


def push(
    database: Database,
    server: Server,
    project: Project,
    *,
    workspace: str,
    suggesting: Suggesting | None = None,
    progress: Progress | None = None,
) -> list[Pushed]:
    """Bring every task that wants judgements to Argilla; from now on people judge there.

    Known items come along where the project mixes them in. Qualifications and repeats are not
    possible in Argilla, which offers every record to everybody.

    Args:
        database: Where the project is kept.
        server: Signed in as an owner, or as an admin of the workspace.
        project: Whose tasks.
        workspace: Where to; it is made when there is none.
        suggesting: What suggests a preference, also for records that are there already and that
            nobody has answered.
        progress: Told the records that are there, of all that are to be.

    Raises:
        TooLittleData: The project has no task that wants a judgement.
        InvalidOption: A data set of that name asks something else, or the guidelines are too long.
        ServiceFailed: The server does not answer, or refused; what was sent stays, and pushing
            again goes on.
    """
    if len(project.guidelines) > LONGEST_GUIDELINES:
        raise InvalidOption(
            "guidelines",
            f"Argilla takes {LONGEST_GUIDELINES} characters; shorten the project's, which have"
            f" {len(project.guidelines)}",
            f"{project.guidelines[:40]}...",
        )
    wanted = pushable(database, project)
    number = sum(map(len, wanted.values()))
    if not number:
        raise TooLittleData(
            f"Project {project.name!r} has no task that wants a judgement; import responses or make"
            " tasks first."
        )
    place = server.workspace(workspace, make=True)
    # First, so that nobody starts here what is on its way there.
    with database.write() as connection:
        asked = project_named(connection, project.id).collecting
        set_collecting(connection, project.id, replace(asked, argilla_workspace=workspace))
    there = server.datasets(place)
    report: list[Pushed] = []
    done = 0
    for group, found in wanted.items():
        dataset = _dataset(server, there.get(group.dataset), project, group, workspace)
        known, answered = _there(server, dataset)
        fresh = [one for one in found if one.id not in known]
        # The server cannot write a record again that somebody discarded without a word.
        open_there = [one for one in found if one.id in known - answered]
        wanting = [*fresh, *(open_there if suggesting else ())]
        done += len(found) - len(wanting)
        for batch in in_batches(wanting, RECORDS_AT_ONCE):
            records = list(_records(database, batch, project, suggesting))
            with telling(server.url), _quiet():
                dataset.records.log(records, batch_size=len(records))
            done += len(batch)
            if progress is not None:
                progress.report(done, total=number, message=group.dataset)
        report.append(
            Pushed(dataset=group.dataset, added=len(fresh), known=len(found) - len(fresh))
        )
    return report


def pushable(database: Database, project: Project) -> dict[Group, list[Task]]:
    """The tasks of a project that want judgements, by how they are asked in Argilla."""
    with database.read() as connection:
        every = tasks(connection, project.id, everything=True)
        free = untaken(connection, project.id)
    purposes = {Purpose.FEEDBACK}
    if project.collecting.gold_rate:
        purposes |= {Purpose.GOLD, Purpose.ATTENTION}
    groups: defaultdict[Group, list[Task]] = defaultdict(list)
    for one in every:
        if one.purpose in purposes and (one.id in free or one.purpose.is_known):
            groups[group_of(project, one)].append(one)
    return dict(sorted(groups.items(), key=lambda item: item[0].dataset))


def group_of(project: Project, task: Task) -> Group:
    """Which data set a task belongs to."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", project.name).strip("-")[:60] or "project"
    kind = TASKS[task.type]
    name = f"{plain}-{project.id[:8]}-{task.type}"
    if kind.fewest < kind.most:
        name += f"-{len(task.responses)}"
    # Known items have room for everybody, here as elsewhere.
    overlap = project.overlap if task.purpose.is_known else task.overlap
    if overlap != project.overlap:
        name += f"-by-{overlap}"
    return Group(dataset=name, type=task.type, responses=len(task.responses), overlap=overlap)


def shown_order(task: TaskId, responses: Sequence[ResponseId]) -> tuple[ResponseId, ...]:
    """The order in which a record shows a task's responses: by chance, but always the same."""
    return tuple(sorted(responses, key=lambda response: digest("argilla", task, response)))


def _there(server: Server, dataset: rg.Dataset) -> tuple[set[str], set[str]]:
    """The records that a data set holds, and those of them that somebody answered."""
    pages = list(server.pages(dataset))
    known = {one for page in pages for one in page.records}
    return known, {answer.record for page in pages for answer in page.answers}


def _dataset(
    server: Server, known: rg.Dataset | None, project: Project, group: Group, workspace: str
) -> rg.Dataset:
    """The data set of a group, made when it is not there yet."""
    asked = questions(task_type(group.type), group.responses, project.collecting.aspects)
    with telling(server.url):
        if known is None:
            return rg.Dataset(
                name=group.dataset,
                workspace=workspace,
                settings=_settings(project, group, asked),
                client=server.client,
            ).create()
        known.get()  # a list of data sets does not say what they ask
        names = [one.name for one in known.settings.questions]
        if sorted(names) != sorted(one.name for one in asked):
            raise InvalidOption(
                "data set",
                f"it asks {', '.join(names)} in Argilla, but the project asks"
                f" {', '.join(one.name for one in asked)}; pull what was answered, then rename or"
                " delete it there",
                group.dataset,
            )
        if (known.settings.guidelines or "") != project.guidelines.strip() and project.guidelines:
            known.settings.guidelines = project.guidelines.strip()
            known.settings.update()
        return known


def _settings(project: Project, group: Group, asked: Sequence[Question]) -> rg.Settings:
    return rg.Settings(
        guidelines=project.guidelines.strip() or None,
        fields=[
            rg.ChatField(name=PROMPT, title="Prompt", use_markdown=True),
            *(
                rg.TextField(
                    name=response_field(place), title=f"Response {place + 1}", use_markdown=True
                )
                for place in range(group.responses)
            ),
        ],
        questions=[_question(one) for one in asked],
        metadata=[
            rg.TermsMetadataProperty(name, title=title, visible_for_annotators=False)
            for name, title in (
                ("tandem_project", "Project"),
                ("tandem_prompt", "Prompt"),
                (SHOWN, "Responses as shown"),
            )
        ],
        distribution=rg.TaskDistribution(min_submitted=group.overlap),
    )


def _question(asked: Question) -> Any:
    said: dict[str, Any] = {
        "name": asked.name,
        "title": asked.title,
        "required": asked.required,
        "description": asked.description or None,
    }
    match asked.kind:
        case "label":
            return rg.LabelQuestion(labels=dict(asked.options or {}), **said)
        case "rating":
            return rg.RatingQuestion(values=list(range(LOWEST_RATING, HIGHEST_RATING + 1)), **said)
        case "ranking":
            return rg.RankingQuestion(values=dict(asked.options or {}), **said)
        case "text":
            return rg.TextQuestion(use_markdown=True, **said)


def _records(
    database: Database, batch: Sequence[Task], project: Project, suggesting: Suggesting | None
) -> Iterator[rg.Record]:
    with database.read() as connection:
        prompts = prompts_by_id(connection, {one.prompt for one in batch})
        texts = responses_by_id(connection, {shown for one in batch for shown in one.responses})
    orders = {task.id: shown_order(task.id, task.responses) for task in batch}
    suggested = _suggested(batch, orders, prompts, texts, suggesting)
    for task in batch:
        shown = orders[task.id]
        yield rg.Record(
            id=task.id,
            fields={
                PROMPT: [dict(turn) for turn in prompts[task.prompt].messages],
                **{
                    response_field(place): texts[one].text if texts[one].text.strip() else EMPTY
                    for place, one in enumerate(shown)
                },
            },
            metadata={
                "tandem_project": project.id,
                "tandem_prompt": task.prompt,
                SHOWN: ",".join(shown),
            },
            suggestions=suggested.get(task.id),
        )


def _suggested(
    batch: Sequence[Task],
    orders: Mapping[TaskId, Sequence[ResponseId]],
    prompts: Mapping[PromptId, Prompt],
    texts: Mapping[ResponseId, Response],
    suggesting: Suggesting | None,
) -> dict[TaskId, list[rg.Suggestion]]:
    """The preferences that a reward model would have, where a preference is asked for."""
    if suggesting is None:
        return {}
    asked = [task for task in batch if "choice" in task_type(task.type).asks]
    pairs = []
    for task in asked:
        first, second = (texts[one].text for one in orders[task.id])
        pairs.append((prompts[task.prompt].messages, first, second))
    return {
        task.id: [suggestion(float(gap), suggesting.model)]
        for task, gap in zip(asked, suggesting.gaps(pairs), strict=True)
    }


def suggestion(gap: float, model: str) -> rg.Suggestion:
    """A preference in the words of the question, by how often the better one would win.

    Args:
        gap: Log-odds that the second response is better.
        model: The reward model's name.
    """
    sure = 1 / (1 + math.exp(-min(abs(gap), 50.0)))
    step = next(word for least, word in _WORDS if sure >= least)
    return rg.Suggestion(
        question_name=PREFERENCE,
        value=step if step == "tie" else f"{2 if gap > 0 else 1}_{step}",
        score=round(sure, 4),
        agent=model,
        type="model",
    )


_WORDS = ((0.9, "much_better"), (0.75, "better"), (0.55, "slightly_better"), (0.5, "tie"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the SDK's progress bars off the terminal, where ours is."""
    with redirect_stderr(io.StringIO()):
        yield
