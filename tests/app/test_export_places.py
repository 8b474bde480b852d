"""Where exports go: folders, files, stores and the Hub, which is replaced at its boundary."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from app.exporting import background, export_to, push_to_hub
from storage.annotators import add_annotator
from storage.database import Database
from storage.errors import InvalidOption, NotAllowed, ServiceFailed
from storage.judgements import record_imported
from storage.projects import ensure_project
from storage.prompts import add_prompts, add_responses
from storage.records import (
    Comparison,
    Project,
    Prompt,
    Response,
    Role,
    Submission,
    SubmissionId,
)

NAMES = ("Ann Example", "Ben Example")


@pytest.fixture
def project(database: Database, now: datetime) -> Project:
    """Forty prompts judged by two people who agree on all but every fifth."""
    with database.write() as connection:
        made = ensure_project(connection, "places", now=now)
        people = [add_annotator(connection, name, role=Role.ANNOTATOR, now=now) for name in NAMES]
        for number in range(40):
            prompt = Prompt.of(made.id, f"Question {number}?")
            add_prompts(connection, [prompt])
            one, other = (Response.of(prompt.id, text, policy="m") for text in ("a", "b"))
            add_responses(connection, [one, other])
            for place, person in enumerate(people):
                choice = 2 if number % 2 else -2
                choice = -choice if place and number % 5 == 0 else choice
                record_imported(
                    connection,
                    [
                        Submission(
                            id=SubmissionId(f"{number}-{place}"),
                            annotator=person.id,
                            prompt=prompt.id,
                            comparisons=(Comparison(left=one.id, right=other.id, choice=choice),),
                            received=now,
                        )
                    ],
                )
    return made


class Hub:
    """Stands for `HfApi`: remembers what it is asked to do, and what would be uploaded."""

    def __init__(self) -> None:
        self.there: SimpleNamespace | None = None
        self.error: Exception | None = None
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, str] = {}

    def dataset_info(self, name: str) -> SimpleNamespace:
        if self.error:
            raise self.error
        if self.there is None:
            raise RepositoryNotFoundError("404", response=answer(404))
        return self.there

    def create_repo(self, name: str, **asked: Any) -> None:
        self.calls.append(("create", {"name": name, **asked}))

    def upload_folder(self, *, folder_path: Path, **asked: Any) -> None:
        self.calls.append(("upload", asked))
        self.files = {path.name: path.read_text("utf-8") for path in folder_path.iterdir()}


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.example"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    return hub


@pytest.fixture
def push(database: Database, project: Project, hub: Hub, now: datetime) -> Callable[..., Any]:
    def push(
        *, public: bool = False, agree: bool = False, name: str = "lab/places"
    ) -> tuple[Any, list[str]]:
        asked: list[str] = []

        def confirm(question: str) -> bool:
            asked.append(question)
            return agree

        report, _ = push_to_hub(
            database,
            project,
            "preference",
            name=name,
            public=public,
            confirm=confirm,
            options={"licence": "cc-by-4.0"},
            now=now,
        )
        return report, asked

    return push


UPLOAD = {
    "repo_id": "lab/places",
    "repo_type": "dataset",
    "delete_patterns": "*",
    "commit_message": "Export of preference by Tandem",
}


def test_the_hub_gets_a_private_data_set_without_names(push: Any, hub: Hub) -> None:
    report, asked = push()
    assert hub.calls == [
        ("create", {"name": "lab/places", "repo_type": "dataset", "private": True}),
        ("upload", UPLOAD),
    ]
    assert asked == []
    assert set(hub.files) == {"train.jsonl", "validation.jsonl", "test.jsonl", "README.md"}
    lines = [
        json.loads(line)
        for name, text in hub.files.items()
        if name.endswith(".jsonl")
        for line in text.splitlines()
    ]
    assert len(lines) == sum(report.rows.values()) == 80
    everything = "".join(hub.files.values())
    assert not re.search("Example|Ann |Ben ", everything)
    assert 'license: "cc-by-4.0"' in hub.files["README.md"]


def test_publishing_asks_first(push: Any, hub: Hub) -> None:
    with pytest.raises(NotAllowed, match=r"Nothing was published\."):
        push(public=True, agree=False)
    assert hub.calls == []
    _, [question] = push(public=True, agree=True)
    assert "80 rows of the project 'places' at lab/places" in question
    assert hub.calls[0][1]["private"] is False


def test_what_is_there_already_keeps_its_visibility_and_its_files(push: Any, hub: Hub) -> None:
    hub.there = SimpleNamespace(private=False, tags=["tandem"])
    with pytest.raises(InvalidOption, match="is there and public"):
        push()
    hub.there = SimpleNamespace(private=True, tags=["tandem"])
    with pytest.raises(InvalidOption, match="is there and private"):
        push(public=True, agree=True)
    hub.there = SimpleNamespace(private=True, tags=["text"])
    with pytest.raises(InvalidOption, match="no export of Tandem"):
        push()
    assert hub.calls == []
    hub.there = SimpleNamespace(private=True, tags=["tandem"])
    push()
    assert hub.calls == [("upload", UPLOAD)]


def test_what_the_hub_says_is_told_in_words(
    push: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, kind, sentence in (
        (HfHubHTTPError("403 no", response=answer(403)), NotAllowed, "does not let this account"),
        (HfHubHTTPError("500 no\nx", response=answer(500)), ServiceFailed, r"refused \(500 no\)"),
        (httpx.ConnectError("no route"), ServiceFailed, r"not answer \(ConnectError\)"),
        (ConnectionResetError(), ServiceFailed, r"not answer \(ConnectionResetError\)"),
    ):
        hub.error = error
        with pytest.raises(kind, match=sentence):
            push()
    for name in ("places", "lab/../x", "lab/x y", "a/b/c"):
        with pytest.raises(InvalidOption, match="write OWNER/NAME"):
            push(name=name)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    with pytest.raises(ServiceFailed, match="HF_HUB_OFFLINE is set"):
        push()
    assert hub.calls == []


numbers = count()


def test_a_store_gets_the_folder_once(database: Database, project: Project, now: datetime) -> None:
    address = f"memory://exports/{next(numbers)}"
    options: dict[str, Any] = {"file_type": "parquet"}
    report = export_to(database, project, "preference", output=address, options=options, now=now)
    store = fsspec.filesystem("memory")
    found = {Path(path).name for path in store.ls(address, detail=False)}
    assert found == {path.name for path in report.files}
    assert "README.md" in found
    with pytest.raises(InvalidOption, match="already holds something"):
        export_to(database, project, "preference", output=address, options={}, now=now)
    with pytest.raises(InvalidOption, match="no such store"):
        export_to(database, project, "preference", output="nowhere://x", options={}, now=now)


def test_the_card_tells_agreement_with_its_interval_and_where_the_rows_are_from(
    database: Database, project: Project, now: datetime, tmp_path: Path
) -> None:
    from storage.snapshots import freeze

    told = background(database, project)
    [line] = told.agreement
    # 8 of 40 pairs were told apart the other way round: by hand, D_o = 16/80 = 0.2, and where each
    # side won as often D_e = 2*40*40/(80*79) and alpha = 1 - 0.2/D_e = 0.605. Which answer counts
    # as the first is drawn with the project's id; unlike sides make D_e, and so alpha, smaller.
    found = re.search(r"alpha \(ordinal\) (0\.\d\d), 95% interval 0\.\d\d to 0\.\d\d", line)
    assert found is not None, line
    assert 0.4 < float(found.group(1)) <= 0.61
    assert "from 40 items that two or more of 2 annotators judged" in line
    assert told.lineage[-1] == "- The project has no snapshot yet."
    frozen = freeze(database, project.id, data_dir=tmp_path / "data", now=now)
    export_to(database, project, "preference", output=str(tmp_path / "out"), options={}, now=now)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert frozen.id in card
    assert line in card
    assert "Judged by 2 people." in card


@pytest.mark.parametrize(
    ("typed", "terminal", "agreed"),
    [("yes\n", True, True), ("\n", True, False), ("no\n", True, False), ("yes\n", False, False)],
)
def test_publishing_takes_a_yes_from_a_terminal(
    monkeypatch: pytest.MonkeyPatch, typed: str, terminal: bool, agreed: bool
) -> None:
    from app.commands import output

    keyboard = io.StringIO(typed)
    monkeypatch.setattr(keyboard, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stdin", keyboard)
    assert output.agreed("Publish?") is agreed
