"""The raw export: every judgement with everything that was kept about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.parts import Part
from feedback.exporters.source import Source, Told
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

_COLUMNS: dict[str, Column] = {
    "submission": str,
    "task": str,
    "assignment": str,
    "annotator": str,
    "annotator_kind": str,
    "prompt_id": str,
    "prompt": MESSAGES,
    "responses": [{"response_id": str, "text": str, "policy": str, "sampling": str}],
    "shown": [str],
    "comparisons": [{"left": str, "right": str, "choice": int, "graded": bool, "both_bad": bool}],
    "ratings": [{"response": str, "aspect": str, "value": float}],
    "probability": float,
    "active_seconds": float,
    "interface": str,
    "received": str,
    "purpose": str,
    "correct": bool,
    "comment": str,
    "contradiction": str,
    "retracted": str,
}
_LACKS = frozenset({Part.UNJUDGED, Part.TAGS, Part.SOURCES})
_MEANING = """\
One row is one submission: everything one annotator said of one task in one go. `shown` gives the
responses in the order on the screen, left to right, and `comparisons` and `ratings` name them by
id; `choice` goes from -3 (left much better) to 3 (right much better), or from -1 to 1 where
`graded` is false. `probability` is the chance with which the task was drawn among those open to the
annotator, `active_seconds` the time without idling, `received` the moment of arrival (UTC). What
was imported from a file has no task, order, probability or time.

Everything is here, also what no model learns from: `purpose` is feedback, or gold, attention or
qualification (the right answer is known, and `correct` says whether this was it) or repeat (the
same responses once more, in the opposite order). `retracted` is the moment when the annotator took
the answer back. `contradiction` says what came of the hint that choice and ratings disagree: meant
or changed. The judgements of annotators who are excluded from training are here, too.
"""


def raw(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Every submission."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:  # noqa: ARG001, nothing is
        for told in source.told(everything=True):
            yield told.prompt.split, _row(told)

    return Table(
        columns=_COLUMNS,
        meaning=_MEANING,
        rows=rows,
        lacks=_LACKS,
    )


def _row(told: Told) -> Row:
    said = told.judgement
    return {
        "submission": said.submission,
        "task": said.task,
        "assignment": said.assignment,
        "annotator": said.annotator,
        "annotator_kind": str(said.kind),
        "prompt_id": told.prompt.id,
        "prompt": told.prompt.messages,
        "responses": [
            {
                "response_id": response.id,
                "text": response.text,
                "policy": response.policy or None,
                "sampling": json.dumps(dict(response.sampling)) if response.sampling else None,
            }
            for response in told.responses.values()
        ],
        "shown": None if said.shown is None else list(said.shown),
        "comparisons": [
            {
                "left": comparison.left,
                "right": comparison.right,
                "choice": comparison.choice,
                "graded": comparison.graded,
                "both_bad": comparison.both_bad,
            }
            for comparison in said.comparisons
        ],
        "ratings": [
            {"response": rating.response, "aspect": rating.aspect, "value": rating.value}
            for rating in said.ratings
        ],
        "probability": said.probability,
        "active_seconds": said.active_seconds,
        "interface": said.interface,
        "received": said.received.isoformat(),
        "purpose": str(said.purpose),
        "correct": said.correct,
        "comment": said.comment or None,
        "contradiction": said.contradiction or None,
        "retracted": None if said.retracted is None else said.retracted.isoformat(),
    }
