"""Participants of a study: what they agreed to, how far they came, and how they leave again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, func, select, update

from storage import line, seats, tables
from storage.annotators import set_active
from storage.prepared import prepared
from storage.records import AnnotatorId, ProjectId, Purpose, StudyId
from storage.rows import checked, count_new

_participants, _assignments, _tasks = tables.participants, tables.assignments, tables.tasks
_submissions, _studies = tables.submissions, tables.studies


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Who somebody is to the panel that sent them, such as Prolific."""

    pid: str
    study: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody who agreed to take part in one study."""

    annotator: AnnotatorId
    study: StudyId
    consent: str
    """Version of the text they agreed to."""
    agreed: datetime
    started: datetime | None
    """When they had read the instructions and passed the questions about themselves."""
    finished: datetime | None
    """When they were first told that nothing is left to do."""
    withdrawn: datetime | None
    pid: str | None
    """The panel's identifier of them. For paying people only: never in a result or an export."""
    answers: Mapping[str, str]
    """What they said of themselves, by question. Shown as counts, never person by person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much a participant is asked for."""

    votes: int | None
    """Most votes that one participant gives; None without a limit."""
    checks: int
    """Attention checks that each participant meets."""
    met: int
    """Those that this one has met."""
    finished: bool
    """True when nothing more is asked."""


def take_part(
    connection: Connection,
    study: StudyId,
    annotator: AnnotatorId,
    *,
    version: str,
    text: str,
    panel: Panel | None,
    now: datetime,
) -> None:
    """Keep that an annotator agreed to take part in a study, and to which text.

    Args:
        connection: Open for writing, with the study locked by `lock`.
        study: The study.
        annotator: Who takes part; in this study only.
        version: Digest of the text.
        text: The text itself, kept once.
        panel: Who they are to the panel that sent them.
        now: When they agreed.

    Raises:
        InvalidData: A text is too long or cannot be kept.
    """
    consent = checked(tables.consents, {"version": version, "text": text})
    count_new(connection, tables.consents, [consent], key="version")
    row = {
        "annotator": annotator,
        "study": study,
        "consent": version,
        "agreed": now,
        "pid": panel and panel.pid,
        "panel_study": panel and panel.study,
        "panel_session": panel and panel.session,
        "answers": {},
    }
    connection.execute(_participants.insert().values(checked(_participants, row)))


def lock(connection: Connection, study: StudyId) -> None:
    """Let nobody else enter a study meanwhile, so that nobody enters it twice at once."""
    connection.execute(select(_studies.c.id).where(_studies.c.id == study).with_for_update())


def participant(connection: Connection, annotator: AnnotatorId) -> Participant | None:
    """What is kept of a participant; None of whoever entered no study."""
    row = _one(connection, annotator=annotator).first()
    return None if row is None else _participant(row)


def participant_sent_as(connection: Connection, study: StudyId, pid: str) -> Participant | None:
    """Whoever a panel sent to a study under this identifier; None when nobody came, or withdrew."""
    theirs = (_participants.c.study == study) & (_participants.c.pid == pid)
    row = connection.execute(select(_participants).where(theirs)).first()
    return None if row is None else _participant(row)


def participants(connection: Connection, study: StudyId) -> list[Participant]:
    """Everybody who agreed to take part, in the order in which they did."""
    statement = select(_participants).where(_participants.c.study == study)
    order = _participants.c.agreed, _participants.c.annotator
    return [_participant(row) for row in connection.execute(statement.order_by(*order))]


def start(
    connection: Connection, annotator: AnnotatorId, answers: Mapping[str, str], *, now: datetime
) -> bool:
    """Keep what a participant said of themselves, once; False when they have said it before."""
    mine = (_participants.c.annotator == annotator) & _participants.c.started.is_(None)
    values = checked(_participants, {"started": now, "answers": answers})
    return connection.execute(update(_participants).where(mine).values(values)).rowcount == 1


def finish(connection: Connection, annotator: AnnotatorId, *, now: datetime) -> bool:
    """Note that nothing is left for a participant to do; False when it was noted before."""
    mine = (_participants.c.annotator == annotator) & _participants.c.finished.is_(None)
    return connection.execute(update(_participants).where(mine).values(finished=now)).rowcount == 1


def quota(connection: Connection, annotator: AnnotatorId, study: StudyId) -> Quota | None:
    """How much is asked of a participant; None of whoever is none, such as a judge program."""
    row = _quota(connection, annotator=annotator, study=study).first()
    if row is None:
        return None
    return Quota(votes=row.votes, checks=row.checks, met=row.met, finished=row.finished is not None)


def checked_answers(connection: Connection, study: StudyId) -> dict[AnnotatorId, tuple[int, int]]:
    """Of everybody who answered attention checks: how many, and how many of them rightly."""
    right = func.sum(func.coalesce(_submissions.c.correct, False).cast(Integer))
    statement = (
        select(_submissions.c.annotator, func.count().label("answered"), right.label("right"))
        .where(
            _submissions.c.study == study,
            _submissions.c.purpose == str(Purpose.ATTENTION),
            _submissions.c.retracted.is_(None),
        )
        .group_by(_submissions.c.annotator)
    )
    rows = connection.execute(statement)
    return {AnnotatorId(row.annotator): (row.answered, row.right) for row in rows}


def withdraw(
    connection: Connection,
    annotator: AnnotatorId,
    *,
    study: StudyId,
    project: ProjectId,
    now: datetime,
) -> int:
    """Take a participant's votes out, erase what leads to them, and let them in no more.

    The votes stay as rows that count for nothing, as those taken back do; what was written in words
    and said of themselves is erased, with the panel's identifiers. Their seats are free for others.
    A second time changes nothing.

    Returns:
        How many votes were taken out.
    """
    seats.lock(connection, project)
    # Seats first: a judgement that is being kept holds its assignment's row, so this waits for it.
    mine = seats.given(annotator, project, study) & _assignments.c.seat.is_not(None)
    is_open = select(line.is_open).where(_tasks.c.id == _assignments.c.task).scalar_subquery()
    gone = update(_assignments).where(mine).values(seat=None, skipped=now, is_open=is_open)
    for task in connection.scalars(gone.returning(_assignments.c.task)).all():
        seats.give_back(connection, task, 1)
    said = (_submissions.c.annotator == annotator) & (_submissions.c.study == study)
    stands = said & _submissions.c.retracted.is_(None)
    out = update(_submissions).where(stands).values(retracted=now)
    purposes = connection.scalars(out.returning(_submissions.c.purpose)).all()
    words = (
        update(_submissions).where(said).values(comment=""),
        update(tables.flags).where(tables.flags.c.annotator == annotator).values(comment=""),
        update(tables.skips).where(tables.skips.c.annotator == annotator).values(reason=""),
        update(_participants)
        .where(_participants.c.annotator == annotator)
        .values(pid=None, panel_study=None, panel_session=None, answers={}),
        update(_participants)
        .where(_participants.c.annotator == annotator, _participants.c.withdrawn.is_(None))
        .values(withdrawn=now),
    )
    for statement in words:
        connection.execute(statement)
    set_active(connection, annotator, False)
    return sum(purpose == Purpose.FEEDBACK for purpose in purposes)


def _participant(row: Row[Any]) -> Participant:
    fields = row._asdict()
    del fields["panel_study"], fields["panel_session"]
    return Participant(**fields)


@prepared
def _one(annotator: Any) -> Select[Any]:
    return select(_participants).where(_participants.c.annotator == annotator)


@prepared
def _quota(annotator: Any, study: Any) -> Select[Any]:
    is_check = _tasks.c.purpose == str(Purpose.ATTENTION)
    checks = select(func.count()).select_from(_tasks).where(_tasks.c.study == study, is_check)
    theirs = (_assignments.c.annotator == annotator) & (_assignments.c.study == study)
    met = select(func.count()).select_from(_assignments).where(
        theirs, seats.met, _assignments.c.purpose == str(Purpose.ATTENTION)
    )  # fmt: skip
    asked = _studies.c.plan[("participation", "votes_each")].as_integer()
    return (
        select(
            _participants.c.finished,
            asked.label("votes"),
            checks.correlate(None).scalar_subquery().label("checks"),
            met.correlate(None).scalar_subquery().label("met"),
        )
        .select_from(_participants.join(_studies, _participants.c.study == _studies.c.id))
        .where(_participants.c.annotator == annotator, _participants.c.study == study)
    )
