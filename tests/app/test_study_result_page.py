"""The result of a study on its page, its downloads, and the command: who may, and what is told."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_study import ARMS, made_study
from pages_desk import Desk, open_desk
from served import Web, open_plain_web
from three_arms import three_arms

from app.cli import main
from app.pages.study_result import background, numbers
from evaluation.study_figures import DRAWN
from evaluation.study_package import differences
from evaluation.study_reading import reading
from evaluation.study_record import study_record
from storage.annotators import add_annotator, annotators
from storage.database import Database
from storage.projects import ensure_project
from storage.records import Annotator, Role, Study
from storage.settings import Settings

HERE = "?project=signals"


@pytest.fixture(scope="module")
def desk(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, Annotator, Study, Study]]:
    """A researcher, a closed study, and one that is still open."""
    for opened in open_desk(sqlite_template, tmp_path_factory.mktemp("studies")):
        opened.home = HERE
        now = datetime.now(UTC)
        with opened.database.write() as connection:
            rosa = add_annotator(connection, "Rosa", role=Role.RESEARCHER, now=now)
            project = ensure_project(connection, "signals", now=now)
        closed = three_arms(opened.database, project, now, judged=True)
        still = three_arms(
            opened.database,
            project,
            now - timedelta(days=3),
            name="Early",
            close=False,
            share=0.6,
        )
        yield opened.sit(rosa), rosa, closed, still


def shown(data: list[Any]) -> tuple[str, list[str]]:
    """Everything on the screen as text, and the figures of the study that are on it."""
    figures = [
        one["value"]["plot"]
        for one in data
        if isinstance(one, dict) and isinstance(one.get("value"), dict) and "plot" in one["value"]
    ]
    return json.dumps(data, ensure_ascii=False).replace("\u00a0", " "), figures


def screen(desk: Desk, study: Study) -> list[Any]:
    address = f"{HERE}&study={study.id}"
    return desk.call(desk.handler("studies", "show"), address=address)


def test_a_closed_study_shows_all_there_is(desk: tuple[Desk, Annotator, Study, Study]) -> None:
    pages, _, closed, _ = desk
    text, figures = shown(screen(pages, closed))
    found = study_record(pages.database, closed)
    for words in (
        found.result.verdict,
        found.study.plan["digest"],
        "Where each arm stands",
        "A second opinion",
        f">{found.result.comparisons[0].by_prompt.won}<",
        "Programs beside people",
        "longest answer",
        "Where they disagreed most",
        '<details class=\\"t-example\\">',
        "We compared Combined, Preference only and SFT on 12 prompts",
        f"/api/v1/studies/{closed.id}/report",
        f"/api/v1/studies/{closed.id}/package",
        "Excluded votes",
    ):
        assert words in text, words
    # There are no ratings; all the other figures are there.
    assert len(figures) == len(DRAWN) - 1
    assert text.index(found.result.verdict) < text.index("At equal length")


def test_of_an_open_study_an_early_look_shows_totals_only(
    desk: tuple[Desk, Annotator, Study, Study],
) -> None:
    pages, _, _, still = desk
    sealed, none = shown(screen(pages, still))
    assert "No result yet." in sealed
    assert none == []
    address = f"{HERE}&study={still.id}"
    early, figures = shown(pages.call(pages.handler("studies", "look_early"), address=address))
    found = study_record(pages.database, still, peek=True).result
    assert found.verdict in early
    assert "early look" in early
    assert f"{100 * found.comparisons[0].told.low:.0f} to" in early
    assert len(figures) == 2
    for words in ("t-example", "Download", "We compared", "Where each arm stands", "below 0.001"):
        assert words not in early, words
    assert "A second opinion" not in early


def test_rankings_are_told_prompt_by_prompt() -> None:
    ranked = made_study(ranked=True)
    found = reading(ranked)
    told = str(numbers(ranked, found))
    assert found.orders is not None
    assert "Prompt by prompt" in told
    for one in found.orders.standings:
        assert f"{one.first} of {found.orders.prompts}" in told
    paired = made_study()
    assert "Prompt by prompt" not in numbers(paired, reading(paired))


def test_what_cannot_be_told_at_equal_length_is_not_put_down_to_too_few_votes() -> None:
    # The first arm is always longer by as much, so nothing tells length and arm apart.
    texts = {(n, arm): "word " * (9 - ARMS.index(arm)) for n in range(20) for arm in ARMS}
    record = made_study(texts=texts)
    assert record.result.comparisons[0].at_equal_length is None
    assert "cannot be told" in numbers(record, reading(record))
    assert "cannot be told" not in numbers(made_study(), reading(made_study()))


def test_nobody_but_researchers_sees_a_result(
    desk: tuple[Desk, Annotator, Study, Study],
) -> None:
    pages, rosa, closed, _ = desk
    with pages.database.read() as connection:
        voter = next(one for one in annotators(connection) if one.role is Role.PARTICIPANT)
    try:
        pages.sit(voter)
        for handler in ("show", "look_early"):
            data = pages.call(
                pages.handler("studies", handler), address=f"{HERE}&study={closed.id}"
            )
            assert "This needs the role researcher" in data[-1]
            assert "Combined" not in json.dumps(data)
    finally:
        pages.sit(rosa)


@pytest.fixture
def web(database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    return open_plain_web(database, data_dir, now, monkeypatch)


def test_researchers_download_the_report_and_the_package(web: Web, tmp_path: Path) -> None:
    with web.database.write() as connection:
        project = ensure_project(connection, "signals", now=web.now)
    closed = three_arms(web.database, project, web.now, prompts=6, judged=True)
    still = three_arms(web.database, project, web.now, prompts=7, name="Early", close=False)
    rosa, mira = web.browser(web.person("Rosa", Role.RESEARCHER)), web.browser(web.person("Mira"))
    for what in ("report", "package"):
        path = f"/api/v1/studies/{closed.id}/{what}"
        assert web.browser().get(path).status_code == 401
        assert mira.get(path).status_code == 403
        refused = rosa.get(f"/api/v1/studies/{still.id}/{what}")
        assert refused.status_code == 403
        assert "is still open" in refused.json()["error"]
        assert rosa.get(f"/api/v1/studies/nothing/{what}").status_code == 404
    report = rosa.get(f"/api/v1/studies/{closed.id}/report")
    # Never opened as a page of ours: its scripts stay in the file.
    assert report.headers["content-disposition"].startswith("attachment; filename=")
    assert "Which signal helps?" in report.text
    packed = rosa.get(f"/api/v1/studies/{closed.id}/package")
    assert packed.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(packed.content)) as files:
        files.extractall(tmp_path / "study")
    assert differences(tmp_path / "study") == []
    # People are there under pseudonyms; nothing was left behind.
    whole = b"".join(path.read_bytes() for path in (tmp_path / "study").rglob("*.*"))
    assert b"@example.org" not in whole
    assert b"voter-" not in whole
    assert b"longest answer" in whole
    assert list(web.settings.folder("temporary").iterdir()) == []


def test_the_command_writes_the_package(
    sqlite_template: Path,
    tmp_path: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TANDEM_DATA_DIR", str(tmp_path))
    database = Database(Settings(data_dir=tmp_path).database)
    database.migrate()
    with database.write() as connection:
        project = ensure_project(connection, "signals", now=now)
    closed = three_arms(database, project, now, prompts=6)
    still = three_arms(database, project, now, prompts=7, name="Early", close=False)
    database.close()
    target = tmp_path / "out" / "study.zip"
    assert main(["study", "package", still.code, "--output", str(target)]) == 1
    assert "is still open" in capsys.readouterr().err
    assert not target.exists()
    assert main(["study", "package", closed.code, "--output", str(target), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"study": closed.id, "code": closed.code, "package": str(target)}
    with zipfile.ZipFile(target) as files:
        files.extractall(tmp_path / "study")
    assert differences(tmp_path / "study") == []


def test_participants_who_follow_least_are_told() -> None:
    made = made_study()
    # One says the opposite of what was said, every time.
    odd = [
        replace(vote, choice=-vote.choice) if vote.annotator == "amber-heron-04" else vote
        for vote in made_study(people=8, overlap=8, prompts=40, ties=0).votes
    ]
    record = replace(made_study(people=8, overlap=8, prompts=40, ties=0), votes=tuple(odd))
    found = reading(record)
    assert found.raters is not None
    assert found.raters.raters[0].rater == "amber-heron-04"
    told = str(background(record, found))
    assert "Participants one by one" in told
    assert "be told from chance or vote against it: amber-heron-04" in told
    assert "told from chance" not in background(made, reading(made))
