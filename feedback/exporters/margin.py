"""The margin export: TRL's preference rows, each with the margin that its reward trainer asks for.

`trl.RewardTrainer` takes the margin m off the difference of rewards, -log sigmoid(r_c - r_r - m),
and reads it from every row or from none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from feedback.exporters.decided import Decided, decided
from feedback.exporters.parts import NOT_IN_PAIRS
from feedback.exporters.preference import COLUMNS, MEANING, preference_row
from feedback.exporters.source import Source
from feedback.exporters.table import ExportConfig, Row, Table
from storage.records import Split

UNGRADED = "comparisons of which only the direction is known"
UNRATED = "comparisons whose answers were not both rated in the same sitting"
CONTRADICTING = "comparisons that the ratings of the same sitting contradict"

_CHOICE = """
`margin` is the grade of the choice: 1 slightly better, 2 better, 3 much better, as the large
margins of Llama 2 (Touvron et al., 2023, arXiv:2307.09288, table 27). Comparisons of which only the
direction is known have no grade and are left out.
"""
_RATINGS = """
`margin` is the rating (1 to 7) of `chosen` minus that of `rejected`, both by the same annotator in
the same sitting, each the mean over its aspects: 0 to 6. Comparisons whose answers were not both
rated then are left out, and so are those where the rejected answer was rated higher.
"""


class MarginConfig(ExportConfig):
    """Options of the margin format."""

    of: Literal["choice", "ratings"] = Field(
        default="choice",
        description="What the margin is made of: the grade of the choice (1 to 3), or the"
        " difference of the two ratings (0 to 6).",
    )


def margin(config: MarginConfig, source: Source) -> Table:
    """Comparisons that have a margin."""
    margin_of = _grade if config.of == "choice" else _gap

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for one in decided(source, left_out):
            found = margin_of(one)
            if isinstance(found, str):
                left_out[found] += 1
            else:
                yield one.told.prompt.split, preference_row(one, margin=found)

    return Table(
        columns=COLUMNS,
        meaning=MEANING + (_CHOICE if config.of == "choice" else _RATINGS),
        rows=rows,
        lacks=NOT_IN_PAIRS,
    )


def _grade(one: Decided) -> float | str:
    """The margin, or why there is none."""
    return UNGRADED if one.strength is None else float(one.strength)


def _gap(one: Decided) -> float | str:
    if one.rating_gap is None:
        return UNRATED
    return CONTRADICTING if one.rating_gap < 0 else one.rating_gap
