"""The whole loop on the tiny model: raters, three reward models, PPO, a study, a report."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from app import demo
from app.cli import main
from app.demo import REWARDS, SMALL, run_demo
from app.demo_server import running_server
from storage.errors import StorageFailed, TandemError
from storage.settings import Settings


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TANDEM_DATA_DIR", "TANDEM_DATABASE_URL", "TANDEM_PORT", "TANDEM_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tiny_loop_goes_all_the_way_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report"
    assert main(["demo", "--tiny", "--output", str(output), "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told == json.loads((output / "summary.json").read_text())
    assert told["simulated"] is True
    assert [model["model"] for model in told["reward_models"]] == list(REWARDS)
    for model in told["reward_models"]:
        assert model["held_out"]["pair_accuracy"]["n"] > 0
        assert model["held_out"]["length_only_accuracy"] is not None
    (study,) = told["studies"]
    assert study["simulated"] is True
    assert study["participants"] == demo.VOTERS
    assert study["comparisons"][0]["arm"] == "ppo-combined"
    assert study["comparisons"][0]["opponent"] == SMALL.base
    assert [step["step"] for step in told["steps"]][:2] == ["Simulated raters judge", "Snapshot"]

    page = (output / "report.html").read_text(encoding="utf-8")
    assert "imulated" in page
    assert study["verdict"].split(":")[0] in page
    for title in ("Reward", "KL from the start", "Answer length"):
        assert title in page


def test_a_part_that_fails_ends_the_demo_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise TandemError("Reward model: preference failed: the loss is not a number.")

    monkeypatch.setattr(demo, "_collect", refuse)
    monkeypatch.setattr(demo, "running_server", lambda settings: nullcontext("http://nowhere"))
    monkeypatch.setattr(demo, "add_starter_project", lambda *_, **__: object())
    with pytest.raises(TandemError, match="Reward model: preference failed"):
        run_demo(tmp_path / "report", tiny=True)
    assert not (tmp_path / "report").exists()


def test_without_its_data_the_demo_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.importing.STARTER", tmp_path / "missing.jsonl.gz")
    with pytest.raises(StorageFailed, match="starter project's data is not installed"):
        run_demo(tmp_path / "report", tiny=True)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(data_dir: Path) -> None:
    (data_dir / "tandem.sqlite").write_text("this is no database at all")
    server = running_server(Settings(data_dir=data_dir, database_url=""))
    with pytest.raises(StorageFailed, match=r"did not start.*is a file of another kind"):
        server.__enter__()
