"""Judgements of made-up answers: a long warm one on the left, a short cold one on the right."""

from __future__ import annotations

from storage.records import digest
from storage.snapshots import ComparisonRow, RatingRow


def comparison(
    number: int, choice: int, *, annotator: str = "ann", kind: str = "person"
) -> ComparisonRow:
    """Prompt `number` with a long warm answer on the left and a short cold one on the right."""
    prompt = f"Question {number}?"
    return ComparisonRow(
        prompt_id=digest(prompt),  # type: ignore[arg-type]
        prompt=({"role": "user", "content": prompt},),
        left_id=digest(prompt, "warm"),  # type: ignore[arg-type]
        left=f"warm warm warm answer {number}",
        right_id=digest(prompt, "cold"),  # type: ignore[arg-type]
        right=f"cold {number}",
        choice=choice,
        graded=True,
        both_bad=False,
        annotator=annotator,
        kind=kind,
    )


def rating(
    number: int, value: float, *, warm: bool = True, aspect: str = "overall", annotator: str = "ann"
) -> RatingRow:
    """A rating of one of the two answers to prompt `number`."""
    pair = comparison(number, 0)
    return RatingRow(
        prompt_id=pair.prompt_id,
        prompt=pair.prompt,
        response_id=pair.left_id if warm else pair.right_id,
        response=pair.left if warm else pair.right,
        aspect=aspect,
        value=value,
        annotator=annotator,
        kind="person",
    )
