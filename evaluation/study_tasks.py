"""The tasks of a study: which answers stand side by side, and which are too alike to ask about."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evaluation.study_plan import FEWEST_RANKED
from storage.errors import TooLittleData
from storage.records import Prompt, PromptId, Response, StudyId, Task, TaskId

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a study asks."""

    tasks: list[Task]
    identical: dict[Pair, list[PromptId]]
    """Prompts to which two arms gave the same answer, apart from space around it."""
    verdicts: int
    """Pairs of different answers, each of which every task's overlap gives so many verdicts on."""


def tasks_of(
    study: StudyId,
    arms: Mapping[str, Sequence[Response]],
    prompts: Sequence[Prompt],
    *,
    form: str,
    overlap: int,
    rng: np.random.Generator,
) -> Asked:
    """A task for each pair of different answers, or one for all different answers to a prompt.

    Where only two of the answers to rank are different, their task is a pair.

    Args:
        study: Whose tasks they are.
        arms: Each arm's responses, in the order of `prompts`.
        prompts: Stored in the project.
        form: One of `evaluation.study_plan.FORMS`.
        overlap: How many participants judge each task.
        rng: Draws the order in which a task holds its answers.

    Raises:
        TooLittleData: Two arms differ on fewer than two prompts.
    """
    identical = {pair: _identical(arms, prompts, pair) for pair in combinations(arms, 2)}
    verdicts = sum(len(prompts) - len(same) for same in identical.values())

    def task(prompt: Prompt, shown: Sequence[Response], kind: str) -> Task:
        order = rng.permutation(len(shown))
        return Task(
            id=TaskId(secrets.token_hex(8)),
            project=prompt.project,
            prompt=prompt.id,
            responses=tuple(shown[place].id for place in order),
            type=kind,
            overlap=overlap,
            study=study,
        )

    made = []
    if form == "ranking":
        for place, prompt in enumerate(prompts):
            shown: dict[str, Response] = {}
            for theirs in arms.values():
                shown.setdefault(theirs[place].text.strip(), theirs[place])
            if len(shown) > 1:
                kind = form if len(shown) >= FEWEST_RANKED else "pair"
                made.append(task(prompt, list(shown.values()), kind))
    else:
        for pair, same in identical.items():
            alike = set(same)
            for place, prompt in enumerate(prompts):
                if prompt.id not in alike:
                    made.append(task(prompt, [arms[arm][place] for arm in pair], form))
    return Asked(tasks=made, identical=identical, verdicts=verdicts)


def _identical(
    arms: Mapping[str, Sequence[Response]], prompts: Sequence[Prompt], pair: Pair
) -> list[PromptId]:
    both = zip(prompts, *(arms[arm] for arm in pair), strict=True)
    same = [prompt.id for prompt, one, other in both if one.text.strip() == other.text.strip()]
    different = len(prompts) - len(same)
    if different < 2:
        raise TooLittleData(
            f"{pair[0]} and {pair[1]} answer {different} of {len(prompts)} prompts differently;"
            " a study needs at least 2 such prompts."
        )
    return same


def standing_for(
    arms: Sequence[str], identical: Mapping[Pair, Sequence[PromptId]]
) -> dict[tuple[PromptId, str], list[str]]:
    """The arms that an answer in a ranking stands for: its own, and those that wrote the same.

    Args:
        arms: In the order of the study.
        identical: As in `Asked`.

    Returns:
        By prompt and by the first of the arms; what is not there stands for its own arm alone.
    """
    found: dict[tuple[PromptId, str], list[str]] = {}
    copies: set[tuple[PromptId, str]] = set()
    for arm, other in combinations(arms, 2):  # each arm's pairs together, the first arm's first
        for prompt in identical.get((arm, other), ()):
            if (prompt, arm) not in copies:
                found.setdefault((prompt, arm), [arm]).append(other)
                copies.add((prompt, other))
    return found
