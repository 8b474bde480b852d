"""The page of a study's participants: consent, votes, thanks. It needs no account.

Before the first vote it says what is kept and for what. It shows neither the study's name nor its
policies: they could tell a participant what to look for.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup

from app.access import Access
from app.api_asking import StudyUnknown, open_study
from app.assets import Assets
from app.plain import message, page
from evaluation.study_plan import QUESTION
from storage.database import Database
from storage.errors import NotAllowed
from storage.records import Study
from storage.tasks import tasks

MINUTES_PER_VOTE = 0.75
INSTRUCTIONS = {
    "pair": "You will see questions, each with two answers written by computer programs. Say which"
    " answer you find better.",
    "pair_with_ratings": "You will see questions, each with two answers written by computer"
    " programs. Say which answer you find better, and how good each one is.",
    "ranking": "You will see questions, each with several answers written by computer programs. Put"
    " them in order, the best first; two may share a place.",
}
"""What participants are told of each form of task."""


def study_pages(database: Database, access: Access, assets: Assets) -> APIRouter:
    """The page, to be included in an application."""
    router = APIRouter(include_in_schema=False)

    @router.get("/study/{code}")
    def study(request: Request, code: str) -> Response:
        try:
            with database.read() as connection:
                opened = open_study(connection, code)
        except StudyUnknown as unknown:
            return message(assets, "No study here", str(unknown), status=404)
        except NotAllowed as closed:
            return message(assets, "Closed", str(closed), status=410)
        if access.participant(request, code) is None:
            with database.read() as connection:
                many = len(tasks(connection, opened.project, study=opened.id))
            body = _consent(opened, many)
            return page(assets, "A short study", body, script="consent.js")
        marker = Markup('<main data-study="{}">{}</main>').format(code, assets.widget())
        return page(assets, "A short study", marker, framed=False, script="study.js")

    return router


def _consent(study: Study, many: int) -> Markup:
    minutes = max(1, round(many * MINUTES_PER_VOTE))
    question, form = study.plan.get("question", QUESTION), study.plan.get("form", "pair")
    simulated = (
        Markup('<p><span class="simulated">Simulated</span></p>') if study.simulated else Markup("")
    )
    return Markup(
        "<h1>{}</h1>{}"
        "<p>{} There is no right or wrong; we want to know what you think.</p>"
        '<dl class="facts"><div><dt>Comparisons</dt><dd>{}</dd></div>'
        "<div><dt>Time</dt><dd>about {} min</dd></div></dl>"
        "<h2>What is kept</h2>"
        "<ul><li>Your choices, when you made them and how long each took, under a made-up"
        " name.</li>"
        "<li>Not your name, your e-mail address or where you are.</li>"
        "<li>One cookie, so that you can go on where you stopped.</li></ul>"
        "<h2>Your say</h2>"
        "<p>Taking part is voluntary. You may stop at any time by closing the page. Some answers"
        " may be wrong or unpleasant; you can stop then, too.</p>"
        '<form data-consent="{}"><label class="agree"><input type="checkbox" required>'
        "<span>I have read this and want to take part.</span></label>"
        '<button class="primary">Begin</button><p class="refusal" role="alert" hidden></p></form>'
        "<noscript><p>This page needs JavaScript.</p></noscript>"
    ).format(question, simulated, INSTRUCTIONS[form], many, minutes, study.code)
