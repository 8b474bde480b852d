"""The ratings export: one rating a row, as the ratings format of the importers reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.parts import NOT_IN_RATINGS
from feedback.exporters.source import Source
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table
from storage.records import HIGHEST_RATING, LOWEST_RATING, Split

if TYPE_CHECKING:
    from storage.parquet import Column

_COLUMNS: dict[str, Column] = {
    "prompt": MESSAGES,
    "response": str,
    "rating": float,
    "scale_min": int,
    "scale_max": int,
    "aspect": str,
    "policy": str,
    "annotator": str,
    "annotator_kind": str,
    "prompt_id": str,
    "response_id": str,
}
_MEANING = """\
One row is one rating of one response, from 1 (worst) to 7 (best). Imported ratings were mapped to
this scale and may lie between whole numbers. `policy` is what wrote the response, if known.
"""


def ratings(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Every rating."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:  # noqa: ARG001, nothing is
        for told in source.told():
            for rating in told.judgement.ratings:
                response = told.responses[rating.response]
                yield (
                    told.prompt.split,
                    {
                        "prompt": told.prompt.messages,
                        "response": response.text,
                        "rating": rating.value,
                        "scale_min": LOWEST_RATING,
                        "scale_max": HIGHEST_RATING,
                        "aspect": rating.aspect,
                        "policy": response.policy or None,
                        "annotator": told.judgement.annotator,
                        "annotator_kind": str(told.judgement.kind),
                        "prompt_id": told.prompt.id,
                        "response_id": response.id,
                    },
                )

    return Table(columns=_COLUMNS, meaning=_MEANING, rows=rows, lacks=NOT_IN_RATINGS)
