"""Bringing back what people said in Argilla, as judgements under pseudonyms.

A response there is one person's answer to one task, whatever became of it: submitted it is a
judgement, discarded a task passed over, and as a draft, or deleted, nothing yet. What stands here
is made to say the same, so pulling twice changes nothing, and who changed an answer there has the
former one taken back here. Everybody is an annotator who cannot sign in, known by Argilla's id for
them; their names stay there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from feedback.argilla.export_files import read_export
from feedback.argilla.pushing import group_of, shown_order
from feedback.argilla.questions import read_answers
from feedback.argilla.server import RECORDS_AT_ONCE
from feedback.intake import Answer, keep
from feedback.tasks import task_type
from storage.annotators import add_annotator, annotators, find_annotator, set_active
from storage.elsewhere import Standing, sit, stand_up, standings, take_back
from storage.errors import InvalidAnswer, InvalidData, NotFound, TandemError
from storage.records import (
    Annotator,
    AnnotatorId,
    Project,
    Purpose,
    ResponseId,
    Role,
    SubmissionId,
    Task,
    TaskId,
)
from storage.rows import in_batches
from storage.skips import skip
from storage.tasks import known_tasks, tasks

if TYPE_CHECKING:
    from pathlib import Path

    from argilla import Dataset

    from feedback.argilla.server import Answered, Page, Server
    from storage.database import Connection, Database
    from storage.recipes import Progress

FROM_ARGILLA = "argilla:"
"""How the name of somebody begins who judges there."""
INTERFACE = "argilla"
DISCARDED = "Discarded in Argilla."
REASONS = 10
"""How many refused answers a report quotes."""
PUSHED = (Purpose.FEEDBACK, Purpose.GOLD, Purpose.ATTENTION)
OURS = uuid5(NAMESPACE_URL, "tandem/argilla")


@dataclass(slots=True, kw_only=True)
class Pulled:
    """What came of the responses that were read."""

    records: int = 0
    missed: int = 0
    """Records that moved from page to page while they were read; the next pull finds them."""
    responses: int = 0
    new: int = 0
    """Judgements that nothing was known of."""
    changed: int = 0
    """Judgements in the place of an earlier one of the same person, which was taken back."""
    known: int = 0
    """Judgements and discarded tasks that were here already."""
    discarded: int = 0
    """Tasks that somebody passed over, newly so."""
    withdrawn: int = 0
    """Judgements taken back because the response is a draft again, or gone."""
    drafts: int = 0
    """Answers that nobody has submitted yet; they stay in Argilla."""
    older: int = 0
    """Answers that differ from what stands here, and are older or do not say when they were given;
    what stands is kept."""
    beside: int = 0
    """Judgements beyond what their tasks asked for; they are kept like all others."""
    foreign: int = 0
    """Records that are no task of the project."""
    mended: int = 0
    """Responses that the server had saved without values, and now has with an empty set of them."""
    refused: int = 0
    """Submitted answers that are no judgement of their task."""
    reasons: list[str] = field(default_factory=list)
    """What was wrong with the first of them."""

    def refuse(self, answer: Answered, why: str) -> None:
        """Count an answer that cannot be kept, and say why."""
        self.refused += 1
        if len(self.reasons) < REASONS:
            self.reasons.append(f"record {answer.record}, user {answer.user}: {why}")

    def as_json(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)

    def sentence(self) -> str:
        """What changed here, and what did not come; for people."""
        said = [
            f"{number} {what}"
            for number, what in (
                (self.new, "new judgements"),
                (self.changed, "changed ones"),
                (self.discarded, "discarded tasks"),
                (self.withdrawn, "judgements taken back"),
                (self.beside, "beyond what their tasks asked for"),
                (self.older, "answers that something newer stands against"),
                (self.drafts, "drafts left in Argilla"),
                (self.foreign, "records that are no task of this project"),
                (self.missed, "records that moved while they were read; pull again"),
                (self.refused, "answers refused"),
            )
            if number
        ]
        why = f" The first: {self.reasons[0]}" if self.reasons else ""
        return f"{', '.join(said) or 'Nothing new'}.{why}"


def pull(
    database: Database,
    server: Server,
    project: Project,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Pulled:
    """Bring back everything that was answered in a project's data sets.

    Each page of records is kept by itself, so that a pull that was cut off goes on when it is
    asked for again.

    Args:
        database: Where the project is kept.
        server: Signed in as an owner, or as an admin of the workspace.
        project: One that was pushed.
        now: For what does not say when it was answered.
        progress: Told the records read.

    Raises:
        InvalidData: The project collects in Tandem.
        NotFound: Its workspace, or every data set in it, is gone.
        ServiceFailed: The server does not answer.
    """
    report = Pulled()
    found = project_datasets(database, server, project)
    desk = Desk(database, project, report)
    before = 0
    for dataset in found:
        seen: set[str] = set()
        there = 0
        for page in server.pages(dataset):
            desk.take_page(page, now=now)
            for response, status in page.mute:
                server.mend(response, status)
            report.mended += len(page.mute)
            seen |= set(page.records)
            there = page.total
            if progress is not None:
                progress.report(before + page.done, total=before + there, message=str(dataset.name))
        report.missed += max(0, there - len(seen))
        before += there
    return report


def pull_file(
    database: Database,
    path: Path,
    project: Project,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Pulled:
    """Take what people said from a file that was exported from Argilla; no server is asked.

    Files do not say when an answer was given, so one that differs from what stands here already is
    counted and left out.

    Args:
        database: Where the project is kept.
        path: As `records.to_json` or `to_datasets` writes it.
        project: Whose tasks the records are.
        now: Kept as the moment when the judgements were received.
        progress: Told the records read.

    Raises:
        InvalidData: It cannot be read, or holds no answer to a task of the project.
    """
    report = Pulled()
    desk = Desk(database, project, report)
    for batch in in_batches(read_export(path), RECORDS_AT_ONCE):
        report.records += len(batch)
        desk.take([answer for _, answers in batch for answer in answers], now=now)
        if progress is not None:
            progress.report(report.records, message=path.name)
    if not report.responses:
        raise InvalidData(
            f"{path.name} holds no answer to a task of project {project.name!r}; a file of another"
            " origin is read by: tandem import FILE --format argilla"
        )
    return report


def project_datasets(database: Database, server: Server, project: Project) -> list[Dataset]:
    """The data sets of a project on a server.

    Raises:
        InvalidData: The project collects in Tandem.
        NotFound: Its workspace, or every data set in it, is gone.
        ServiceFailed: The server does not answer.
    """
    workspace = project.collecting.argilla_workspace
    if not workspace:
        raise InvalidData(f"Project {project.name!r} collects in Tandem; push it to Argilla first.")
    with database.read() as connection:
        every = tasks(connection, project.id, everything=True)
    names = sorted({group_of(project, one).dataset for one in every})
    there = server.datasets(server.workspace(workspace))
    found = [there[name] for name in names if name in there]
    if not found:
        raise NotFound("Argilla data set", names[0] if names else project.name, there)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """An answer, and what stands here of the same person at the same task."""

    task: Task
    person: Annotator
    answer: Answered
    stands: Standing | None
    at: datetime
    """When it was given, as far as that is known."""
    is_late: bool
    """Whether what stands is newer, or may be."""
    now: datetime


class Desk:
    """Where answers of one project are taken."""

    def __init__(self, database: Database, project: Project, report: Pulled) -> None:
        self.database = database
        self.project = project
        self.report = report
        with database.read() as connection:
            self.people = {
                one.name.removeprefix(FROM_ARGILLA): one
                for one in annotators(connection)
                if one.name.startswith(FROM_ARGILLA)
            }

    def take_page(self, page: Page, *, now: datetime) -> None:
        """Take all answers of some records; who has none there any more has none here."""
        self.report.records += len(page.records)
        users = {one.id: user for user, one in self.people.items()}
        there = {(answer.record, answer.user) for answer in page.answers}
        with self.database.write() as connection:
            before = self._take(connection, page.answers, page.records, now=now)
            for (task, annotator), stands in before.items():
                if annotator in users and (task, users[annotator]) not in there:
                    self._withdraw(connection, stands, now=now)

    def take(self, answers: Sequence[Answered], *, now: datetime) -> None:
        """Take some answers that may be older than what stands here, which then stays."""
        with self.database.write() as connection:
            records = [one.record for one in answers]
            self._take(connection, answers, records, now=now, may_be_late=True)

    def _take(
        self,
        connection: Connection,
        answers: Iterable[Answered],
        records: Iterable[str],
        *,
        now: datetime,
        may_be_late: bool = False,
    ) -> dict[tuple[TaskId, AnnotatorId], Standing]:
        """Take answers, and return what stood at their records before."""
        known = self._tasks(connection, records)
        self.report.foreign += len(set(records) - known.keys())
        before = standings(connection, known)
        for answer in answers:
            task = known.get(TaskId(answer.record))
            if task is None:
                continue
            self.report.responses += 1
            person = self._person(connection, answer.user, now)
            stands = before.get((task.id, person.id))
            case = _Case(
                task=task,
                person=person,
                answer=answer,
                stands=stands,
                at=answer.at or now,
                is_late=may_be_late and _is_late(answer, stands),
                now=now,
            )
            try:
                # An answer that cannot be kept leaves nothing behind of itself.
                with connection.begin_nested():
                    self._settle(connection, case)
            except TandemError as error:
                self.report.refuse(answer, str(error))
            except ValidationError as error:
                first = error.errors()[0]
                self.report.refuse(answer, f"{first['loc'][0]}: {first['msg']}")
        return before

    def _settle(self, connection: Connection, case: _Case) -> None:
        """Make what stands here say what is said there."""
        match case.answer.status:
            case "submitted":
                self._keep(connection, case)
            case "discarded":
                self._pass_over(connection, case)
            case status:
                self.report.drafts += status == "draft"
                if case.is_late:
                    self.report.older += 1
                elif case.stands is not None:
                    self._withdraw(connection, case.stands, now=case.now)

    def _keep(self, connection: Connection, case: _Case) -> None:
        task, person, stands = case.task, case.person, case.stands
        shown = _shown(task, case.answer)
        said = read_answers(
            case.answer.values, task_type(task.type), len(shown), self.project.collecting.aspects
        )
        content = json.dumps([said.reply.model_dump(), said.comment, shown], sort_keys=True)
        number = stands.taken_back if stands else 0
        if stands and stands.submission == _submission(task, person, content, number):
            self.report.known += 1
            return
        if case.is_late:
            self.report.older += 1
            return
        is_change = stands is not None and stands.submission is not None
        if stands and is_change:
            self._undo(connection, stands, now=case.now)
            number += 1
        seat = sit(connection, task.id, person.id, shown=shown, now=case.at)
        keep(
            connection,
            person,
            Answer(
                submission=UUID(_submission(task, person, content, number)),
                assignment=seat.assignment,
                comment=said.comment,
                interface=INTERFACE,
                **said.reply.model_dump(),
            ),
            now=case.at,
        )
        if is_change:
            self.report.changed += 1
        else:
            self.report.new += 1
            self.report.beside += seat.is_beside

    def _pass_over(self, connection: Connection, case: _Case) -> None:
        task, person, stands = case.task, case.person, case.stands
        if stands and stands.skipped:
            self.report.known += 1
            return
        if case.is_late:
            self.report.older += 1
            return
        if stands and stands.submission:
            self._undo(connection, stands, now=case.now)
        shown = _shown(task, case.answer)
        own = sit(connection, task.id, person.id, shown=shown, now=case.at).assignment
        skip(connection, f"argilla-{own}", own, person.id, reason=DISCARDED, now=case.at)
        self.report.discarded += 1

    def _withdraw(self, connection: Connection, stands: Standing, *, now: datetime) -> None:
        """Let nothing stand of an answer that is a draft, or gone."""
        if stands.submission:
            self._undo(connection, stands, now=now)
            self.report.withdrawn += 1
        if stands.submission or stands.skipped:
            stand_up(connection, stands.assignment)

    def _undo(self, connection: Connection, stands: Standing, *, now: datetime) -> None:
        said = SubmissionId(str(stands.submission))
        take_back(connection, said, f"argilla-{said}", now=now)

    def _person(self, connection: Connection, user: str, now: datetime) -> Annotator:
        """The annotator that somebody is here, made when they answer for the first time."""
        if user not in self.people:
            name = f"{FROM_ARGILLA}{user}"
            known = find_annotator(connection, name)
            if known is None:
                made = add_annotator(connection, name, role=Role.ANNOTATOR, now=now)
                known = set_active(connection, made.id, False)
            self.people[user] = known
        return self.people[user]

    def _tasks(self, connection: Connection, records: Iterable[str]) -> dict[TaskId, Task]:
        """The project's own tasks, outside of studies, among the records of some ids."""
        found = known_tasks(connection, [TaskId(one) for one in set(records)])
        return {
            name: one
            for name, one in found.items()
            if one.project == self.project.id and one.study is None and one.purpose in PUSHED
        }


def _is_late(answer: Answered, stands: Standing | None) -> bool:
    """Whether an answer may be older than what stands; what does not say when it was given may."""
    since = (stands.received or stands.skipped) if stands else None
    return since is not None and (answer.at is None or answer.at < since)


def _shown(task: Task, answer: Answered) -> tuple[ResponseId, ...]:
    """The responses in the order in which the record shows them.

    Raises:
        InvalidAnswer: The record names others than the task's.
    """
    if answer.shown is None:
        return shown_order(task.id, task.responses)
    if sorted(answer.shown) != sorted(task.responses):
        raise InvalidAnswer(
            f"The record shows the responses {', '.join(answer.shown)}, and its task has"
            f" {', '.join(task.responses)}; its metadata were changed in Argilla."
        )
    return tuple(ResponseId(one) for one in answer.shown)


def _submission(task: Task, person: Annotator, content: str, number: int) -> SubmissionId:
    """The id of what somebody says of a task for the so-many-th time, always the same."""
    return SubmissionId(str(uuid5(OURS, f"{task.id} {person.id} {number} {content}")))
