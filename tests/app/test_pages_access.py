"""Who is let in to the researcher's pages, and that every handler asks."""

from __future__ import annotations

import json

from invented import Invented
from pages_desk import Desk, refusal_of

from storage.annotators import annotator_named
from storage.records import (
    Annotator,
)


def test_each_handler_refuses_an_annotator_who_got_past_the_gate(
    empty_desk: tuple[Desk, tuple[Annotator, Annotator, Annotator]],
) -> None:
    desk, (_, _, annotator) = empty_desk
    desk.sit(annotator)
    handlers = [one for one in desk.pages.fns.values() if one.fn is not None]
    assert len(handlers) > 30
    for handler in handlers:
        sentence = refusal_of(desk.call(handler))
        assert "This needs the role" in sentence, handler.fn.__name__


def test_people_are_the_administrators_business(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.sit(invented.researcher)
    for handler in desk.pages.fns.values():
        if handler.fn is not None and handler.page == "people" and handler.fn.__name__ != "greet":
            assert "role administrator" in refusal_of(desk.call(handler))
    desk.sit(invented.administrator)
    drawn = json.dumps(desk.call(desk.handler("people", "add"), "Nina Novak", "researcher"))
    assert "/sign-in/" in drawn
    with desk.database.read() as connection:
        assert annotator_named(connection, "Nina Novak").role == "researcher"


def test_whoever_was_deactivated_is_refused_at_once(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.call(desk.handler("people", "add"), "Olga Orlova", "researcher")
    with desk.database.read() as connection:
        newcomer = annotator_named(connection, "Olga Orlova")
    assert newcomer.id in desk.opened("people"), "the menu of people lacks the newcomer"
    desk.sit(newcomer).opened("data")
    desk.sit(invented.administrator)
    desk.call(desk.handler("people", "change"), newcomer.id, "researcher", False)
    desk.sit(newcomer)
    assert "This needs the role" in refusal_of(desk.call(desk.handlers("data", "load")[0]))


def test_administrators_cannot_lock_themselves_out(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.opened("people")
    change = desk.handler("people", "change")
    for role, active in (("researcher", True), ("administrator", False)):
        sentence = refusal_of(desk.call(change, invented.administrator.id, role, active))
        assert "another administrator" in sentence


def test_every_handler_is_unqueued_and_private(full_desk: tuple[Desk, Invented]) -> None:
    for handler in full_desk[0].pages.fns.values():
        if handler.fn is not None:
            assert handler.queue is False
            assert handler.api_visibility == "private"
