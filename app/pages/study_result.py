"""A study's result as its page shows it: the sentence, the numbers, the doubts, how it was done."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from app import markdown
from app.pages.fragments import (
    Cell,
    Column,
    badge,
    code,
    facts,
    interval,
    joined,
    lines,
    notice,
    number,
    section,
    table,
    tiles,
)
from app.version import SOFTWARE
from evaluation.ablation_words import chance
from evaluation.compared_arms import ArmComparison
from evaluation.group_orders import GroupOrders
from evaluation.intervals import Estimate
from evaluation.judge_agreement import Beside
from evaluation.ranking import Standing
from evaluation.rater_effects import RaterEffect, odd_raters
from evaluation.study_methods import methods, participants
from evaluation.study_reading import Example, StudyReading, examples
from evaluation.study_record import StudyRecord
from evaluation.study_report import (
    BY_GROUP,
    CLOSED_EARLY,
    DIGEST,
    MOST_RATERS,
    ONE_BY_ONE,
    SECOND_OPINION,
    facts_of,
)
from evaluation.verdict import StudyResult, votes_that_count
from storage.records import Study

KAPPA = (-1.0, 1.0)


def verdict(record: StudyRecord) -> Markup:
    """What was found in a sentence, what it rests on, and what to doubt."""
    found = record.result
    mark = badge("early look", "warn") if record.still_open else ""
    return _stack(
        [
            Markup('<div class="t-verdict">{}<p>{}</p></div>').format(
                mark, _unbroken(found.verdict)
            ),
            tiles(_tiles(record)),
            *(notice(_unbroken(warning), "warn") for warning in found.warnings),
        ]
    )


def numbers(record: StudyRecord, found: StudyReading | None) -> Markup:
    """The figures in numbers: every pair of arms, and of a closed study where each arm stands."""
    result = record.result
    parts = [_comparisons(record), _foot(result)]
    if found is not None and found.ranking is not None:
        parts += [
            section("Where each arm stands", "" if _planned(result) else CLOSED_EARLY),
            _places(found.ranking.standings),
        ]
    elif found is not None and found.no_ranking:
        parts.append(notice(found.no_ranking, title="No ranking."))
    if found is not None and found.orders is not None:
        parts += [section("Prompt by prompt", BY_GROUP), _orders(found.orders)]
    planned = [one for one in result.comparisons if one.planned]
    if found is not None and planned:
        parts += [section("A second opinion", SECOND_OPINION), _second_opinions(planned)]
    return _stack(parts)


def background(record: StudyRecord, found: StudyReading) -> Markup:
    """What only a closed study tells: programs beside people, examples, methods, the ways out."""
    parts = []
    if found.judges:
        rows = [
            row
            for one in found.judges
            for row in (
                _agreement(one.judge, "all prompts", one.all),
                _agreement(one.judge, "without ties", one.decided),
                *(_agreement(one.judge, kind, both) for kind, both in one.by_kind.items()),
            )
        ]
        columns = (
            Column("Program"),
            Column("Same verdict as a person"),
            Column("Kappa"),
            Column("Pairs", numeric=True),
            Column("Two people"),
        )
        note = (
            "How often a program and a person say the same of the same two answers; what two"
            " people reach is the most that can be asked for."
        )
        parts += [
            section("Programs beside people", note),
            table(columns, rows, caption="Agreement of programs with people"),
            *(notice(text, "warn") for one in found.judges for text in one.warnings),
        ]
    if found.raters is not None:
        parts += [section("Participants one by one", ONE_BY_ONE), _raters(found.raters.raters)]
        if odd := odd_raters(found.raters):
            parts.append(notice(odd, "warn"))
    shown = examples(record)
    if shown:
        parts += [
            section("Where they disagreed most", "Open a prompt to read both answers."),
            joined(_example(one, record.study.arms) for one in shown),
        ]
    parts += [
        section("How it was done", "To be pasted into a paper."),
        Markup('<p class="t-methods">{}</p>').format(
            _unbroken(methods(record, found, software=SOFTWARE))
        ),
    ]
    return _stack(parts)


def design(record: StudyRecord) -> Markup:
    """How the study was set up and who took part, with the digest of its plan."""
    told = dict(facts_of(record))
    digest = told.pop(DIGEST, "")
    frozen = Markup('<p class="t-summary t-digest">{}: {}</p>').format(DIGEST, code(digest))
    people = record.result.people
    said = Markup('<p class="t-summary">{}</p>')
    return joined(
        [
            facts(told.items()),
            *(said.format(sentence) for sentence in (people.sentences() if people else ())),
            frozen if digest else "",
        ]
    )


def ways_out(study: Study) -> Markup:
    """Links to the report and the package of a closed study."""
    place = f"/api/v1/studies/{quote(study.id, safe='')}"
    return Markup(
        '<p class="t-ways"><a class="t-go" href="{}/report" download>Download the report</a> '
        '<a class="t-go t-second" href="{}/package" download>Download everything</a></p>'
        '<p class="t-summary">The report is one HTML file. Everything is a zip file: plan, key,'
        " votes under pseudonyms, answers, figures, and code that counts the votes again.</p>"
    ).format(place, place)


def _tiles(record: StudyRecord) -> list[tuple[str, str, str]]:
    found, first = record.result, record.result.comparisons[0]
    counting = votes_that_count(record.votes)
    beside = [vote for vote in record.votes if vote.kind is not counting[0].kind]
    shown = [
        ("Votes", number(first.votes), f"on {number(first.prompts)} prompts"),
        (
            "Ties",
            number(first.ties),
            f"{number(first.both_bad) if first.both_bad else 'none'} of them both bad",
        ),
        (
            "Who voted",
            participants(counting),
            f"{participants(beside)} beside them" if beside else "",
        ),
    ]
    alpha = found.agreement.alpha if found.agreement else None
    if alpha is not None:
        shown.append(
            (
                "Agreement (alpha)",
                f"{alpha.value:.2f}",
                f"{alpha.low:.2f} to {alpha.high:.2f}; 1 is perfect, 0 is chance",
            )
        )
    return shown


def _comparisons(record: StudyRecord) -> Markup:
    columns = (
        Column("Policies"),
        Column("Win rate"),
        Column("At equal length"),
        Column("Votes", numeric=True),
        Column("Ties", numeric=True),
        Column("Prompts", numeric=True),
        Column("Identical answers", numeric=True),
        Column("p", numeric=True),
    )
    rows = [
        (
            lines(one.arm, f"against {one.opponent}"),
            _share(one.told),
            None if record.still_open else _at_equal_length(one),
            number(one.votes),
            number(one.ties),
            number(one.prompts),
            number(one.identical),
            chance(one.p_value) if one.planned else None,
        )
        for one in record.result.comparisons
    ]
    return table(columns, rows, caption="What the votes were")


def _places(standings: Sequence[Standing]) -> Markup:
    columns = (
        Column("Policy"),
        Column("Place", numeric=True),
        Column("Places it may have", numeric=True),
        Column("Strength, logits"),
    )
    reach = max(max(abs(one.strength.low), abs(one.strength.high)) for one in standings)
    rows = [
        (
            one.model,
            number(one.place),
            number(one.best_place)
            if one.best_place == one.worst_place
            else f"{one.best_place} to {one.worst_place}",
            interval(
                one.strength.as_json(),
                scale=(-reach, reach),
                reference=0.0,
                reference_name="the mean of all arms",
                as_percent=False,
            ),
        )
        for one in standings
    ]
    return table(columns, rows, caption="Policies by strength")


def _orders(found: GroupOrders) -> Markup:
    columns = (
        Column("Policy"),
        Column("First on", numeric=True),
        Column("Points"),
        Column("Put before the others"),
    )
    rows = [
        (
            one.arm,
            f"{number(one.first)} of {number(found.prompts)}",
            interval(
                one.points.as_json(),
                scale=(0.0, 1.0),
                reference=(1 + 1 / len(found.standings)) / 2,
                reference_name="the mean of all places",
                as_percent=False,
            ),
            _share(one.borda),
        )
        for one in found.standings
    ]
    return table(columns, rows, caption="Policies by the orders of each prompt")


def _second_opinions(pairs: Sequence[ArmComparison]) -> Markup:
    columns = (
        Column("Policies"),
        Column("Drawn anew (bootstrap)"),
        Column("Prompts won", numeric=True),
        Column("Prompts lost", numeric=True),
        Column("Prompts even", numeric=True),
        Column("p (sign test)", numeric=True),
    )
    rows = [
        (
            lines(one.arm, f"against {one.opponent}"),
            _share(one.resampled),
            number(one.by_prompt.won),
            number(one.by_prompt.lost),
            number(one.by_prompt.tied),
            chance(one.by_prompt.p_value),
        )
        for one in pairs
    ]
    return table(columns, rows, caption="The same votes counted in other ways")


def _raters(raters: Sequence[RaterEffect]) -> Markup:
    columns = (
        Column("Follows least"),
        Column("Votes", numeric=True),
        Column("How far"),
        Column("Worth of the left, logits"),
    )
    shown = raters[:MOST_RATERS]
    rows = [
        (
            one.rater,
            number(one.follows.n),
            interval(
                one.follows.as_json(),
                scale=(-1.0, 3.0),
                reference=1.0,
                reference_name="as all on the whole",
                as_percent=False,
            ),
            interval(
                one.first_place.as_json() if one.first_place else None,
                scale=(-2.0, 2.0),
                reference=0.0,
                reference_name="as to all on the whole",
                as_percent=False,
            ),
        )
        for one in shown
    ]
    return table(columns, rows, caption="Participants who follow the others least")


def _agreement(judge: str, what: str, both: Beside) -> tuple[Cell, ...]:
    kappa = both.judge.kappa.kappa
    return (
        lines(judge, what),
        _share(both.judge.equal),
        interval(kappa.as_json() if kappa else None, scale=KAPPA, reference=0.0, as_percent=False),
        number(both.judge.pairs),
        _share(both.people.equal),
    )


def _example(one: Example, arms: Sequence[str]) -> Markup:
    tied = f", {one.tied} tied" if one.tied else ""
    return Markup(
        '<details class="t-example"><summary><span>{}</span><small>{} to {}{}</small></summary>'
        '<p class="t-question"><small>Prompt</small>{}</p><div class="t-answers">{}</div></details>'
    ).format(
        _glance(one.prompt),
        one.won,
        one.lost,
        tied,
        one.prompt,
        joined(
            _answer(arm, text, votes)
            for arm, text, votes in zip(
                arms, (one.first, one.second), (one.won, one.lost), strict=False
            )
        ),
    )


def _answer(arm: str, text: str, votes: int) -> Markup:
    # An answer is what a model made of anybody's words: it enters the page only as the sanitiser
    # leaves it.
    safe = Markup(markdown.render(text))  # noqa: S704
    return Markup(
        '<article class="t-answer"><header><span>{}</span><small>{} for it</small></header>'
        '<div class="t-text">{}</div></article>'
    ).format(arm, votes, safe)


def _glance(text: str, longest: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _foot(found: StudyResult) -> Markup:
    bias = found.position_bias
    if bias is None:
        return Markup("")
    sentence = f"The left answer won {bias} of the decided votes; 50 % is no bias."
    return Markup('<p class="t-summary">{}</p>').format(_unbroken(sentence))


def _share(found: Estimate | None) -> Markup:
    return interval(
        found.as_json() if found else None, reference=0.5, reference_name="no difference"
    )


def _at_equal_length(found: ArmComparison) -> Markup:
    if found.at_equal_length is None:
        # Votes may be many: lengths are not known, are all alike, or go with every win.
        return Markup('<span class="t-none">cannot be told</span>')
    return _share(found.at_equal_length)


def _planned(found: StudyResult) -> bool:
    return all(one.planned for one in found.comparisons)


def _stack(parts: Sequence[str]) -> Markup:
    return Markup('<div class="t-stack">{}</div>').format(joined(parts))


def _unbroken(text: str) -> str:
    return text.replace(" %", "\u00a0%")
