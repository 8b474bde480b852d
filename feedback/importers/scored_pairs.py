"""Pairs with a score for each side: UltraFeedback binarised, and RLHFlow's standard format.

A line is a line of the pairs format, often without `prompt` because both sides are whole
conversations, with `score_chosen` and `score_rejected` (UltraFeedback; TRL's copy too), or
`chosen_score` and `rejected_score`, or `chosen_rating` and `rejected_rating`.

The pair was made from the scores. The comparison is kept, as a tie where the scores are equal, and
counted as dependent. The scores are kept as ratings where their scale is known: GPT-4 gave
UltraFeedback's from 1 to 10 (Cui et al., 2024, arXiv:2310.01377); of RLHFlow's sets each has its
own scale, so `scale_min` and `scale_max` are options, and without them the scores are left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from feedback.importers.lines import Line
from feedback.importers.pairs import read_pair
from feedback.importers.records import (
    JudgedPrompt,
    PairsConfig,
    ScaledConfig,
    score_on,
)
from feedback.importers.ultrafeedback import JUDGE

_NAMES = ("score_{}", "{}_score", "{}_rating")
_NO_SCALE = "scores whose scale is not given (options scale_min and scale_max)"


class UltraFeedbackPairsConfig(ScaledConfig):
    """Options of pairs with scores, with the judge and the scale of UltraFeedback."""

    annotator_kind: Literal["person", "program"] = Field(
        default="program", description="Who judged: a program, which GPT-4 is, or a person."
    )
    scale_min: float | None = Field(
        default=1, allow_inf_nan=False, description="The lowest score that could be given."
    )
    scale_max: float | None = Field(
        default=10, allow_inf_nan=False, description="The highest score that could be given."
    )


def read_ultrafeedback_pair(config: UltraFeedbackPairsConfig, line: Line) -> JudgedPrompt:
    """Read one line of UltraFeedback, which GPT-4 judged."""
    return read_scored_pair(config, replace(line, fields={"annotator": JUDGE, **line.fields}))


def read_scored_pair(config: ScaledConfig, line: Line) -> JudgedPrompt:
    """Read one line."""
    pair = read_pair(PairsConfig(annotator_kind=config.annotator_kind), line)
    if not pair.verdicts:
        return pair
    [verdict] = pair.verdicts
    scores = [_score(line, what) for what in ("chosen", "rejected")]
    if scores[0] == scores[1]:
        verdict = replace(verdict, choice=0, graded=False)
    pair = replace(pair, verdicts=(verdict,), dependent=1)
    if config.scale is None:
        return replace(pair, left_out=(_NO_SCALE,) * 2)
    chosen = _better(line, pair)
    return replace(
        pair,
        scores=tuple(
            score_on(
                line,
                score,
                config.scale,
                what=f"the score of {what}",
                response=response,
                aspect="overall",
                annotator=verdict.annotator,
                kind=verdict.kind,
            )
            for what, score, response in zip(
                ("chosen", "rejected"), scores, (chosen, 1 - chosen), strict=True
            )
        ),
    )


def _score(line: Line, what: str) -> float:
    names = [name.format(what) for name in _NAMES]
    name = next((name for name in names if name in line.fields), names[0])
    return line.number_of(line.fields.get(name), f"'{name}'")


def _better(line: Line, pair: JudgedPrompt) -> int:
    """Place of the chosen response, which is a text or the last turn of a conversation."""
    said = line.fields["chosen"]
    text = said if isinstance(said, str) else said[-1]["content"]
    return 0 if pair.responses[0].text == text else 1
