"""What training will take is foretold without weights, and decides whether to compute twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from test_rewards import differ_by, train

from storage.errors import TooLittleData
from training import backbone, tiny
from training.rewards import REWARDS, loop
from training.rewards.loop import foretell
from training.rewards.memory import MemoryEstimate

FP32 = 4


def told(snapshot: Path, recipe: str = "combined", **options: Any) -> MemoryEstimate:
    config = REWARDS[recipe].config.read(planted.QUICK | options)
    return foretell(config, snapshot=snapshot, device="cpu")


def test_weights_and_what_learning_adds_are_counted_exactly(snapshot: Path) -> None:
    model = backbone.load_scalar("tiny")
    numbers = sum(weight.numel() for weight in model.parameters())
    whole = told(snapshot)
    assert whole.weights == numbers * FP32
    # A gradient, two numbers of AdamW's, and the best so far.
    assert whole.learning == numbers * FP32 * 4
    assert whole.kept == 0
    assert whole.total == sum(
        (whole.program, whole.weights, whole.learning, whole.activations, whole.kept)
    )
    adapter = told(snapshot, rank=4, layers=1)
    assert adapter.weights > whole.weights
    assert adapter.learning < whole.learning / 10


def test_hidden_states_that_are_kept_are_counted(snapshot: Path) -> None:
    top = told(snapshot, layers=1, rank=4)
    longest = top.largest_batch[0] * top.largest_batch[1]
    assert top.kept % (tiny.WIDTH * FP32) == 0
    assert top.kept > longest * tiny.WIDTH * FP32
    assert told(snapshot, layers=1, rank=4, keep_frozen=False).kept == 0


def test_activations_are_what_autograd_keeps(snapshot: Path) -> None:
    """Against a count of the tensors that a real forward pass keeps."""
    config = REWARDS["combined"].config.read(planted.QUICK)
    found = told(snapshot)
    rows, width = found.largest_batch
    model = loop._model(config, config.objective, torch.device("cpu")).train()
    parameters = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    from training.batching import Row

    row = Row(torch.ones(width // 2).int().numpy(), (torch.ones(width - width // 2).int().numpy(),))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.all_heads([row] * rows)
    assert found.activations == pytest.approx(1.2 * sum(kept.values()), rel=0.25)


def test_more_tokens_take_more_and_computing_twice_takes_less(snapshot: Path) -> None:
    small, large = (told(snapshot, batch_tokens=tokens) for tokens in (256, 2048))
    assert small.activations < large.activations
    assert told(snapshot, gradient_checkpointing=True).activations < told(snapshot).activations


def test_where_memory_is_short_states_are_computed_twice(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty, short = planted.Notes(), planted.Notes()
    train("combined", snapshot, tmp_path / "plenty", plenty, epochs=1)
    monkeypatch.setattr(loop, "free_memory", lambda _: 1_000_000)
    train("combined", snapshot, tmp_path / "short", short, epochs=1)
    said = "memory is short: each layer's states are computed twice"
    assert said in short.lines
    assert said not in plenty.lines
    assert differ_by(tmp_path / "plenty", tmp_path / "short") < 1e-6
    told_not_to = planted.Notes()
    options = {"epochs": 1, "gradient_checkpointing": False}
    train("combined", snapshot, tmp_path / "not", told_not_to, **options)
    assert said not in told_not_to.lines


def test_of_nothing_nothing_is_foretold(tmp_path: Path) -> None:
    few = planted.snapshot(tmp_path / "few", 6)
    with pytest.raises(TooLittleData, match="at least 10"):
        told(few, "preference")
