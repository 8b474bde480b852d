"""A folder that `datasets` wrote is learned from, judged by and imported like a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.foreground import _workspace
from app.progress import ConsoleProgress
from storage.settings import Settings
from training.rewards import REWARDS

Command = Callable[..., Any]

SMALL = ("--base", "tiny", "--no-layers", "--epochs", "1")


@pytest.fixture
def tandem(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*tokens: str) -> Any:
        capsys.readouterr()
        ended = main([*tokens, "--json", "--data-dir", str(data_dir)])
        printed = capsys.readouterr()
        assert ended == 0, printed.err
        return json.loads(printed.out)

    return run


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TANDEM_DATABASE_URL", raising=False)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """80 preferences in TRL's conversational form, as `save_to_disk` writes them."""
    from datasets import Dataset, DatasetDict

    def rows(first: int, number: int) -> list[dict[str, Any]]:
        return [
            {
                "chosen": [
                    {"role": "user", "content": f"What about case {n}?"},
                    {"role": "assistant", "content": f"Plan {n}, please."},
                ],
                "rejected": [
                    {"role": "user", "content": f"What about case {n}?"},
                    {"role": "assistant", "content": f"No idea about {n}!!"},
                ],
                "margin": 1.0,
            }
            for n in range(first, first + number)
        ]

    parts = {"train": rows(0, 60), "test": rows(60, 20)}
    whole = DatasetDict({name: Dataset.from_list(part) for name, part in parts.items()})
    whole.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_it_is_learned_from_in_its_parts_judged_by_and_imported(
    tandem: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(ConsoleProgress, "log", lambda _, line: said.append(line))
    model = str(tmp_path / "model")
    made = tandem("train", "reward", "preference", "--data", str(folder), "--output", model, *SMALL)
    # Of the 60 in train some are validation's, and those in test are all of the 20.
    assert made["metrics"]["held_out"]["pairs"] == 20
    assert made["metrics"]["judgements"] + made["metrics"]["validation_judgements"] == 60
    assert "80 lines have a margin, which is passed over: who was preferred counts" in said
    assert "parts as the data has them: test, train; validation drawn from train" in said

    card = tandem("evaluate", "reward", "--model", model, "--data", str(folder))
    assert card["pairs"] == 80
    assert tandem("import", str(folder))["comparisons"] == 80


def test_a_changed_file_in_the_folder_is_another_run(folder: Path, data_dir: Path) -> None:
    recipe = REWARDS["preference"]
    settings = Settings(data_dir=data_dir)

    def workspace() -> Path:
        return _workspace(settings, recipe, recipe.config(), folder, folder / "elsewhere")

    before = workspace()
    assert workspace() == before
    file = next(folder.rglob("*.arrow"))
    file.write_bytes(file.read_bytes() + b"more")
    assert workspace() != before
