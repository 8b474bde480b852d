"""A new policy is compared with its start by reward models; the Models page shows all policies."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from app import policy_judging
from app.pages.policy_table import policies_compared
from app.pages.visit import Visit
from app.policy_judging import FEWEST
from app.progress import ConsoleProgress
from app.runs import train_policy
from storage.errors import InvalidData, InvalidOption
from storage.records import (
    Annotator,
    AnnotatorId,
    Job,
    JobId,
    JobState,
    Message,
    Model,
    ModelId,
    Role,
)
from training.policies import POLICIES

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
PROMPTS = [(Message(role="user", content=f"Question {number}?"),) for number in range(20)]


def train(
    folder: Path, judges: dict[str, Path], *, held_out: int = 9, **rewards: float
) -> dict[str, Any]:
    recipe = POLICIES["ppo"]
    options = {
        "start": "tiny",
        "rewards": rewards or {"length:10": 1.0},
        "steps": 1,
        "episodes": 4,
        "max_new_tokens": 6,
    }
    with ConsoleProgress("ppo") as progress:
        return train_policy(
            recipe,
            recipe.config.read(options),
            source={"prompts": PROMPTS[:4], "rewards": judges},
            folder=folder,
            progress=progress,
            device="cpu",
            held_out=PROMPTS[-held_out:],
            judges=judges,
        )


def test_reward_models_compare_a_policy_with_its_start(
    reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = train(tmp_path, {"polite": reward_model}, polite=1.0)
    card = described["metrics"]["against_start"]
    assert card["prompts"] == 9
    assert card["judges"]["polite"]["win_rate"]["n"] == 9
    assert 1 <= card["tokens"] <= 6
    written = json.loads((tmp_path / "model/tandem.json").read_text())
    assert written["metrics"]["against_start"] == card
    readme = (tmp_path / "model/README.md").read_text()
    assert "9 held-out prompts; mean length" in readme
    assert "| polite | " in readme
    assert f" | {card['judges']['polite']['is']} |" in readme
    assert readme.startswith("---\nbase_model:")
    # Taken up again, a run whose policy is judged already does neither again.
    monkeypatch.setattr(policy_judging, "judge_policy", lambda *_, **__: pytest.fail("again"))
    assert train(tmp_path, {"polite": reward_model}, polite=1.0) == written


def test_a_run_that_was_killed_while_it_was_judged_is_judged_then(
    reward_model: Path, tmp_path: Path
) -> None:
    first = train(tmp_path, {"polite": reward_model}, polite=1.0)
    record = tmp_path / "model/tandem.json"
    del first["metrics"]["against_start"]
    record.write_text(json.dumps(first))
    assert "against_start" in train(tmp_path, {"polite": reward_model}, polite=1.0)["metrics"]
    assert (tmp_path / "model/README.md").read_text().count("## Against its start") == 1


def test_where_nothing_can_be_said_the_policy_is_kept(
    reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    few = train(tmp_path / "few", {"polite": reward_model}, held_out=FEWEST - 1)
    assert "against_start" not in few["metrics"]
    said = " ".join(capsys.readouterr().err.split())
    assert f"needs {FEWEST} prompts for validation, and there are 7." in said
    assert "against_start" not in train(tmp_path / "nobody", {})["metrics"]

    def refuses(*_: object, **__: object) -> None:
        raise InvalidData("polite compares two answers and gives no answer a reward of its own.")

    monkeypatch.setattr(policy_judging, "judge_policy", refuses)
    kept = train(tmp_path / "refused", {"polite": reward_model})
    assert kept["metrics"]["against_start"]["refused"].startswith("polite compares two answers")
    assert "Not compared: polite compares" in (tmp_path / "refused/model/README.md").read_text()


# --- the table ------------------------------------------------------------------------------------


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "confidence": 0.95, "n": 50}


def a_policy(name: str, **metrics: Any) -> Model:
    return Model(
        id=ModelId(name),
        name=name,
        purpose="policy",
        recipe="ppo",
        base="tiny",
        folder=f"models/{name}",
        job=JobId(f"job of {name}"),
        config={"rewards": {"helpful": 1.0}},
        metrics=metrics,
        created=NOW,
    )


def drawn(*known: Model, runs: dict[JobId, Job] | None = None) -> Markup:
    who = Annotator(
        id=AnnotatorId("1"), name="Ada", pseudonym="ada", role=Role.RESEARCHER, created=NOW
    )
    visit = Visit(who=who, project=None, projects=(), query={}, now=NOW)
    return policies_compared(known, runs or {}, known[0] if known else None, visit)


def test_policies_stand_beside_each_other_with_what_they_gained_and_cost() -> None:
    card = {
        "prompts": 50,
        "tokens": 40.0,
        "tokens_of_start": 60.0,
        "judges": {
            "helpful": {
                "win_rate": estimate(0.7),
                "length_controlled": estimate(0.6),
                "is": "better than its start",
            },
            # From before cards said in words what a policy is.
            "<b>gold</b>": {"win_rate": estimate(0.55), "length_controlled": None},
        },
    }
    judged = a_policy("ppo-1", reward=0.8, reward_at_start=-0.1, kl=5.62, against_start=card)
    run = Job(
        id=JobId("job of ppo-1"),
        kind="policy",
        recipe="ppo",
        config={},
        state=JobState.DONE,
        created=NOW,
        started=NOW,
        finished=NOW + timedelta(minutes=12),
    )
    text = drawn(judged, a_policy("sft-1", response_length=31.0), runs={run.id: run})
    for words in ("-0.10 → +0.80", "5.6", "60 → 40", "70 %", "60 to 80", "12 min 00 s", ">31<"):
        assert words in text, words
    assert "helpful, learned from: better than its start<" in text
    assert "&lt;b&gt;gold&lt;/b&gt;, not learned from<" in text
    assert text.count("12 min") == 1
    refused = a_policy("dpo-1", against_start={"refused": "Too long."})
    assert "Too long." in drawn(refused)
    assert drawn(replace(judged, purpose="reward")) == ""


def test_a_judge_must_be_a_reward_model_that_is_there() -> None:
    from app.kinds import job_config

    config = job_config("policy", "ppo").read({"rewards": {"a": 1.0}, "judges": ["gold"]})
    assert config.model_dump()["judges"] == ("gold",)
    with pytest.raises(InvalidOption, match="judges"):
        job_config("reward", "preference").read({"snapshot": "x", "judges": ["gold"]})
