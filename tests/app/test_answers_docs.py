"""Every example of docs/answers.md is run, with a server on this machine in the place of others."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openai_server import FakeServer, echo, openai_server

from app.cli import main
from app.kinds import SampleJob
from storage import jobs, models
from storage.database import Database
from storage.projects import ensure_project
from storage.prompts import add_prompts, responses
from storage.records import Model, ModelId, Prompt
from storage.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "answers.md").read_text("utf-8")
LINES = [
    shlex.split(line)
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
SAMPLES = [line for line in LINES if line[0] == "tandem"]
PROMPTS = [f"Question {number}?" for number in range(4)]
KEY = "sk-only-for-tests"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with openai_server(echo) as running:
        yield running


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small policy, as ordinary tools write it."""
    from transformers import AutoModelForCausalLM

    from training import tiny

    folder = tmp_path_factory.mktemp("policy") / "my-policy"
    tiny.build(AutoModelForCausalLM).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def home(
    sqlite_template: Path, policy: Path, tmp_path: Path, now: datetime
) -> Iterator[tuple[Path, Database]]:
    """A project with prompts and a registered policy; and the files that the page names."""
    settings = Settings(data_dir=tmp_path / "data", database_url="")
    settings.folder()
    shutil.copy(sqlite_template, settings.data_dir / "tandem.sqlite")
    shutil.copytree(policy, settings.folder("models") / "ppo-1")
    shutil.copytree(policy, tmp_path / "my-policy")
    rows = [{"prompt": text, "response": f"Out of a file: {text}"} for text in PROMPTS]
    (tmp_path / "gpt-4.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "prompts.jsonl").write_text(
        "\n".join(json.dumps({"prompt": f"{t}?"}) for t in "ab")
    )
    database = Database(settings.database)
    with database.write() as connection:
        project = ensure_project(connection, "default", now=now)
        add_prompts(connection, [Prompt.of(project.id, text) for text in PROMPTS])
        registered = Model(
            id=ModelId("m1"),
            name="ppo-1",
            purpose="policy",
            recipe="ppo",
            base="tiny",
            folder="models/ppo-1",
            created=now,
        )
        models.add_model(connection, registered)
    yield tmp_path, database
    database.close()


@pytest.fixture
def tandem(
    home: tuple[Path, Database],
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[list[str]], dict[str, Any]]:
    """Run a line of the page, with the server of the test in the place of those that it names."""
    for name in ("TANDEM_DATABASE_URL", "TANDEM_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(home[0])
    server.asked.clear()
    server.headers.clear()

    def run(line: list[str]) -> dict[str, Any]:
        tokens = [
            re.sub(r"@https?://.*", f"@{server.base_url}", one).replace(
                "HuggingFaceTB/SmolLM2-135M-Instruct", "tiny"
            )
            for one in line[1:]
        ]
        # A small model writes no end by itself.
        short = ["--max-new-tokens", "4"] if set(tokens) & {"tiny", "ppo-1", "./my-policy"} else []
        ended = main([*tokens, *short, "--json", "--data-dir", str(home[0] / "data")])
        printed = capsys.readouterr()
        assert ended == 0, printed.err
        return dict(json.loads(printed.out))

    return run


@pytest.mark.parametrize("line", SAMPLES, ids=" ".join)
def test_each_example_of_the_page_runs(
    home: tuple[Path, Database],
    server: FakeServer,
    tandem: Callable[[list[str]], dict[str, Any]],
    line: list[str],
) -> None:
    told = tandem(line)
    policies = [one for one in line if re.match(r"openai:|file:|ppo-1$|\./|HuggingFaceTB/", one)]
    assert len(told["endings"]) == len(policies) > 0
    asked = [one for one in policies if one.startswith("openai:")]
    assert {one["model"] for one in server.asked} == {
        one.removeprefix("openai:").partition("@http")[0] for one in asked
    }
    assert len(server.asked) == told["prompts"] * len(asked)
    if asked:
        assert server.keys == {KEY if "OPENAI_API_KEY" in line else "none"}
    if "--keep" in line:
        assert told["new_responses"] >= told["prompts"] == 4
        with home[1].read() as connection:
            found = responses(connection, [*_prompts(home[1])])
        hosts = {
            one.sampling["endpoint"]
            for given in found.values()
            for one in given
            if one.text.startswith("Answer to")
        }
        assert hosts == ({server.host} if asked else set())
    else:
        written = (home[0] / "answers.jsonl").read_text().splitlines()
        assert len(written) == told["prompts"]


def _prompts(database: Database) -> list[Any]:
    from storage.projects import project_named
    from storage.prompts import prompts

    with database.read() as connection:
        return [one.id for one in prompts(connection, project_named(connection, "default").id)]


def test_a_mounted_secret_is_shown_as_the_page_says(
    home: tuple[Path, Database],
    server: FakeServer,
    tandem: Callable[[list[str]], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "SERVED_KEY_FILE=/run/secrets/served" in TEXT
    (home[0] / "served").write_text("sk-mounted\n")
    monkeypatch.setenv("SERVED_KEY_FILE", str(home[0] / "served"))
    line = "tandem sample --keep --policies openai:m@http://localhost:8000/v1 --key-variable"
    tandem([*line.split(), "SERVED_KEY"])
    assert server.keys == {"sk-mounted"}
    kept = b"".join(one.read_bytes() for one in (home[0] / "data").rglob("*") if one.is_file())
    assert b"sk-mounted" not in kept


def test_answers_that_were_written_are_read_by_import(
    tandem: Callable[[list[str]], dict[str, Any]],
) -> None:
    (line,) = [one for one in SAMPLES if "--input" in one]
    tandem(line)
    told = tandem(["tandem", "import", "answers.jsonl", "--project", "next"])
    assert (told["prompts"], told["responses"]) == (2, 2)


def test_a_worker_gets_what_a_file_held_and_no_path(
    home: tuple[Path, Database], tandem: Callable[[list[str]], dict[str, Any]]
) -> None:
    (line,) = [one for one in SAMPLES if any(token.startswith("file:") for token in one)]
    told = tandem([*line[:-2], "--keep", "--queue"])
    assert told["state"] == "queued"
    with home[1].read() as connection:
        (written,) = jobs.job(connection, told["job"]).config["policies"]
    assert re.fullmatch("answers:gpt-4@[0-9a-f]{16}", written)


def test_a_place_that_cannot_be_written_is_refused_before_anybody_is_paid(
    home: tuple[Path, Database],
    server: FakeServer,
    tandem: Callable[[list[str]], dict[str, Any]],
) -> None:
    line = f"tandem sample --policies {server.arm()} --output"
    for place in ("my-policy", "gpt-4.jsonl/answers.jsonl"):
        with pytest.raises(AssertionError, match="lies where you may not write"):
            tandem([*line.split(), place])
    assert server.asked == []


def test_the_page_says_what_the_defaults_are() -> None:
    fields = SampleJob.model_fields
    for option, said in (("concurrency", "({} if"), ("retries", "times ({})")):
        assert said.format(fields[option].default) in TEXT
    assert {line[0] for line in LINES} == {"tandem", "vllm", "llama-server", "ollama"}
