"""Small files, projects and people that several tests of feedback need."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.annotators import add_annotator
from storage.database import Database
from storage.projects import add_project, ensure_project
from storage.prompts import add_prompts, add_responses
from storage.records import Annotator, Collecting, Kind, Project, ProjectId, Prompt, Response, Role


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
