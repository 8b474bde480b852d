"""Two processes, started by a launcher, learn what one learns from twice the batches."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import planted
import pytest
from accelerate.utils import DistributedType
from launched import fsdp2, in_two_processes
from test_rewards import differ_by, train

from storage.errors import InvalidOption

OPTIONS: dict[str, Any] = {
    "epochs": 1,
    "batch_tokens": 256,
    "checkpoint_every": 10,
    "learning_rate": 3e-3,
}
SCRIPT = """
import json, sys
sys.path.insert(0, "tests/training")
from pathlib import Path
import planted
from test_rewards import train

snapshot, folder, options, stop_at = sys.argv[1:]
notes = planted.Notes(stop_at=int(stop_at) or None)
try:
    train("combined", Path(snapshot), Path(folder), notes, **json.loads(options))
finally:
    if notes.steps:
        curve = [one["loss"] for one in notes.metrics if "loss" in one]
        (Path(folder) / f"curve{notes.steps[0]}.json").write_text(json.dumps(curve))
"""


SPREAD = (
    fsdp2("training.rewards.loop")
    + """
import training.rewards.loop as loop
found = loop.is_spread
def is_spread(model):
    assert found(model)
    Path(folder, "spread").touch()
    return True
loop.is_spread = is_spread
"""
)


def launch(
    snapshot: Path, folder: Path, *, before: str = "", stop_at: int = 0, **options: Any
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT.replace("notes =", before + "notes =", 1))
    return in_two_processes(
        script, str(snapshot), str(folder), json.dumps(OPTIONS | options), str(stop_at)
    )


@pytest.mark.timeout(600)
def test_two_processes_are_one_with_twice_the_batches(snapshot: Path, tmp_path: Path) -> None:
    for rank in (0, 4):
        alone, together = tmp_path / f"alone{rank}", tmp_path / f"together{rank}"
        notes = planted.Notes()
        train("combined", snapshot, alone, notes, accumulate=2, rank=rank, **OPTIONS)
        said = launch(snapshot, together, rank=rank)
        assert said.returncode == 0, said.stderr
        curve = json.loads((together / "curve0.json").read_text())
        expected = [one["loss"] for one in notes.metrics if "loss" in one]
        assert curve == pytest.approx(expected, abs=1e-5)
        assert differ_by(alone, together) < 1e-4


@pytest.mark.timeout(600)
def test_two_processes_go_on_where_two_were_killed(snapshot: Path, tmp_path: Path) -> None:
    said = launch(snapshot, tmp_path / "cut", stop_at=14)
    assert said.returncode != 0
    assert not (tmp_path / "cut/model").exists()
    whole = tmp_path / "whole"
    assert launch(snapshot, whole).returncode == 0
    assert launch(snapshot, tmp_path / "cut").returncode == 0
    assert (tmp_path / "cut/curve10.json").is_file()
    assert differ_by(whole, tmp_path / "cut") <= 1e-6


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rank", [0, 4])
def test_weights_that_are_spread_over_processes_learn_the_same(
    rank: int, snapshot: Path, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    train("combined", snapshot, alone, accumulate=2, rank=rank, **OPTIONS)
    said = launch(snapshot, together, before=SPREAD, rank=rank, stop_at=14)
    assert said.returncode != 0
    said = launch(snapshot, together, before=SPREAD, rank=rank)
    assert said.returncode == 0, said.stderr
    assert (together / "spread").is_file()
    assert (together / "curve10.json").is_file()  # it went on from a checkpoint
    assert differ_by(alone, together) < 1e-4


def test_deepspeed_is_refused(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = SimpleNamespace(distributed_type=DistributedType.DEEPSPEED)
    monkeypatch.setattr("training.processes.Accelerator", lambda **_: launched)
    with pytest.raises(InvalidOption, match="does not run under DeepSpeed; FSDP2"):
        train("combined", snapshot, tmp_path)
