"""From what participants said to the votes that are counted: one for each two arms, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from evaluation.verdict import StudyVote
from storage.judgements import Judgement
from storage.records import PromptId, ResponseId


def study_votes(
    judgements: Iterable[Judgement],
    key: Mapping[ResponseId, str],
    *,
    standing_for: Mapping[tuple[PromptId, str], Sequence[str]],
    lengths: Mapping[ResponseId, int],
    prompt_kinds: Mapping[PromptId, Sequence[str]],
) -> list[StudyVote]:
    """Every verdict on two arms that the judgements hold or imply.

    A ranking is kept as a comparison of every two answers that it put in order, and each counts as
    the vote on a pair that it implies. An answer that several arms gave was shown once, and its
    place is the place of each of them.

    Args:
        judgements: What participants said.
        key: The arm that wrote each response.
        standing_for: See `evaluation.study_tasks.standing_for`; empty but for rankings.
        lengths: Characters of each response.
        prompt_kinds: The tags of each prompt.

    Returns:
        In the order of the judgements.
    """
    return [
        StudyVote(
            prompt=judgement.prompt,
            annotator=judgement.annotator,
            kind=judgement.kind,
            left=left,
            right=right,
            choice=comparison.choice,
            both_bad=comparison.both_bad,
            left_length=lengths[comparison.left],
            right_length=lengths[comparison.right],
            prompt_kinds=tuple(prompt_kinds.get(judgement.prompt, ())),
        )
        for judgement in judgements
        for comparison in judgement.comparisons
        for left, right in product(
            *(
                standing_for.get((judgement.prompt, key[response]), (key[response],))
                for response in (comparison.left, comparison.right)
            )
        )
    ]
