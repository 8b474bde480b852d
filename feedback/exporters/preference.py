"""The preference export: what TRL's reward and DPO trainers read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.source import Source, Told
from feedback.exporters.table import MESSAGES, Row, Table, as_answer
from storage.records import Comparison, Split

if TYPE_CHECKING:
    from storage.parquet import Column

TIES = "ties"

_COLUMNS: dict[str, Column] = {
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
_MEANING = """\
One row is one comparison that was not a tie: `chosen` was preferred to `rejected` as an answer to
`prompt`, all three as messages. `strength` tells by how much, from 1 (slightly) to 3 (much); it is
null where only the direction was asked.
"""
_MARGIN = """
`margin` is the rating (1 to 7) of `chosen` minus that of `rejected` by the same annotator in the
same sitting, and null where they were not rated together. It is below 0 where ratings and choice
contradict each other. TRL adds it inside the loss and needs it in every row: leave out the rows
without it, or the column.
"""


def preference(source: Source) -> Table:
    """Comparisons as chosen and rejected.

    When there is no margin at all, the column is left out: TRL cannot do with one of nulls.
    """
    with_margin = any(
        _margin(told, comparison) is not None
        for told in source.told()
        for comparison in told.judgement.comparisons
    )

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for told in source.told():
            for comparison in told.judgement.comparisons:
                if comparison.preferred is None:
                    left_out[TIES] += 1
                else:
                    yield told.prompt.split, _row(told, comparison)

    return Table(
        columns={name: kind for name, kind in _COLUMNS.items() if with_margin or name != "margin"},
        meaning=_MEANING + (_MARGIN if with_margin else ""),
        rows=rows,
    )


def _row(told: Told, comparison: Comparison) -> Row:
    chosen, rejected = comparison.left, comparison.right
    if comparison.preferred == rejected:
        chosen, rejected = rejected, chosen
    return {
        "prompt": told.prompt.messages,
        "chosen": as_answer(told.responses[chosen].text),
        "rejected": as_answer(told.responses[rejected].text),
        "margin": _margin(told, comparison),
        "strength": abs(comparison.choice) if comparison.graded else None,
        "annotator": told.judgement.annotator,
        "annotator_kind": str(told.judgement.kind),
        "prompt_id": told.prompt.id,
        "chosen_id": chosen,
        "rejected_id": rejected,
    }


def _margin(told: Told, comparison: Comparison) -> float | None:
    """Rating of the preferred response minus that of the other, in points of the 1-7 scale."""
    left, right = told.rating(comparison.left), told.rating(comparison.right)
    if left is None or right is None or comparison.preferred is None:
        return None
    return left - right if comparison.preferred == comparison.left else right - left
