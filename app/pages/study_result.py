"""A study's result as its page shows it: the sentence, the interval, the numbers, the doubts."""

from __future__ import annotations

from markupsafe import Markup

from app.pages.fragments import (
    Cell,
    Column,
    badge,
    code,
    count,
    facts,
    forest,
    interval,
    joined,
    notice,
    number,
    table,
)
from evaluation.study_plan import StudyDesign
from evaluation.verdict import StudyResult
from storage.records import HIGHEST_RATING, LOWEST_RATING

FORMS = {
    "pair": "pairs of answers",
    "ranking": "all arms' answers, put in order",
    "pair_with_ratings": "pairs of answers, each rated from 1 to 7",
}
RULES = {
    "flag": "shown as they are",
    "redact": "shown with [name] in the place of the name",
    "refuse": "not allowed",
}


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
            _ratings(found),
            *(notice(warning.replace(" %", "\u00a0%"), "warn") for warning in found.warnings),
            design_facts(found.design) if found.design else "",
            Markup("</div>"),
        ]
    )


def design_facts(design: StudyDesign) -> Markup:
    """How the study was set up, and the digest of its plan."""
    told = sum(design.revealing["answers"].values())
    pairs: list[tuple[str, Cell]] = [
        ("Question", design.question),
        ("Asked about", FORMS[design.form]),
    ]
    if design.without_start:
        pairs.append(("Without what a policy grew from, because", design.without_start))
    if told:
        rule = RULES[design.revealing["rule"]]
        pairs.append(("Answers that tell who wrote them", f"{number(told)}, {rule}"))
    plan = Markup(
        '<p class="t-told t-digest">The plan was frozen before the first vote. Its digest: {}</p>'
    ).format(code(design.digest))
    return joined([facts(pairs), plan])


def _ratings(found: StudyResult) -> Markup:
    if not found.ratings:
        return Markup("")
    columns = Column("Policy"), Column("Mean rating, 1 to 7"), Column("Ratings", numeric=True)
    scale = LOWEST_RATING, HIGHEST_RATING
    rows = [
        (
            one.arm,
            interval(one.mean.as_json(), scale=scale, as_percent=False),
            number(one.mean.n),
        )
        for one in found.ratings
    ]
    return table(columns, rows, caption="How good the answers were found, no part of the win rate")


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
