"""Two processes, started by a launcher, learn by PPO what one learns alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config import load_config_from_file
from accelerate.utils import DistributedType
from launched import ROOT, fsdp2, in_two_processes
from lively import save_lively
from safetensors.torch import load_file
from test_ppo import do, without_clock

from storage.errors import InvalidOption
from training.policies.config import PPOConfig
from training.policies.learner import Learner
from training.processes import Processes

SPREAD = (
    fsdp2("training.policies.ppo")
    + """
from torch.distributed.tensor import DTensor
from training.policies.learner import Learner
updates = Learner._update
def update(self, *positional):
    assert all(isinstance(weight, DTensor) for weight in self.actor.learned().values())
    (folder / "spread").touch()
    return updates(self, *positional)
Learner._update = update
"""
)
SCRIPT = """
import json, os, sys
sys.path.insert(0, "tests/training")
from pathlib import Path
import numpy as np
from lively import Heard, Letters
from storage.errors import TrainingFailed
from test_ppo import do
from training.policies.measured import Measured

start, folder, options, fails = sys.argv[1:]
folder = Path(folder)
options = json.loads(options)
first = os.environ["RANK"] == "0"

class FailsInTheSecond(Letters):
    def score(self, conversations):
        if not first and (folder / "checkpoints/step-00000002").exists():
            raise TrainingFailed("the service is gone")
        return super().score(conversations)

HERE
heard = Heard()
scorers = {"letters": FailsInTheSecond() if fails == "yes" else Letters()}
try:
    do(start, folder, scorers=scorers, heard=heard, **options)
finally:
    (folder / f"heard-{os.environ['RANK']}.json").write_text(json.dumps(heard.metrics))
"""
OPTIONS: dict[str, Any] = {
    "steps": 4,
    "checkpoint_every": 2,
    "probe_every": 2,
    "epochs": 2,
    # The smallest minibatch gives the second process one episode; and each is read in two parts.
    "episodes": 7,
    "batch_tokens": 64,
}


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def launch(
    lively: str, folder: Path, *, before: str = "", fails: str = "no", **options: Any
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT.replace("HERE\n", before, 1))
    return in_two_processes(script, lively, str(folder), json.dumps(OPTIONS | options), fails)


def heard_by(folder: Path, process: int) -> dict[int, dict[str, float]]:
    said = json.loads((folder / f"heard-{process}.json").read_text())
    return {int(step): without_clock(metrics) for step, metrics in said.items()}


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (
        load_file(next(folder.glob("policy/*model.safetensors"))) for folder in (one, other)
    )
    return ours.keys() == theirs.keys() and all(
        (ours[key] - theirs[key]).abs().max() < 1e-5 for key in ours
    )


@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_does(lively: str, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    _, heard = do(lively, alone, **OPTIONS)
    said = launch(lively, together)
    assert said.returncode == 0, said.stderr
    curve = heard_by(together, 0)
    for step, metrics in heard.metrics.items():
        for name, value in without_clock(metrics).items():
            assert curve[step][name] == pytest.approx(value, abs=1e-4), (step, name)
    assert heard_by(together, 1) == {}  # the second has nothing to tell
    assert same_weights(alone, together)
    samples = "policy/samples.jsonl"
    assert (alone / samples).read_text() == (together / samples).read_text()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "options",
    [
        {"value_trunk": "own_adapter", "layers": 1},
        {"reference": "moving_average", "reference_decay": 0.5},
        {"rank": 0, "layers": 1, "learning_rate": 1e-4},
    ],
    ids=["adapters", "moving reference", "whole weights"],
)
def test_weights_that_are_spread_over_processes_learn_the_same(
    options: dict[str, Any], lively: str, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    _, heard = do(lively, alone, **OPTIONS | options)
    said = launch(lively, together, before=SPREAD, **options)
    assert said.returncode == 0, said.stderr
    assert (together / "spread").is_file()
    curve = heard_by(together, 0)
    for name, value in without_clock(heard.metrics[4]).items():
        assert curve[4][name] == pytest.approx(value, abs=1e-4), name
    assert same_weights(alone, together)


@pytest.mark.timeout(600)
def test_a_reward_that_fails_in_one_process_stops_both_and_both_go_on(
    lively: str, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    said = launch(lively, cut, before=SPREAD, fails="yes")
    assert said.returncode != 0
    assert "the service is gone" in said.stderr
    assert not (cut / "policy").exists()
    assert launch(lively, cut).returncode == 0  # now with whole weights in each
    do(lively, whole, **OPTIONS)
    assert min(heard_by(cut, 0)) == 3
    assert same_weights(whole, cut)


def test_the_shipped_configuration_is_one_that_the_launcher_knows() -> None:
    config = load_config_from_file(str(ROOT / "docs/fsdp2.yaml"))
    assert config.distributed_type == DistributedType.FSDP
    assert config.fsdp_config["fsdp_version"] == 2


def test_every_process_needs_an_episode_of_each_minibatch() -> None:
    config = PPOConfig.read({"rewards": {"letters": 1.0}, "episodes": 8, "minibatches": 4})
    three = Processes()
    three.number = 3
    with pytest.raises(InvalidOption, match="3 processes share a minibatch"):
        Learner(None, config, pad=0, processes=three)  # type: ignore[arg-type]
