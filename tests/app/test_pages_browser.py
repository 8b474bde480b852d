"""The researcher's pages in Chromium, behind the whole server: they fit, move and refuse."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from invented import Invented, fill
from serving import Served

from storage import jobs
from storage.annotators import make_sign_in_link
from storage.database import Database
from storage.records import JobState
from storage.settings import Settings

pytestmark = pytest.mark.browser

PAGES = ("", "data", "check", "quality", "train", "models", "studies", "people")
SCREENS = {
    "wide": {"viewport": {"width": 1360, "height": 850}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}


@dataclass
class Installation:
    """A server with invented content, and a browser to look at it."""

    address: str
    database: Database
    invented: Invented
    chromium: Any
    contexts: list[Any] = field(default_factory=list)

    def open(self, **options: Any) -> Any:
        """A page of a browser in which the administrator is signed in."""
        with self.database.write() as connection:
            token = make_sign_in_link(
                connection,
                self.invented.administrator.id,
                now=datetime.now(UTC),
                lifetime=timedelta(hours=1),
            )
        self.contexts.append(self.chromium.new_context(**options))
        page = self.contexts[-1].new_page()
        page.goto(f"{self.address}/sign-in/{token}")
        page.get_by_role("button").click()
        page.wait_for_url(re.compile("/research"))
        return page


@pytest.fixture(scope="module")
def installation(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, chromium: Any
) -> Iterator[Installation]:
    data_dir = tmp_path_factory.mktemp("installation")
    settings = Settings(data_dir=data_dir)
    shutil.copy(sqlite_template, data_dir / "tandem.sqlite")
    database = Database(settings.database)
    invented = fill(database, settings, datetime.now(UTC), prompts=40)
    served = Served(data_dir, "", pages="all")
    served.start()
    try:
        installed = Installation(served.address, database, invented, chromium)
        yield installed
        for context in installed.contexts:
            context.close()
    finally:
        served.kill()
        database.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_fits_its_screen_and_asks_no_other_machine(
    installation: Installation, screen: str, scheme: str
) -> None:
    page = installation.open(color_scheme=scheme, **SCREENS[screen])
    errors: list[str] = []
    foreign: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((installation.address, "data:", "blob:"))
            else foreign.append(request.url)
        ),
    )
    for path in PAGES:
        page.goto(f"{installation.address}/research/{path}")
        page.wait_for_selector(".t-account")
        page.wait_for_selector("h1")
        page.wait_for_timeout(1200)
        wide, seen = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= seen, f"/{path} is {wide} px wide on a screen of {seen} px"
        assert page.locator("h1").count() == 1
        assert page.locator(".t-refusal").count() == 0, page.locator(".t-refusal").inner_text()
        assert "Tandem" in page.title()
    assert errors == []
    assert foreign == []
    page.context.close()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_figures_of_a_reward_model_are_drawn_and_fit(
    installation: Installation, screen: str
) -> None:
    page = installation.open(**SCREENS[screen])
    page.goto(f"{installation.address}/research/models?project=everyday+questions&model=combined-1")
    # One of all reward models, and the seven of the card.
    page.wait_for_function("document.querySelectorAll('.t-figure .main-svg').length >= 8")
    page.get_by_text("The numbers in the figures").click()
    page.get_by_role("table", name="Kind of prompt and pair accuracy").wait_for()
    page.wait_for_timeout(500)
    wide, seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= seen
    for figure in page.locator(".t-figure").all():
        box = figure.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= seen
    page.context.close()


def test_a_run_started_from_the_form_moves_survives_a_reload_and_is_stopped(
    installation: Installation,
) -> None:
    page = installation.open(**SCREENS["wide"])
    home = f"{installation.address}/research/train?project=everyday+questions"
    page.goto(home)
    page.get_by_label("Combined reward model").check()
    start = page.get_by_role("button", name="Start training").filter(visible=True)
    epochs = page.get_by_label(re.compile("^Epochs")).filter(visible=True)
    epochs.fill("0")
    start.click()
    page.get_by_text("epochs: input should be greater than or equal to 1").wait_for()
    epochs.fill("3")
    start.click()
    page.wait_for_url(re.compile(r"job=[0-9a-f]+"))
    identifier = re.findall(r"job=([0-9a-f]+)", page.url)[0]
    page.get_by_text("Waits for the worker").wait_for()

    with installation.database.write() as connection:
        job = jobs.job(connection, identifier)
        jobs.mark_running(connection, job.id, now=datetime.now(UTC))
    for step, loss in ((1, 0.7), (2, 0.6), (3, 0.4)):
        with installation.database.write() as connection:
            jobs.record_progress(
                connection,
                job.id,
                step=step,
                total=10,
                metrics={"train/loss": loss},
                now=datetime.now(UTC),
            )
        page.get_by_text(f"{step} of 10").first.wait_for()
        page.locator(".t-chart .t-key b", has_text=str(loss)).wait_for()

    page.reload()
    page.locator(".t-chart .t-key b", has_text="0.4").wait_for()
    page.get_by_role("button", name="Stop this run").click()
    page.get_by_text("stopping").first.wait_for()
    with installation.database.read() as connection:
        assert jobs.job(connection, job.id).cancel_asked
    with installation.database.write() as connection:
        jobs.finish(connection, job.id, JobState.CANCELLED, now=datetime.now(UTC))
    page.get_by_text("Was stopped; its last checkpoint is kept.").wait_for()
    page.context.close()


def test_a_study_is_closed_only_after_a_second_thought(installation: Installation) -> None:
    page = installation.open(**SCREENS["phone"])
    page.goto(f"{installation.address}/research/studies?project=everyday+questions")
    close = page.get_by_role("button", name="Close the study")
    close.wait_for()
    page.once("dialog", lambda dialog: dialog.dismiss())
    close.click()
    page.wait_for_timeout(800)
    assert page.get_by_text("Link for participants").is_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    close.click()
    page.locator(".t-verdict").wait_for()
    assert not page.get_by_text("Link for participants").is_visible()
    page.context.close()


def test_a_plan_says_what_its_votes_will_see_while_it_is_typed(installation: Installation) -> None:
    page = installation.open(**SCREENS["phone"])
    page.goto(f"{installation.address}/research/studies?project=everyday+questions")
    page.get_by_text(re.compile(r"With \d+ votes \(8 prompts, 3 on each\)")).wait_for()
    page.get_by_label(re.compile("^Overlap")).fill("9")
    page.get_by_text("With 72 votes (8 prompts, 9 on each)").wait_for()
    wide, seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= seen
    page.context.close()
