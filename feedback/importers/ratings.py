"""The ratings format: {prompt, response, rating, scale_min, scale_max, aspect?, annotator?}.

Where they are there, the `model` that wrote the response and the `tags`, `kind` or `subset` of the
prompt are kept too.
"""

from __future__ import annotations

from feedback.importers.lines import Line
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    JudgedPrompt,
    RatingsConfig,
    Score,
    candidate,
    kind_of,
    rating_from_1_to_7,
)


def read_rating(config: RatingsConfig, line: Line) -> JudgedPrompt:
    """Read one line: one rating of one response, mapped to 1-7 (see `rating_from_1_to_7`)."""
    fields = line.fields
    response = candidate(line, {**fields, "text": fields.get("response")}, "the response")
    value, scale = rating_from_1_to_7(line, fields, config)
    return JudgedPrompt(
        messages=line.messages(),
        responses=(response,),
        scores=(
            Score(
                response=0,
                aspect=line.name(fields.get("aspect"), "the aspect", default="overall"),
                value=value,
                scale=scale,
                annotator=line.name(
                    fields.get("annotator"), "the annotator", default=UNKNOWN_ANNOTATOR
                ),
                kind=kind_of(line, fields, config),
            ),
        ),
        tags=line.tags(),
        source=line.source(),
    )
