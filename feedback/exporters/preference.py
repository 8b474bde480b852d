"""The preference export: what TRL's reward and DPO trainers read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.decided import Decided, decided
from feedback.exporters.parts import NOT_IN_PAIRS
from feedback.exporters.source import Source
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table, as_answer
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

COLUMNS: dict[str, Column] = {
    "prompt": MESSAGES,
    "chosen": MESSAGES,
    "rejected": MESSAGES,
    "margin": float,
    "strength": int,
    "annotator": str,
    "annotator_kind": str,
    "prompt_id": str,
    "chosen_id": str,
    "rejected_id": str,
}
MEANING = """\
One row is one comparison that was not a tie: `chosen` was preferred to `rejected` as an answer to
`prompt`, all three as messages. `strength` tells by how much, from 1 (slightly) to 3 (much); it is
null where only the direction was asked.
"""
_MARGIN = """
`margin` is the rating (1 to 7) of `chosen` minus that of `rejected` by the same annotator in the
same sitting, and null where they were not rated together. It is below 0 where ratings and choice
contradict each other. TRL adds it inside the loss and needs it in every row: leave out the rows
without it, or the column; or export the format `margin`, which has it in every row.
"""


def preference(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Comparisons as chosen and rejected.

    When there is no margin at all, the column is left out: TRL cannot do with one of nulls.
    """
    with_margin = source.is_rated() and any(
        one.rating_gap is not None for one in decided(source, Counter())
    )

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for one in decided(source, left_out):
            yield one.told.prompt.split, preference_row(one, margin=one.rating_gap)

    return Table(
        columns={name: kind for name, kind in COLUMNS.items() if with_margin or name != "margin"},
        meaning=MEANING + (_MARGIN if with_margin else ""),
        rows=rows,
        lacks=NOT_IN_PAIRS,
    )


def preference_row(one: Decided, *, margin: float | None) -> Row:
    """A comparison in the columns `COLUMNS`."""
    return {
        "prompt": one.told.prompt.messages,
        "chosen": as_answer(one.chosen.text),
        "rejected": as_answer(one.rejected.text),
        "margin": margin,
        "strength": one.strength,
        "annotator": one.told.judgement.annotator,
        "annotator_kind": str(one.told.judgement.kind),
        "prompt_id": one.told.prompt.id,
        "chosen_id": one.chosen.id,
        "rejected_id": one.rejected.id,
    }
