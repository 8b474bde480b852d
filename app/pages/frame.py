"""What every page has around it: the bar with the project and the way to the other pages."""

from __future__ import annotations

import gradio as gr
from markupsafe import Markup

from app.access import may
from app.pages.fragments import html, joined
from app.pages.visit import HOME, Guard, Visit
from storage.database import Database
from storage.records import Role

PAGES = {
    "": "Overview",
    "data": "Data",
    "check": "Check",
    "quality": "Quality",
    "train": "Train",
    "models": "Models",
    "studies": "Studies",
    "people": "People",
}
"""Path below the mount, and title, in the order of the loop."""

MARK = Markup(
    '<svg viewBox="0 0 34 22" aria-hidden="true"><circle cx="11" cy="11" r="9.5" fill="none"'
    ' stroke="#5cc5c9" stroke-width="3"/><circle cx="23" cy="11" r="9.5" fill="none"'
    ' stroke="#eaa84c" stroke-width="3"/></svg>'
)


def frame(page: gr.Blocks, path: str, database: Database) -> Guard:
    """Place the bar at the top of the page that is being built, and a place for refusals.

    Returns:
        What binds the page's handlers.
    """
    holder = html(bar(path, None), elem_classes="t-bar-holder")

    def greet(visit: Visit) -> str:
        return bar(path, visit)

    guard = Guard(database, html(elem_classes="t-over"))
    guard.show(page.load, greet, [holder])
    page.load(None, js=f"() => {{ document.title = '{PAGES[path]} · Tandem' }}")
    return guard


def bar(path: str, visit: Visit | None) -> Markup:
    """The bar, for a visit or, before it is known who visits, without names.

    Changing the project opens the same page for it, so that the address always says what is shown.
    """
    shown = [
        name
        for name in PAGES
        if name not in ("check", "people")
        # The check belongs to the data page, which leads to it.
        or name == path == "check"
        or (name == "people" and visit is not None and may(visit.who, Role.ADMINISTRATOR))
    ]
    links = joined(
        Markup('<a href="{}"{}>{}</a>').format(
            visit.address(name) if visit else f"{HOME}/{name}",
            Markup(' aria-current="page"') if name == path else "",
            PAGES[name],
        )
        for name in shown
    )
    return Markup(
        '<header class="t-bar"><div class="t-bar-inner"><a class="t-brand" href="{}">{}Tandem</a>'
        '<nav class="t-nav" aria-label="Pages">{}</nav>{}</div></header>'
    ).format(HOME + "/", MARK, links, _account(visit) if visit else "")


def simulated(visit: Visit) -> Markup:
    """A banner where simulated raters may have had a hand; nothing elsewhere."""
    if visit.project is None or not visit.project.simulated:
        return Markup("")
    return Markup(
        '<div class="t-simulated" role="note"><strong>Simulated</strong>Programs in the place of'
        " people judged in this project. Nothing here says what people prefer.</div>"
    )


def _account(visit: Visit) -> Markup:
    options = joined(
        Markup("<option{}>{}</option>").format(
            Markup(" selected") if visit.project and one.id == visit.project.id else "", one.name
        )
        for one in visit.projects
    )
    choice = Markup(
        '<label><span>Project</span><select aria-label="Project" onchange="location.search ='
        " '?project=' + encodeURIComponent(this.value)\">{}</select></label>"
    ).format(options)
    return Markup(
        '<div class="t-account">{}<a class="t-annotate" href="/annotate">Annotate</a>'
        '<a class="t-who" href="/sign-in" data-initial="{}" title="Account">{}</a></div>'
    ).format(choice if visit.projects else "", visit.who.name[:1].upper(), visit.who.name)
