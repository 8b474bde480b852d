"""Every example of docs/argilla.md is run against a genuine server, in the order of the page."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from argilla_people import Team
from genuine_server import GenuineServer
from ports import free_port

from app.cli import main
from feedback.argilla.pushing import Suggesting

pytestmark = [pytest.mark.argilla, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    shlex.split(line)
    for block in re.findall(
        r"```bash\n(.*?)```", (ROOT / "docs/argilla.md").read_text("utf-8"), re.DOTALL
    )
    for line in block.splitlines()
]
EXPORTED = {line[1].partition("=")[0] for line in LINES if line[0] == "export"}
COMMANDS = [line[1:] for line in LINES if line[0] == "tandem"]


def test_every_example_works(
    *,
    team: Team,
    argilla_server: GenuineServer,
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sorted(EXPORTED) == ["ARGILLA_API_KEY", "ARGILLA_API_URL"]
    monkeypatch.setenv("ARGILLA_API_URL", argilla_server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", argilla_server.owner_key)
    monkeypatch.setenv("TANDEM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(sqlite_template, tmp_path / "data/tandem.sqlite")
    lines = [
        {"prompt": f"Say {n}.", "responses": [{"text": f"{n}."}, {"text": f"It is {n}."}]}
        for n in range(2)
    ]
    Path("answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    # No model is trained for this; `suggestion` and the push itself are tested beside.
    suggesting = Suggesting(model="combined-1", gaps=lambda pairs: [1.0] * len(pairs))
    monkeypatch.setattr("app.in_argilla._suggesting", lambda *_: suggesting)
    monkeypatch.setattr("app.queue.reward_folder", lambda *_: tmp_path)
    person = team.join()
    told: dict[str, str] = {}
    for words in COMMANDS:
        command = [team.name if word == "tone-team" else word for word in words]
        if command[:2] == ["argilla", "sync"]:
            followed(command, tmp_path)
            continue
        if "--file" in command:
            export(team, tmp_path / "records.json")
        assert main(command) == 0, capsys.readouterr().err
        told[" ".join(words)] = capsys.readouterr().out
        if command[:2] == ["argilla", "push"]:
            dataset = only_dataset(team)
            record = team.records(dataset)[0]
            if not record["responses"]:
                person.submit(record["id"], {"preference": "tie", "rating_1": 4, "rating_2": 4})
    pulled = json.loads(told["argilla pull --project tone --json"])
    assert (pulled["records"], pulled["known"], pulled["new"]) == (2, 1, 0)
    assert "1 new judgements" in told["argilla pull --project tone"]
    assert "Nothing new" in told["argilla pull --project tone --file records.json"]
    suggested = [record["suggestions"] for record in team.records(only_dataset(team))]
    assert sorted(map(len, suggested)) == [0, 1]


def only_dataset(team: Team) -> str:
    """The id of the data set in the workspace."""
    found = team.get("/me/datasets", workspace_id=team.id)["items"]
    (dataset,) = [one["id"] for one in found if one["workspace_id"] == team.id]
    return str(dataset)


def export(team: Team, path: Path) -> None:
    """What Argilla's SDK writes of the workspace's data set."""
    import argilla

    client = argilla.Argilla(api_url=team.server.url, api_key=team.server.owner_key)
    (dataset,) = client.workspaces(team.name).datasets
    dataset.get()
    dataset.records(with_responses=True).to_json(path)


def followed(command: list[str], folder: Path) -> None:
    """Start following, see that it does, and stop it as the system does."""
    here: dict[str, Any] = {"0.0.0.0:7861": f"127.0.0.1:{free_port()}"}
    command = [here.get(word, word) for word in command]
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", *command],
        cwd=ROOT,
        env=os.environ | {"TANDEM_DATA_DIR": str(folder / "data")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Following project 'tone' in Argilla" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
