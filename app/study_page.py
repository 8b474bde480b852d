"""The pages of a study's participants, who need no account: consent, votes, withdrawal.

Before the first vote they say what is kept and for what. They show neither the study's name nor its
policies: they could tell a participant what to look for.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup

from app.access import Access
from app.api_asking import StudyUnknown, study_behind
from app.api_participating import sent_by
from app.assets import Assets
from app.consent import consent_text
from app.markdown import render
from app.plain import message, page
from evaluation.study_plan import QUESTION
from feedback.participation import LONGEST_ANSWER, AboutYou, Participation
from storage.database import Connection, Database
from storage.errors import InvalidOption
from storage.participants import Panel, Participant, participant
from storage.records import Annotator, Study
from storage.tasks import tasks

MINUTES_PER_VOTE = 0.75
TITLE = "A short study"
INSTRUCTIONS = {
    "pair": "You will see questions, each with two answers written by computer programs. Say which"
    " answer you find better.",
    "pair_with_ratings": "You will see questions, each with two answers written by computer"
    " programs. Say which answer you find better, and how good each one is.",
    "ranking": "You will see questions, each with several answers written by computer programs. Put"
    " them in order, the best first; two may share a place.",
}
"""What participants are told of each form of task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """Who opens the pages of which study."""

    study: Study
    asked: Participation
    who: Annotator | None
    """The participant, who may vote; None before consent and after withdrawing."""
    came: Participant | None
    """What is kept of them, also when they withdrew; of those who came before 0003, nothing is."""

    @property
    def has_withdrawn(self) -> bool:
        return self.came is not None and self.came.withdrawn is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A page that stands before or after the votes."""

    body: Markup
    script: str | None = None
    status: int = 200


def study_pages(database: Database, access: Access, assets: Assets) -> APIRouter:
    """The pages, to be included in an application."""
    router = APIRouter(include_in_schema=False)

    @router.get("/study/{code}")
    def study(request: Request, code: str) -> Response:
        try:
            panel = sent_by(request.query_params)
            with database.read() as connection:
                visit = _visit(connection, access, request, code, panel)
                many = len(tasks(connection, visit.study.project, study=visit.study.id))
        except StudyUnknown as unknown:
            return message(assets, "No study here", str(unknown), status=404)
        except InvalidOption as wrong:
            return message(assets, "This link is incomplete", str(wrong), status=400)
        shown = _beside_votes(visit, many, panel)
        if shown is not None:
            return page(assets, TITLE, shown.body, script=shown.script, status=shown.status)
        marker = Markup('<main data-study="{}">{}</main>').format(code, assets.widget())
        return page(assets, TITLE, marker, framed=False, script="study.js")

    @router.get("/study/{code}/withdraw")
    def withdraw(request: Request, code: str) -> Response:
        try:
            with database.read() as connection:
                visit = _visit(connection, access, request, code, None)
        except StudyUnknown as unknown:
            return message(assets, "No study here", str(unknown), status=404)
        if visit.has_withdrawn:
            return page(assets, TITLE, _withdrawn(visit))
        if visit.who is None:
            sentence = "Nobody takes part in this study from this browser."
            return message(assets, "Nothing to withdraw", sentence, status=404)
        return page(assets, TITLE, _withdrawal(visit.study, visit.who), script="withdraw.js")

    return router


def _visit(
    connection: Connection, access: Access, request: Request, code: str, panel: Panel | None
) -> _Visit:
    found = study_behind(connection, code)
    who = access.participant(request, code, connection)
    before = access.took_part(request, code)
    came = participant(connection, before) if before else None
    if panel is not None and came is not None and came.withdrawn is None and came.pid != panel.pid:
        who = came = None  # somebody else at the same device
    return _Visit(study=found, asked=Participation.of(found), who=who, came=came)


def _beside_votes(visit: _Visit, many: int, panel: Panel | None) -> _Shown | None:
    """What to show in the place of votes; None when there is nothing but to vote."""
    if visit.has_withdrawn:
        return _Shown(body=_withdrawn(visit))
    if visit.study.closed is not None:
        return _Shown(body=_closed(visit), status=410)
    if visit.who is None:
        return _Shown(body=_consent(visit.study, visit.asked, many, panel), script="consent.js")
    came = visit.came
    if came is not None and came.started is None and visit.asked.has_introduction:
        return _Shown(body=_introduction(visit.study, visit.asked), script="begin.js")
    return None


def _consent(study: Study, asked: Participation, many: int, panel: Panel | None) -> Markup:
    agreed = consent_text(asked)
    many = min(many, asked.votes_each or many) + asked.attention_checks
    minutes = max(1, round(many * MINUTES_PER_VOTE))
    question, form = study.plan.get("question", QUESTION), study.plan.get("form", "pair")
    simulated = (
        Markup('<p><span class="simulated">Simulated</span></p>') if study.simulated else Markup("")
    )
    checks = Markup("")
    if asked.attention_checks:
        checks = Markup(
            "<p>Now and then an answer tells you which one to choose. Please do what it says; it"
            " shows that you read.</p>"
        )
    own = Markup("")
    if agreed.own:
        own = Markup('<h2>About this study</h2><div class="own" dir="auto">{}</div>').format(
            Markup("").join(Markup("<p>{}</p>").format(part) for part in agreed.own)
        )
    sent = (
        {} if panel is None else {"pid": panel.pid, "study": panel.study, "session": panel.session}
    )
    data = Markup("").join(
        Markup(' data-{}="{}"').format(name, value) for name, value in sent.items() if value
    )
    return Markup(
        "<h1>{question}</h1>{simulated}"
        "<p>{task} There is no right or wrong; we want to know what you think.</p>"
        "{checks}"
        '<dl class="facts"><div><dt>Comparisons</dt><dd>{many}</dd></div>'
        "<div><dt>Time</dt><dd>about {minutes} min</dd></div></dl>"
        "{own}"
        "<h2>What is kept</h2><ul>{kept}</ul>"
        "<h2>Your say</h2>{say}"
        '<form data-consent="{code}" data-version="{version}"{data}>'
        '<label class="agree"><input type="checkbox" required>'
        "<span>I have read this and want to take part.</span></label>"
        '<button class="primary" disabled>Begin</button>'
        '<p class="refusal" role="alert" hidden></p></form>'
        '<p class="aside">Version {version} of this text.</p>'
        "<noscript><p>This page needs JavaScript.</p></noscript>"
    ).format(
        question=question,
        task=INSTRUCTIONS[form],
        simulated=simulated,
        checks=checks,
        many=many,
        minutes=minutes,
        own=own,
        kept=Markup("").join(Markup("<li>{}</li>").format(part) for part in agreed.kept),
        say=Markup("").join(Markup("<p>{}</p>").format(part) for part in agreed.say),
        code=study.code,
        version=agreed.version,
        data=data,
    )


def _introduction(study: Study, asked: Participation) -> Markup:
    """What to do, and the questions about the participant."""
    parts = Markup("")
    if asked.instructions.strip():
        parts += Markup('<h2>What to do</h2><div class="written" dir="auto">{}</div>').format(
            Markup(render(asked.instructions))  # noqa: S704, made safe there
        )
    questions = Markup("")
    if asked.about_you:
        questions = Markup(
            "<h2>About you</h2><p>You may leave any question open. Results show only how many"
            " people gave an answer.</p>{}"
        ).format(Markup("").join(_question(at, one) for at, one in enumerate(asked.questions)))
    return Markup(
        '<h1>Before you begin</h1>{}<form data-begin="{}">{}'
        '<button class="primary" disabled>To the first comparison</button>'
        '<p class="refusal" role="alert" hidden></p></form>{}'
    ).format(parts, study.code, questions, _way_out(study))


def _question(place: int, asked: AboutYou) -> Markup:
    if not asked.choices:
        return Markup(
            '<label class="asked" dir="auto">{}<input type="text" name="about-{}" maxlength="{}"'
            ' autocomplete="off" dir="auto"></label>'
        ).format(asked.text, place, LONGEST_ANSWER)
    options = Markup("").join(
        Markup(
            '<label dir="auto"><input type="radio" name="about-{}" value="{}">'
            "<span>{}</span></label>"
        ).format(place, value, shown)
        for value, shown in (*((one, one) for one in asked.choices), ("", "I leave this open"))
    )
    return Markup('<fieldset class="asked"><legend dir="auto">{}</legend>{}</fieldset>').format(
        asked.text, options
    )


def _withdrawal(study: Study, who: Annotator) -> Markup:
    """What withdrawing removes, said before it is done."""
    return Markup(
        "<h1>Withdraw from the study?</h1>"
        "<p>If you withdraw, this happens at once and cannot be taken back:</p>"
        "<ul><li>None of your choices counts any more, in any result. They stay stored, marked as"
        " withdrawn, under a made-up name.</li>"
        "<li>What you said about yourself, what you wrote in your own words, and the ID from a"
        " panel such as Prolific are erased.</li>"
        "<li>You cannot go on with the study.</li></ul>"
        "<p>That you agreed to take part, and when you withdrew, stays known under the made-up"
        " name. If you have finished, you keep your completion code.</p>"
        '<form data-withdraw="{code}" data-owner="{owner}">'
        '<div class="ways"><button class="primary stop" disabled>Withdraw</button>'
        '<a class="quiet" href="/study/{code}">No, go back</a></div>'
        '<p class="refusal" role="alert" hidden></p></form>'
    ).format(code=study.code, owner=who.pseudonym)


def _withdrawn(visit: _Visit) -> Markup:
    return Markup(
        "<h1>You have withdrawn</h1><p>None of your choices counts any more, and what could lead"
        " to you is erased. Thank you for your time.</p>{}"
    ).format(_completion(visit))


def _closed(visit: _Visit) -> Markup:
    if visit.who is None:
        return Markup("<h1>Closed</h1><p>This study is closed. Thank you for your interest.</p>")
    return Markup(
        "<h1>Closed</h1><p>This study is closed. Thank you for taking part.</p>{}{}"
    ).format(_completion(visit), _way_out(visit.study))


def _completion(visit: _Visit) -> Markup:
    """The completion code, for those who have earned it."""
    code, came = visit.asked.completion_code, visit.came
    if came is None or came.finished is None or not code:
        return Markup("")
    return Markup('<p>Your completion code: <strong class="code-given">{}</strong></p>').format(
        code
    )


def _way_out(study: Study) -> Markup:
    return Markup(
        '<p class="aside">You may leave at any time, or <a href="/study/{}/withdraw">withdraw from'
        " the study</a>.</p>"
    ).format(study.code)
