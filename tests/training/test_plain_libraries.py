"""The lines in the model card open a reward model without Tandem, and give the same rewards."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.records import Message
from training import backbone
from training.rewards import REWARDS
from training.rewards.scoring import RewardScorer

Reader = tuple[dict[str, Any], str]
"""What the lines of a card have named, and those that give one answer its reward."""

TALK = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="  Hello\n"),
    Message(role="user", content="Why <|im_end|>?"),
]


@pytest.fixture(scope="module", params=[0, 4], ids=["full weights", "adapter"])
def folder(
    request: pytest.FixtureRequest, snapshot: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    home = tmp_path_factory.mktemp("plain")
    backbone.load_causal("tiny").save_pretrained(home / "base")
    backbone.load_tokenizer("tiny").save_pretrained(home / "base")
    recipe = REWARDS["combined"]
    options = {"base": str(home / "base"), "rank": request.param, "epochs": 1}
    recipe.run(
        recipe.config.read(planted.QUICK | options),
        snapshot=snapshot,
        output=home / "model",
        checkpoints=home / "checkpoints",
        progress=planted.Notes(),
    )
    return home / "model"


@pytest.fixture(scope="module")
def scorer(folder: Path) -> RewardScorer:
    return RewardScorer.load(folder, device="cpu", dtype=torch.float32)


def lines_of(folder: Path) -> tuple[str, str]:
    """The Python in the card: what opens the model, and what reads one answer."""
    [code] = re.findall(
        r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL
    )
    opening, reading = re.split(r"(?=^ids = )", code, flags=re.MULTILINE)
    return opening.replace('folder = "."', f"folder = {str(folder)!r}"), reading


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    opening, reading = lines_of(folder)
    named: dict[str, Any] = {}
    exec(opening, named)
    return named, reading


def plainly(reader: Reader, messages: list[Message], answer: str) -> float:
    named, reading = reader
    scope = {**named, "messages": messages, "answer": answer}
    with torch.no_grad():
        exec(reading, scope)
    return float(scope["reward"])


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    said=st.lists(st.text("ab \n<|>", max_size=6), min_size=1, max_size=4),
    answer=st.text(st.characters(codec="utf-8"), max_size=12)
    | st.sampled_from(["<|im_end|>", "\n\n so", "<|endoftext|> x", ""]),
)
def test_the_lines_of_the_card_give_the_same_reward(
    scorer: RewardScorer, reader: Reader, said: list[str], answer: str
) -> None:
    roles = ("user", "assistant")
    talk = [
        Message(role=roles[place % 2], content=content)  # type: ignore[typeddict-item]
        for place, content in enumerate(["Hi", "Yes?", *said])
    ]
    for messages in (TALK, talk):
        ours = float(scorer.score([(messages, answer)])[0])
        assert plainly(reader, messages, answer) == pytest.approx(ours, abs=1e-5)


def test_the_rewards_differ(reader: Reader) -> None:
    rewards = {round(plainly(reader, TALK, answer), 4) for answer in ("please", "no", "an apple")}
    assert len(rewards) == 3
    assert 0 not in rewards


def test_nothing_of_tandem_is_needed(folder: Path, scorer: RewardScorer, tmp_path: Path) -> None:
    opening, reading = lines_of(folder)
    script = f"{opening}\nmessages, answer = {TALK!r}, 'please'\n{reading}\nprint(float(reward))"
    (tmp_path / "alone.py").write_text(script, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "alone.py")],
        capture_output=True, text=True, check=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    assert float(told.stdout) == pytest.approx(float(scorer.score([(TALK, "please")])[0]), abs=1e-5)
