"""How far an annotator is, told so that nobody learns from it when a known item was mixed in.

The exact count of what there is to do grows by one whenever a known item or a repeat is given out,
which would tell it from the others. So annotators are told how much there will be when as many are
mixed in as the project wants: a number that does not depend on which ones were. Participants of a
study are told of votes and attention checks together.
"""

from __future__ import annotations

from dataclasses import replace

from storage.database import Connection
from storage.own_work import mixable
from storage.participants import Quota, quota
from storage.records import AnnotatorId, Collecting, Project, StudyId
from storage.tasks import Progress, progress


def reached(
    connection: Connection, annotator: AnnotatorId, project: Project, study: StudyId | None = None
) -> Progress:
    """How far an annotator is, as they are told."""
    exact = progress(connection, annotator, project.id, study)
    asked = project.collecting
    if study is not None:
        mine = quota(connection, annotator, study)
        return exact if mine is None else as_participant(exact, mine)
    told = exact
    if asked.gold_rate + asked.repeat_rate:
        told = as_told(exact, asked, mixable=mixable(connection, project.id))
    # Where people judge in Argilla there is nothing new to be had here.
    return replace(told, open=exact.held) if asked.argilla_workspace else told


def as_told(exact: Progress, asked: Collecting, *, mixable: int) -> Progress:
    """The same progress, with what is mixed in as it will be on average.

    Of two annotators who judged equally many tasks and have equally many feedback tasks in all, one
    with and one without a known item among those judged are told the same.

    Args:
        exact: What holds.
        asked: At which rates known items and repeats are mixed in.
        mixable: Known items there are; each is met once.
    """

    def with_mixed_in(feedback: int) -> int:
        for_each = 1 / (1 - asked.gold_rate - asked.repeat_rate)
        known = min(mixable, asked.gold_rate * for_each * feedback)
        return round(feedback + known + asked.repeat_rate * for_each * feedback)

    feedback = exact.done + exact.open - exact.mixed_in
    # Whoever holds tasks knows how many, and whether there are any more.
    still = max(with_mixed_in(feedback) - exact.done, exact.held, 1) if exact.open else 0
    total = max(with_mixed_in(exact.total - exact.mixed_in), exact.done + still)
    return Progress(done=exact.done, open=still, total=total)


def as_participant(exact: Progress, asked: Quota) -> Progress:
    """The progress of a participant: what each is asked for, checks among the votes.

    Args:
        exact: What holds of the study's tasks.
        asked: What is asked of this participant.
    """
    votes = exact.done + exact.held - exact.mixed_in
    fresh, checks = exact.open - exact.held, asked.checks - asked.met
    total = exact.total - exact.mixed_in
    if asked.votes is not None:
        fresh = min(fresh, max(0, asked.votes - votes))
        total = min(total, asked.votes)
    # As in `storage.drawing`: whoever finds no vote to give meets no check either.
    if asked.finished or not votes + fresh:
        fresh = checks = 0
    return Progress(done=exact.done, open=fresh + checks + exact.held, total=total + asked.checks)
