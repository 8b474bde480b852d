"""Label Studio's JSON export of pairwise tasks: {data, annotations: [{result, completed_by}]}.

A task of the templates with `<Pairwise name="..." toName="answer1,answer2"/>` has the texts in
`data`, and in each annotation one result of the type `pairwise` with `selected` left or right. A
result without a selection says that both are equal. What was cancelled is left out and counted.

An export does not say which field of `data` a tag shows. Where the tags of `to_name` are called
otherwise, the options `left` and `right` name the fields; `prompt` names the prompt's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    ImportConfig,
    JudgedPrompt,
    Verdict,
    candidate,
    kind_of,
)

_CHOICES = {"left": -1, "right": 1, None: 0}
_CANCELLED = "annotations that were cancelled"
_OTHER = "results that are not pairwise"


class LabelStudioConfig(ImportConfig):
    """Options of Label Studio's export."""

    prompt: str = Field(
        default="prompt", min_length=1, max_length=100, description="Field of the prompt."
    )
    left: str = Field(
        default="", max_length=100, description="Field of the left response, if the tag's is not."
    )
    right: str = Field(
        default="", max_length=100, description="Field of the right response, if the tag's is not."
    )


def read_task(config: LabelStudioConfig, line: Line) -> JudgedPrompt:
    """Read one task with all its annotations."""
    data = line.fields.get("data")
    if not isinstance(data, Mapping):
        line.refuse(f"'data' needs to be an object of texts; got {shown(data)}.")
    annotations = line.objects(line.fields.get("annotations"), "'annotations'")
    kept = [one for one in annotations if not one.get("was_cancelled")]
    results = [(one, result) for one in kept for result in _results(line, one)]
    pairwise = [(one, result) for one, result in results if result.get("type") == "pairwise"]
    left, right = _sides(config, line, data, [result for _, result in pairwise])
    responses = tuple(candidate(line, {"text": data[name]}, f"'{name}'") for name in (left, right))
    same = responses[0].text == responses[1].text
    prompt = data.get(config.prompt)
    if prompt is None:
        line.refuse(
            f"the task has no field {config.prompt!r} with the prompt; its fields are"
            f" {', '.join(data)}. Name it with the option prompt."
        )
    return JudgedPrompt(
        messages=line.turns(prompt),
        responses=responses,
        verdicts=()
        if same
        else tuple(_verdict(config, line, one, result) for one, result in pairwise),
        source=line.source(),
        skipped=len(pairwise) if same else 0,
        left_out=(_CANCELLED,) * (len(annotations) - len(kept))
        + (_OTHER,) * (len(results) - len(pairwise)),
    )


def _results(line: Line, annotation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from line.objects(annotation.get("result"), "'result'")


def _sides(
    config: LabelStudioConfig, line: Line, data: Mapping[str, Any], results: list[Mapping[str, Any]]
) -> tuple[str, str]:
    """The fields of the two responses: named by the options, else by the tags compared."""
    shown_in = {str(result.get("to_name")) for result in results}
    tags = next(iter(shown_in)).split(",") if len(shown_in) == 1 else []
    found = (
        (config.left or (tags[0] if len(tags) == 2 else "")),
        (config.right or (tags[1] if len(tags) == 2 else "")),
    )
    if not all(name in data for name in found):
        line.refuse(
            f"which fields hold the two responses cannot be told; the task's fields are"
            f" {', '.join(data)}. Name them with the options left and right."
        )
    return found


def _verdict(
    config: LabelStudioConfig, line: Line, annotation: Mapping[str, Any], result: Mapping[str, Any]
) -> Verdict:
    value = result.get("value")
    selected = value.get("selected") if isinstance(value, Mapping) else None
    if selected not in _CHOICES:
        line.refuse(f"'selected' is left or right; got {shown(selected)}.")
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        # The id, not the e-mail address that stands beside it.
        who = who.get("id")
    return Verdict(
        left=0,
        right=1,
        choice=_CHOICES[selected],
        annotator=line.name(
            None if who is None else str(who), "'completed_by'", default=UNKNOWN_ANNOTATOR
        ),
        kind=kind_of(line, annotation, config),
    )
