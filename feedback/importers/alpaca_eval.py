"""AlpacaEval's files: what models answered, and which of two answers a judge preferred.

Outputs are {instruction, output, generator}, not judged yet. Annotations are {instruction,
output_1, output_2, generator_1, generator_2, annotator, preference}, where a preference goes from 1
(the first is better) to 2 (the second); 1.5, and 0 in older files, is a tie. Weighted judges give
the probability in between, of which only the direction is kept. A judge that gave no answer leaves
no preference: the answers are kept, and the report says how many were not compared.
"""

from __future__ import annotations

from typing import Any

from feedback.importers.lines import Line
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    Candidate,
    JudgedByProgram,
    JudgedPrompt,
    PromptsConfig,
    candidate,
    kind_of,
    ranked,
)

_NO_PREFERENCE = "comparisons without a preference of the judge"


def read_output(config: PromptsConfig, line: Line) -> JudgedPrompt:  # noqa: ARG001
    """Read one line of outputs: an instruction and one answer."""
    return JudgedPrompt(
        messages=_instruction(line),
        responses=(_answer(line, "output", "generator"),),
        tags=_dataset(line),
        source=line.source(),
    )


def read_annotation(config: JudgedByProgram, line: Line) -> JudgedPrompt:
    """Read one line of annotations."""
    responses = (
        _answer(line, "output_1", "generator_1"),
        _answer(line, "output_2", "generator_2"),
    )
    preference = line.fields.get("preference")
    same = responses[0].text == responses[1].text
    ranks: dict[int, float] = {}
    if preference is not None and not same:
        second = line.number_of(preference, "'preference'") or 1.5
        if not 1 <= second <= 2:
            line.refuse(f"a preference goes from 1 to 2, or is 0 for a tie; got {second:g}.")
        # The nearer to 2, the better is the second.
        ranks = {0: second, 1: 3 - second}
    annotator = line.fields.get("annotator")
    return JudgedPrompt(
        messages=_instruction(line),
        responses=responses,
        verdicts=ranked(
            responses,
            ranks,
            annotator=line.name(annotator, "the annotator", default=UNKNOWN_ANNOTATOR),
            kind=kind_of(line, line.fields, config),
            sitting="preference",
        ),
        tags=_dataset(line),
        source=line.source(),
        skipped=int(same),
        left_out=(_NO_PREFERENCE,) if preference is None else (),
    )


def _instruction(line: Line) -> Any:
    text = line.text(line.fields.get("instruction"), "'instruction'")
    more = line.fields.get("input")
    return line.turns(f"{text}\n\n{more}" if isinstance(more, str) and more.strip() else text)


def _answer(line: Line, text: str, model: str) -> Candidate:
    fields = {"text": line.fields.get(text), "policy": line.fields.get(model)}
    return candidate(line, fields, f"'{text}'")


def _dataset(line: Line) -> tuple[str, ...]:
    name = line.fields.get("dataset")
    return () if name is None else (line.text(name, "'dataset'", longest=100),)
