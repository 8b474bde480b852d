"""A checkpoint gives back what went in, and a broken one is passed over."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from training import checkpoints


def drawn() -> tuple[float, float, float]:
    return (random.random(), float(np.random.random()), float(torch.rand(())))  # noqa: NPY002


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "none") is None


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    state = {
        "weights": {"a.b": shared, "tied": shared, "half": torch.ones(2, dtype=torch.bfloat16)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1}]},
        "best": {},
        "position": 12,
        "name": "run",
        "none": None,
    }
    checkpoints.save(tmp_path, 7, state)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    step, back = found
    assert step == 7
    assert back["optimizer"]["state"][0]["step"] == 3
    assert back["optimizer"]["groups"] == [{"lr": 0.1}]
    assert torch.equal(back["weights"]["tied"], shared)
    assert back["weights"]["half"].dtype == torch.bfloat16
    assert {key: back[key] for key in ("best", "position", "name", "none")} == {
        key: state[key] for key in ("best", "position", "name", "none")
    }


def test_an_optimizer_goes_on_where_it_was(tmp_path: Path) -> None:
    def steps(weight: torch.Tensor, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole = torch.ones(3, requires_grad=True)
    steps(whole, torch.optim.AdamW([whole], lr=0.1), 6)
    first = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.AdamW([first], lr=0.1)
    steps(first, optimizer, 3)
    checkpoints.save(tmp_path, 3, {"weight": first, "optimizer": optimizer.state_dict()})
    found = checkpoints.newest(tmp_path)
    assert found is not None
    second = found[1]["weight"].requires_grad_()
    optimizer = torch.optim.AdamW([second], lr=0.1)
    optimizer.load_state_dict(found[1]["optimizer"])
    steps(second, optimizer, 3)
    assert torch.equal(whole, second)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    drawn()
    checkpoints.save(tmp_path, 1, {})
    expected = drawn()
    drawn()
    assert checkpoints.newest(tmp_path) == (1, {})
    assert drawn() == expected


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 100, 20, 30):
        checkpoints.save(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000030", "step-00000100"]
    assert checkpoints.newest(tmp_path) == (100, {"step": 100})


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "half", "empty"])
def test_a_broken_checkpoint_is_passed_over(
    tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        checkpoints.save(tmp_path, step, {"weight": torch.ones(100)})
    (tmp_path / ".step-00000003.partial-ab").mkdir()
    broken = tmp_path / "step-00000002" / file
    whole = broken.read_bytes()
    broken.unlink()
    if damage != "missing":
        broken.write_bytes(whole[: len(whole) // 2] if damage == "half" else b"")
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[0] == 1
    assert "passing over the broken checkpoint step-00000002" in caplog.text
