"""The administrator's page: who takes part, in which role, and the links that let people in."""

from __future__ import annotations

from typing import Any

import gradio as gr
from markupsafe import Markup

from app.access import LINK_LIFETIME, link_address
from app.pages.fragments import Column, badge, count, heading, html, joined, lines, section, table
from app.pages.visit import Guard, Visit
from storage.annotators import (
    add_annotator,
    annotator,
    annotators,
    make_sign_in_link,
    set_active,
    set_role,
)
from storage.database import Database
from storage.errors import NotAllowed
from storage.records import Annotator, AnnotatorId, Kind, Role
from storage.settings import Settings

ROLES = [
    ("Annotator: judges answers", Role.ANNOTATOR.value),
    ("Researcher: also trains, studies and exports", Role.RESEARCHER.value),
    ("Administrator: also decides who takes part", Role.ADMINISTRATOR.value),
]


def draw(guard: Guard, page: gr.Blocks, settings: Settings) -> None:
    """Place the list, the form for a new person and the form for one who is there."""
    database = guard.database
    html(heading("People", "Who takes part, and what they may do."))
    told = html()
    address = gr.Textbox(
        label="Invitation link",
        info=f"Works once, within {LINK_LIFETIME.days} days. It is not shown again.",
        buttons=["copy"],
        interactive=False,
        visible=False,
        elem_classes="t-card",
    )
    with gr.Row(elem_classes="t-columns"):
        with gr.Column(min_width=320, elem_classes="t-card"):
            html(section("Invite somebody", "They sign in with a link; no password is needed."))
            name = gr.Textbox(
                label="Name", info="Only administrators see it; all others see a pseudonym."
            )
            role = gr.Dropdown(ROLES, value=Role.ANNOTATOR.value, label="Role")
            with gr.Row(elem_classes="t-actions"):
                invite = gr.Button("Invite", variant="primary")
        with gr.Column(min_width=320, elem_classes="t-card"):
            html(section("Change somebody", "What they judged stays, whatever you change."))
            person = gr.Dropdown([], label="Person")
            new_role = gr.Dropdown(ROLES, label="Role", value=Role.ANNOTATOR.value)
            active = gr.Checkbox(label="May sign in", value=True)
            with gr.Row(elem_classes="t-actions"):
                save = gr.Button("Save")
                again = gr.Button("New invitation link")
    listed = html()
    screen = [listed, person]

    def show(_: Visit) -> list[Any]:
        return _screen(database)

    def add(visit: Visit, typed: str, chosen: str) -> list[Any]:
        with database.write() as connection:
            new = add_annotator(connection, typed.strip(), role=Role(chosen), now=visit.now)
            link = _link(connection, settings, new, visit)
        return [*_link_shown(new, link), "", *_screen(database)]

    def look(_: Visit, chosen: str) -> list[Any]:
        with database.read() as connection:
            found = annotator(connection, AnnotatorId(chosen))
        return [found.role.value, found.active]

    def change(visit: Visit, chosen: str, wanted: str, may_enter: bool) -> list[Any]:
        if chosen == visit.who.id and (wanted != Role.ADMINISTRATOR or not may_enter):
            raise NotAllowed(
                "You cannot take your own rights away; ask another administrator to do it."
            )
        with database.write() as connection:
            set_role(connection, AnnotatorId(chosen), Role(wanted))
            changed = set_active(connection, AnnotatorId(chosen), may_enter)
        done = f"{changed.name} is now {_article(changed.role)} and may "
        return [_told(done + ("sign in." if may_enter else "not sign in.")), *_screen(database)]

    def renew(visit: Visit, chosen: str) -> list[Any]:
        with database.write() as connection:
            found = annotator(connection, AnnotatorId(chosen))
            if not found.active:
                raise NotAllowed(f"{found.name} may not sign in; tick 'May sign in' first.")
            return _link_shown(found, _link(connection, settings, found, visit))

    admin = Role.ADMINISTRATOR
    guard.show(page.load, show, screen, role=admin)
    guard.do(invite.click, add, [name, role], [told, address, name, *screen], role=admin)
    guard.show(person.input, look, [new_role, active], inputs=[person], role=admin)
    guard.do(save.click, change, [person, new_role, active], [told, *screen], role=admin)
    guard.do(again.click, renew, [person], [told, address], role=admin)


def _link(connection: Any, settings: Settings, person: Annotator, visit: Visit) -> str:
    token = make_sign_in_link(connection, person.id, now=visit.now, lifetime=LINK_LIFETIME)
    return link_address(settings, token)


def _link_shown(person: Annotator, link: str) -> list[Any]:
    return [
        _told(f"Send {person.name} this link. Whoever opens it first is {person.name}."),
        gr.Textbox(link, visible=True),
    ]


def _told(text: str) -> Markup:
    return Markup('<div class="t-notice t-good" role="status"><p>{}</p></div>').format(text)


def _article(role: Role) -> str:
    return f"{'an' if role.value[0] in 'aeiou' else 'a'} {role.value}"


def _screen(database: Database) -> list[Any]:
    """The table, and the menu of people who can be changed."""
    with database.read() as connection:
        known = annotators(connection)
    members = [one for one in known if one.role is not Role.PARTICIPANT]
    people = [one for one in members if one.kind is Kind.PERSON]
    return [_table(members, len(known) - len(members)), gr.Dropdown(_choices(people))]


def _choices(people: list[Annotator]) -> list[tuple[str, str]]:
    return [(f"{one.name} ({one.role.value})", one.id) for one in people]


def _table(members: list[Annotator], participants: int) -> Markup:
    columns = (Column("Name"), Column("Role"), Column("State"), Column("Since", numeric=True))
    rows = [
        (
            lines(one.name, one.pseudonym),
            one.role.value,
            _state(one),
            Markup("{:%Y-%m-%d}").format(one.created),
        )
        for one in members
    ]
    note = f"Beside them, {count(participants, 'participant')} of studies, who have no name here."
    return joined(
        [
            section("Everybody", note if participants else ""),
            table(columns, rows, caption="Everybody who takes part"),
        ]
    )


def _state(one: Annotator) -> Markup:
    if one.kind is not Kind.PERSON:
        return badge(one.kind.value, "warn")
    return badge("may sign in", "good") if one.active else badge("kept out", "plain")
