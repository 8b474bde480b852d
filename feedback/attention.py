"""Attention checks of a study: comparisons that say in words which answer to choose.

The instruction stands in the answer itself, not in "left" or "right": answers are shown in an order
drawn for each participant, and one below the other on a phone. A check is under one of the study's
own prompts and is given out like a vote, so that only its words tell what it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.errors import InvalidOption, TooLittleData
from storage.records import Prompt, Purpose, Response, ResponseId, StudyId, Task, TaskId

if TYPE_CHECKING:
    import numpy as np

_TEXTS = (
    (
        "Before the answer, one request. To show that you read what you compare, please choose",
        " this answer as the better one, whatever you think of it.",
        " the other answer as the better one, whatever you think of this one.",
    ),
    (
        (
            "There is more than one way to look at this. In this comparison only one thing counts:"
            " that you read it. Please say that"
        ),
        " this answer is better, and go on.",
        " the answer beside this one is better, and go on.",
    ),
    (
        (
            "Thank you for the question, which many people ask. Nothing follows here on purpose."
            " To tell us that somebody reads along, please prefer"
        ),
        " this answer to the other one.",
        " the other answer to this one.",
    ),
    (
        (
            "It depends on what matters to you. Today it matters that you read both answers to the"
            " end: if you did, please mark"
        ),
        " this one as the better of the two.",
        " the other one as the better of the two.",
    ),
    (
        (
            "A short answer is enough here. This comparison has no topic; it only asks you to pay"
            " attention. The right choice is"
        ),
        " this answer.",
        " the other answer.",
    ),
)
"""How both answers begin, and how the right and the wrong one end: nothing but reading tells them
apart."""

MOST_CHECKS = len(_TEXTS)


def attention_checks(
    prompts: Sequence[Prompt],
    *,
    study: StudyId,
    task_type: str,
    number: int,
    rng: np.random.Generator,
) -> tuple[list[Response], list[Task]]:
    """Make the attention checks that every participant of a study meets.

    Args:
        prompts: Of the study; each check stands under one of them, drawn without replacement.
        study: The study.
        task_type: That of the study's votes, one that asks which of two answers is better.
        number: How many.
        rng: Draws prompts, texts, and the order in which a task holds its answers.

    Raises:
        InvalidOption: More are asked for than there are texts.
        TooLittleData: More are asked for than there are prompts.
    """
    if not 0 <= number <= MOST_CHECKS:
        raise InvalidOption("attention_checks", f"it must lie between 0 and {MOST_CHECKS}", number)
    if number > len(prompts):
        raise TooLittleData(
            f"{number} attention checks need as many prompts; the study has {len(prompts)}."
        )
    responses: list[Response] = []
    tasks: list[Task] = []
    under = rng.permutation(len(prompts))[:number]
    for prompt, texts in zip(under, rng.permutation(MOST_CHECKS)[:number], strict=True):
        chosen = prompts[int(prompt)]
        beginning, *ends = _TEXTS[int(texts)]
        right, wrong = (_response(study, chosen, beginning + end) for end in ends)
        straight = bool(rng.integers(2))
        responses += [right, wrong]
        tasks.append(
            Task(
                id=TaskId(secrets.token_hex(8)),
                project=chosen.project,
                prompt=chosen.id,
                responses=(right.id, wrong.id) if straight else (wrong.id, right.id),
                type=task_type,
                overlap=1,
                study=study,
                purpose=Purpose.ATTENTION,
                expected={"better": "first" if straight else "second"},
            )
        )
    return responses, tasks


def _response(study: StudyId, prompt: Prompt, text: str) -> Response:
    # A random identifier, as all answers of a study have; the study's name keeps it out of what
    # people are asked to judge for training.
    checked = Response.of(prompt.id, text, sampling={"study": study})
    return Response(
        id=ResponseId(secrets.token_hex(8)),
        prompt=prompt.id,
        text=checked.text,
        sampling=checked.sampling,
    )
