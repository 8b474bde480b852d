"""UltraFeedback as it was published: an instruction, and completions that GPT-4 annotated.

A line is {instruction, source, completions: [{model, response, annotations: {aspect: {Rating,
Rationale}}, overall_score}]} (`openbmb/UltraFeedback`; Cui et al., 2024, arXiv:2310.01377). Ratings
of aspects go from 1 to 5 and are texts, "N/A" among them; `overall_score` goes from 1 to 10.
`fine-grained_score` is the mean of the aspects and says nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from feedback.importers.lines import Line
from feedback.importers.records import (
    JudgedByProgram,
    JudgedPrompt,
    Score,
    candidate,
    kind_of,
    score_on,
)

JUDGE = "gpt-4"
_ASPECT, _OVERALL = (1.0, 5.0), (1.0, 10.0)
_NOT_RATED = "ratings that are N/A"


def read_ultrafeedback(config: JudgedByProgram, line: Line) -> JudgedPrompt:
    """Read one line. The annotations of one completion were handed in together."""
    listed = line.objects(line.fields.get("completions"), "'completions'")
    responses = tuple(
        candidate(
            line,
            {
                "text": fields.get("response"),
                "policy": fields.get("model"),
                "sampling": _system(fields),
            },
            f"completion {place}",
        )
        for place, fields in enumerate(listed, start=1)
    )
    scores: list[Score] = []
    left_out: list[str] = []
    for place, fields in enumerate(listed):
        for aspect, value, scale in _ratings(line, fields):
            if value == "N/A":
                left_out.append(_NOT_RATED)
                continue
            scores.append(
                score_on(
                    line,
                    _number(value),
                    scale,
                    what=f"the {aspect} of completion {place + 1}",
                    response=place,
                    aspect=aspect,
                    annotator=JUDGE,
                    kind=kind_of(line, line.fields, config),
                    sitting=str(place),
                )
            )
    return JudgedPrompt(
        messages=line.turns(line.text(line.fields.get("instruction"), "'instruction'")),
        responses=responses,
        scores=tuple(scores),
        source=line.source(),
        left_out=tuple(left_out),
    )


def _system(fields: Mapping[str, Any]) -> Mapping[str, str]:
    """What the model was told before the instruction, which differs from answer to answer."""
    told = fields.get("custom_system_prompt")
    return {"system_prompt": told} if isinstance(told, str) else {}


def _ratings(
    line: Line, fields: Mapping[str, Any]
) -> Iterator[tuple[str, object, tuple[float, float]]]:
    annotations = fields.get("annotations") or {}
    if not isinstance(annotations, Mapping):
        line.refuse("'annotations' needs to be an object of aspects.")
    for aspect, said in annotations.items():
        if not isinstance(said, Mapping) or "Rating" not in said:
            line.refuse(f"the annotation {aspect!r} needs to be an object with a 'Rating'.")
        yield line.text(aspect, "an aspect", longest=100), said["Rating"], _ASPECT
    if "overall_score" in fields:
        yield "overall", fields["overall_score"], _OVERALL


def _number(value: object) -> object:
    """Ratings are published as texts."""
    if isinstance(value, str):
        with suppress(ValueError):  # refused by whoever reads the number
            return float(value)
    return value
