"""Argilla's export files, without a server: records with fields and what people answered.

Read are the files of `dataset.records.to_json` and `to_disk` ({fields, responses: {question:
[{value, user_id}]}}), the rows of `to_datasets` and `to_list(flatten=True)` (`question.responses`,
`question.responses.users`, `question.responses.status`), and the rows of Argilla 1's feedback data
sets (a column of {user_id, value, status} for each question).

A ranking of fields becomes comparisons: the fields are named as its options, as in the user study
of Khan's thesis. Argilla 2 writes a ranking as the options in order, without ranks, so ties are
lost in its files. A label that names one of two fields is a comparison. A number is a rating of the
response that the question's name speaks of, on the scale of the options `scale_min` and
`scale_max`, which no export says. Drafts and discarded answers are left out where their status is
written; `to_json` does not write it. What is left out is counted, by question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    ImportConfig,
    JudgedPrompt,
    Score,
    Verdict,
    candidate,
    kind_of,
    ranked,
    score_on,
)

_PROMPTS = ("prompt", "instruction", "question", "query", "chat")
_RESPONSES = ("response", "reply", "answer", "completion", "output", "generation")


class ArgillaConfig(ImportConfig):
    """Options of Argilla's files."""

    prompt: str = Field(
        default="",
        max_length=100,
        description=f"Field of the prompt; the first of {', '.join(_PROMPTS)} when left out.",
    )
    responses: str = Field(
        default="",
        max_length=500,
        description="Fields of the responses, with commas between; those that begin with"
        f" {', '.join(_RESPONSES)} when left out.",
    )
    scale_min: float | None = Field(
        default=None, allow_inf_nan=False, description="The lowest rating that could be given."
    )
    scale_max: float | None = Field(
        default=None, allow_inf_nan=False, description="The highest rating that could be given."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person answered to one question."""

    question: str
    value: Any
    user: str
    status: str


def read_record(config: ArgillaConfig, line: Line) -> JudgedPrompt:
    """Read one record."""
    fields, answers = parts(line)
    prompt = config.prompt or next((name for name in _PROMPTS if name in fields), "")
    if prompt not in fields:
        line.refuse(
            f"which field is the prompt cannot be told; there are {', '.join(fields)}."
            " Name it with the option prompt."
        )
    names = [name.strip() for name in config.responses.split(",") if name.strip()] or [
        name for name in fields if name != prompt and name.lower().startswith(_RESPONSES)
    ]
    if not names or not all(name in fields for name in names):
        line.refuse(
            f"which fields are the responses cannot be told; there are {', '.join(fields)}."
            " Name them with the option responses."
        )
    responses = tuple(candidate(line, {"text": fields[name]}, f"'{name}'") for name in names)
    verdicts: list[Verdict] = []
    scores: list[Score] = []
    left_out: list[str] = []
    kind = kind_of(line, {}, config)
    for number, answer in enumerate(answers):
        who = line.text(answer.user, "'user_id'", longest=100)
        ranks = _ranks(line, answer.value, names)
        rated = _rated(answer, names)
        if answer.status not in ("submitted", ""):
            left_out.append(f"answers that were {answer.status}")
        elif ranks is not None:
            verdicts += ranked(
                responses, ranks, annotator=who, kind=kind, sitting=f"answer {number}"
            )
        elif rated is None:
            left_out.append(f"answers to {answer.question!r}, which are no judgement")
        elif config.scale_min is None or config.scale_max is None:
            left_out.append("ratings whose scale is not given (options scale_min and scale_max)")
        else:
            place, aspect = rated
            scale = (config.scale_min, config.scale_max)
            what = f"the answer to {answer.question!r}"
            scores.append(
                score_on(
                    line,
                    answer.value,
                    scale,
                    what=what,
                    response=place,
                    aspect=aspect,
                    annotator=who,
                    kind=kind,
                )
            )
    return JudgedPrompt(
        messages=line.turns(fields[prompt]),
        responses=responses,
        verdicts=tuple(verdicts),
        scores=tuple(scores),
        source=line.source(),
        left_out=tuple(left_out),
    )


def parts(line: Line) -> tuple[Mapping[str, Any], list[Answer]]:
    """The texts of a record, and the answers to its questions, however it is written.

    Raises:
        InvalidData: The line is not written as Argilla writes it.
    """
    fields = line.fields
    nested, said = fields.get("fields"), fields.get("responses")
    if isinstance(nested, Mapping):
        if said is not None and not isinstance(said, Mapping):
            line.refuse(f"'responses' needs to be an object of questions; got {shown(said)}.")
        return nested, [
            answer for name, given in (said or {}).items() for answer in _given(line, name, given)
        ]
    answers = [answer for name in fields for answer in _flat(line, name)]
    asked = {answer.question for answer in answers}
    return {name: value for name, value in fields.items() if name not in asked}, answers


def _flat(line: Line, name: str) -> Iterator[Answer]:
    """The answers in a column, if it is one of answers."""
    column = line.fields[name]
    if name.endswith(".responses") and isinstance(column, list):
        users = line.fields.get(f"{name}.users") or [UNKNOWN_ANNOTATOR] * len(column)
        status = line.fields.get(f"{name}.status") or [""] * len(column)
        if not len(column) == len(users) == len(status):
            line.refuse(f"{name!r} needs one user and one status for each answer.")
        for value, user, state in zip(column, users, status, strict=True):
            question = name.removesuffix(".responses")
            yield Answer(question=question, value=value, user=str(user), status=str(state or ""))
    elif (
        isinstance(column, list)
        and column
        and all(isinstance(one, Mapping) and {"user_id", "value"} <= one.keys() for one in column)
    ):
        yield from _given(line, name, column)


def _given(line: Line, question: str, given: object) -> Iterator[Answer]:
    for one in line.objects(given, f"the answers to {question!r}"):
        yield Answer(
            question=question,
            value=one.get("value"),
            user=str(one.get("user_id", UNKNOWN_ANNOTATOR)),
            status=str(one.get("status", "")),
        )


def _ranks(line: Line, value: Any, names: list[str]) -> dict[int, float] | None:
    """Rank of each response, where the answer ranks them or names the better of two."""
    if isinstance(value, Mapping) and isinstance(value.get("value"), list):
        value = [
            {"value": option, "rank": rank}
            for option, rank in zip(value["value"], value.get("rank") or [], strict=False)
        ]
    if isinstance(value, str) and value in names and len(names) == 2:
        return {place: float(name != value) for place, name in enumerate(names)}
    if not isinstance(value, list) or not value:
        return None
    options = [one.get("value") if isinstance(one, Mapping) else one for one in value]
    if not all(option in names for option in options):
        return None
    if len(set(options)) < len(options):
        line.refuse(f"a ranking names each response once; got {shown(options)}.")
    given = [one.get("rank") if isinstance(one, Mapping) else None for one in value]
    if all(rank is None for rank in given):
        given = list(range(1, len(options) + 1))
    return {
        names.index(str(option)): line.number_of(rank, "a rank")
        for option, rank in zip(options, given, strict=True)
    }


def _rated(answer: Answer, names: list[str]) -> tuple[int, str] | None:
    """The response that a rating is of, and in which aspect, by the name of the question."""
    if isinstance(answer.value, bool) or not isinstance(answer.value, int | float):
        return None
    places = [place for place, name in enumerate(names) if name in answer.question]
    if len(names) == 1 and not places:
        return 0, answer.question
    if len(places) != 1:
        return None
    rest = answer.question.replace(names[places[0]], "").strip(" -_.:")
    return places[0], rest or "overall"
