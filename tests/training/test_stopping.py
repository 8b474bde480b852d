"""Runs that are watched, stopped by a rule, and rolled back to their best weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed import interrupt
from lively import Heard, Letters, save_lively
from safetensors.torch import load_file
from test_ppo import OPTIONS, without_clock

from storage.errors import TooLittleData, TrainingFailed
from storage.records import Message
from training.policies.config import PPOConfig
from training.policies.mixer import Conversation, Scorer
from training.policies.ppo import train
from training.policies.watching import held_out

ASKED = tuple((Message(role="user", content=f"question {number}"),) for number in range(12))
RISING = {"steps": 8, "learning_rate": 1e-2, "warmup_steps": 0, "episodes": 16, "probe_every": 2}


class Scripted(Letters):
    """A watched reward model that says of each look what it was told to say."""

    def __init__(self, *said: float) -> None:
        super().__init__()
        self.said = said

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        look = len(self.asked)
        super().score(conversations)
        return np.array([self.said[look]] * len(conversations)) * self.full


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def do(
    start: str,
    folder: Path,
    gold: Scorer | None = None,
    heard: Heard | None = None,
    *,
    prompts: Sequence[Sequence[Message]] = ASKED,
    **options: Any,
) -> tuple[dict[str, Any], Heard, dict[str, Any]]:
    """Train; returns the metrics, what was told on the way, and the record of its health."""
    heard = heard or Heard()
    watched: dict[str, Scorer] = {"gold": gold} if gold else {}
    metrics = train(
        PPOConfig.read({**OPTIONS, "start": start, "watch": tuple(watched), **options}),
        prompts=prompts,
        scorers={"letters": Letters(), **watched},
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=torch.float32,
    )
    told = json.loads((folder / "policy/tandem.json").read_text())
    return metrics, heard, told["metrics"]["health"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "policy/adapter_model.safetensors")


# --- watching -------------------------------------------------------------------------------------


def test_a_fourth_of_the_prompts_is_held_out_and_at_most_32() -> None:
    assert [held_out(8), held_out(11), held_out(1000)] == [
        range(6, 8),
        range(9, 11),
        range(968, 1000),
    ]
    with pytest.raises(TooLittleData, match="needs 8 or more of them; there are 7"):
        held_out(7)


def test_held_out_prompts_are_looked_at_and_never_learned_from(lively: str, tmp_path: Path) -> None:
    learned, gold = Letters(), Letters(full=3)
    heard = Heard()
    train(
        PPOConfig.read(
            {**OPTIONS, "start": lively, "watch": ("gold",), "steps": 4, "probe_every": 2}
        ),
        prompts=ASKED,
        scorers={"letters": learned, "gold": gold},
        output=tmp_path / "policy",
        checkpoints=tmp_path / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=torch.float32,
    )
    last = list(ASKED[9:])
    assert [[prompt for prompt, _ in asked] for asked in gold.asked] == [last] * 3
    steps = [asked for asked in learned.asked if len(asked) == OPTIONS["episodes"]]
    assert len(steps) == 4
    assert not [prompt for asked in steps for prompt, _ in asked if prompt in last]
    assert sorted(step for step, told in heard.metrics.items() if "watched/gold" in told) == [
        0,
        2,
        4,
    ]
    # Both are asked about the same answers, and the error is that of a mean of three.
    rewards = gold.standardise(
        np.array([sum(text.count(c) for c in gold.letters) for _, text in gold.asked[-1]])
    )
    assert heard.metrics[4]["watched/gold"] == pytest.approx(rewards.mean())
    assert heard.metrics[4]["watched_error/gold"] == pytest.approx(rewards.std(ddof=1) / 3**0.5)
    both = [asked for asked in learned.asked if len(asked) == 3]
    assert both == gold.asked


def test_watching_changes_nothing_but_the_prompts(lively: str, tmp_path: Path) -> None:
    one, _, _ = do(lively, tmp_path / "one", Letters("a"))
    two, _, _ = do(lively, tmp_path / "two", Letters("z", full=3), probe_every=1)
    for name in ("reward", "kl", "entropy", "policy_loss"):
        assert one[name] == pytest.approx(two[name], abs=1e-6)


def test_a_watched_reward_that_is_not_a_number_stops_the_run(lively: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="'gold' gave nan"):
        do(lively, tmp_path, Scripted(float("nan")))


# --- stopping -------------------------------------------------------------------------------------


def test_a_spent_kl_budget_stops_the_run(lively: str, tmp_path: Path) -> None:
    _, heard, health = do(lively, tmp_path, stop_kl=0.3, **{**RISING, "steps": 30})
    stopped = max(heard.metrics)
    assert stopped < 30
    kl = [heard.metrics[step]["kl"] for step in sorted(heard.metrics)]
    means = [np.mean(kl[end - 5 : end]) for end in range(5, len(kl) + 1)]
    assert means[-1] > 0.3
    assert all(mean <= 0.3 for mean in means[:-1])
    assert health["steps"] == health["weights_of_step"] == stopped
    assert health["stopped"].startswith("The KL budget is spent")
    assert heard.lines == [f"Stopped after step {stopped}. {health['stopped']}"]
    card = (tmp_path / "policy/README.md").read_text()
    assert f"It was stopped after step {stopped}. The KL budget is spent" in card
    # What the weights that are kept answer is among the samples, whatever the step.
    samples = (tmp_path / "policy/samples.jsonl").read_text().splitlines()
    assert json.loads(samples[-1])["step"] == stopped


def test_a_probe_that_does_not_rise_stops_the_run(lively: str, tmp_path: Path) -> None:
    gold = Scripted(0.0, 0.5, 0.4, 0.5)
    _, heard, health = do(lively, tmp_path, gold, stop_patience=2, **RISING)
    assert max(heard.metrics) == 6
    assert health["stopped"].startswith(
        "The watched reward has not risen above its +0.50 of step 2"
    )
    assert health["weights_of_step"] == 6


def test_a_warning_stops_the_run(lively: str, tmp_path: Path) -> None:
    options = {**RISING, "steps": 30, "stop_on": ("much_clipped",), "epochs": 4, "clip": 1e-3}
    _, heard, health = do(lively, tmp_path, **options)
    assert max(heard.metrics) == 10
    assert "(stop_on much_clipped)" in health["stopped"]
    assert heard.lines[0].startswith("Warning at step 10: Many updates are clipped. ")
    assert health["warnings"][0]["title"] in (tmp_path / "policy/README.md").read_text()


# --- the best weights -----------------------------------------------------------------------------


def test_the_best_weights_are_kept(lively: str, tmp_path: Path) -> None:
    gold = Scripted(0.0, 0.2, 0.9, 0.3, 0.1)
    metrics, heard, health = do(lively, tmp_path / "long", gold, keep="best", **RISING)
    assert (health["steps"], health["weights_of_step"], health["stopped"]) == (8, 4, None)
    short = {**RISING, "steps": 4}
    do(lively, tmp_path / "short", Scripted(0.0, 0.2, 0.9), **short)
    ours, theirs = weights(tmp_path / "long"), weights(tmp_path / "short")
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    # And so are the metrics: those of the steps that led there.
    assert metrics["watched/gold"] == pytest.approx(np.mean([0.2, 0.9]))
    assert metrics["kl"] == pytest.approx(
        np.mean([heard.metrics[step]["kl"] for step in range(1, 5)])
    )
    assert "those of step 4 of 8" in (tmp_path / "long/policy/README.md").read_text()


def test_a_run_that_only_harms_is_taken_back_to_its_start(lively: str, tmp_path: Path) -> None:
    gold = Scripted(0.5, 0.2, 0.1)
    options = {**RISING, "stop_patience": 2}
    metrics, heard, health = do(lively, tmp_path, gold, keep="best", **options)
    assert (health["steps"], health["weights_of_step"]) == (4, 0)
    # Only the other half of the adapter's products begins at random.
    assert all((w == 0).all() for name, w in weights(tmp_path).items() if "lora_B" in name)
    assert metrics["watched/gold"] == 0.5
    assert metrics["kl"] == heard.metrics[1]["kl"] == 0
    assert metrics["reward"] == metrics["reward_at_start"] == heard.metrics[1]["reward"]


class Moderate(Letters):
    """Likes letters too, up to the fifth; each further one spoils the answer."""

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        letters = super().score(conversations)
        return 5.0 - abs(letters - 5.0)


def test_a_policy_that_learns_to_fool_its_reward_is_taken_back_to_before(
    lively: str, tmp_path: Path
) -> None:
    """Gao et al. (2022) in small: what is watched peaks where 5 of 8 tokens are letters."""
    options: dict[str, Any] = {
        "steps": 60, "episodes": 64, "epochs": 2, "clip": 0.3, "rank": 8, "learning_rate": 5e-3,
        "kl_coefficient": 0, "probe_every": 2, "stop_on": ("over_optimised",), "keep": "best",
    }  # fmt: skip
    many = tuple((Message(role="user", content=f"question {n}"),) for n in range(64))
    _, heard, health = do(lively, tmp_path, Moderate(), prompts=many, **options)
    looks = {s: told for s, told in heard.metrics.items() if "watched/gold" in told}
    best, last = health["weights_of_step"], health["steps"]
    assert last < 60
    assert "The reward still rises while gold falls" in health["stopped"]
    assert 0 < best < last
    assert looks[best]["watched/gold"] == max(told["watched/gold"] for told in looks.values())
    assert looks[best]["watched/gold"] > looks[last]["watched/gold"] + 0.1
    assert looks[best]["held_out_reward"] < looks[last]["held_out_reward"]


# --- killed and taken up again --------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["before the best", "after the best", "writing the folder"])
def test_a_killed_run_stops_where_and_as_it_would_have(
    lively: str, tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        **RISING, "steps": 20, "checkpoint_every": 3, "stop_patience": 4, "keep": "best",
        "epochs": 3, "clip": 1e-3,
    }  # fmt: skip
    said = (0.0, 0.2, 0.9, 0.3, 0.1, 0.2, 0.3)
    whole, undisturbed, health = do(lively, tmp_path / "whole", Scripted(*said), **options)
    assert (health["steps"], health["weights_of_step"]) == (12, 4)
    warned = [warning["rule"] for warning in health["warnings"]]
    assert warned == ["over_optimised", "much_clipped"]

    step = {"before the best": 4, "after the best": 8}.get(phase)
    with monkeypatch.context() as patch:
        if step is None:
            patch.setattr("training.policies.ppo.write_policy", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do(lively, tmp_path / "killed", Scripted(*said), Heard(stop_at=step), **options)
    # Looks that were before the checkpoint are not taken again.
    from_step = {"before the best": 3, "after the best": 6, "writing the folder": 12}[phase]
    left = said[from_step // 2 + 1 :]
    resumed, heard, again = do(lively, tmp_path / "killed", Scripted(*left), **options)
    assert heard.lines[0] == f"resumed from step {from_step}"
    assert sorted(heard.metrics) == list(range(from_step + 1, 13))
    for done, metrics in heard.metrics.items():
        assert without_clock(metrics) == pytest.approx(
            without_clock(undisturbed.metrics[done]), abs=1e-6
        )
    assert without_clock(resumed) == pytest.approx(without_clock(whole), abs=1e-6)
    assert again == health
    torch.testing.assert_close(
        weights(tmp_path / "killed"), weights(tmp_path / "whole"), rtol=0, atol=1e-6
    )
