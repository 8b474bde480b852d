"""The unpaired export: single responses marked good or bad, what TRL's KTO trainer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.parts import NOT_IN_LABELS
from feedback.exporters.source import Source, Told
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table, as_answer
from storage.records import ResponseId, Split

if TYPE_CHECKING:
    from storage.parquet import Column

GOOD, BAD = 5, 3
UNDECIDED = "responses that were neither good nor bad"

_COLUMNS: dict[str, Column] = {
    "prompt": MESSAGES,
    "completion": MESSAGES,
    "label": bool,
    "reason": str,
    "annotator": str,
    "annotator_kind": str,
    "prompt_id": str,
    "response_id": str,
}
_MEANING = f"""\
One row is one annotator's opinion of one response: `label` is true for good, false for bad.

The rule: where the annotator rated the response, the rating decides (`reason` is "rating"): {GOOD}
or more is good, {BAD} or less is bad, and what lies between is left out. Where there is no rating,
the comparison decides ("comparison"): the preferred response is good and the other bad, both are
bad when the annotator said so, and other ties are left out. A rating says how good a response is; a
comparison only says that it is better than another, which may be bad as well.
"""


def unpaired(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Responses with a verdict of their own."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for told in source.told():
            for response, label, reason in _opinions(told):
                if label is None:
                    left_out[UNDECIDED] += 1
                    continue
                yield (
                    told.prompt.split,
                    {
                        "prompt": told.prompt.messages,
                        "completion": as_answer(told.responses[response].text),
                        "label": label,
                        "reason": reason,
                        "annotator": told.judgement.annotator,
                        "annotator_kind": str(told.judgement.kind),
                        "prompt_id": told.prompt.id,
                        "response_id": response,
                    },
                )

    return Table(columns=_COLUMNS, meaning=_MEANING, rows=rows, lacks=NOT_IN_LABELS)


def _opinions(told: Told) -> Iterator[tuple[ResponseId, bool | None, str]]:
    """Each response a submission speaks of: good, bad or neither, and why."""
    for response in dict.fromkeys(rating.response for rating in told.judgement.ratings):
        value = told.rating(response)
        assert value is not None  # noqa: S101, the response comes from the ratings
        yield response, True if value >= GOOD else False if value <= BAD else None, "rating"
    for comparison in told.judgement.comparisons:
        for response in (comparison.left, comparison.right):
            if told.rating(response) is None:
                label = None if comparison.preferred is None else response == comparison.preferred
                yield response, False if comparison.both_bad else label, "comparison"
