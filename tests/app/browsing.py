"""What people do in a browser: sign in, press keys, read what the screen says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from served import Web

from storage.annotators import annotators
from storage.records import Project

WIDE = {"viewport": {"width": 1360, "height": 850}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
PATIENCE = 60_000
"""Milliseconds; the machine may be busy."""

Open = Callable[..., Any]


def sign_in(page: Any, web: Web, name: str, project: Project) -> None:
    """Sign in by link and button, as somebody new or known, and wait for the first task."""
    with web.database.read() as connection:
        known = {one.name: one for one in annotators(connection)}
    person = known.get(name) or web.person(name)
    page.goto(f"/sign-in/{web.token(person)}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/annotate/")
    page.goto(f"/annotate/?project={project.name}")
    wait_for_task(page)


def wait_for_task(page: Any) -> None:
    """Wait until the widget shows a task; if none comes, say what there is instead."""
    from playwright.sync_api import TimeoutError as NothingCame

    try:
        page.wait_for_selector(".tandem[data-state=task]")
    except NothingCame as error:
        states = page.locator(".tandem").evaluate_all("all => all.map(one => one.dataset.state)")
        shown = page.inner_text("body")
        raise AssertionError(f"No task came at {page.url}: {states} {shown!r}") from error


def choose(page: Any, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def by_keys(page: Any, times: int) -> None:
    for _ in range(times):
        press(page, "ArrowRight", "4", "Shift+Digit6", "Enter")


def expect_sync(page: Any, words: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("[data-part=sync]")).to_have_text(words, timeout=PATIENCE)


def remark(page: Any) -> str:
    """What was said in passing last."""
    return str(page.locator("[data-part=toast]").text_content())


def shown_prompt(page: Any) -> str:
    return str(page.locator("[data-part=prompt]").inner_text())


def shown_answers(page: Any) -> list[str]:
    return [page.locator(f"[data-part={side}]").inner_text() for side in ("left", "right")]


@contextmanager
def cut(page: Any, pattern: str) -> Iterator[None]:
    page.route(pattern, lambda route: route.abort())
    yield
    page.unroute(pattern)
