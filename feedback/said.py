"""What people said, as columns of numbers: comparisons and ratings of one aspect.

Responses and annotators are numbered by their place in `responses` and `annotators`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidData
from storage.judgements import Judgement
from storage.records import HIGHEST_RATING, LOWEST_RATING, STRONGEST_CHOICE, Comparison, Kind
from storage.snapshots import ComparisonRow, RatingRow

OVERALL = "overall"


def _none() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Comparisons, each column of shape (C,), and ratings, each column of shape (R,)."""

    responses: tuple[str, ...]
    annotators: tuple[str, ...]
    left: NDArray[np.int64] = field(default_factory=_none)
    """Response that stood on the left."""
    right: NDArray[np.int64] = field(default_factory=_none)
    compared_by: NDArray[np.int64] = field(default_factory=_none)
    """Annotator."""
    choice: NDArray[np.int64] = field(default_factory=_none)
    """-3 left much better ... 0 tie ... +3 right much better."""
    graded: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """False where only the direction was asked, so that -1, 0 and 1 are the only choices."""
    rated: NDArray[np.int64] = field(default_factory=_none)
    """Response that was rated."""
    rated_by: NDArray[np.int64] = field(default_factory=_none)
    rating: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """From 1 to 7; imported scales may lie between whole numbers."""

    def __post_init__(self) -> None:
        compared = (self.left, self.right, self.compared_by, self.choice, self.graded)
        for columns in (compared, (self.rated, self.rated_by, self.rating)):
            if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
                shapes = [column.shape for column in columns]
                raise InvalidData(f"Columns that belong together differ in shape: {shapes}.")
        self._check_within("response", len(self.responses), self.left, self.right, self.rated)
        self._check_within("annotator", len(self.annotators), self.compared_by, self.rated_by)
        if (self.left == self.right).any():
            raise InvalidData("A response is compared with itself; leave such comparisons out.")
        if (np.abs(self.choice) > np.where(self.graded, STRONGEST_CHOICE, 1)).any():
            raise InvalidData(
                f"A graded choice lies between -{STRONGEST_CHOICE} and {STRONGEST_CHOICE}, any"
                f" other between -1 and 1; got {np.unique(self.choice).tolist()}."
            )
        inside = (self.rating >= LOWEST_RATING) & (self.rating <= HIGHEST_RATING)
        if not inside.all():
            raise InvalidData(
                f"Ratings lie between {LOWEST_RATING} and {HIGHEST_RATING};"
                f" got {self.rating[~inside][0]}."
            )

    def __len__(self) -> int:
        """How many judgements: comparisons and ratings."""
        return len(self.left) + len(self.rated)

    @staticmethod
    def _check_within(what: str, known: int, *columns: NDArray[np.int64]) -> None:
        for column in columns:
            if len(column) and not 0 <= column.min() <= column.max() < known:
                raise InvalidData(
                    f"There are {known} {what}s, numbered from 0; got {what}"
                    f" {column.min() if column.min() < 0 else column.max()}."
                )


def on_screen(judgement: Judgement) -> tuple[Comparison, ...]:
    """The comparisons of responses that were shown.

    Somebody who improved a response thereby prefers their own to those shown. That is worth
    learning from, but it is no judgement that measures the annotator.
    """
    shown = judgement.shown
    if shown is None:
        return judgement.comparisons
    return tuple(one for one in judgement.comparisons if one.left in shown and one.right in shown)


def said(judgements: Iterable[Judgement], *, aspect: str = OVERALL, programs: bool = False) -> Said:
    """The judgements of one aspect as columns.

    Args:
        judgements: In any order. What counts nowhere, such as a retracted one, is left out before.
        aspect: Of ratings. Choices are about the whole answer and go with "overall" alone.
        programs: Whether judges that are programs belong to the people measured.
    """
    counted = [one for one in judgements if programs or one.kind is not Kind.PROGRAM]
    return _columns(
        (
            (judgement.annotator, one.left, one.right, one.choice, one.graded)
            for judgement in counted
            for one in (on_screen(judgement) if aspect == OVERALL else ())
        ),
        (
            (judgement.annotator, rating.response, rating.value)
            for judgement in counted
            for rating in judgement.ratings
            if rating.aspect == aspect
        ),
    )


def said_in(
    comparisons: Iterable[ComparisonRow], ratings: Iterable[RatingRow], *, aspect: str = OVERALL
) -> Said:
    """Rows of a snapshot as columns: all of its comparisons, and the ratings of one aspect."""
    return _columns(
        ((one.annotator, one.left_id, one.right_id, one.choice, one.graded) for one in comparisons),
        ((one.annotator, one.response_id, one.value) for one in ratings if one.aspect == aspect),
    )


def _columns(
    comparisons: Iterable[tuple[str, str, str, int, bool]],
    ratings: Iterable[tuple[str, str, float]],
) -> Said:
    responses: dict[str, int] = {}
    annotators: dict[str, int] = {}

    def number(known: dict[str, int], name: str) -> int:
        return known.setdefault(name, len(known))

    compared = np.array(
        [
            (number(responses, left), number(responses, right), number(annotators, who), *choice)
            for who, left, right, *choice in comparisons
        ],
        dtype=np.int64,
    ).reshape(-1, 5)
    rated = np.array(
        [(number(responses, what), number(annotators, who), value) for who, what, value in ratings],
        dtype=np.float64,
    ).reshape(-1, 3)
    return Said(
        responses=tuple(responses),
        annotators=tuple(annotators),
        left=compared[:, 0],
        right=compared[:, 1],
        compared_by=compared[:, 2],
        choice=compared[:, 3],
        graded=compared[:, 4].astype(bool),
        rated=rated[:, 0].astype(np.int64),
        rated_by=rated[:, 1].astype(np.int64),
        rating=rated[:, 2],
    )
