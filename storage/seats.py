"""Seats: what makes sure that a task is judged exactly as often as asked.

A task has `overlap` seats. A lease takes one, a judgement keeps it, and a lease that ran out or was
skipped gives it back. The database refuses two annotators in one seat, and two seats to one
annotator, so nothing is judged too often whatever happens. Whoever takes or frees seats locks
the project's row first, so that those who want the same seat stand in line instead of failing;
keeping a seat that one holds needs no lock. Known items have room for everybody, each once, and
programs that judge a study sit beside its seats (`storage.beside`).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    bindparam,
    func,
    select,
    update,
)

from storage import line, tables
from storage.prepared import prepared
from storage.records import (
    AnnotatorId,
    Assignment,
    AssignmentId,
    Collecting,
    ProjectId,
    Purpose,
    ResponseId,
    StudyId,
    TaskId,
)
from storage.rows import in_batches

_tasks, _assignments = tables.tasks, tables.assignments

BESIDE = 1_000_000
"""Seats from this number on are those of programs: no task counts them, and no lease there runs
out."""

held = _assignments.c.seat.is_not(None) & _assignments.c.submitted.is_(None)
"""True of the assignments that are leased and not judged."""
met = _assignments.c.seat.is_not(None) | _assignments.c.skipped.is_not(None)
"""True of the assignments whose task is not for this annotator any more."""


def given(annotator: AnnotatorId, project: ProjectId, study: StudyId | None) -> ColumnElement[bool]:
    """True of an annotator's assignments in a study, or in a project outside of studies."""
    column = _assignments.c.study
    return (
        (_assignments.c.annotator == annotator)
        & (_assignments.c.project == project)
        & (column.is_(None) if study is None else column == study)
    )


def lock(connection: Connection, project: ProjectId) -> Collecting:
    """Wait for the right to change the project's seats; it ends with the transaction.

    On SQLite a transaction that writes has that right anyway.

    Returns:
        How the project collects, which those who change seats mostly want to know.
    """
    return Collecting.of(_locked(connection, project=project).scalar() or {})


def free_expired(connection: Connection, project: ProjectId, now: datetime) -> None:
    """Give back the seats whose lease has run out. The project must be locked."""
    late = held & (_assignments.c.expires <= now)
    freed: Counter[str] = Counter()
    for batch in in_batches(_late(connection, project=project, now=now).scalars().all()):
        # `late` again, because one of them may have been judged since it was looked up.
        free = update(_assignments).where(_assignments.c.id.in_(batch), late).values(seat=None)
        freed.update(connection.scalars(free.returning(_assignments.c.task)))
    for task, count in freed.items():
        give_back(connection, TaskId(task), count)


def leave(
    connection: Connection, annotator: AnnotatorId, project: ProjectId, study: StudyId | None
) -> None:
    """Give back the seats that an annotator holds and has not judged; they may be leased again."""
    lock(connection, project)
    mine = given(annotator, project, study) & held
    counted = select(_assignments.c.task).where(mine, _assignments.c.seat < BESIDE)
    tasks = connection.scalars(counted).all()
    connection.execute(update(_assignments).where(mine).values(seat=None))
    for task in tasks:
        give_back(connection, TaskId(task), 1)


def give_back(connection: Connection, task: TaskId, count: int) -> None:
    """Count seats of a task as free that nobody holds any more. The project must be locked."""
    row = connection.execute(select(_tasks).where(_tasks.c.id == task)).one()
    if not Purpose(row.purpose).is_known:
        line.change_free_seats(connection, row, count)


@dataclass(slots=True, kw_only=True)
class Seating:
    """The seats that one annotator takes in one go, written together where they can be."""

    connection: Connection
    """With the project locked."""
    annotator: AnnotatorId
    now: datetime
    """Beginning of the leases, each a microsecond after the one before: they keep their order."""
    expires: datetime
    """End of the leases."""
    _fresh: list[dict[str, Any]] = field(default_factory=list)
    _counted: list[TaskId] = field(default_factory=list)

    def take(
        self,
        task: Row[Any],
        *,
        earlier: AssignmentId | None,
        shown: Sequence[ResponseId],
        turned: bool | None,
        probability: float,
    ) -> Assignment:
        """Seat the annotator at a task with a free seat. It holds when `write` was called.

        Args:
            task: Its row as it is now; none is taken twice.
            earlier: Their assignment when an earlier lease ran out. It is given again, in the same
                order: the browser may still show it.
            shown: The responses in the order on the screen; with `earlier`, that of the time.
            turned: Whether a coin turned the task's own order round; None where none was tossed.
            probability: Chance of this draw.
        """
        leased, self.now = self.now, self.now + timedelta(microseconds=1)
        lease = {
            "seat": free_seat(self.connection, task),
            "probability": probability,
            "leased": leased,
            "expires": self.expires,
            "is_open": task.place is not None and task.free_seats > 1,
        }
        if earlier is None:
            assignment = AssignmentId(secrets.token_hex(8))
            fresh = {
                "id": assignment,
                "task": task.id,
                "project": task.project,
                "study": task.study,
                "purpose": task.purpose,
                "annotator": self.annotator,
                "shown": list(shown),
                "turned": turned,
            }
            self._fresh.append(fresh | lease)
        else:
            assignment = earlier
            self.connection.execute(_CHANGE, {"assignment": earlier} | lease)
        if lease["is_open"]:
            self._counted.append(task.id)
        elif not Purpose(task.purpose).is_known:
            # The line changes, and with it where the next one is drawn from.
            line.change_free_seats(self.connection, task, -1)
        return Assignment(
            id=assignment,
            task=task.id,
            annotator=self.annotator,
            shown=tuple(shown),
            probability=probability,
            leased=leased,
            expires=self.expires,
        )

    def write(self) -> None:
        """Write what was taken."""
        if self._fresh:
            # A list of one would be taken apart and put together again as if it were many.
            rows = self._fresh if len(self._fresh) > 1 else self._fresh[0]
            self.connection.execute(_ADD, rows)
        if self._counted:
            _count_taken(self.connection, tasks=self._counted)
        self._fresh, self._counted = [], []


def keep(connection: Connection, assignment: AssignmentId, *, now: datetime) -> bool:
    """Make a leased seat a judged one, once; False when it is not held any more.

    A lease that ran out while nobody asked for the seat is still held.
    """
    return _keep(connection, assignment=assignment, now=now).rowcount == 1


def keep_late(
    connection: Connection, assignment: AssignmentId, *, project: ProjectId, now: datetime
) -> bool:
    """Take a seat again for a judgement that came after its lease; False when none is free."""
    lock(connection, project)
    if keep(connection, assignment, now=now):
        return True  # leased to the same annotator anew in the meantime
    late = _assignments.c.submitted.is_(None) & (_assignments.c.id == assignment)
    late &= _assignments.c.skipped.is_(None)
    wanted = select(_tasks).join(_assignments, _assignments.c.task == _tasks.c.id)
    task = connection.execute(wanted.where(late, _tasks.c.free_seats > 0)).first()
    if task is None:
        return False
    taken = {
        "seat": free_seat(connection, task),
        "submitted": now,
        "is_open": task.place is not None and task.free_seats > 1,
    }
    connection.execute(update(_assignments).where(late).values(taken))
    if not Purpose(task.purpose).is_known:
        line.change_free_seats(connection, task, -1)
    return True


def reopen(connection: Connection, assignment: AssignmentId, *, now: datetime) -> None:
    """Lease a judged seat to its holder again, for as long as it was leased before."""
    mine = _assignments.c.id == assignment
    times = select(_assignments.c.leased, _assignments.c.expires).where(mine)
    leased, expires = connection.execute(times).one()
    opened = update(_assignments).where(mine)
    connection.execute(opened.values(submitted=None, expires=now + (expires - leased)))


def free_seat(connection: Connection, task: Row[Any]) -> int:
    """The first seat nobody has. Seats at known items are numbered without end."""
    seat = _assignments.c.seat
    at_task = _assignments.c.task == task.id
    if Purpose(task.purpose).is_known:
        last = connection.scalar(select(func.max(seat)).where(at_task))
        return 0 if last is None else int(last) + 1
    if task.free_seats == task.overlap:
        return 0
    return min(set(range(task.overlap)) - set(_taken(connection, task=task.id).scalars()))


_ADD = _assignments.insert()
_CHANGE = update(_assignments).where(_assignments.c.id == bindparam("assignment"))


@prepared
def _locked(project: Any) -> Select[Any]:
    projects = tables.projects
    row = select(projects.c.collecting).where(projects.c.id == project)
    return row.with_for_update(key_share=True)


@prepared
def _count_taken(tasks: Any) -> Update:
    fewer = update(_tasks).where(_tasks.c.id.in_(tasks))
    return fewer.values(free_seats=_tasks.c.free_seats - 1)


@prepared
def _late(project: Any, now: Any) -> Select[Any]:
    late = held & (_assignments.c.expires <= now) & (_assignments.c.seat < BESIDE)
    return select(_assignments.c.id).where(late, _assignments.c.project == project)


@prepared
def _keep(assignment: Any, now: Any) -> Update:
    mine = held & (_assignments.c.id == assignment)
    return update(_assignments).where(mine).values(submitted=now)


@prepared
def _taken(task: Any) -> Select[Any]:
    seat = _assignments.c.seat
    return select(seat).where(_assignments.c.task == task, seat.is_not(None))
