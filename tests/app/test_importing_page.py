"""Every example of the page on importing does what the page says it does."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from pathlib import Path

import pytest

from app.cli import make_app
from app.commands.data import options_of
from app.importing import import_into
from feedback.importers import IMPORTERS
from feedback.importers.reading import detect
from storage.database import Database

PAGE = (Path(__file__).parents[2] / "docs" / "importing.md").read_text("utf-8")
EXAMPLE = re.compile(
    r"\n### ([\w-]+)\n.*?Save as `([^`]+)`:\n\n```\n(.*?)```"
    r"\n\n```bash\n(.*?)```\n\n```text\n(.*?)```",
    re.DOTALL,
)
EXAMPLES = {found[0]: found[1:] for found in EXAMPLE.findall(PAGE)}


def test_every_format_has_an_example() -> None:
    assert EXAMPLES.keys() == IMPORTERS.keys()
    assert len(EXAMPLES) == PAGE.count("\n### ") == PAGE.count("```bash")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_adds_what_the_page_says(
    database: Database, tmp_path: Path, now: datetime, name: str
) -> None:
    file, content, command, told = EXAMPLES[name]
    (tmp_path / file).write_text(content, encoding="utf-8")
    words = shlex.split(command)
    assert words[:3] == ["tandem", "import", file]
    _, bound, _ = make_app().parse_args(words[1:], print_error=False, exit_on_error=False)
    given = bound.arguments
    if given.get("format_name") is None:
        assert detect(tmp_path / file) == name
    report = import_into(
        database,
        tmp_path / file,
        project="page",
        format_name=given.get("format_name"),
        options=options_of(given.get("option")),
        now=now,
    )
    expected = dict(line.split(": ") for line in told.splitlines())
    counted = ("prompts", "responses", "comparisons", "ratings", "tasks", "dependent")
    assert {key: report[key] for key in expected} == {
        key: int(value) for key, value in expected.items()
    }
    assert all(report[key] == 0 for key in counted if key not in expected)
    again = import_into(
        database,
        tmp_path / file,
        project="page",
        format_name=given.get("format_name"),
        options=options_of(given.get("option")),
        now=now,
    )
    assert all(again[key] == 0 for key in ("prompts", "responses", "comparisons", "ratings"))
