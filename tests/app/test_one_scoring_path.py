"""A model gives an answer one reward, whoever asks: report card, PPO, the API, the command, others.

All in fp32 on the tiny model; what differs is how the conversations are put together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from served import open_plain_web
from workshop import small_reward_model

import evaluation.report_card
from app.scoring_files import score_file
from feedback.importers.reading import rows_of
from storage import models
from storage.database import Database
from storage.records import Message, Model, ModelId, Role
from storage.settings import Settings
from storage.tokens import make_token
from training.policies import POLICIES
from training.policies.mixer import RewardMixer
from training.rewards.scoring import RewardScorer

Conversation = tuple[Sequence[Message], str]
Scored = tuple[list[float], list[float]]
"""Raw rewards, and standardised ones."""

NAME = "parity"


@pytest.fixture(scope="module", params=[2, 0], ids=["adapter", "full weights"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("parity")
    rates = {"learning_rate": 1e-2, "head_learning_rate": 1e-2}
    return small_reward_model(home, rank=request.param, layers=None, **rates)


@pytest.fixture(scope="module")
def by_ppo(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, Any]]:
    """What a run of PPO gave to be scored, and what it learned from."""
    home = tmp_path_factory.mktemp("ppo")
    noted: list[tuple[Any, Any]] = []
    score = RewardMixer.score

    def note(self: RewardMixer, conversations: Sequence[Conversation], **options: Any) -> Any:
        mixed = score(self, conversations, **options)
        noted.append((list(conversations), mixed))
        return mixed

    recipe = POLICIES["ppo"]
    options = {"start": "tiny", "rewards": {NAME: 1.0}, "steps": 2, "episodes": 6}
    prompts = [(Message(role="user", content=f"What about case {n}?"),) for n in range(4)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RewardMixer, "score", note)
        recipe.run(
            recipe.config.read({**options, "max_new_tokens": 8}),
            prompts=prompts,
            rewards={NAME: folder},
            output=home / "policy",
            checkpoints=home / "checkpoints",
            progress=Silent(),
            device="cpu",
        )
    assert len(noted) == 2
    return noted


class Silent:
    """Nobody follows."""

    def report(self, *_: Any, **__: Any) -> None: ...

    def log(self, line: str) -> None: ...


@pytest.fixture(scope="module")
def judged(folder: Path) -> tuple[list[Any], list[Any]]:
    return rows_of(folder.parent / "judged.jsonl")


@pytest.fixture(scope="module")
def conversations(by_ppo: list[tuple[Any, Any]], judged: tuple[list[Any], list[Any]]) -> Any:
    """All that PPO wrote, some of what was judged, and a longer talk."""
    found = [conversation for said, _ in by_ppo for conversation in said]
    for row in judged[0][:8]:
        found += [(row.prompt, row.left), (row.prompt, row.right)]
    talk = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="  Hello\n"),
        Message(role="user", content="Why <|im_end|>?"),
    ]
    return [*found, (talk, "\n\nBecause. 🙂 <|im_end|>"), (talk, "")]


@pytest.fixture(scope="module")
def expected(folder: Path, conversations: list[Conversation]) -> Scored:
    """One conversation after the other, each alone."""
    scorer = RewardScorer.load(folder, device="cpu")
    raw = np.array([scorer.score([one])[0] for one in conversations])
    assert len(set(raw.round(4).tolist())) > len(raw) / 2
    return raw.tolist(), scorer.standardise(raw).tolist()


def same(found: Scored, expected: Scored) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def by_command(
    folder: Path, conversations: Sequence[Conversation], tmp_path: Path, database: Database
) -> Scored:
    lines = [{"prompt": list(said), "response": answer} for said, answer in conversations]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    places = Settings(data_dir=tmp_path / "data", device="cpu")
    score_file(database, places, model=str(folder), source=source, target=target)
    written = [json.loads(line) for line in target.read_text("utf-8").split("\n") if line]
    return [one["reward"] for one in written], [one["reward_standardised"] for one in written]


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    opened = Database(sqlite_url)
    yield opened
    opened.close()


def test_the_command_gives_the_same(
    folder: Path,
    conversations: list[Conversation],
    expected: Scored,
    tmp_path: Path,
    database: Database,
) -> None:
    same(by_command(folder, conversations, tmp_path, database), expected)


def test_the_api_gives_the_same(
    folder: Path,
    conversations: list[Conversation],
    expected: Scored,
    database: Database,
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC)
    shutil.copytree(folder, tmp_path / "data" / "models" / NAME)
    kept = Model(
        id=ModelId(NAME), name=NAME, purpose="reward", recipe="combined", base="tiny",
        folder=f"models/{NAME}", created=now,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        web = open_plain_web(database, tmp_path / "data", now, patched, device="cpu")
    rosa = web.person("Rosa", Role.RESEARCHER)
    with database.write() as connection:
        models.add_model(connection, kept)
        token = make_token(connection, rosa.id, "a script", now)
    said = [{"prompt": list(asked), "response": answer} for asked, answer in conversations]
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(web.app, base_url=web.settings.address, headers=headers) as client:
        reply = client.post("/api/v1/score", json={"model": NAME, "conversations": said})
    scores = reply.json()["scores"]
    found = [one["reward"] for one in scores], [one["reward_standardised"] for one in scores]
    same(found, expected)


def test_ppo_learns_from_the_same(by_ppo: list[tuple[Any, Any]], expected: Scored) -> None:
    raw = [float(one) for _, mixed in by_ppo for one in mixed.raw[NAME]]
    standardised = [float(one) for _, mixed in by_ppo for one in mixed.standardised[NAME]]
    total = [float(one) for _, mixed in by_ppo for one in mixed.total]
    first = len(raw)
    same((raw, standardised), (expected[0][:first], expected[1][:first]))
    assert total == pytest.approx(standardised, abs=1e-6)


def test_the_report_card_is_made_of_the_same(
    folder: Path,
    judged: tuple[list[Any], list[Any]],
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    comparisons, ratings = judged
    made_of: list[Any] = []
    card: Callable[..., Any] = evaluation.report_card.reward_report_card

    def note(left: Any, right: Any, rows: Any, rated: Any, *more: Any, **named: Any) -> Any:
        made_of.extend([left, right, rated])
        return card(left, right, rows, rated, *more, **named)

    monkeypatch.setattr(evaluation.report_card, "reward_report_card", note)
    told = evaluation.report_card.evaluate_reward_rows(folder, comparisons, ratings, device="cpu")
    said = [(row.prompt, row.left) for row in comparisons]
    said += [(row.prompt, row.right) for row in comparisons]
    said += [(row.prompt, row.response) for row in ratings]
    rewards, _ = by_command(folder, said, tmp_path, database)
    assert np.concatenate(made_of).tolist() == pytest.approx(rewards, abs=1e-5)
    left, right = np.array(rewards[: len(comparisons)]), rewards[len(comparisons) :]
    gap = (np.array(right[: len(comparisons)]) - left) * [
        np.sign(row.choice) for row in comparisons
    ]
    assert told["loss"] == pytest.approx(float(np.logaddexp(0, -gap).mean()), abs=1e-5)
