"""Signing in with a one-time link, signing out, and the way from the first page to one's own.

Opening a link only shows a button: chat programs and mail scanners open links to preview them, and
would otherwise use them up before the person does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from app.access import Access, may, needs_fetch
from app.assets import Assets
from app.plain import message, page
from storage.annotators import redeem
from storage.database import Database
from storage.errors import NotAllowed
from storage.records import Annotator, Role


def sign_in_pages(
    database: Database, access: Access, assets: Assets, *, clock: Callable[[], datetime]
) -> APIRouter:
    """The pages, to be included in an application."""
    router = APIRouter(include_in_schema=False)

    def is_wanted(request: Request, form_token: str) -> bool:
        if access.is_own_form(request, form_token):
            return True
        try:
            needs_fetch(request)
        except NotAllowed:
            return False
        return True

    def form(request: Request, body: Markup, *, action: str, title: str) -> HTMLResponse:
        """A page with one form, which carries the token that `is_wanted` asks for."""
        draft = Response()
        token = access.form_token(request, draft)
        hidden = Markup('<input type="hidden" name="form_token" value="{}">').format(token)
        whole = Markup('<form method="post" action="{}">{}{}</form>').format(action, hidden, body)
        shown = page(assets, title, whole)
        shown.raw_headers += [pair for pair in draft.raw_headers if pair[0] == b"set-cookie"]
        return shown

    def enter(request: Request, token: str, form_token: str, onward: str) -> Response:
        if not is_wanted(request, form_token):
            return message(
                assets,
                "This page was open for too long",
                "Please open your sign-in link again and press the button.",
                status=403,
            )
        try:
            with database.write() as connection:
                annotator = redeem(connection, token, now=clock())
        except NotAllowed as refusal:
            return message(assets, "This link does not work", str(refusal), status=403)
        reply = RedirectResponse(_own_path(onward) or home_of(annotator), 303)
        access.sign_in(reply, annotator)
        return reply

    @router.get("/")
    def first(request: Request) -> Response:
        annotator = access.annotator(request)
        return RedirectResponse(home_of(annotator) if annotator else "/sign-in", 303)

    @router.get("/sign-in")
    def ask(request: Request, next: str = "") -> Response:  # noqa: A002, its name in the address
        annotator = access.annotator(request)
        if annotator is not None:
            return form(request, _account(annotator, next), action="/sign-out", title="Account")
        body = Markup(
            "<h1>Sign in</h1>"
            "<p>Tandem has no passwords. Open the link you were given, or paste it here.</p>"
            '<label for="link">Sign-in link</label>'
            '<input id="link" name="link" type="text" required autocomplete="off"'
            ' spellcheck="false" autocapitalize="off">'
            '<input type="hidden" name="next" value="{}">'
            '<button class="primary">Sign in</button>'
            '<p class="aside">No link? Whoever runs this project makes one for you. If you started'
            " Tandem yourself, it is in the terminal.</p>"
        ).format(next)
        return form(request, body, action="/sign-in", title="Sign in")

    @router.post("/sign-in")
    def pasted(
        request: Request,
        link: Annotated[str, Form(max_length=500)],
        form_token: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "",  # noqa: A002
    ) -> Response:
        token = urlsplit(link.strip()).path.rstrip("/").rpartition("/")[2]
        return enter(request, token, form_token, next)

    @router.get("/sign-in/{token}")
    def preview(request: Request, token: str) -> Response:
        body = Markup(
            "<h1>Welcome to Tandem</h1>"
            "<p>This link is yours alone and works once. It keeps you signed in on this device for"
            " two weeks.</p>"
            '<button class="primary">Sign in</button>'
        )
        return form(request, body, action=f"/sign-in/{token}", title="Sign in")

    @router.post("/sign-in/{token}")
    def confirmed(
        request: Request, token: str, form_token: Annotated[str, Form()] = ""
    ) -> Response:
        return enter(request, token, form_token, "")

    @router.post("/sign-out")
    def leave(request: Request, form_token: Annotated[str, Form()] = "") -> Response:
        if not is_wanted(request, form_token):
            raise NotAllowed("Please sign out with the button on the page /sign-in.")
        reply = RedirectResponse("/sign-in", 303)
        access.sign_out(reply)
        return reply

    return router


def home_of(annotator: Annotator) -> str:
    """The page on which somebody's work begins."""
    return "/research/" if may(annotator, Role.RESEARCHER) else "/annotate/"


def _account(annotator: Annotator, wanted: str) -> Markup:
    refused = Markup("")
    if wanted.startswith("/research") and not may(annotator, Role.RESEARCHER):
        refused = Markup(
            '<p class="refusal">That page is for researchers. Ask an administrator.</p>'
        )
    research = (
        Markup('<a class="quiet" href="/research/">Research</a>')
        if may(annotator, Role.RESEARCHER)
        else Markup("")
    )
    return Markup(
        "<h1>You are signed in</h1>{}"
        "<dl><dt>Name</dt><dd>{}</dd><dt>Shown to others as</dt><dd>{}</dd>"
        "<dt>Role</dt><dd>{}</dd></dl>"
        '<p class="ways">{}<a class="quiet" href="/annotate/">Annotate</a>'
        '<button class="quiet">Sign out</button></p>'
    ).format(refused, annotator.name, annotator.pseudonym, annotator.role, research)


def _own_path(address: str) -> str:
    """The address if it leads to a page of ours, else nothing."""
    leads_elsewhere = not address.startswith("/") or address.startswith(("//", "/\\"))
    return "" if leads_elsewhere or not address.isprintable() else address
