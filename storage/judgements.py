"""What annotators said: kept once, whole, and never changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from storage import line, seats, tables
from storage.admission import (
    check_given,
    check_imported,
    check_retractable,
    check_shown,
    keep_late,
)
from storage.errors import InvalidAnswer
from storage.exclusions import excluded
from storage.given import Given, given
from storage.known_items import is_right
from storage.prepared import prepared
from storage.prompts import written_for_no_study
from storage.records import (
    AnnotatorId,
    AssignmentId,
    Comparison,
    Kind,
    Message,
    ProjectId,
    PromptId,
    Purpose,
    Rating,
    ResponseId,
    StudyId,
    Submission,
    SubmissionId,
    TaskId,
    digest,
)
from storage.rows import BATCH, as_row, in_batches, insert_new

_submissions = tables.submissions


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One submission as others may see it: under a pseudonym, and with how it came about."""

    submission: SubmissionId
    prompt: PromptId
    annotator: str
    """Pseudonym."""
    kind: Kind
    comparisons: tuple[Comparison, ...]
    ratings: tuple[Rating, ...]
    task: TaskId | None
    """None, like the next three, for judgements that were imported."""
    assignment: AssignmentId | None
    shown: tuple[ResponseId, ...] | None
    """Left to right, as on the screen."""
    probability: float | None
    """Chance with which the task was drawn among those open to the annotator."""
    study: StudyId | None
    active_seconds: float | None
    interface: str
    received: datetime
    purpose: Purpose
    """What the task was for; feedback when it was imported."""
    correct: bool | None
    """Whether it met what is expected of a known item; None where nothing is."""
    comment: str
    contradiction: Literal["", "meant", "changed"]
    retracted: datetime | None
    """When the annotator took it back; it counts for nothing since."""


def record_submission(
    connection: Connection, submission: Submission, found: Given | None = None
) -> bool:
    """Keep what one annotator said of one task, once, however often the browser sends it.

    A browser that lost the reply sends the same submission again; that changes nothing. Acknowledge
    it when the caller's transaction is committed, not before.

    Args:
        connection: Open for writing.
        submission: What was said.
        found: What was given under its assignment; looked up where the caller has not read it.

    Returns:
        True if it was new, False if it was kept already.

    Raises:
        InvalidAnswer: The id came before with other content; the task was not leased to this
            annotator, is judged already, or went to others when its lease ran out; the study is
            closed; or the answer is about responses that were not shown so.
    """
    assignment = submission.assignment
    if assignment is None:
        return record_imported(connection, [submission]) == 1
    if _is_known(connection, submission):
        return False
    leased = check_given(found or given(connection, assignment), submission)
    task = leased.task
    check_shown(connection, submission, leased.assignment.shown)
    if leased.kind is Kind.SIMULATED:
        _mark_simulated(connection, [submission])
    if not seats.keep(connection, assignment, now=submission.received):
        # Perhaps the same submission arrived twice at once, and the other was quicker.
        if _is_known(connection, submission):
            return False
        keep_late(connection, submission, task.project)
    correct = is_right(task.expected, task.responses, submission.comparisons, submission.ratings)
    return len(_insert(connection, [submission], purpose=task.purpose, correct=correct)) == 1


def retract(
    connection: Connection,
    undo_id: str,
    submission: SubmissionId,
    annotator: AnnotatorId,
    *,
    now: datetime,
) -> bool:
    """Take one's latest judgement back, so that the task is open again for the same person.

    The row stays and says when it was taken back; it counts for nothing since. The seat was never
    given up. A resend of the same `undo_id` changes nothing.

    Returns:
        True if it was new, False if it was taken back by this very undo before.

    Raises:
        InvalidAnswer: The submission is unknown or somebody else's, is not their latest one, is
            older than an hour, or may not be taken back; or the id came before for another one.
    """
    is_it = _submissions.c.id == submission
    # Where the same undo arrives twice at once, the second waits here, and then finds the first.
    connection.execute(select(_submissions.c.id).where(is_it).with_for_update())
    if _is_undone(connection, undo_id, submission, annotator):
        return False
    assignment = check_retractable(connection, submission, annotator, now=now)
    connection.execute(update(_submissions).where(is_it).values(retracted=now, undo=undo_id))
    seats.reopen(connection, assignment, now=now)
    return True


def record_imported(connection: Connection, submissions: Iterable[Submission]) -> int:
    """Keep judgements that were made elsewhere; those that are known already stay as they are.

    Returns:
        How many were new.

    Raises:
        InvalidAnswer: One came before with other content, is about responses to another prompt, or
            belongs to an assignment or a study.
    """
    new = 0
    for batch in in_batches(submissions):
        check_imported(connection, batch)
        _mark_simulated(connection, batch)
        new += len(_insert(connection, batch))
    return new


def judgements(
    connection: Connection,
    project: ProjectId,
    *,
    study: StudyId | None = None,
    by_prompt: bool = False,
    everything: bool = False,
    without_excluded: bool = False,
) -> Iterator[Judgement]:
    """Stream the votes of a study, or a project's judgements that belong to no study, oldest first.

    Args:
        connection: Must stay open while they are read.
        project: The project.
        study: The study whose votes are wanted; None for the judgements that belong to none.
        by_prompt: Those of one prompt stand together.
        everything: Also those of known items and repeats, and those that were taken back.
        without_excluded: Leave out the annotators who are excluded from the project, as whatever
            models learn from does.
    """
    order = _submissions.c.received, _submissions.c.id
    statement = (
        select(
            _submissions,
            tables.annotators.c.pseudonym,
            tables.annotators.c.kind,
            tables.assignments.c.task,
            tables.assignments.c.shown,
            tables.assignments.c.probability,
        )
        .join(tables.prompts)
        .join(tables.annotators, _submissions.c.annotator == tables.annotators.c.id)
        .outerjoin(tables.assignments, _submissions.c.assignment == tables.assignments.c.id)
        .where(_within(project, study, everything))
        .order_by(*((_submissions.c.prompt,) if by_prompt else ()), *order)
    )
    if without_excluded:
        statement = statement.where(_submissions.c.annotator.not_in(excluded(project)))
    rows = connection.execute(statement, execution_options={"yield_per": BATCH})
    for batch in rows.partitions():
        ids = [row.id for row in batch]
        comparisons = _parts(connection, tables.comparisons, ids)
        ratings = _parts(connection, tables.ratings, ids)
        for row in batch:
            yield Judgement(
                submission=row.id,
                prompt=row.prompt,
                annotator=row.pseudonym,
                kind=Kind(row.kind),
                comparisons=tuple(Comparison(**part) for part in comparisons[row.id]),
                ratings=tuple(Rating(**part) for part in ratings[row.id]),
                task=row.task,
                assignment=row.assignment,
                shown=None if row.shown is None else tuple(row.shown),
                probability=row.probability,
                study=row.study,
                active_seconds=row.active_seconds,
                interface=row.interface,
                received=row.received,
                purpose=Purpose(row.purpose),
                correct=row.correct,
                comment=row.comment,
                contradiction=row.contradiction,
                retracted=row.retracted,
            )


def has_ratings(connection: Connection, project: ProjectId) -> bool:
    """Whether anybody ever rated anything in a project, also what does not count."""
    ratings = _submissions.join(tables.prompts).join(tables.ratings)
    mine = tables.prompts.c.project == project
    first = select(tables.ratings.c.id).select_from(ratings).where(mine).limit(1)
    return connection.scalar(first) is not None


def unjudged(
    connection: Connection,
    project: ProjectId,
    *,
    everything: bool = False,
    without_excluded: bool = False,
) -> Iterator[tuple[Message, ...]]:
    """Stream the prompts that nobody judged, or not all answers to which somebody judged.

    Args:
        connection: Must stay open while they are read.
        project: The project. What was written for its studies is no answer here.
        everything: Judgements of known items and repeats, and those taken back, count as well.
        without_excluded: Those of annotators who are excluded do not count.
    """
    counting = _within(project, None, everything)
    if without_excluded:
        counting &= _submissions.c.annotator.not_in(excluded(project))
    said = _submissions.join(tables.prompts)
    compared, rated = said.join(tables.comparisons), said.join(tables.ratings)
    judged = union_all(
        select(tables.comparisons.c.left).select_from(compared).where(counting),
        select(tables.comparisons.c.right).select_from(compared).where(counting),
        select(tables.ratings.c.response).select_from(rated).where(counting),
    )
    asked = select(_submissions.c.prompt).select_from(said).where(counting)
    answers = tables.responses.c
    lonely = select(answers.prompt).where(written_for_no_study(), answers.id.not_in(judged))
    prompts = tables.prompts.c
    statement = select(prompts.messages).where(
        prompts.project == project, prompts.id.not_in(asked) | prompts.id.in_(lonely)
    )
    for row in connection.execute(statement, execution_options={"yield_per": BATCH}):
        yield tuple(row.messages)


def counts(connection: Connection, project: ProjectId) -> dict[str, int]:
    """How much a project holds, for an overview. All but "votes" leaves studies out.

    Returns:
        prompts, responses, tasks, asked (judgements that the tasks want), submissions, comparisons,
        ratings, annotators (who judged), simulated (submissions by simulated raters), votes.
    """
    prompts, tasks = tables.prompts, tables.tasks
    said = _submissions.join(prompts)
    feedback = _within(project, None)
    asked = line.within(project, None) & (tasks.c.purpose == str(Purpose.FEEDBACK))
    simulated = tables.annotators.c.kind == str(Kind.SIMULATED)
    number = func.count
    statements = {
        "prompts": select(number()).select_from(prompts).where(prompts.c.project == project),
        "responses": select(number())
        .select_from(tables.responses.join(prompts))
        .where(prompts.c.project == project),
        "tasks": select(number()).select_from(tasks).where(asked),
        "asked": select(func.coalesce(func.sum(tasks.c.overlap), 0)).where(asked),
        "submissions": select(number()).select_from(said).where(feedback),
        "comparisons": select(number()).select_from(said.join(tables.comparisons)).where(feedback),
        "ratings": select(number()).select_from(said.join(tables.ratings)).where(feedback),
        "annotators": select(number(_submissions.c.annotator.distinct()))
        .select_from(said)
        .where(feedback),
        "simulated": select(number())
        .select_from(
            said.join(tables.annotators, _submissions.c.annotator == tables.annotators.c.id)
        )
        .where(feedback, simulated),
        "votes": select(number())
        .select_from(said)
        .where(
            prompts.c.project == project,
            _submissions.c.study.is_not(None),
            _submissions.c.retracted.is_(None),
        ),
    }
    return {name: int(connection.scalar(one) or 0) for name, one in statements.items()}


def _within(
    project: ProjectId, study: StudyId | None, everything: bool = False
) -> ColumnElement[bool]:
    mine = tables.prompts.c.project == project
    column = _submissions.c.study
    mine &= column.is_(None) if study is None else column == study
    if everything:
        return mine
    counts = _submissions.c.purpose == str(Purpose.FEEDBACK)
    return mine & counts & _submissions.c.retracted.is_(None)


def _content(submission: Submission) -> str:
    """What tells a resend from another answer. The moment of arrival and the pace do not matter."""
    return digest(
        submission.annotator,
        submission.prompt,
        submission.assignment,
        submission.study,
        [asdict(one) for one in submission.comparisons],
        [asdict(one) for one in submission.ratings],
        # Left out when there is nothing, as before there could be any.
        *filter(None, (submission.comment, submission.contradiction)),
        length=32,
    )


def _is_known(connection: Connection, submission: Submission) -> bool:
    """Whether it was kept before.

    Raises:
        InvalidAnswer: With other content.
    """
    content = _content_of(connection, submission=submission.id).scalar()
    if content is not None and content != _content(submission):
        raise InvalidAnswer(
            f"Submission {submission.id!r} was kept before with other content; give every answer an"
            " id of its own."
        )
    return content is not None


@prepared
def _content_of(submission: Any) -> Select[Any]:
    return select(_submissions.c.content).where(_submissions.c.id == submission)


def _is_undone(
    connection: Connection, undo_id: str, submission: SubmissionId, annotator: AnnotatorId
) -> bool:
    """Whether a judgement was taken back by this undo before.

    Raises:
        InvalidAnswer: The undo took another one back.
    """
    known = select(_submissions.c.id, _submissions.c.annotator).where(
        _submissions.c.undo == undo_id
    )
    found = connection.execute(known).first()
    if found is not None and tuple(found) != (submission, annotator):
        raise InvalidAnswer(
            f"Undo {undo_id!r} took another judgement back before; give every undo an id of its"
            " own."
        )
    return found is not None


def _mark_simulated(connection: Connection, batch: Sequence[Submission]) -> None:
    """What a simulated rater touches says so from then on."""
    annotators, projects, studies = tables.annotators, tables.projects, tables.studies
    by = {one.annotator for one in batch}
    simulated = annotators.c.id.in_(by) & (annotators.c.kind == str(Kind.SIMULATED))
    touching = set(connection.scalars(select(annotators.c.id).where(simulated)))
    touched = [one for one in batch if one.annotator in touching]
    if not touched:
        return
    of = select(tables.prompts.c.project).where(
        tables.prompts.c.id.in_([one.prompt for one in touched])
    )
    for table, mine in (
        (projects, projects.c.id.in_(of)),
        (studies, studies.c.id.in_([one.study for one in touched if one.study])),
    ):
        connection.execute(
            update(table).where(mine, table.c.simulated.is_(False)).values(simulated=True)
        )


def _insert(
    connection: Connection,
    batch: Sequence[Submission],
    *,
    purpose: Purpose = Purpose.FEEDBACK,
    correct: bool | None = None,
) -> list[Submission]:
    """Keep the submissions whose id is new, with all their parts, and return them."""
    rows = [
        as_row(_submissions, one, content=_content(one), purpose=purpose, correct=correct)
        for one in batch
    ]
    try:
        inserted = set(insert_new(connection, _submissions, rows))
    except IntegrityError as error:
        raise InvalidAnswer(
            "A submission names an annotator or a prompt that is not stored; add it first."
        ) from error
    new = {one.id: one for one in reversed(batch) if one.id in inserted}
    for one in batch:
        # Was it there already, or twice in this batch? Then it must say the same.
        if new.get(one.id) is not one:
            _is_known(connection, one)
    for table, parts in (
        (tables.comparisons, [(one, part) for one in new.values() for part in one.comparisons]),
        (tables.ratings, [(one, part) for one in new.values() for part in one.ratings]),
    ):
        if parts:
            connection.execute(
                _ADD[table], [as_row(table, part, submission=one.id) for one, part in parts]
            )
    return list(new.values())


_ADD = {table: table.insert() for table in (tables.comparisons, tables.ratings)}


def _parts(
    connection: Connection, table: Table, submissions: Sequence[SubmissionId]
) -> dict[SubmissionId, list[dict[str, Any]]]:
    """The rows of `comparisons` or `ratings` of some submissions, as fields of their records."""
    statement = select(table).where(table.c.submission.in_(submissions)).order_by(table.c.id)
    found: dict[SubmissionId, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(statement):
        fields = row._asdict()
        del fields["id"]
        found[fields.pop("submission")].append(fields)
    return found
