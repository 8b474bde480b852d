"""The report of a closed study: one HTML file with its sentence, figures, tables and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evaluation.ablation_words import chance
from evaluation.compared_arms import StudyVote
from evaluation.rater_effects import odd_raters
from evaluation.report_parts import rendered
from evaluation.study_figures import DRAWN, drawn
from evaluation.study_methods import exclusions, methods, participants, stopping
from evaluation.study_reading import StudyReading, examples
from evaluation.study_record import StudyRecord
from evaluation.verdict import votes_that_count
from feedback.participation import Participation

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
DIGEST = "Plan, frozen before the first vote (SHA-256)"
"""What the digest of the plan is called."""
CLOSED_EARLY = (
    "The study was closed early. Intervals in this part are those of one look at the end, so they"
    " promise a little too much."
)
"""Beside whatever has no interval of any look."""
BY_GROUP = (
    "Everybody's orders of a prompt are put together by ranked pairs, ties staying ties. Of k arms"
    " the first place gives k/k points, the second (k - 1)/k and so on: these are no win rates."
    " Beside them, the share of other arms that an arm was put before (Borda)."
)
"""What stands above the orders of each prompt."""
SECOND_OPINION = (
    "The same votes counted in other ways: intervals from prompts, and people where they are"
    " enough, drawn anew; and prompts won and lost, each counting once. p is not corrected for"
    " several pairs."
)
"""What stands above the bootstrap and the sign test."""
ONE_BY_ONE = (
    "How sharply each follows the order of the arms that all votes together give: 1 is as they do"
    " on the whole, 0 is a coin, below 0 is against it; and what standing on the left is worth to"
    " them beyond what it is worth to all. Few votes are drawn towards the rest."
)
"""What stands above the participants."""
MOST_RATERS = 6
"""Participants that are shown of those who follow the others least; `result.json` has all."""


def study_html(record: StudyRecord, found: StudyReading, *, software: str) -> str:
    """The whole report as one HTML document.

    Args:
        record: The study.
        found: What was read of it.
        software: What counted, with its version.

    Raises:
        NotAllowed: The study is still open.
    """
    shown, record = examples(record), shareable(record)
    result = record.result
    return rendered(
        "study.html.jinja",
        study=record.study,
        result=result,
        first=result.comparisons[0],
        reading=found,
        simulated=record.study.simulated or result.simulated,
        who=participants(votes_that_count(record.votes)),
        beside=participants(beside) if (beside := _beside(record)) else "",
        planned=all(one.planned for one in result.comparisons),
        closed_early=CLOSED_EARLY,
        by_group=BY_GROUP,
        second_opinion=SECOND_OPINION,
        one_by_one=ONE_BY_ONE,
        least=found.raters.raters[:MOST_RATERS] if found.raters else (),
        odd=odd_raters(found.raters) if found.raters else "",
        as_planned=[one for one in result.comparisons if one.planned],
        figures=drawn(result, record.votes, plans=record.plans, still_open=False),
        words=DRAWN,
        examples=shown,
        methods=methods(record, found, software=software),
        facts=facts_of(record),
        people=result.people.sentences() if result.people else [],
        chance=chance,
    )


def shareable(record: StudyRecord) -> StudyRecord:
    """The study without what participants wrote about themselves, as whoever reads it may be told.

    Answers that were chosen from a list are counted and stay; words of their own may name somebody.
    """
    people = record.result.people
    if people is None:
        return record
    chosen = {one.text for one in Participation.of(record.study).questions if one.choices}
    about = {text: counts for text, counts in people.about.items() if text in chosen}
    return replace(record, result=replace(record.result, people=replace(people, about=about)))


def facts_of(record: StudyRecord) -> Mapping[str, str]:
    """How the study was set up and who took part, by what each fact is called."""
    study, design = record.study, record.result.design
    plan = study.plan
    facts = {"Who voted": participants(record.votes)}
    if design is not None:
        told = sum(design.revealing["answers"].values())
        facts |= {
            "Question": design.question,
            "Asked about": FORMS[design.form],
            "Votes on each": str(plan["overlap"]),
        }
        if design.without_start:
            facts["Without what a policy grew from, because"] = design.without_start
        if told:
            facts["Answers that tell who wrote them"] = f"{told}, {RULES[design.revealing['rule']]}"
    facts["Opened"] = f"{study.opened:%-d %B %Y, %H:%M} UTC"
    if study.closed is not None:
        facts["Closed"] = f"{study.closed:%-d %B %Y, %H:%M} UTC"
    facts["Planned to end"] = stopping(plan)
    facts["Excluded votes"] = exclusions(plan)
    if design is not None:
        facts[DIGEST] = design.digest
    return facts


def _beside(record: StudyRecord) -> list[StudyVote]:
    """Votes that stand beside those that count."""
    counting = set(votes_that_count(record.votes))
    return [vote for vote in record.votes if vote not in counting]
