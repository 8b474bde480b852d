"""Every example of docs/models.md is run in the order of the page, but those that say otherwise."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_house import fill

from app.cli import main, make_app
from storage.database import Database
from storage.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PUSHES = re.findall(r"^tandem models push .*$", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def home(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, beside the two models that the page speaks of."""
    folder = tmp_path_factory.mktemp("docs")
    settings = Settings(data_dir=folder / "data", device="cpu")
    settings.folder()
    shutil.copy(sqlite_template, settings.data_dir / "tandem.sqlite")
    database = Database(settings.database)
    fill(settings, database, folder)
    yield folder
    database.close()


def test_the_commands_and_then_the_programs_of_the_page_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TANDEM_DATABASE_URL", raising=False)
    monkeypatch.chdir(home)
    for tokens in COMMANDS:
        ended = main([*tokens[1:], "--json", "--data-dir", str(home / "data")])
        printed = capsys.readouterr()
        assert ended == 0, printed.err
        told = json.loads(printed.out)
        assert told["model"] == tokens[3]
        assert told["folder"] == tokens[tokens.index("--output") + 1]
        assert told["form"] == ("adapter" if "--adapter" in tokens else "merged")
        assert all((home / told["folder"] / file).stat().st_size for file in told["files"])
    assert len(COMMANDS) == 5
    generated, rewarded, adapted = (run(program) for program in PROGRAMS)
    assert isinstance(generated["text"], str)
    assert math.isfinite(rewarded["standardised"])
    assert type(adapted["model"]).__name__.startswith("PeftModel")
    for folder in ("ppo-1-merged", "combined-1-merged", "ppo-1-adapter", "combined-1-adapter"):
        [program] = re.findall(
            r"```python\n(.*?)```", (home / folder / "README.md").read_text("utf-8"), re.DOTALL
        )
        said = run(program)
        assert "text" in said or math.isfinite(said["reward"])
        if folder == "combined-1-adapter":
            assert said["reward"] == pytest.approx(rewarded["reward"], abs=1e-5)


def run(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(program, names)
    return names


@pytest.mark.parametrize("line", PUSHES)
def test_each_push_of_the_page_is_understood(line: str) -> None:
    command, bound, _ = make_app().parse_args(
        shlex.split(line)[1:], print_error=False, exit_on_error=False
    )
    assert callable(command)
    assert bound.arguments["to"].startswith("my-lab/balcony-")
    assert bound.arguments.get("public", False) is False


def test_what_is_not_run_says_so() -> None:
    for heading in ("### vLLM", "### GGUF"):
        part = TEXT[TEXT.index(heading) :]
        assert part.split("\n\n")[1].startswith("Not run by the tests.")
    assert PUSHES
