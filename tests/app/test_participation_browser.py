"""A study in real browsers: from the panel's link to the completion code, and out again."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from browsing import PATIENCE, PHONE, WIDE, Open, expect_sync, wait_for_task
from served import ARMS, Web
from test_accessibility import SCHEMES, violations
from voting import BETTER, NAME, Opened, opened_study

from evaluation.studies import results
from storage.participants import participants
from storage.studies import close_study, study_key
from storage.tasks import tasks

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")

CODE = "C0DE42"
ASKED = {
    "consent": "We are the Lab of Tomatoes.\n\nWrite to us at lab@a.example.",
    "instructions": "Judge **helpfulness** first.\n\n- Read both answers.\n- Then choose.",
    "about_you": ["Your age? | under 30 | 30 or more", "What do you do?"],
    "attention_checks": 1,
    "completion_code": CODE,
    "completion_url": f"https://panel.example/complete?cc={CODE}",
}


@pytest.fixture
def opened(running_web: Web, request: pytest.FixtureRequest) -> Opened:
    return opened_study(running_web, project=request.node.name, prompts=6, overlap=3, **ASKED)


@dataclass
class Received:
    """Everything that a browser gets of our server, but for scripts, styles and letters."""

    page: Any
    replies: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # On the way to the browser: a page that goes on forgets what it was sent.
        self.page.route(lambda address: "/static/" not in address, self._pass_on)

    def _pass_on(self, route: Any) -> None:
        reply = route.fetch()
        headers = [(one["name"], one["value"]) for one in reply.headers_array]
        self.replies.append((route.request.url, f"{headers} {reply.text()}"))
        route.fulfill(response=reply)


def agree(page: Any, opened: Opened, pid: str) -> None:
    page.goto(f"{opened.path}?PROLIFIC_PID={pid}&STUDY_ID=s&SESSION_ID=e")
    page.get_by_label("I have read this and want to take part.").check()
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="Before you begin").wait_for()


def begin(page: Any) -> None:
    page.get_by_role("button", name="To the first comparison").click()
    wait_for_task(page)


def choose(page: Any) -> bool:
    """Do what the answers ask for, else choose the first arm; True for an attention check."""
    texts = [page.locator(f"[data-part={side}]").inner_text() for side in ("left", "right")]
    is_check = not any(text.startswith(BETTER) for text in texts)
    wanted = [_asks_for_itself(text) if is_check else text.startswith(BETTER) for text in texts]
    assert sum(wanted) == 1, texts
    page.locator(".grades label").nth(1 if wanted[0] else 5).click()
    page.get_by_role("button", name="Submit").click()
    return is_check


def _asks_for_itself(text: str) -> bool:
    """Whether this answer of an attention check wants to be chosen, as people read it."""
    wanted = (
        r"(this answer as the better|that this answer is better|prefer this answer|mark this one"
    )
    return re.search(rf"{wanted}|choice is this answer)", text) is not None


def to_the_end(page: Any, comparisons: int) -> int:
    """Choose until nothing is left; how many were attention checks."""
    checks = 0
    for number in range(comparisons):
        wait_for_task(page)
        assert page.inner_text(".count") == f"{number} of {comparisons}"
        checks += choose(page)
    page.wait_for_selector(".tandem[data-state=finished]")
    expect_sync(page, "All saved")
    return checks


def test_a_form_cannot_be_sent_before_its_script_is_there(visit: Open, opened: Opened) -> None:
    # Sent by the browser itself it would become an address, with what was said in it.
    page = visit()
    held: list[Any] = []

    def hold(script: Any) -> None:
        held.append(script)

    page.route(re.compile(r"/(consent|begin|withdraw)\.js"), hold)

    def let_go(name: str) -> None:
        button = page.get_by_role("button", name=name, exact=True)
        button.wait_for()
        assert button.is_disabled()
        deadline = time.monotonic() + PATIENCE / 1000
        while not held and time.monotonic() < deadline:
            page.wait_for_timeout(50)
        held.pop().continue_()
        sync_api.expect(button).to_be_enabled(timeout=PATIENCE)

    page.goto(f"{opened.path}?PROLIFIC_PID=quick&STUDY_ID=s&SESSION_ID=e", wait_until="commit")
    let_go("Begin")
    page.get_by_label("I have read this and want to take part.").check()
    page.get_by_role("button", name="Begin").click()
    let_go("To the first comparison")
    page.goto(f"{opened.path}/withdraw", wait_until="commit")
    let_go("Withdraw")


def test_two_people_take_part_at_a_desk_and_on_a_phone(
    visit: Open, running_web: Web, opened: Opened
) -> None:
    with running_web.database.read() as connection:
        key = study_key(connection, opened.study.id, for_totals=True)
        known = tasks(connection, opened.project.id, study=opened.study.id, everything=True)
    secret = [*ARMS, NAME, opened.study.id, opened.project.id, opened.project.name, *key]
    secret += [one for task in known for one in (task.id, task.prompt, *task.responses)]
    for number, options in enumerate((WIDE, PHONE)):
        page = visit(**options)
        received = Received(page)
        agree(page, opened, pid=f"5f0{number}")
        page.get_by_role("radio", name="under 30").check()
        page.get_by_label("What do you do?").fill("Baker" if number else "")
        begin(page)
        assert to_the_end(page, 7) == 1
        page.locator("output").wait_for()
        assert page.inner_text("output") == CODE
        onward = page.get_by_role("link", name="Continue to panel.example")
        assert onward.get_attribute("href") == ASKED["completion_url"]
        page.wait_for_load_state("networkidle")
        width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, "nothing is wider than the screen"
        assert len(received.replies) > 10
        for address, told in received.replies:
            assert not [one for one in secret if one in told], address
            if "/api/v1/" in address:
                assert not re.search(r"\d{4}-\d\d-\d\dT", told), address
    said = running_web.kept(opened.project, opened.study)
    assert len(said) == 12
    with running_web.database.write() as connection:
        came = participants(connection, opened.study.id)
        close_study(connection, opened.study.id, running_web.now)
    assert [one.answers for one in came] == [
        {"Your age?": "under 30"},
        {"Your age?": "under 30", "What do you do?": "Baker"},
    ]
    found = results(running_web.database, opened.study)
    assert found.win_rate.value == 1
    assert found.people is not None
    assert (found.people.finished, found.people.passed) == (2, 2)


def test_the_code_comes_at_once_when_a_look_for_more_was_on_its_way(
    visit: Open, running_web: Web, request: pytest.FixtureRequest
) -> None:
    opened = opened_study(running_web, project=request.node.name, prompts=2, completion_code=CODE)
    page = visit()

    def late(route: Any) -> None:
        reply = route.fetch()
        page.wait_for_timeout(1000)
        route.fulfill(response=reply)

    page.goto(opened.path)
    page.get_by_label("I have read this and want to take part.").check()
    page.get_by_role("button", name="Begin").click()
    wait_for_task(page)
    page.route("**/api/v1/tasks?**", late)
    choose(page)
    choose(page)
    page.locator("output").wait_for(timeout=30_000)  # idle pages look for more once a minute
    assert "Take your completion code with you" in page.inner_text(".pause")


def test_the_pages_can_be_worked_by_keys_alone(visit: Open, opened: Opened) -> None:
    page = visit()
    page.goto(opened.path)
    page.get_by_label("I have read this and want to take part.").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Before you begin").wait_for()
    page.get_by_role("radio", name="under 30").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("radio", name="30 or more").is_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("Baker")
    page.keyboard.press("Enter")
    wait_for_task(page)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    expect_sync(page, "All saved")


def test_withdrawing_says_first_what_it_removes(
    visit: Open, running_web: Web, opened: Opened
) -> None:
    page = visit(**PHONE)
    agree(page, opened, pid="5f0c")
    begin(page)
    choose(page)
    choose(page)
    expect_sync(page, "All saved")
    page.locator("[data-part=menu] summary").click()
    page.get_by_role("link", name="Withdraw from the study").click()
    assert "None of your choices counts any more" in page.inner_text("main")
    page.get_by_role("link", name="No, go back").click()
    wait_for_task(page)
    assert page.inner_text(".count") == "2 of 7"
    before = len(running_web.kept(opened.project, opened.study))
    page.locator("[data-part=menu] summary").click()
    page.get_by_role("link", name="Withdraw from the study").click()
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_role("heading", name="You have withdrawn").wait_for()
    assert before >= 1
    assert running_web.kept(opened.project, opened.study) == []
    assert (
        page.evaluate("Object.keys(localStorage).filter((name) => name.includes('outbox'))") == []
    )
    page.goto(opened.path)
    assert page.inner_text("h1") == "You have withdrawn"


def test_whoever_withdraws_in_one_tab_is_out_in_the_other(
    visit: Open, running_web: Web, opened: Opened
) -> None:
    page = visit()
    agree(page, opened, pid="5f0d")
    begin(page)
    other = page.context.new_page()
    other.goto(f"{opened.path}/withdraw")
    other.get_by_role("button", name="Withdraw").click()
    other.get_by_role("heading", name="You have withdrawn").wait_for()
    choose(page)
    page.get_by_role("heading", name="You have withdrawn").wait_for()
    assert running_web.kept(opened.project, opened.study) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("options", [WIDE, PHONE], ids=["wide", "phone"])
def test_nothing_keeps_anybody_out(
    visit: Open, opened: Opened, options: dict[str, Any], scheme: str
) -> None:
    page = visit(**options, color_scheme=scheme, reduced_motion="reduce")
    page.goto(opened.path)
    found = violations(page)
    agree(page, opened, pid=f"5f-{scheme}-{len(options)}")
    page.get_by_role("radio", name="under 30").check()
    found += violations(page)
    begin(page)
    page.locator("[data-part=menu] summary").click()
    found += violations(page)
    page.locator("[data-part=menu] summary").click()
    to_the_end(page, 7)
    page.locator("output").wait_for()
    found += violations(page)
    page.goto(f"{opened.path}/withdraw")
    found += violations(page)
    assert found == []
