"""A study's result as its page shows it: the sentence, the interval, the numbers, the doubts."""

from __future__ import annotations

from markupsafe import Markup

from app.pages.fragments import Column, badge, count, forest, joined, notice, number, table
from evaluation.verdict import StudyResult


def result_card(found: StudyResult, *, early: bool) -> Markup:
    """A study's result, from the sentence to the doubts."""
    mark = badge("early look", "warn") if early else ""
    return joined(
        [
            Markup('<div class="t-stack"><div class="t-verdict">{}<p>{}</p>').format(
                mark, found.verdict.replace(" %", "\u00a0%")
            ),
            forest(
                [
                    (f"{one.arm} against {one.opponent}", one.win_rate.as_json())
                    for one in found.comparisons
                ],
                ends=("always loses", "wins every time"),
            ),
            Markup("</div>"),
            _numbers(found),
            *(notice(warning, "warn") for warning in found.warnings),
            Markup("</div>"),
        ]
    )


def _numbers(found: StudyResult) -> Markup:
    columns = (
        Column("Policies"),
        Column("Votes", numeric=True),
        Column("Ties", numeric=True),
        Column("Both bad", numeric=True),
        Column("Prompts", numeric=True),
        Column("Identical answers", numeric=True),
    )
    rows = [
        (
            f"{one.arm} against {one.opponent}",
            number(one.votes),
            number(one.ties),
            number(one.both_bad),
            number(one.prompts),
            number(one.identical),
        )
        for one in found.comparisons
    ]
    parts = [table(columns, rows, caption="What the votes were"), _foot(found)]
    if found.people is not None:
        told = Markup('<p class="t-told">{}</p>')
        parts += [told.format(sentence) for sentence in found.people.sentences()]
    return joined(parts)


def _foot(found: StudyResult) -> Markup:
    bias = found.position_bias
    side = f" The left answer won {bias} of the decided votes." if bias else ""
    who = count(found.participants, "participant")
    return Markup('<p class="t-told">{} voted.{}</p>').format(who, side)
