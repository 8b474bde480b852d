"""What an annotator is told about their own work: how much, how fast, how far others agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from storage.database import Connection
from storage.own_work import Sitting, Vote, sittings, votes_beside
from storage.records import AnnotatorId, ProjectId, ResponseId
from storage.skips import skipped_by

FEWEST_CHOICES = 5
"""Below this a share of agreement says nothing, and might tell what a single other person chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementWithOthers:
    """How often somebody's choices point where most others' do."""

    value: float
    """Share of the own decided choices that agree with the majority of the others; a fraction."""
    others: int
    """How many other annotators these choices were compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFigures:
    """One annotator's work in one project."""

    judgements: int
    today: int
    """Since midnight, UTC."""
    median_seconds: float | None
    """Active time of a judgement; None when no time is known."""
    per_hour: float | None
    """Judgements in an hour of active time."""
    agreement: AgreementWithOthers | None
    """None while fewer than `FEWEST_CHOICES` can be compared."""
    skipped: int


def own_figures(
    connection: Connection, annotator: AnnotatorId, project: ProjectId, *, now: datetime
) -> OwnFigures:
    """Read and work out an annotator's own figures."""
    done = sittings(connection, annotator, project)
    median_seconds, per_hour = pace(done)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return OwnFigures(
        judgements=len(done),
        today=sum(one.received >= midnight for one in done),
        median_seconds=median_seconds,
        per_hour=per_hour,
        agreement=agreement_with_others(annotator, votes_beside(connection, annotator, project)),
        skipped=skipped_by(connection, annotator, project),
    )


def pace(done: Sequence[Sitting]) -> tuple[float | None, float | None]:
    """Median active seconds of a judgement, and judgements in an hour of active time."""
    seconds = [one.active_seconds for one in done if one.active_seconds is not None]
    if not seconds:
        return None, None
    total = sum(seconds)
    return median(seconds), 3600 * len(seconds) / total if total > 0 else None


def agreement_with_others(
    annotator: AnnotatorId, votes: Sequence[Vote]
) -> AgreementWithOthers | None:
    """Compare decided choices with what most others chose, where everybody asked has answered.

    A pair on which the others have no majority says nothing. Where most others see a tie, a decided
    choice does not agree with them.
    """
    by_task: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_task[vote.task].append(vote)
    agreed: list[bool] = []
    others: set[AnnotatorId] = set()
    for said in by_task.values():
        if len({vote.annotator for vote in said}) < said[0].overlap:
            continue  # a task that is not complete tells nobody what the others said
        for mine in said:
            if mine.annotator != annotator or mine.preferred is None:
                continue
            beside = [v for v in said if v.annotator != annotator and v.pair == mine.pair]
            wanted = _majority([vote.preferred for vote in beside])
            if wanted:
                agreed.append(wanted == [mine.preferred])
                others.update(vote.annotator for vote in beside)
    if len(agreed) < FEWEST_CHOICES:
        return None
    return AgreementWithOthers(value=sum(agreed) / len(agreed), others=len(others))


def _majority(preferred: Sequence[ResponseId | None]) -> list[ResponseId | None]:
    """What more than any other was preferred, None for a tie; empty when nothing was."""
    counted = Counter(preferred).most_common(2)
    if not counted or (len(counted) == 2 and counted[0][1] == counted[1][1]):
        return []
    return [counted[0][0]]
