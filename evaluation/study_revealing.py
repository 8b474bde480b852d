"""What a study does about answers that tell who wrote them, and how much they change its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.compared_arms import Pair, StudyVote, about_pair, ballots_of
from evaluation.intervals import Estimate
from evaluation.revealing import REDACTED, mentions, redacted
from evaluation.statistics import win_rate
from evaluation.study_plan import WhenRevealing
from storage.errors import InvalidData
from storage.records import Prompt

MATTERS = 0.02
"""A win rate that moves by this much, a fraction, is worth a sentence."""
MOST_QUOTED = 3


def shown_answers(
    arms: Mapping[str, Sequence[str]], prompts: Sequence[Prompt], *, rule: WhenRevealing
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The answers as participants will see them, and what the plan keeps of those that reveal.

    Args:
        arms: Each arm's answers, in the order of `prompts`.
        prompts: What they answer.
        rule: `redact` takes the names out; with `flag` nothing is changed.

    Returns:
        The answers by arm, and {"rule", "answers": {arm: how many reveal}, "prompts": [id, ...]},
        for `redact` with "replaced_by".

    Raises:
        InvalidData: There are some and the rule is `refuse`; says how many and quotes the first.
    """
    shown: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    concerned: set[str] = set()
    quoted = []
    for arm, answers in arms.items():
        shown[arm] = []
        for prompt, answer in zip(prompts, answers, strict=True):
            asked = "\n".join(turn["content"] for turn in prompt.messages)
            found = mentions(answer, arms=arms, prompt=asked)
            shown[arm].append(redacted(answer, found) if rule == "redact" else answer)
            if found:
                counts[arm] = counts.get(arm, 0) + 1
                concerned.add(prompt.id)
                quoted.append(f"{arm} says {found[0].name!r} to {asked[:60]!r}")
    if quoted and rule == "refuse":
        raise InvalidData(
            f"{len(quoted)} answers tell who wrote them: {'; '.join(quoted[:MOST_QUOTED])}."
            " Leave these prompts out, or let the names be redacted or flagged."
        )
    kept = {
        "rule": rule,
        "answers": counts,
        "prompts": [prompt.id for prompt in prompts if prompt.id in concerned],
    }
    return shown, kept | ({"replaced_by": REDACTED} if rule == "redact" else {})


def revealing_doubt(
    votes: Sequence[StudyVote],
    *,
    arms: Sequence[str],
    identical: Mapping[Pair, Sequence[str]],
    revealing: Mapping[str, Any],
    whole: Estimate,
) -> str | None:
    """A warning, where prompts with answers that reveal their writer change the first win rate.

    Args:
        votes: Those of the study that count.
        arms: Of the study; its question is about the first two.
        identical: Prompts to which two arms gave the same answer.
        revealing: What the plan keeps of them; names that were taken out can change nothing.
        whole: The win rate with all prompts.

    Returns:
        The sentence, with the win rate with and without these prompts; None where it would not
        move by two points and decides the same.
    """
    left_out = set(revealing["prompts"])
    if not left_out or revealing["rule"] == "redact":
        return None
    told = (
        f"Answers to {len(left_out)} of the prompts tell, or seem to tell, which model wrote them."
    )
    pair = (arms[0], arms[1])
    cast = [vote for vote in about_pair(votes, pair) if vote.prompt not in left_out]
    alike = [one for one in identical.get(pair, ()) if one not in left_out]
    if len({vote.prompt for vote in cast}) < 2:
        return f"{told} Without these prompts there are too few votes to say anything."
    ballots = ballots_of(cast, arms[0]).with_ties(alike)
    without = win_rate(ballots.scores, ballots.prompts, confidence=whole.confidence)
    same = _decides(whole) == _decides(without)
    if same and abs(whole.value - without.value) < MATTERS:
        return None
    return f"{told} With them {arms[0]} won {whole} of the votes, without them {without}."


def _decides(rate: Estimate) -> int:
    """1 where the first arm is better, -1 where it is worse, 0 where neither can be said."""
    return int(rate.low > 0.5) - int(rate.high < 0.5)
