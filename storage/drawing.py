"""Drawing: which task an annotator gets next, by chance, and with which chance.

A draw first decides what kind of task it is: a known item with the chance `gold_rate`, a repeat
with `repeat_rate`, else one to learn from, which also takes over the chance of a kind of which
there is nothing for this annotator. Each known item and each repeat is as likely as any other. To
learn from, with the chance `random_share` each open task is as likely as any other, and otherwise
each one of the highest priority.

In a study there are votes and, for participants, attention checks. With n votes and c checks still
to come, the next one is a check with the chance c / (n + c), so that each order of votes and checks
is as likely as any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, Select, case, exists, func, select

from storage import line, seats, tables
from storage.participants import Quota
from storage.prepared import prepared
from storage.records import (
    AnnotatorId,
    Collecting,
    ProjectId,
    Purpose,
    ResponseId,
    StudyId,
    TaskId,
    digest,
)
from storage.rows import count_new
from storage.sides import Sides

OTHERS_BETWEEN = 5
"""How many other tasks somebody judges, at least, before one is repeated."""
REPEATED_FROM = 100
"""How many of the judgements before those may be repeated."""

_tasks, _assignments = tables.tasks, tables.assignments


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A task that was drawn for an annotator."""

    task: Row[Any]
    """As it is now, with `earlier` and `was_shown`: the annotator's lease of it that ran out."""
    probability: float
    shown: tuple[ResponseId, ...]
    turned: bool | None
    """Whether a coin turned the task's own order round; None where none was tossed."""


@dataclass(slots=True, kw_only=True)
class Offer:
    """What one annotator may be given next.

    Whoever draws takes a seat at what was drawn before drawing again: a last seat changes the line.
    """

    connection: Connection
    annotator: AnnotatorId
    project: ProjectId
    study: StudyId | None
    collecting: Collecting
    opened: int
    """Tasks with a free seat, at the places 0 ... opened - 1 of the line."""
    met: int
    """How many of those are not for this annotator any more."""
    sides: Sides
    """The orders of two responses that the annotator met."""
    is_ranked: bool
    """True when the priorities of the open tasks differ."""
    qualifies: bool
    """True in the qualification round, when there is nothing but its items."""
    known: list[TaskId]
    """Known items that may be mixed in, or that make up the qualification or a study's checks."""
    repeats: list[TaskId]
    """Tasks that may be repeated."""
    taken: int
    """Votes or judgements that the annotator gave or holds."""
    most: int | None
    """Most of them that they may have; None without a limit."""
    drawn: set[TaskId] = field(default_factory=set)
    """Tasks drawn from this offer; that they are taken may not be written yet."""

    @classmethod
    def of(
        cls,
        connection: Connection,
        annotator: AnnotatorId,
        project: ProjectId,
        study: StudyId | None,
        *,
        collecting: Collecting,
        qualifies: bool = False,
        quota: Quota | None = None,
    ) -> Offer:
        """Read what there is. The project must be locked, and what ran out given back.

        `quota` is what is asked of a participant of the study.
        """
        row = _there_is(connection, annotator=annotator, project=project, study=study).one()
        if study is None:
            sides = Sides(leans=Counter({(): row.lean}))
            wanted = (Purpose.QUALIFICATION,) if qualifies else _mixed_in(collecting)
        else:
            collecting = replace(collecting, gold_rate=0.0, repeat_rate=0.0)
            sides = Sides.in_study(connection, annotator, project, study)
            wanted = (Purpose.ATTENTION,) if quota else ()
        may_repeat = collecting.repeat_rate and not qualifies
        return cls(
            connection=connection,
            annotator=annotator,
            project=project,
            study=study,
            collecting=collecting,
            opened=row.opened,
            met=row.met,
            sides=sides,
            is_ranked=bool(row.is_ranked),
            qualifies=qualifies,
            known=_unmet(connection, annotator, line.within(project, study), wanted)
            if wanted
            else [],
            repeats=_repeatable(connection, annotator, project) if may_repeat else [],
            taken=row.taken,
            most=quota.votes if quota else None,
        )

    def draw(self, rng: np.random.Generator) -> Drawn | None:
        """Draw the next task; None when there is nothing left to learn from."""
        if self.qualifies:
            return self._draw_known(rng, chance=1.0) if self.known else None
        if self.study is not None:
            return self._draw_vote(rng)
        if self.opened <= self.met:
            return None
        gold = self.collecting.gold_rate if self.known else 0.0
        repeat = self.collecting.repeat_rate if self.repeats else 0.0
        die = rng.random() if gold or repeat else 1.0
        if die < gold:
            return self._draw_known(rng, chance=gold)
        if die < gold + repeat:
            return self._draw_repeat(rng, chance=repeat)
        return self._draw_feedback(rng, chance=1 - gold - repeat)

    def _draw_vote(self, rng: np.random.Generator) -> Drawn | None:
        votes = self.opened - self.met
        if self.most is not None:
            votes = min(votes, max(0, self.most - self.taken))
        # Whoever finds no vote to give is not asked to show that they read.
        checks = len(self.known) if votes or self.taken else 0
        if not votes + checks:
            return None
        chance = checks / (votes + checks)
        if checks and rng.random() < chance:
            return self._draw_known(rng, chance=chance)
        self.taken += 1
        return self._draw_feedback(rng, chance=1 - chance)

    def _draw_known(self, rng: np.random.Generator, *, chance: float) -> Drawn:
        probability = chance / len(self.known)
        item = self.known.pop(int(rng.integers(len(self.known))))
        return self._drawn(self._row(item), probability, rng)

    def _draw_repeat(self, rng: np.random.Generator, *, chance: float) -> Drawn:
        probability = chance / len(self.repeats)
        before = self._row(self.repeats.pop(int(rng.integers(len(self.repeats)))))
        repeat = _repeat_of(before.id, self.annotator)
        values = {
            "id": repeat,
            "project": self.project,
            "prompt": before.prompt,
            "responses": before.was_shown[::-1],
            "type": before.type,
            "overlap": 1,
            "purpose": str(Purpose.REPEAT),
            "priority": 0.0,
            "repeats": before.id,
            "free_seats": 1,
        }
        count_new(self.connection, _tasks, [values])
        return self._drawn(self._row(repeat), probability, rng)

    def _draw_feedback(self, rng: np.random.Generator, *, chance: float) -> Drawn:
        left = self.opened - self.met
        if self.is_ranked:
            row, share = self._draw_ranked(rng, left)
        else:
            row, share = self._anywhere(rng, left), 1 / left
        if row.free_seats == 1:
            self.opened -= 1
        else:
            self.met += 1
        return self._drawn(row, chance * share, rng)

    def _draw_ranked(self, rng: np.random.Generator, left: int) -> tuple[Row[Any], float]:
        """A task of the highest priority but for the random share, and the chance it had."""
        open_to_them, priority = self._open_to_them(), _tasks.c.priority
        levels = select(priority, func.count()).where(open_to_them).group_by(priority)
        highest = levels.order_by(priority.desc()).limit(1)
        top, there = self.connection.execute(highest).one()
        share = self.collecting.random_share
        if rng.random() < share:
            row = self._anywhere(rng, left)
        else:
            row = self._one_of(rng, there, open_to_them & (priority == top))
        return row, share / left + (1 - share) / there * (row.priority == top)

    def _anywhere(self, rng: np.random.Generator, left: int) -> Row[Any]:
        """Any task open to the annotator, each with the same chance."""
        if 4 * left < self.opened:
            return self._one_of(rng, left, self._open_to_them())
        while True:  # each time with a chance of 1/4 at least
            row = _at(
                self.connection,
                annotator=self.annotator,
                project=self.project,
                study=self.study,
                place=int(rng.integers(self.opened)),
            ).one()
            if not row.is_met and row.id not in self.drawn:
                return row

    def _one_of(
        self, rng: np.random.Generator, there: int, condition: ColumnElement[bool]
    ) -> Row[Any]:
        """One of the tasks of which the condition is true, found by walking through them."""
        # Any order will do, as long as it stays the same.
        ordered = select(_tasks.c.id).where(condition).order_by(_tasks.c.place)
        found = self.connection.scalar(ordered.limit(1).offset(int(rng.integers(there))))
        return self._row(str(found))

    def _open_to_them(self) -> ColumnElement[bool]:
        theirs = (_assignments.c.task == _tasks.c.id) & (_assignments.c.annotator == self.annotator)
        has_met = exists().where(theirs, seats.met)
        left = line.within(self.project, self.study) & line.is_open & ~has_met
        return left & _tasks.c.id.not_in(self.drawn) if self.drawn else left

    def _row(self, task: str) -> Row[Any]:
        return _one(self.connection, annotator=self.annotator, task=task).one()

    def _drawn(self, row: Row[Any], probability: float, rng: np.random.Generator) -> Drawn:
        self.drawn.add(row.id)
        shown, turned = self._order(row, rng)
        return Drawn(task=row, probability=probability, shown=tuple(shown), turned=turned)

    def _order(
        self, row: Row[Any], rng: np.random.Generator
    ) -> tuple[Sequence[ResponseId], bool | None]:
        """The order in which the responses are shown; two stand as `storage.sides` has it."""
        if row.earlier is not None:
            return row.was_shown, None
        if row.purpose == Purpose.REPEAT:
            return row.responses, None
        if len(row.responses) != 2:
            return [row.responses[place] for place in rng.permutation(len(row.responses))], None
        turned = self.sides.toss(row.responses, rng)
        return (row.responses[::-1] if turned else row.responses), turned


@prepared
def _there_is(annotator: Any, project: Any, study: Any) -> Select[Any]:
    """The numbers behind an offer."""
    here, priority = line.within(project, study) & line.is_open, _tasks.c.priority
    # Each by itself, because only then an index gives the lowest and the highest at once.
    low = select(func.min(priority)).where(here).correlate(None).scalar_subquery()
    high = select(func.max(priority)).where(here).correlate(None).scalar_subquery()
    turned = _assignments.c.turned
    lean = case((turned.is_(None), 0), (turned, 1), else_=-1)
    statement = select(
        line.opened(project, study).label("opened"),
        func.coalesce(low != high, False).label("is_ranked"),
        func.coalesce(func.sum(lean), 0).label("lean"),
        met_and_open().label("met"),
        number_of(
            _assignments.c.seat.is_not(None) & (_assignments.c.purpose == str(Purpose.FEEDBACK))
        ).label("taken"),
    )
    mine = seats.given(annotator, project, study)
    return statement.select_from(_assignments).where(mine)


@prepared
def _at(annotator: Any, project: Any, study: Any, place: Any) -> Select[Any]:
    return _with_lease(annotator).where(line.within(project, study), _tasks.c.place == place)


@prepared
def _one(annotator: Any, task: Any) -> Select[Any]:
    return _with_lease(annotator).where(_tasks.c.id == task)


def _with_lease(annotator: Any) -> Select[Any]:
    """Tasks with the annotator's own lease of each, if there was one."""
    theirs = (_assignments.c.task == _tasks.c.id) & (_assignments.c.annotator == annotator)
    return select(
        _tasks,
        _assignments.c.id.label("earlier"),
        _assignments.c.shown.label("was_shown"),
        seats.met.label("is_met"),
    ).select_from(_tasks.outerjoin(_assignments, theirs))


def number_of(which: ColumnElement[bool]) -> ColumnElement[int]:
    """Of how many rows it is true."""
    return func.coalesce(func.sum(case((which, 1), else_=0)), 0)


def met_and_open() -> ColumnElement[int]:
    """Of assignments: how many keep the annotator from an open task."""
    return number_of(seats.met & _assignments.c.is_open)


def _mixed_in(collecting: Collecting) -> tuple[Purpose, ...]:
    return (Purpose.GOLD, Purpose.ATTENTION) if collecting.gold_rate else ()


def _unmet(
    connection: Connection,
    annotator: AnnotatorId,
    within: ColumnElement[bool],
    purposes: Sequence[Purpose],
) -> list[TaskId]:
    """The known items of some purposes, of a project or a study, that they have not met."""
    theirs = (_assignments.c.task == _tasks.c.id) & (_assignments.c.annotator == annotator)
    statement = select(_tasks.c.id).where(
        within,
        _tasks.c.purpose.in_(list(map(str, purposes))),
        ~exists().where(theirs, seats.met),
    )
    return list(connection.scalars(statement.order_by(_tasks.c.id)))


def _repeat_of(task: TaskId, annotator: AnnotatorId) -> TaskId:
    return TaskId(digest("repeat", task, annotator))


def _repeatable(connection: Connection, annotator: AnnotatorId, project: ProjectId) -> list[TaskId]:
    """The pairs that the annotator judged some time ago and was not given a second time."""
    judged = _judged(connection, annotator=annotator, project=project).all()
    # A pair is what a coin was tossed for.
    is_pair = (row for row in judged[OTHERS_BETWEEN:] if row.turned is not None)
    repeats = {
        _repeat_of(row.task, annotator): TaskId(row.task)
        for row in is_pair
        if row.purpose == Purpose.FEEDBACK
    }
    if repeats:
        for repeat in _met_of(connection, annotator=annotator, tasks=list(repeats)).scalars():
            del repeats[repeat]
    return list(repeats.values())


@prepared
def _judged(annotator: Any, project: Any) -> Select[Any]:
    """The latest that the annotator judged."""
    return (
        select(_assignments.c.task, _assignments.c.purpose, _assignments.c.turned)
        .where(seats.given(annotator, project, None), _assignments.c.submitted.is_not(None))
        .order_by(_assignments.c.submitted.desc(), _assignments.c.id)
        .limit(OTHERS_BETWEEN + REPEATED_FROM)
    )


@prepared
def _met_of(annotator: Any, tasks: Any) -> Select[Any]:
    """Which of some tasks are not for the annotator any more."""
    theirs = (_assignments.c.annotator == annotator) & _assignments.c.task.in_(tasks)
    return select(_assignments.c.task).where(theirs, seats.met)
