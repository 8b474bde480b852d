"""Taking what people said in Argilla, as judgements under pseudonyms.

A response there is one person's answer to one task, whatever became of it: submitted it is a
judgement, discarded a task passed over, and as a draft, or deleted, nothing yet. What stands here
is made to say the same, so taking an answer twice changes nothing, and who changed one there has
the former taken back here. Everybody is an annotator who cannot sign in, known by Argilla's id for
them; their names stay there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from feedback.argilla.pushing import shown_order
from feedback.argilla.questions import read_answers
from feedback.intake import Answer, keep
from feedback.tasks import task_type
from storage.annotators import add_annotator, annotators, find_annotator, set_active
from storage.elsewhere import Standing, sit, stand_up, standings, take_back
from storage.errors import InvalidAnswer, TandemError
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
from storage.skips import skip
from storage.tasks import known_tasks

if TYPE_CHECKING:
    from feedback.argilla.report import Pulled
    from feedback.argilla.server import Answered, Page
    from storage.database import Connection, Database

FROM_ARGILLA = "argilla:"
"""How the name of somebody begins who judges there."""
INTERFACE = "argilla"
DISCARDED = "Discarded in Argilla."
PUSHED = (Purpose.FEEDBACK, Purpose.GOLD, Purpose.ATTENTION)
OURS = uuid5(NAMESPACE_URL, "tandem/argilla")


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
