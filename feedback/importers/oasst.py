"""Open Assistant's trees of messages: labels become ratings, ranks become comparisons.

A line of a file of trees is {message_tree_id, prompt: {text, role, labels, rank, replies: [...]}},
where a reply is a message with replies of its own (Köpf et al., 2023, arXiv:2304.07327). Wherever
assistants answered, the conversation so far is a prompt, and the replies are its responses.

A label is the mean of what several people said, from 0 to 1; `quality` is kept as a rating, or the
labels that the option names. `rank` is the place among the siblings, 0 the best, merged from the
rankings of several people; every two ranked siblings are a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from feedback.importers.lines import Line
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    Candidate,
    ImportConfig,
    JudgedPrompt,
    Score,
    candidate,
    kind_of,
    ranked,
    score_on,
)
from storage.records import Message

_ROLES: Mapping[str, Literal["user", "assistant"]] = {"prompter": "user", "assistant": "assistant"}
_SCALE = (0.0, 1.0)
DEEPEST = 200
"""Turns of a conversation; the trees have a dozen."""


class OasstConfig(ImportConfig):
    """Options of trees."""

    labels: str = Field(
        default="quality",
        min_length=1,
        max_length=500,
        description="Labels to keep as ratings, with commas between: quality, helpfulness,"
        " creativity, humor, toxicity, violence ...",
    )


def read_tree(config: OasstConfig, line: Line) -> list[JudgedPrompt]:
    """Read one line: a prompt for each message of a person that assistants replied to."""
    root = line.fields.get("prompt")
    if not isinstance(root, Mapping):
        line.refuse("'prompt' needs to be the first message of a tree, with its replies.")
    return list(_prompts(config, line, root, ()))


def _prompts(
    config: OasstConfig, line: Line, message: Mapping[str, Any], before: tuple[Message, ...]
) -> Iterator[JudgedPrompt]:
    if len(before) > DEEPEST:
        line.refuse(f"the tree is deeper than {DEEPEST} messages.")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        line.refuse(f"the role of a message is prompter or assistant; got {role!r}.")
    text = line.text(message.get("text"), "a message")
    said = (*before, Message(role=_ROLES[role], content=text))
    replies = line.objects(message.get("replies"), "'replies'")
    answers = [reply for reply in replies if reply.get("role") == "assistant"]
    if role == "prompter" and answers:
        yield _judged(config, line, message, said, answers)
    for reply in replies:
        if not reply.get("deleted"):
            yield from _prompts(config, line, reply, said)


def _judged(
    config: OasstConfig,
    line: Line,
    asked: Mapping[str, Any],
    said: tuple[Message, ...],
    answers: list[Mapping[str, Any]],
) -> JudgedPrompt:
    kept = [answer for answer in answers if not answer.get("deleted")]
    responses = tuple(_response(line, answer) for answer in kept)
    kind = kind_of(line, {}, config)
    ranks = {
        place: line.number_of(answer["rank"], "'rank'")
        for place, answer in enumerate(kept)
        if answer.get("rank") is not None
    }
    return JudgedPrompt(
        messages=line.turns(said),
        responses=responses,
        verdicts=ranked(
            responses, ranks, annotator=UNKNOWN_ANNOTATOR, kind=kind, sitting="ranking"
        ),
        scores=tuple(
            score
            for place, answer in enumerate(kept)
            for score in _scores(config, line, answer, place)
        ),
        tags=(line.text(asked["lang"], "'lang'", longest=100),) if asked.get("lang") else (),
        source=line.source(),
        left_out=("deleted replies",) * (len(answers) - len(kept)),
    )


def _response(line: Line, answer: Mapping[str, Any]) -> Candidate:
    fields = {"text": answer.get("text"), "policy": answer.get("model_name")}
    return candidate(line, fields, "a reply")


def _scores(
    config: OasstConfig, line: Line, answer: Mapping[str, Any], place: int
) -> Iterator[Score]:
    labels = answer.get("labels") or {}
    if not isinstance(labels, Mapping):
        line.refuse("'labels' needs to be an object of labels.")
    for name in dict.fromkeys(name.strip() for name in config.labels.split(",")):
        label = labels.get(name)
        if label is None:
            continue
        if not isinstance(label, Mapping):
            line.refuse(f"the label {name!r} needs to be an object with a 'value'.")
        yield score_on(
            line,
            label.get("value"),
            _SCALE,
            what=f"the label {name!r}",
            response=place,
            aspect=name,
            annotator=UNKNOWN_ANNOTATOR,
            kind=kind_of(line, {}, config),
            sitting=f"labels {place}",
        )
