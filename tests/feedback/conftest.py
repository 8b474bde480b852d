"""Small files, projects and people that several tests of feedback need."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feedback.exporters import ExportReport, export
from storage.annotators import add_annotator
from storage.database import Database
from storage.judgements import record_imported
from storage.projects import add_project, ensure_project
from storage.prompts import add_prompts, add_responses, responses
from storage.records import (
    Annotator,
    Collecting,
    Comparison,
    Kind,
    Project,
    ProjectId,
    Prompt,
    Rating,
    Response,
    Role,
    Submission,
    SubmissionId,
)


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Write objects as JSON lines; `.gz` compresses them."""

    def write(*lines: Mapping[str, Any] | str, name: str = "file.jsonl") -> Path:
        path = tmp_path / name
        text = "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def project(database: Database, now: datetime) -> Project:
    """Two prompts with three answers each, overlap 2, both judgements asked for."""
    fresh = Project(id=ProjectId("project"), name="demo", overlap=2, created=now)
    prompts = [
        Prompt.of(fresh.id, text, tags=["explain"], source="here") for text in ("Why?", "How?")
    ]
    answers = [
        Response.of(prompt.id, f"{prompt.messages[0]['content']} {text}", policy=f"model-{text}")
        for prompt in prompts
        for text in ("alpha", "beta", "gamma")
    ]
    with database.write() as connection:
        add_project(connection, fresh)
        add_prompts(connection, prompts)
        add_responses(connection, answers)
    return fresh


@pytest.fixture
def person(database: Database, now: datetime) -> Callable[..., Annotator]:
    """Somebody who may judge."""

    def person(name: str, kind: Kind = Kind.PERSON) -> Annotator:
        with database.write() as connection:
            return add_annotator(connection, name, role=Role.ANNOTATOR, kind=kind, now=now)

    return person


@pytest.fixture
def plain_project(database: Database, project: Project, now: datetime) -> Project:
    """The same answers in a project that asks for choices only."""
    asked = Collecting(task_types=("pair",))
    plain = replace(project, id=ProjectId("plain"), name="plain", collecting=asked, overlap=1)
    prompt = Prompt.of(plain.id, "Which?")
    with database.write() as connection:
        add_project(connection, plain)
        add_prompts(connection, [prompt])
        add_responses(connection, [Response.of(prompt.id, text) for text in ("one", "two")])
        ensure_project(connection, "another", now=now)
    return plain


@pytest.fixture
def say(
    database: Database, project: Project, person: Callable[..., Annotator], now: datetime
) -> Callable[..., None]:
    """Keep a judgement of two answers of `project`: left, right."""
    numbers, people = count(), {}

    def say(
        choice: int | None = None,
        ratings: Sequence[float | None] = (),
        *,
        who: str = "Ann Example",
        kind: Kind = Kind.PERSON,
        of: tuple[str, str] = ("Why? alpha", "Why? beta"),
        graded: bool = True,
        both_bad: bool = False,
    ) -> None:
        if who not in people:
            people[who] = person(who, kind)
        with database.write() as connection:
            known = {
                one.text: one
                for theirs in responses(connection, project.id).values()
                for one in theirs
            }
            left, right = (known[text] for text in of)
            compared = (
                []
                if choice is None
                else [
                    Comparison(
                        left=left.id,
                        right=right.id,
                        choice=choice,
                        graded=graded,
                        both_bad=both_bad,
                    )
                ]
            )
            rated = [
                Rating(response=one.id, value=value)
                for one, value in zip((left, right), ratings, strict=False)
                if value is not None
            ]
            record_imported(
                connection,
                [
                    Submission(
                        id=SubmissionId(f"submission-{next(numbers)}"),
                        annotator=people[who].id,
                        prompt=left.prompt,
                        comparisons=tuple(compared),
                        ratings=tuple(rated),
                        received=now,
                    )
                ],
            )

    return say


@pytest.fixture
def write(
    database: Database, project: Project, tmp_path: Path, now: datetime
) -> Callable[..., ExportReport]:
    """Export `project` into a new folder."""
    numbers = count()

    def write(name: str, file_type: str | None = None, **options: Any) -> ExportReport:
        folder = tmp_path / f"export-{next(numbers)}"
        return export(
            database, project, name, folder=folder, file_type=file_type, options=options, now=now
        )

    return write
