"""Sides: which of two responses stands on the left, balanced for each annotator.

Two stand in the order of a fair coin, unless one order is ahead by the widest imbalance: then in
the other. This is the big stick design (Soares and Wu 1983): balanced, yet hardly to be guessed by
those who would like to know what stands on which side.

Outside of studies the order is that of the task. In a study it is that of the two policies, so that
every participant sees each of two policies on the left as often as on the right, but for the widest
imbalance. The sealed key is looked into for that; nothing of it leaves this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select

from storage import seats, tables
from storage.prepared import prepared
from storage.records import AnnotatorId, ProjectId, ResponseId, StudyId

WIDEST_IMBALANCE = 2
"""By how many an annotator may meet one order of two responses oftener than the other."""

_assignments, _studies = tables.assignments, tables.studies

Pair = tuple[str, ...]
"""Two policies in alphabetical order; empty for responses that are of none."""


@dataclass(slots=True, kw_only=True)
class Sides:
    """The orders that one annotator has met so far."""

    leans: Counter[Pair] = field(default_factory=Counter)
    """By how many the first of two policies was met on the left oftener than on the right; of
    responses that are of none, the task's order turned round oftener than not."""
    arms: Mapping[ResponseId, str] = field(default_factory=dict)

    @classmethod
    def in_study(
        cls, connection: Connection, annotator: AnnotatorId, project: ProjectId, study: StudyId
    ) -> Sides:
        """Read what a participant has met."""
        arms = _sealed_key(connection, study=study).scalar() or {}
        sides = cls(arms=arms)
        for row in _tossed(connection, annotator=annotator, project=project, study=study):
            pair = sides._pair(row.shown)
            ahead = arms[row.shown[0]] == pair[0] if pair else row.turned
            sides.leans[pair] += 1 if ahead else -1
        return sides

    def toss(self, responses: Sequence[ResponseId], rng: np.random.Generator) -> bool:
        """Whether two responses are shown in the turned order; it counts as met."""
        pair = self._pair(responses)
        lean = self.leans[pair]
        ahead = lean < 0 if abs(lean) >= WIDEST_IMBALANCE else bool(rng.integers(2))
        self.leans[pair] += 1 if ahead else -1
        stands_first = bool(pair) and self.arms[responses[0]] == pair[0]
        return ahead != stands_first

    def _pair(self, responses: Sequence[ResponseId]) -> Pair:
        arms = {self.arms[one] for one in responses if one in self.arms}
        return tuple(sorted(arms)) if len(arms) == len(responses) else ()


@prepared
def _sealed_key(study: Any) -> Select[Any]:
    return select(_studies.c.sealed_key).where(_studies.c.id == study)


@prepared
def _tossed(annotator: Any, project: Any, study: Any) -> Select[Any]:
    theirs = seats.given(annotator, project, study)
    return select(_assignments.c.shown, _assignments.c.turned).where(
        theirs, _assignments.c.turned.is_not(None)
    )
