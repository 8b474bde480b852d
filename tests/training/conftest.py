"""Reward models of each kind, trained once on planted judgements with the tiny model."""

from __future__ import annotations

from pathlib import Path

import planted
import pytest

from storage.snapshots import write_snapshot
from training.rewards import REWARDS


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.snapshot(tmp_path_factory.mktemp("planted") / "snapshot", 200)


@pytest.fixture(scope="session")
def snapshots(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each recipe learns from."""
    compared, rated = planted.judgements(200)
    two_aspects = tmp_path_factory.mktemp("planted") / "two-aspects"
    write_snapshot(two_aspects, compared, planted.with_brevity(rated))
    return dict.fromkeys(REWARDS, snapshot) | {"multi-objective": two_aspects}


@pytest.fixture(scope="session", params=sorted(REWARDS))
def trained(
    request: pytest.FixtureRequest,
    snapshots: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path, planted.Notes]:
    """Recipe, model folder, and what progress was told."""
    folder = tmp_path_factory.mktemp(request.param)
    notes = planted.Notes()
    recipe = REWARDS[request.param]
    recipe.run(
        recipe.config.read(planted.quick(recipe.name)),
        snapshot=snapshots[recipe.name],
        output=folder / "model",
        checkpoints=folder / "checkpoints",
        progress=notes,
    )
    return request.param, folder / "model", notes
