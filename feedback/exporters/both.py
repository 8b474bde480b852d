"""The both export: our own line format, which the importers read back without loss."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from feedback.exporters.parts import Part
from feedback.exporters.source import PromptFile, Source
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table
from storage.records import HIGHEST_RATING, LOWEST_RATING, Comparison, ResponseId, Split

if TYPE_CHECKING:
    from storage.parquet import Column

UNANSWERED = "prompts without responses"

_WHO: dict[str, Column] = {"annotator": str, "annotator_kind": str, "submission": str}
_COLUMNS: dict[str, Column] = {
    "prompt": MESSAGES,
    "tags": [str],
    "source": str,
    "responses": [
        {
            "rid": str,
            "text": str,
            "policy": str,
            "sampling": str,
            "ratings": [
                {"aspect": str, "rating": float, "scale_min": int, "scale_max": int, **_WHO}
            ],
        }
    ],
    "preferences": [
        {
            "a": str,
            "b": str,
            "winner": str,
            "choice": int,
            "graded": bool,
            "both_bad": bool,
            **_WHO,
        }
    ],
}
_LACKS = frozenset({Part.COMMENTS, Part.CIRCUMSTANCES})
_MEANING = """\
One row is one prompt with all its responses and all that was said of them. `ratings` go from 1 to
7. A preference names two responses by `rid`: `a` stood left and `b` right. `winner` is a, b or tie,
and `choice` goes from -3 (a much better) to 3 (b much better), or from -1 to 1 where `graded` is
false. Judgements with the same `submission` were handed in together. `sampling` holds the settings
a response was sampled with, as JSON. `tandem import` reads these files back.
"""


def both(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Every prompt that has responses, judged or not."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for file in source.prompt_files():
            if not file.responses:
                left_out[UNANSWERED] += 1
            else:
                yield file.prompt.split, _row(file)

    return Table(
        columns=_COLUMNS,
        meaning=_MEANING,
        rows=rows,
        lacks=_LACKS,
    )


def _row(file: PromptFile) -> Row:
    ratings: dict[ResponseId, list[Row]] = {response.id: [] for response in file.responses}
    preferences: list[Row] = []
    for judgement in file.judgements:
        who = {
            "annotator": judgement.annotator,
            "annotator_kind": str(judgement.kind),
            "submission": judgement.submission,
        }
        for rating in judgement.ratings:
            scale = {"scale_min": LOWEST_RATING, "scale_max": HIGHEST_RATING}
            ratings[rating.response].append(
                {"aspect": rating.aspect, "rating": rating.value, **scale, **who}
            )
        preferences += [_preference(comparison) | who for comparison in judgement.comparisons]
    return {
        "prompt": file.prompt.messages,
        "tags": list(file.prompt.tags),
        "source": file.prompt.source or None,
        "responses": [
            {
                "rid": response.id,
                "text": response.text,
                "policy": response.policy or None,
                "sampling": json.dumps(dict(response.sampling)) if response.sampling else None,
                "ratings": ratings[response.id],
            }
            for response in file.responses
        ],
        "preferences": preferences,
    }


def _preference(comparison: Comparison) -> dict[str, Any]:
    winner = {comparison.left: "a", comparison.right: "b", None: "tie"}[comparison.preferred]
    return {
        "a": comparison.left,
        "b": comparison.right,
        "winner": winner,
        "choice": comparison.choice,
        "graded": comparison.graded,
        "both_bad": comparison.both_bad,
    }
