"""The plan of a study: everything its analysis rests on, frozen under a digest before any vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from storage.errors import InvalidData, InvalidOption
from storage.records import digest

Form = Literal["pair", "ranking", "pair_with_ratings"]
"""What a participant is asked at a time; each is the name of an entry of `feedback.tasks.TASKS`."""
FORMS: tuple[Form, ...] = get_args(Form)
WhenRevealing = Literal["flag", "redact", "refuse"]
"""What becomes of answers that tell who wrote them: shown as they are and counted, shown without
the name, or not opened at all."""

QUESTION = "Which answer is better?"
LONGEST_QUESTION = 200
FEWEST_RANKED, MOST_RANKED = 3, 8

TIES = "half a win for each; identical answers are not asked about and count as ties"
INTERVAL = (
    "Student's t on standard errors clustered by prompt, and by participant too from 8 participants"
    " on, read once, at the end; before that, a confidence sequence that holds at any look"
)
CORRECTION = (
    "p-values of several pairs of arms by Holm's way; the study asks about its first two arms, and"
    " each further pair has an interval of its own"
)
STOPPING = (
    "when every task has been judged as often as `overlap` says; or earlier, and then the interval"
    " is the one that holds at any look"
)
EXCLUSIONS = (
    "votes that were taken back; where people voted, votes of programs, which stand beside; who"
    " failed attention checks, as `participation` says"
)
RATINGS = "means from 1 to 7 with intervals clustered by prompt; they are no part of a win rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDesign:
    """What a result says of how the study was set up."""

    question: str
    form: Form
    digest: str
    """Of the plan, SHA-256."""
    without_start: str
    """Why the start of a policy takes no part; empty where it does or is not known."""
    revealing: Mapping[str, Any]
    """{"rule", "answers": {arm: how many told who wrote them}, "prompts": how many of them}."""


def check_design(question: str, form: str, arms: int) -> None:
    """Refuse a question or a form of task that cannot be put to people.

    Raises:
        InvalidOption: The question is empty, long or of several lines, or the form does not fit
            the number of arms.
    """
    if not question.strip() or not question.isprintable() or len(question) > LONGEST_QUESTION:
        raise InvalidOption(
            "question", f"it needs one line of 1 to {LONGEST_QUESTION} characters", question
        )
    if form not in FORMS:
        raise InvalidOption("form", f"it is one of {', '.join(FORMS)}", form)
    if form == "ranking" and not FEWEST_RANKED <= arms <= MOST_RANKED:
        raise InvalidOption(
            "form",
            f"a ranking puts {FEWEST_RANKED} to {MOST_RANKED} arms in order and this study has"
            f" {arms}; ask for pairs",
            form,
        )


def frozen(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The plan with its digest, after which nothing in it can change unseen."""
    return {**plan, "digest": plan_digest(plan)}


def plan_digest(plan: Mapping[str, Any]) -> str:
    """SHA-256 of everything in a plan but the digest itself, as 64 hexadecimal digits."""
    return digest({name: part for name, part in plan.items() if name != "digest"}, length=64)


def design_of(plan: Mapping[str, Any]) -> StudyDesign:
    """What a plan says of the design, after a look that it is the one that was frozen.

    Raises:
        InvalidData: It was changed after the study was opened.
    """
    found = plan_digest(plan)
    if plan.get("digest", found) != found:  # the first studies have none
        raise InvalidData(
            f"The plan of this study was changed after it was opened: its digest is {found} and"
            f" was {plan['digest']}. No result can be read by it; restore the database."
        )
    revealing = plan.get("revealing", {"rule": "flag", "answers": {}, "prompts": []})
    return StudyDesign(
        question=plan.get("question", QUESTION),
        form=plan.get("form", "pair"),
        digest=found,
        without_start=plan.get("without_start", ""),
        revealing={**revealing, "prompts": len(revealing["prompts"])},
    )


def own_question(plan: Mapping[str, Any]) -> str:
    """What a study asks in words of its own; empty for the usual question, which is translated."""
    asked = str(plan.get("question", QUESTION))
    return "" if asked == QUESTION else asked
