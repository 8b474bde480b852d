"""Rewards of every kind from what a person writes to the run: command line, form, queue, server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import Web
from serving import serving
from workshop import Workshop, open_workshop

from app.commands.options import read_options
from app.forms import Form, draw_form, written
from app.kinds import job_config
from app.pages.runs import curves
from storage import models
from storage.database import Database
from storage.errors import InvalidOption, TrainingFailed
from storage.recipes import RecipeConfig
from storage.records import Message, Model, ModelId, Role
from storage.settings import Settings
from storage.tokens import make_token
from training.policies.config import PPOConfig
from training.policies.functions import EXAMPLES
from training.policies.service import (
    MOST_CHARACTERS,
    MOST_CONVERSATIONS,
    RewardService,
    token_for,
)
from training.rewards.scoring import RewardScorer

NAMES = [
    "helpful",
    "./runs/step=4",
    *EXAMPLES,
    "matches:a=b",
    "matches:x=1",
    r"matches:^\s*[\[{], \"'<b>&amp;</b>",
    "matches:=",
    "http://127.0.0.1:7860/api/v1/score#helpful",
    "https://scores.example/v1?model=a=b&x=2#m",
]
REWARDS = dict(zip(NAMES, [1.0, -0.25, 3e-7] * 4, strict=False))
SCHEDULE = dict.fromkeys(NAMES[1::2], "0:0,0.5:1")


@pytest.fixture(scope="module")
def form() -> Form[RecipeConfig]:
    with gr.Blocks():
        return draw_form(job_config("policy", "ppo"), choices={"rewards": []})


def through_the_form(form: Form[RecipeConfig], options: dict[str, Any]) -> RecipeConfig:
    values = form.config.read(options).model_dump(mode="json")
    return form.read([one.preprocess(written(values[name])) for name, one in form.inputs.items()])


def test_names_weights_and_schedules_survive_the_form_and_the_command_line(
    form: Form[RecipeConfig],
) -> None:
    options = {"rewards": REWARDS, "weight_schedule": SCHEDULE, "layers": 2}
    config = PPOConfig.read(options)
    assert len(REWARDS) > len(EXAMPLES) + 5
    read: Any = through_the_form(form, options)
    assert (read.rewards, read.weight_schedule) == (REWARDS, SCHEDULE)
    typed = {name: written(options[name]) for name in ("rewards", "weight_schedule")}
    assert read_options(PPOConfig, {**typed, "layers": 2}) == config


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    st.floats(allow_nan=False, allow_infinity=False).filter(bool),
)
def test_whatever_can_be_a_name_comes_back(name: str, weight: float) -> None:
    try:
        config = PPOConfig.read({"rewards": {f"matches:{name}": weight}})
    except InvalidOption:
        return
    typed = {"rewards": written(config.rewards)}
    assert read_options(PPOConfig, typed).rewards == config.rewards


def test_a_schedule_without_an_equals_sign_is_explained() -> None:
    with pytest.raises(InvalidOption, match="weight_schedule: it is written NAME=TEXT"):
        read_options(PPOConfig, {"rewards": ["length"], "weight_schedule": ["0:1"]})


# --- the queue ------------------------------------------------------------------------------------


@pytest.fixture
def workshop(data_dir: Path, now: datetime) -> Iterator[Workshop]:
    opened = open_workshop(Settings(data_dir=data_dir, database_url=""), now, prompts=4)
    yield opened
    opened.database.close()


def test_functions_and_services_need_no_model(workshop: Workshop) -> None:
    wanted = {"length:80": 0.5, "https://scores.example/#helpful": 1.0}
    assert workshop.queue("policy", "ppo", rewards=wanted).config["rewards"] == wanted
    with pytest.raises(InvalidOption, match=r"rewards: the regular expression '\(' cannot be used"):
        workshop.queue("policy", "ppo", rewards={"matches:(": 1.0})


@pytest.mark.parametrize("name", ["length", "json"])
def test_no_model_is_called_like_a_function(workshop: Workshop, name: str) -> None:
    with pytest.raises(InvalidOption, match=f"name: this is what a reward is called.*'{name}'"):
        workshop.queue("reward", "combined", snapshot=workshop.snapshot.id, name=name)


def test_curves_are_named_by_the_reward_as_it_was_written(workshop: Workshop) -> None:
    job = workshop.queue("policy", "ppo", rewards={"matches:<b>a_b": 1.0})
    measured = [(1, "reward_raw/matches:<b>a_b", 0.5), (1, "reward", 0.25)]
    _, others = curves(job, measured)
    assert "Reward raw matches:&lt;b&gt;a_b" in others


# --- one Tandem rewards for another ---------------------------------------------------------------

SAID = [
    ((Message(role="user", content=f"Which plan, {place}?"),), f"Plan {place}, please. 🙂" * place)
    for place in range(MOST_CONVERSATIONS + 3)
]


def test_one_tandem_rewards_for_another(
    sqlite_url: str, data_dir: Path, reward_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    database, now = Database(sqlite_url), datetime.now(UTC)
    web = Web(Settings(data_dir=data_dir), database, now)
    shutil.copytree(reward_model, data_dir / "models" / "polite")
    polite = Model(
        id=ModelId("polite"),
        name="polite",
        purpose="reward",
        recipe="combined",
        base="tiny",
        folder="models/polite",
        created=now,
    )
    person = web.person("Rosa", Role.RESEARCHER)
    with database.write() as connection:
        models.add_model(connection, polite)
        token = make_token(connection, person.id, "rewards", now)
    with serving(data_dir, sqlite_url, pages="none") as server:
        address = f"{server.address}/api/v1/score"
        host = server.address.removeprefix("http://")
        shown = token_for(address, {"TANDEM_REWARD_TOKENS": f"{host}={token}"})
        service = RewardService(f"{address}#polite", token=shown, pauses=())
        expected = RewardScorer.load(reward_model, device="cpu").score(SAID)
        assert service.score(SAID) == pytest.approx(expected, abs=1e-5)
        heavy = [(SAID[0][0], "x" * 300)] * 2 + [(SAID[0][0], "é" * (MOST_CHARACTERS // 2 + 1))]
        with pytest.raises(TrainingFailed, match=r"answered 422, .*the model reads at most"):
            service.score(heavy)
        with pytest.raises(TrainingFailed, match=r"answered 404, .*Did you mean 'polite'"):
            RewardService(f"{address}#polit", token=shown, pauses=()).score(SAID[:1])
        with pytest.raises(TrainingFailed, match=r"answered 401 \(a token for it"):
            RewardService(f"{address}#polite", pauses=()).score(SAID[:1])
    database.close()
