"""LMFlow's files: {"type": ..., "instances": [...]}, one object around a list.

Read are `paired_conversation` ({chosen: {system, messages}, rejected}; LMFlow's own examples write
the two as lists of messages, too), `paired_text_to_text` ({prompt, chosen, rejected}),
`text_to_scored_textlist` ({input, output: [{score, text}]}; the higher score is the better answer)
and `text2text` ({input, output}, which nobody judged). Files for its reward models have {positive,
negative} instead: transcripts with "###Human:" and "###Assistant:", which share their beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from feedback.importers.lines import Line, shown
from feedback.importers.pairs import read_pair
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    ImportConfig,
    JudgedPrompt,
    PairsConfig,
    candidate,
    kind_of,
    ranked,
)
from feedback.importers.transcripts import transcript
from storage.records import Message

_SPEAKER = r"###\s*(Human|Assistant):"
_TYPES = ("paired_conversation", "paired_text_to_text", "text_to_scored_textlist", "text2text")


def read_instance(config: ImportConfig, line: Line) -> JudgedPrompt:
    """Read one instance."""
    fields, kind = line.fields, line.around.get("type")
    if "positive" in fields or "negative" in fields:
        sides = {
            ours: _transcript(line, theirs)
            for ours, theirs in (("chosen", "positive"), ("rejected", "negative"))
        }
        return _pair(config, line, sides)
    if "chosen" in fields or "rejected" in fields:
        return _pair(
            config, line, {name: _side(fields.get(name)) for name in ("chosen", "rejected")}
        )
    if kind == "text_to_scored_textlist":
        return _scored(config, line)
    if kind == "text2text":
        answer = candidate(line, {"text": fields.get("output")}, "'output'")
        return JudgedPrompt(messages=_input(line), responses=(answer,), source=line.source())
    return line.refuse(
        f"LMFlow's type {shown(kind)} holds no responses to judge; read are {', '.join(_TYPES)},"
        " and instances with positive and negative."
    )


def _pair(config: ImportConfig, line: Line, sides: Mapping[str, Any]) -> JudgedPrompt:
    fields = {**line.fields, **sides}
    return read_pair(
        PairsConfig(annotator_kind=config.annotator_kind), replace(line, fields=fields)
    )


def _side(said: Any) -> Any:
    """One of two conversations as messages; a text as it is."""
    if not isinstance(said, Mapping):
        return said
    system = said.get("system")
    messages = said.get("messages")
    if isinstance(messages, list) and system:
        return [{"role": "system", "content": system}, *messages]
    return messages


def _transcript(line: Line, name: str) -> list[Message]:
    turns = transcript(line.text(line.fields.get(name), f"'{name}'"), _SPEAKER)
    if not turns:
        line.refuse(f"'{name}' needs the turns of a conversation after '###Human:' ...")
    return list(turns)


def _input(line: Line) -> Any:
    return line.turns(line.text(line.fields.get("input"), "'input'"))


def _scored(config: ImportConfig, line: Line) -> JudgedPrompt:
    listed = line.objects(line.fields.get("output"), "'output'")
    if len(listed) < 2:
        line.refuse("'output' needs two answers or more, each with score and text.")
    responses = tuple(
        candidate(line, {"text": one.get("text")}, f"answer {place}")
        for place, one in enumerate(listed, start=1)
    )
    scores = {
        place: -line.number_of(one.get("score"), f"the score of answer {place + 1}")
        for place, one in enumerate(listed)
    }
    verdicts = ranked(
        responses,
        scores,
        annotator=UNKNOWN_ANNOTATOR,
        kind=kind_of(line, line.fields, config),
        sitting="scores",
    )
    return JudgedPrompt(
        messages=_input(line),
        responses=responses,
        verdicts=verdicts,
        source=line.source(),
        dependent=len(verdicts),
    )
