"""A real reward model on the tiny backbone, trained once for all who ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from judged_rows import comparison, rating

from storage.snapshots import write_snapshot


class Quiet:
    """Progress that nobody watches."""

    def report(self, step: int, *_: object, **__: object) -> None: ...

    def log(self, line: str) -> None: ...


@pytest.fixture(scope="session")
def snapshot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 prompts, all preferring the warm answer and rating it higher; all splits are filled."""
    folder = tmp_path_factory.mktemp("snapshot") / "frozen"
    write_snapshot(
        folder,
        [comparison(number, -2) for number in range(120)],
        [rating(n, 6 if warm else 2, warm=warm) for n in range(120) for warm in (True, False)],
    )
    return folder


@pytest.fixture(scope="session")
def reward_model(
    snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Path]:
    """Trains a combined reward model on the snapshot when first asked, and gives its folder."""

    @cache
    def trained() -> Path:
        from training.rewards import REWARDS

        place = tmp_path_factory.mktemp("reward model")
        recipe = REWARDS["combined"]
        config = recipe.config.read({"base": "tiny", "epochs": 3, "rank": 0, "layers": None})
        recipe.run(
            config,
            snapshot=snapshot_folder,
            output=place / "model",
            checkpoints=place / "checkpoints",
            progress=Quiet(),
            device="cpu",
        )
        return place / "model"

    return trained
