"""A real reward model on the tiny backbone, trained once; a server that answers as an LLM's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from judged_rows import comparison, rating
from openai_server import FakeServer, openai_server
from small_study import let_vote, small_study

from evaluation.judges import Voting
from storage.database import Database
from storage.records import Study
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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A chat-completions server, and nothing of this machine that would lead elsewhere."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with openai_server() as running:
        yield running


@pytest.fixture
def study(database: Database, now: datetime) -> Study:
    return small_study(database, now)


@pytest.fixture
def judge(
    database: Database, study: Study, now: datetime, server: FakeServer
) -> Callable[..., Voting]:
    """Lets an LLM vote once on all that is open, without tries that take time."""

    def run(**options: Any) -> Voting:
        given: dict[str, Any] = {"base_url": server.base_url, "llm": "m", "retries": 0}
        return let_vote(database, study, "llm", now, **(given | options))

    return run
