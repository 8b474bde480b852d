"""The whole journey in a browser, on the real `tandem serve`: from sign-in to the verdict."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import PATIENCE, PHONE, WIDE, choose, expect_sync, press, wait_for_task
from ports import free_port
from serving import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")

MINUTES = 300_000
"""Milliseconds for a training job of the tiny model on a busy machine."""


def judged_lines(number: int) -> str:
    """Judged answers, of which the warm one is better: something to learn from at once."""
    lines = []
    for place in range(number):
        texts = {"a": f"A kind and warm answer, number {place}.", "b": f"No. {place}."}
        rating = {"annotator": "p1", "scale_min": 1, "scale_max": 7}
        lines.append(
            {
                "prompt": f"Question {place} about the garden?",
                "responses": [
                    {"rid": "a", "text": texts["a"], "ratings": [{**rating, "rating": 6}]},
                    {"rid": "b", "text": texts["b"], "ratings": [{**rating, "rating": 2}]},
                ],
                "preferences": [{"a": "a", "b": "b", "winner": "a", "annotator": "p1"}],
            }
        )
    return "\n".join(map(json.dumps, lines))


def open_lines(number: int) -> str:
    return "\n".join(
        json.dumps(
            {"prompt": f"Say something about {place}.", "responses": ["One thing.", "Another."]}
        )
        for place in range(number)
    )


class Tandem:
    """`tandem serve` on a fresh data directory, and the command beside it."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "TANDEM_DATA_DIR": str(folder / "data"),
            "TANDEM_PORT": str(free_port()),
            "OMP_NUM_THREADS": "1",
        }
        self.log = folder / "serve.log"

    def run(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            timeout=300,
        )

    def serve(self) -> str:
        """Start it; returns the sign-in link that it prints."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            if found := re.search(r"http://\S+/sign-in/\S+", self.log.read_text()):
                health = f"http://127.0.0.1:{self.environment['TANDEM_PORT']}/api/v1/health"
                try:
                    urllib.request.urlopen(health, timeout=30).close()
                    return found.group()
                except OSError:
                    pass
            time.sleep(0.3)
        raise AssertionError(f"no sign-in link was printed: {self.log.read_text()}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


@pytest.fixture
def tandem(tmp_path: Path) -> Iterator[Tandem]:
    tandem = Tandem(tmp_path)
    for name, lines in (("open", open_lines(6)), ("judged", judged_lines(60))):
        (tmp_path / f"{name}.jsonl").write_text(lines)
        tandem.run("import", str(tmp_path / f"{name}.jsonl"), "--project", "garden")
    yield tandem
    tandem.stop()


def test_from_the_sign_in_link_to_the_verdict(
    tandem: Tandem, chromium: Any, tmp_path: Path
) -> None:
    link = tandem.serve()
    address = link.split("/sign-in/")[0]
    context = chromium.new_context(base_url=address, accept_downloads=True, **WIDE)
    context.set_default_timeout(PATIENCE)
    failed: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/research"))

    _annotate(page)
    _export(page)
    _train(page)
    # One short step of PPO, so that there is a policy to hold against its start.
    tandem.run(
        *("train", "policy", "ppo", "--project", "garden", "--start", "tiny", "--name", "ppo-1"),
        *("--rewards", "preference-1", "--steps", "2", "--episodes", "4", "--minibatches", "1"),
        *("--learning-rate", "0.01", "--max-new-tokens", "12"),
    )
    votes = _study(page, context, tandem)
    _verdict(page, votes)
    assert failed == []


def _annotate(page: Any) -> None:
    page.goto("/annotate/?project=garden")
    wait_for_task(page)
    good, weak = "5, Good", "3, Weak"
    for grade, left, right in (
        ("A is much better", good, weak),
        ("About equal", good, good),
        ("B is slightly better", weak, good),
    ):
        choose(page, grade)
        page.locator("[data-rating=left]").get_by_role("radio", name=left).check()
        page.locator("[data-rating=right]").get_by_role("radio", name=right).check()
        page.get_by_role("button", name="Submit").click()
    for _ in range(3):
        press(page, "ArrowLeft", "6", "Shift+Digit2", "Enter")
    page.wait_for_selector(".tandem[data-state=finished]")
    expect_sync(page, "All saved")


def _export(page: Any) -> None:
    page.goto("/research/data?project=garden")
    page.get_by_role("button", name="Freeze a snapshot now").click()
    page.get_by_text("Frozen.").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Download")).click()
    with zipfile.ZipFile(download.value.path()) as packed:
        files = {Path(name).name for name in packed.namelist()}
    assert {"README.md", "train.jsonl"} <= files


def _train(page: Any) -> None:
    page.goto("/research/train?project=garden")
    # The menus are filled once the page stands; whoever is faster would be told to choose.
    snapshot = page.get_by_label(re.compile("^Snapshot")).filter(visible=True)
    sync_api.expect(snapshot).to_have_value(re.compile(" choices"), timeout=PATIENCE)
    base = page.get_by_label(re.compile("^Base")).filter(visible=True)
    base.fill("tiny")
    base.press("Enter")
    page.get_by_label(re.compile("^Epochs")).filter(visible=True).fill("60")
    page.get_by_role("button", name="Start training").filter(visible=True).click()
    page.wait_for_url(re.compile(r"job=[0-9a-f]+"))
    # The curve moves while it runs, and the run ends.
    latest = page.locator(".t-chart .t-key b").first
    latest.wait_for(timeout=MINUTES)
    seen = latest.inner_text()
    sync_api.expect(latest).not_to_have_text(seen, timeout=MINUTES)
    done = page.locator(".t-watch").get_by_text("done", exact=True).first
    sync_api.expect(done).to_be_visible(timeout=MINUTES)


def _study(page: Any, context: Any, tandem: Tandem) -> int:
    page.goto("/research/studies?project=garden")
    asked = page.get_by_label("Does this policy")
    asked.fill("ppo-1")
    asked.press("Enter")
    # What it grew from is there by itself.
    start = page.get_by_role("button", name="Remove tiny").or_(page.get_by_text("tiny", exact=True))
    start.first.wait_for()
    page.get_by_label("Title").first.fill("Does it help?")
    page.get_by_label("Overlap").first.fill("2")
    # What so many votes can see is told while the study is planned.
    page.get_by_text(re.compile(r"\d+ votes \(\d+ prompts, 2 on each\)")).first.wait_for()
    page.get_by_role("button", name="Open the study").click()
    page.get_by_text("Queued.").wait_for()
    opened = page.get_by_role("link", name="Does it help?")
    opened.wait_for(timeout=MINUTES)
    opened.click()
    page.get_by_text("Link for participants").wait_for()
    link = page.wait_for_function(
        "[...document.querySelectorAll('input, textarea')].map(one => one.value)"
        ".find(value => value.includes('/study/'))"
    ).json_value()

    code = link.rsplit("/", 1)[1]
    votes = _voted(context, link, WIDE, "ArrowLeft")
    # A program votes between two people and takes nobody's place.
    tandem.run("judge", "longest", "--study", code)
    assert _voted(context, link, PHONE, "ArrowRight") == votes
    return 2 * votes


def _voted(context: Any, link: str, size: dict[str, Any], key: str) -> int:
    """A participant with a browser of their own and no account; how many votes there were."""
    visitor = context.browser.new_context(**size)
    visitor.set_default_timeout(PATIENCE)
    voter = visitor.new_page()
    voter.goto(link)
    voter.get_by_label("I have read this and want to take part.").check()
    voter.get_by_role("button").last.click()
    wait_for_task(voter)
    assert "ppo-1" not in voter.content()
    votes = int(voter.inner_text(".count").split()[-1])
    for _ in range(votes):
        wait_for_task(voter)
        press(voter, key, "Enter")
    voter.wait_for_selector(".tandem[data-state=finished]")
    expect_sync(voter, "All saved")
    visitor.close()
    return votes


def _verdict(page: Any, votes: int) -> None:
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Close the study").click()
    verdict = page.locator(".t-verdict")
    sync_api.expect(verdict).to_contain_text(f"{votes} votes", timeout=PATIENCE)
    said = verdict.inner_text()
    assert re.search(r"ppo-1 .* \d+\s%\s\[\d+, \d+\]", said, re.DOTALL)
    assert "(2 people)" in said.replace("\u00a0", " ")
    page.get_by_text("1 program beside them").wait_for()
    with page.expect_download() as given:
        page.get_by_role("link", name="Download the report").click()
    report = given.value.path().read_text(encoding="utf-8")
    assert "Does it help?" in report
    assert "longest answer" in report
    with page.expect_download() as given:
        page.get_by_role("link", name="Download everything").click()
    with zipfile.ZipFile(given.value.path()) as package:
        kinds = [json.loads(line)["kind"] for line in package.read("votes.jsonl").splitlines()]
    assert (kinds.count("person"), kinds.count("program")) == (votes, votes // 2)
