"""The unpaired format: {prompt, completion, label}, as TRL's KTO trainer reads it.

`completion` is a text or a list of one assistant message. A label says that an answer is good or
not, which is kept as a rating of 1 or 0 on a scale from 0 to 1: it becomes 7 or 1. Nothing detects
the format, because only a person can say that the labels may count as ratings.
"""

from __future__ import annotations

from feedback.importers.demonstrations import completion
from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    ImportConfig,
    JudgedPrompt,
    candidate,
    kind_of,
    score_on,
)


def read_unpaired(config: ImportConfig, line: Line) -> JudgedPrompt:
    """Read one line."""
    fields = line.fields
    label = fields.get("label")
    if label not in (True, False):
        line.refuse(f"'label' is true or false; got {shown(label)}.")
    response = candidate(line, {**fields, "text": completion(line)}, "the completion")
    annotator = line.name(fields.get("annotator"), "the annotator", default=UNKNOWN_ANNOTATOR)
    score = score_on(
        line,
        int(label),
        (0, 1),
        what="'label'",
        response=0,
        aspect="overall",
        annotator=annotator,
        kind=kind_of(line, fields, config),
    )
    return JudgedPrompt(
        messages=line.messages(),
        responses=(response,),
        scores=(score,),
        tags=line.tags(),
        source=line.source(),
    )
