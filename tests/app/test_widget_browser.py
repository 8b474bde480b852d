"""The annotation screen in a real browser: by mouse, by keys, on a phone, with the server gone."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import (
    PHONE,
    Open,
    by_keys,
    choose,
    cut,
    expect_sync,
    press,
    shown_answers,
    sign_in,
    wait_for_task,
)
from served import ARMS, Web
from serving import Served

from app.assets import Assets
from storage.annotators import annotator_named
from storage.records import Project

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")


@pytest.fixture
def web(running_web: Web) -> Web:
    return running_web


@pytest.fixture
def project(own_project: Project) -> Project:
    return own_project


def test_three_comparisons_by_mouse_and_three_by_keys(
    visit: Open, web: Web, project: Project
) -> None:
    page = visit()
    sign_in(page, web, "By mouse and keys", project)
    expect_sync(page, "All saved")
    for grade, left, right in (
        ("A is much better", "7, Excellent", "1, Unusable"),
        ("About equal", "4, Fair", "4, Fair"),
        ("Both answers are bad", "2, Poor", "1, Unusable"),
    ):
        before = shown_answers(page)
        choose(page, grade)
        page.locator("[data-rating=left]").get_by_role("radio", name=left).check()
        page.locator("[data-rating=right]").get_by_role("radio", name=right).check()
        page.get_by_role("button", name="Submit").click()
        assert shown_answers(page) != before
    for keys in (
        ("ArrowLeft", "ArrowLeft", "6", "Shift+Digit3", "Enter"),
        ("ArrowLeft", "ArrowRight", "ArrowRight", "2", "Shift+Digit5", "Enter"),
        ("b", "t", "5", "Shift+Digit5", "Enter"),
    ):
        press(page, *keys)
    page.wait_for_selector(".tandem[data-state=finished]")
    expect_sync(page, "All saved")
    assert "You have judged everything" in page.inner_text(".pause")
    assert page.inner_text(".count") == "6 of 6"
    said = [
        (
            row.comparisons[0].choice,
            row.comparisons[0].both_bad,
            [int(r.value) for r in row.ratings],
        )
        for row in sorted(web.kept(project), key=lambda row: row.received)
    ]
    assert said == [
        (-3, False, [7, 1]),
        (0, False, [4, 4]),
        (0, True, [2, 1]),
        (-2, False, [6, 3]),
        (1, False, [2, 5]),
        (0, False, [5, 5]),
    ]
    assert all(0 < (row.active_seconds or 0) < 60 for row in web.kept(project))


def test_an_unfinished_judgement_is_not_sent_but_says_what_is_missing(
    visit: Open, web: Web, project: Project
) -> None:
    page = visit()
    sign_in(page, web, "Too quick", project)
    before = shown_answers(page)
    press(page, "Enter")
    assert (
        page.inner_text("[data-part=said]")
        == "Still to do: rate A, rate B, and say which is better."
    )
    press(page, "5", "ArrowLeft", "Enter")
    assert page.inner_text("[data-part=said]") == "Still to do: rate B."
    assert page.inner_text("[data-part=announce]") == "Still to do: rate B."
    assert shown_answers(page) == before
    press(page, "Shift+Digit2", "Enter")
    assert shown_answers(page) != before
    expect_sync(page, "All saved")
    assert len(web.kept(project)) == 1


def test_arrows_mean_the_rating_for_whoever_tabbed_into_it(
    visit: Open, web: Web, project: Project
) -> None:
    page = visit()
    sign_in(page, web, "By tabs", project)
    page.locator("[data-rating=left] input").first.focus()
    press(page, "Space", "ArrowRight", "ArrowRight")
    assert page.locator("[data-rating=left] input:checked").get_attribute("value") == "3"
    assert page.locator("[name=verdict]:checked").count() == 0
    # A mouse click does not take the arrows away from the grade.
    page.locator("[data-rating=right]").get_by_role("radio", name="5, Good").click()
    press(page, "ArrowRight", "ArrowRight")
    assert page.locator("[name=verdict]:checked").get_attribute("value") == "2"
    assert page.locator("[data-rating=right] input:checked").get_attribute("value") == "5"


def test_what_is_judged_while_the_server_is_dead_arrives_when_it_is_back(
    visit: Open, web: Web, server: Served, project: Project
) -> None:
    page = visit()
    sign_in(page, web, "Cut off", project)
    by_keys(page, 1)
    expect_sync(page, "All saved")
    server.kill()
    by_keys(page, 3)
    expect_sync(page, "Offline, 3 kept here")
    assert page.locator(".tandem").get_attribute("data-state") == "task"
    by_keys(page, 2)
    assert "You are offline" in page.inner_text(".pause")
    expect_sync(page, "Offline, 5 kept here")
    server.start()
    expect_sync(page, "All saved")
    page.wait_for_selector(".tandem[data-state=finished]")
    assert len(web.kept(project)) == 6


def test_a_lost_reply_is_sent_again_and_kept_once(visit: Open, web: Web, project: Project) -> None:
    page = visit()
    sign_in(page, web, "Unheard", project)
    arrived = []

    def lose(route: Any) -> None:
        arrived.append(route.fetch().status)
        route.abort()

    page.route("**/api/v1/submissions", lose)
    by_keys(page, 1)
    expect_sync(page, "Offline, 1 kept here")
    assert arrived[0] == 200
    page.unroute("**/api/v1/submissions")
    expect_sync(page, "All saved")
    assert len(web.kept(project)) == 1
    assert page.inner_text(".count") == "1 of 6"


def test_a_reload_loses_nothing_and_shows_nothing_twice(
    visit: Open, web: Web, project: Project
) -> None:
    page = visit()
    sign_in(page, web, "Reloading", project)
    with cut(page, "**/api/v1/submissions"):
        judged = shown_answers(page)
        by_keys(page, 1)
        expect_sync(page, "Offline, 1 kept here")
        page.reload()
        wait_for_task(page)
        assert shown_answers(page) != judged
    expect_sync(page, "All saved")
    by_keys(page, 5)
    page.wait_for_selector(".tandem[data-state=finished]")
    expect_sync(page, "All saved")
    assert len(web.kept(project)) == 6


def test_an_expired_login_asks_to_sign_in_and_sends_in_nobody_elses_place(
    visit: Open, web: Web
) -> None:
    project = web.project("Shared device", prompts=6, overlap=2)
    page = visit()
    sign_in(page, web, "Expired", project)
    page.context.clear_cookies()
    by_keys(page, 1)
    page.wait_for_url("**/sign-in?next=*")
    sign_in(page, web, "On the same device", project)
    expect_sync(page, "All saved")
    assert web.kept(project) == []
    sign_in(page, web, "Expired", project)
    expect_sync(page, "All saved")
    (kept,) = web.kept(project)
    with web.database.read() as connection:
        assert kept.annotator == annotator_named(connection, "Expired").pseudonym


def test_time_without_a_sign_of_life_is_not_work(visit: Open) -> None:
    page = visit()
    page.goto("/sign-in")
    seconds = page.evaluate(
        """async (address) => {
            const { Stopwatch } = await import(address);
            let now = 0;
            const stopwatch = new Stopwatch(() => now);
            now += 10_000; stopwatch.touch();   // reads for ten seconds
            now += 600_000; stopwatch.touch();  // drinks coffee for ten minutes: 30 s count
            now += 5_000; stopwatch.touch();    // reads on
            now += 600_000; stopwatch.resume(); // looks at another tab
            now += 2_000;
            return stopwatch.seconds;
        }""",
        Assets().address("stopwatch.js"),
    )
    assert seconds == 10 + 30 + 5 + 2


def test_a_refused_judgement_stays_in_sight_until_it_is_taken(
    visit: Open, web: Web, project: Project
) -> None:
    page = visit()
    sign_in(page, web, "Refused", project)
    reason = {"error": "The time for this task ran out."}
    page.route("**/submissions", lambda route: route.fulfill(status=409, json=reason))
    by_keys(page, 1)
    expect_sync(page, "1 not accepted")
    box = page.get_by_role("alert")
    assert "1 judgement could not be accepted" in box.inner_text()
    assert reason["error"] in box.inner_text()
    page.unroute("**/submissions")
    page.reload()
    wait_for_task(page)
    expect_sync(page, "1 not accepted")
    page.get_by_role("button", name="Hide for now").click()
    expect_sync(page, "1 not accepted")
    page.reload()
    page.get_by_role("button", name="Try again").click()
    expect_sync(page, "All saved")
    sync_api.expect(page.get_by_role("alert")).to_have_count(0)
    assert len(web.kept(project)) == 1


def test_a_browser_that_keeps_nothing_still_sends_everything(
    visit: Open, web: Web, project: Project
) -> None:
    page = visit()
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    sign_in(page, web, "Private window", project)
    with cut(page, "**/api/v1/submissions"):
        by_keys(page, 2)
        expect_sync(page, "Offline, 2 unsaved: keep this tab open")
    expect_sync(page, "All saved")
    assert len(web.kept(project)) == 2


def test_a_participant_agrees_votes_and_is_thanked(visit: Open, web: Web, project: Project) -> None:
    study = web.study(project)
    page = visit(**PHONE)
    page.goto(f"/study/{study.code}")
    assert page.inner_text("h1") == study.plan["question"]
    page.get_by_role("button", name="Begin").tap()
    assert page.locator("[data-state]").count() == 0, "nobody begins without agreeing"
    page.get_by_label("I have read this and want to take part.").check()
    page.get_by_role("button", name="Begin").tap()
    wait_for_task(page)
    assert not page.locator("[data-rating=left]").is_visible()
    assert not any(arm in page.content() for arm in ARMS)
    for _ in range(5):
        before = shown_answers(page)
        page.locator(".grades label").nth(5).tap()
        page.get_by_role("button", name="Submit").tap()
        assert shown_answers(page) != before
    page.reload()
    wait_for_task(page)
    page.locator(".both-bad label").tap()
    page.get_by_role("button", name="Submit").tap()
    page.wait_for_selector(".tandem[data-state=finished]")
    expect_sync(page, "All saved")
    page.get_by_role("heading", name="Thank you!").wait_for()
    assert "6 choices" in page.inner_text(".pause")
    said = [row.comparisons[0] for row in web.kept(project, study)]
    assert sorted((one.choice, one.both_bad) for one in said) == [(0, True)] + [(2, False)] * 5
    assert web.kept(project) == []
