"""Every example of docs/exporting.md is run, and what it writes is there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

from app.cli import main, make_app
from feedback.exporters import EXPORTERS
from storage.annotators import add_annotator
from storage.database import Database
from storage.judgements import record_imported
from storage.projects import ensure_project
from storage.prompts import add_prompts, add_responses
from storage.records import (
    Comparison,
    Prompt,
    Rating,
    Response,
    Role,
    Submission,
    SubmissionId,
)
from storage.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text("utf-8")
LINES = [
    shlex.split(line)
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
EXPORTS = [line for line in LINES if line[1] == "export"]


@pytest.fixture(scope="module")
def home(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Database]]:
    """A project of forty prompts, each judged by two people; and a folder to work in."""
    import shutil

    folder = tmp_path_factory.mktemp("home")
    settings = Settings(data_dir=folder / "data")
    settings.data_dir.mkdir()
    shutil.copy(sqlite_template, settings.data_dir / "tandem.sqlite")
    database = Database(settings.database)
    now = datetime.fromisoformat("2026-03-14T00:00:00+00:00")
    with database.write() as connection:
        project = ensure_project(connection, "default", now=now)
        people = [add_annotator(connection, name, role=Role.ANNOTATOR, now=now) for name in "xy"]
        for number in range(40):
            prompt = Prompt.of(project.id, f"Question {number}?", tags=["kind"])
            add_prompts(connection, [prompt])
            one, other = (Response.of(prompt.id, text, policy="ppo-1") for text in ("a", "b"))
            add_responses(connection, [one, other])
            said = (
                Submission(
                    id=SubmissionId(f"{number}-{person.id}"),
                    annotator=person.id,
                    prompt=prompt.id,
                    comparisons=(Comparison(left=one.id, right=other.id, choice=-2),),
                    ratings=(Rating(response=one.id, value=6), Rating(response=other.id, value=2)),
                    received=now,
                )
                for person in people
            )
            record_imported(connection, said)
    yield folder, database
    database.close()


@pytest.fixture
def tandem(
    home: tuple[Path, Database],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., dict[str, Any]]:
    """Run a command in the folder to work in; returns the JSON that it printed."""
    monkeypatch.delenv("TANDEM_DATABASE_URL", raising=False)
    monkeypatch.chdir(home[0])

    def run(*tokens: str) -> dict[str, Any]:
        ended = main([*tokens, "--json", "--data-dir", str(home[0] / "data")])
        printed = capsys.readouterr()
        assert ended == 0, printed.err
        return dict(json.loads(printed.out))

    return run


@pytest.mark.parametrize("line", EXPORTS, ids=" ".join)
def test_each_export_of_the_page_runs(
    home: tuple[Path, Database], tandem: Any, line: list[str]
) -> None:
    told = tandem(*line[1:])
    assert sum(told["rows"].values()) > 0
    assert told["format"] == line[2]
    if "://" in told["place"]:
        store = fsspec.filesystem(told["place"].partition("://")[0])
        assert all(store.exists(file) for file in told["files"])
    else:
        assert all((home[0] / file).stat().st_size for file in told["files"])


def test_every_format_has_a_row_and_an_example() -> None:
    assert {line[2] for line in EXPORTS} == set(EXPORTERS)
    table = TEXT[TEXT.index("| format |") : TEXT.index("### TRL")]
    assert {name for name in EXPORTERS if f"`{name}`" not in table} == set()


def test_the_comparison_of_snapshots_runs(
    home: tuple[Path, Database], tandem: Any, now: datetime
) -> None:
    first = tandem("snapshot", "create")["snapshot"]
    with home[1].write() as connection:
        project = ensure_project(connection, "default", now=now)
        prompt = Prompt.of(project.id, "Anything else?")
        person = add_annotator(connection, "z", role=Role.ANNOTATOR, now=now)
        answer = Response.of(prompt.id, "No.")
        add_prompts(connection, [prompt])
        add_responses(connection, [answer])
        said = Submission(
            id=SubmissionId("new"),
            annotator=person.id,
            prompt=prompt.id,
            ratings=(Rating(response=answer.id, value=3),),
            received=now,
        )
        record_imported(connection, [said])
    second = tandem("snapshot", "create")["snapshot"]
    [_, [_, *tokens, _]] = [line for line in LINES if line[1] == "snapshot"]
    tokens = [{"3f9a": first[:12], "81c2": second[:12]}.get(token, token) for token in tokens]
    assert tandem(*tokens) == {
        "first": first,
        "second": second,
        "comparisons": {"added": 0, "superseded": 0, "withdrawn": 0, "unchanged": 80},
        "ratings": {"added": 1, "superseded": 0, "withdrawn": 0, "unchanged": 160},
    }


def test_the_hub_command_of_the_page_is_understood() -> None:
    [line] = re.findall(r"^tandem export .*--push-to-hub.*$", TEXT, re.MULTILINE)
    command, bound, _ = make_app().parse_args(
        shlex.split(line)[1:], print_error=False, exit_on_error=False
    )
    assert callable(command)
    assert bound.arguments["push_to_hub"] == "my-lab/balcony-preferences"
    assert bound.arguments.get("public", False) is False
