"""The annotation screen of a project that is judged in Argilla."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import WIDE, Open, press
from mocked import Mocked, task

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")

THERE = {"workspace": "spring <b>tomatoes</b>", "url": "http://argilla.lan:6900"}


def words(page: Any) -> str:
    return str(page.inner_text("[data-part=pause]"))


def test_whoever_comes_is_led_to_argilla(unserved: Open) -> None:
    page = Mocked(unserved(), [], elsewhere=THERE).open("finished")
    assert "This project is judged in Argilla" in words(page)
    assert "“spring <b>tomatoes</b>”" in words(page)
    way = page.get_by_role("link", name="Open Argilla")
    assert way.get_attribute("href") == "http://argilla.lan:6900"
    assert way.get_attribute("target") == "_blank"
    assert "noopener" in way.get_attribute("rel")
    assert not page.locator("[data-part=look-again]").is_visible()
    assert not page.locator("[data-part=progress]").is_visible()


def test_without_an_address_somebody_is_named_who_knows_it(unserved: Open) -> None:
    page = Mocked(unserved(), [], elsewhere={**THERE, "url": None}).open("finished")
    assert "This project is judged in Argilla" in words(page)
    assert "can tell you the address" in words(page)
    assert not page.locator("[data-part=elsewhere]").is_visible()


def test_tasks_that_are_held_come_first(unserved: Open) -> None:
    mocked = Mocked(unserved(), [task(1)], elsewhere=THERE)
    page = mocked.open()
    assert not page.locator("[data-part=elsewhere]").is_visible()
    press(page, "ArrowRight", "4", "Shift+Digit6", "Enter")
    page.wait_for_selector(".tandem[data-state=finished]")
    sync_api.expect(page.get_by_role("link", name="Open Argilla")).to_be_visible()
    assert len(mocked.sent("submissions")) == 1


def test_a_project_that_came_back_is_judged_here(unserved: Open) -> None:
    mocked = Mocked(unserved(), [], elsewhere=THERE)
    page = mocked.open("finished")
    mocked.work["elsewhere"] = None
    page.reload()
    page.wait_for_selector(".tandem[data-state=finished]")
    assert "Nothing to judge yet" in words(page)
    assert not page.locator("[data-part=elsewhere]").is_visible()


@pytest.mark.parametrize(
    ("locale", "title", "way"),
    [
        ("de-AT", "Dieses Projekt wird in Argilla beurteilt", "Argilla öffnen"),
        ("es-MX", "Este proyecto se valora en Argilla", "Abrir Argilla"),
        ("fr-FR", "Ce projet est évalué dans Argilla", "Ouvrir Argilla"),
        ("zh-CN", "这个项目在 Argilla 中评判", "打开 Argilla"),
    ],
)
def test_it_is_told_in_every_language(unserved: Open, locale: str, title: str, way: str) -> None:
    page = Mocked(unserved(**WIDE, locale=locale), [], elsewhere=THERE).open("finished")
    assert title in words(page)
    sync_api.expect(page.get_by_role("link", name=way)).to_be_visible()
