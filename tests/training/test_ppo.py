"""PPO runs, whole, on the tiny model: what they learn, and what they keep."""

from __future__ import annotations

import dataclasses
import json
import math
import pkgutil
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lively import PROMPTS, Heard, Letters, save_lively
from safetensors.torch import load_file

from storage.errors import InvalidOption
from storage.records import Message
from training.policies.config import PPOConfig
from training.policies.learner import Learner
from training.policies.mixer import Scorer
from training.policies.ppo import train
from training.sampling import Policy
from training.sampling_config import SamplingConfig

CLOCK = {"tokens_per_second", "seconds_writing", "seconds_scoring", "seconds_learning"}
OPTIONS: dict[str, Any] = {
    "rewards": {"letters": 1.0},
    "steps": 3,
    "episodes": 8,
    "max_new_tokens": 8,
    "rank": 4,
    "learning_rate": 2e-3,
    "epochs": 1,
    "missing_end_penalty": 0.0,
    "kl_target": 1000.0,
}


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def do(
    start: str,
    folder: Path,
    *,
    scorers: dict[str, Scorer] | None = None,
    prompts: Sequence[Sequence[Message]] = PROMPTS,
    heard: Heard | None = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[dict[str, float], Heard]:
    heard = heard or Heard()
    metrics = train(
        PPOConfig.read({**OPTIONS, "start": start, **options}),
        prompts=prompts,
        scorers=scorers or {"letters": Letters()},
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=dtype,
    )
    return metrics, heard


def without_clock(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in CLOCK}


# --- learning -------------------------------------------------------------------------------------


def test_a_token_count_rises_from_chance_to_nine_tenths_of_its_maximum(
    lively: str, tmp_path: Path
) -> None:
    metrics, heard = do(
        lively,
        tmp_path,
        # With these, 4 of 4 seeds end above 0.96; with half the episodes, twice the epochs and
        # twice the learning rate it is a matter of luck.
        steps=40,
        episodes=64,
        epochs=2,
        clip=0.3,
        rank=8,
        learning_rate=5e-3,
        kl_coefficient=0,
    )
    # 26 of the 259 tokens are letters.
    assert metrics["reward_at_start"] < 0.25
    assert metrics["reward"] > 0.9
    assert metrics["entropy"] < heard.metrics[1]["entropy"]
    # Paid for letters and for nothing else, it comes to write one of them; and it is told so.
    warned = [line.split(":")[1].split(".")[0] for line in heard.lines]
    assert sorted(warned) == [" Answers repeat themselves", " The entropy has collapsed"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_a_learning_rate_the_ratio_is_one_and_nothing_moves(
    lively: str, tmp_path: Path, dtype: torch.dtype
) -> None:
    _, heard = do(lively, tmp_path, learning_rate=0, value_learning_rate=0, dtype=dtype)
    for metrics in heard.metrics.values():
        assert metrics["ratio_mean"] == pytest.approx(1, abs=1e-6)
        assert metrics["ratio_error"] == pytest.approx(0, abs=1e-6)
        for name in ("kl", "kl_k3", "clip_fraction", "approx_kl"):
            assert metrics[name] == 0


def test_a_ratio_that_is_off_before_the_first_update_is_measured_and_told(
    lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Learner._look

    def dropped_out(self: Learner, *positional: Any) -> Any:
        seen = look(self, *positional)
        return dataclasses.replace(seen, old=seen.old + 0.05 * seen.mask)

    monkeypatch.setattr(Learner, "_look", dropped_out)
    _, heard = do(lively, tmp_path)
    for metrics in heard.metrics.values():
        assert metrics["ratio_error"] == pytest.approx(0.05, abs=1e-5)
    [line] = heard.lines
    assert line.startswith("Warning at step 3: The ratio is not 1 before learning begins. ")


def test_the_metrics_of_a_step_are_all_there(lively: str, tmp_path: Path) -> None:
    metrics, heard = do(lively, tmp_path)
    assert heard.total == 3
    assert sorted(heard.metrics) == [1, 2, 3]
    expected = {
        *("reward", "reward/letters", "reward_raw/letters", "kl", "kl_k3", "kl_coefficient"),
        *("entropy", "clip_fraction", "approx_kl", "ratio_mean", "explained_variance"),
        *("value_loss", "policy_loss", "response_length", "finished_fraction", *CLOCK),
        *("reward_spread", "ratio_error", "repeated_text"),
    }
    # Without a correlation where all answers have one length.
    assert set(heard.metrics[3]) - {"length_correlation"} == expected
    assert heard.lines == []
    assert all(math.isfinite(value) for step in heard.metrics.values() for value in step.values())
    for name in ("reward", "kl", "response_length"):
        mean = np.mean([step[name] for step in heard.metrics.values()])
        assert metrics[name] == pytest.approx(mean)
    assert metrics["reward_at_start"] == heard.metrics[1]["reward"]


def test_several_rewards_are_mixed_by_weight(lively: str, tmp_path: Path) -> None:
    scorers: dict[str, Scorer] = {"e": Letters("aei"), "a": Letters("aou", full=2, mean=1)}
    _, heard = do(lively, tmp_path, scorers=scorers, rewards={"e": 0.25, "a": -1.5}, steps=1)
    step = heard.metrics[1]
    assert step["reward"] == pytest.approx(0.25 * step["reward/e"] - 1.5 * step["reward/a"])
    assert step["reward/a"] == pytest.approx((step["reward_raw/a"] - 1) / 2)


def test_the_price_of_leaving_the_start_rises_above_the_target(lively: str, tmp_path: Path) -> None:
    _, heard = do(lively, tmp_path, learning_rate=1e-2, kl_target=0.05, kl_gain=0.5, steps=4)
    prices = [heard.metrics[step]["kl_coefficient"] for step in range(1, 5)]
    assert prices[:2] == pytest.approx([0.05, 0.05 * (1 - 0.5 * 0.2)])
    assert heard.metrics[3]["kl"] > 0.06
    assert prices[3] == pytest.approx(prices[2] * 1.1)


def test_the_penalty_holds_the_policy_near_its_start(lively: str, tmp_path: Path) -> None:
    options = {"steps": 20, "learning_rate": 5e-3, "warmup_steps": 0, "kl_gain": 0}
    free, unheld = do(lively, tmp_path / "free", kl_coefficient=0, **options)
    held, heard = do(lively, tmp_path / "held", kl_coefficient=1.0, **options)
    assert held["kl"] < free["kl"] / 2
    assert unheld.lines == heard.lines == []


@pytest.fixture
def earned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[float], list[bool]]]:
    """What is learned from at each step, and which answers ended themselves; nothing is learned."""
    seen: list[tuple[list[float], list[bool]]] = []

    def remember(self: object, rollout: Any, scores: np.ndarray, *, step: int) -> dict[str, float]:
        seen.append((scores.tolist(), [answer.finished for answer in rollout.answers]))
        return {"kl": 0.0}

    monkeypatch.setattr("training.policies.learner.Learner.learn", remember)
    return seen


class Constant(Letters):
    """Finds every answer as good as any other."""

    def score(self, conversations: Any) -> np.ndarray:
        return np.full(len(conversations), 20.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1.0, 2.5)),
        ({"score_cut": False}, (-1.5, 2.5)),
        ({"reward_clip": 2.0}, (0.5, 2.0)),
    ],
)
def test_what_an_answer_earns_that_was_cut_or_is_too_good(
    lively: str,
    tmp_path: Path,
    earned: list[tuple[list[float], list[bool]]],
    options: dict[str, Any],
    expected: tuple[float, float],
) -> None:
    scorers: dict[str, Scorer] = {"letters": Constant()}
    options = {"missing_end_penalty": 1.5, "episodes": 64, "steps": 1, **options}
    do(lively, tmp_path, scorers=scorers, **options)
    scores, finished = earned[0]
    assert set(finished) == {True, False}
    assert scores == [expected[ended] for ended in finished]


def test_a_bonus_for_entropy_keeps_it_up(lively: str, tmp_path: Path) -> None:
    options = {"steps": 15, "learning_rate": 5e-3, "warmup_steps": 0, "kl_coefficient": 0}
    plain, _ = do(lively, tmp_path / "plain", **options)
    varied, heard = do(lively, tmp_path / "varied", entropy_coefficient=0.5, **options)
    assert varied["entropy"] > plain["entropy"] + 0.1
    step = heard.metrics[1]
    # The bonus of the first step, before anything moved much: its weight times the entropy.
    assert step["entropy_bonus"] == pytest.approx(0.5 * step["entropy"], rel=0.05)


def test_a_reference_that_follows_at_once_leaves_no_divergence(lively: str, tmp_path: Path) -> None:
    options = {"steps": 5, "learning_rate": 5e-3, "warmup_steps": 0, "reference": "moving_average"}
    _, at_once = do(lively, tmp_path / "0", reference_decay=0.0, **options)
    _, slowly = do(lively, tmp_path / "9", reference_decay=0.9, **options)
    _, start = do(lively, tmp_path / "start", steps=5, learning_rate=5e-3, warmup_steps=0)
    for step in range(1, 6):
        assert at_once.metrics[step]["kl"] == pytest.approx(0, abs=1e-6)
    assert 0.01 < slowly.metrics[5]["kl_k3"] < start.metrics[5]["kl_k3"]


def test_a_value_with_an_adapter_of_its_own_leaves_the_policy_alone(
    lively: str, tmp_path: Path
) -> None:
    options = {"value_trunk": "own_adapter", "steps": 3, "warmup_steps": 0}
    _, still = do(lively, tmp_path / "still", learning_rate=0, value_learning_rate=1e-2, **options)
    assert all(metrics["kl"] == 0 for metrics in still.metrics.values())
    _, heard = do(lively, tmp_path / "moves", learning_rate=1e-2, **options)
    assert heard.metrics[3]["kl_k3"] > 0
    weights = load_file(tmp_path / "moves/policy/adapter_model.safetensors")
    assert weights
    assert not [name for name in weights if "value" in name]
    assert not (tmp_path / "moves/policy/value").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_weights_learn_too_and_are_kept_exactly(
    lively: str, tmp_path: Path, dtype: torch.dtype
) -> None:
    options = {"rank": 0, "learning_rate": 1e-3, "warmup_steps": 0, "steps": 4}
    _, heard = do(lively, tmp_path, dtype=dtype, **options)
    assert heard.metrics[1]["kl"] == pytest.approx(0, abs=1e-6)
    assert heard.metrics[1]["ratio_mean"] == pytest.approx(1, abs=0.2)
    assert heard.metrics[4]["kl_k3"] > 0.01
    weights = load_file(tmp_path / "policy/model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {dtype}
    policy = Policy.load(tmp_path / "policy", device="cpu", dtype=dtype)
    assert len(policy.answer(PROMPTS, SamplingConfig(max_new_tokens=4))) == len(PROMPTS)


def test_whole_weights_of_the_top_alone(lively: str, tmp_path: Path) -> None:
    do(lively, tmp_path, rank=0, layers=1, steps=2, learning_rate=1e-3)
    before = load_file(Path(lively) / "model.safetensors")
    after = load_file(tmp_path / "policy/model.safetensors")
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith("model.layers.1.") for name in changed)


def test_how_a_minibatch_is_cut_to_fit_memory_changes_nothing(lively: str, tmp_path: Path) -> None:
    wide, _ = do(lively, tmp_path / "wide", steps=2, batch_tokens=4096)
    narrow, _ = do(lively, tmp_path / "narrow", steps=2, batch_tokens=128)
    assert without_clock(narrow) == pytest.approx(without_clock(wide), abs=1e-4, rel=1e-4)


def test_adapting_the_top_layers_only_trains_nothing_below(lively: str, tmp_path: Path) -> None:
    do(lively, tmp_path, layers=1, steps=1)
    weights = load_file(tmp_path / "policy/adapter_model.safetensors")
    assert weights
    assert all(".layers.1." in name for name in weights)


# --- what a run leaves ----------------------------------------------------------------------------


def test_the_folder_tells_what_it_is_and_shows_samples(lively: str, tmp_path: Path) -> None:
    do(lively, tmp_path, steps=3, probe_every=2)
    told = json.loads((tmp_path / "policy/tandem.json").read_text())
    assert (told["purpose"], told["recipe"], told["base"]) == ("policy", "ppo", lively)
    assert told["config"] == PPOConfig.read(
        {**OPTIONS, "start": lively, "probe_every": 2}
    ).model_dump(mode="json")
    assert not told["simulated"]
    lines = (tmp_path / "policy/samples.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    assert [sample["step"] for sample in samples] == [0] * 4 + [2] * 4 + [3] * 4
    assert [tuple(sample["prompt"]) for sample in samples[:4]] == list(PROMPTS)


def test_a_policy_that_starts_from_a_policy_stands_on_its_own(lively: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    do(lively, first, steps=4, learning_rate=1e-2, warmup_steps=0)
    start = str(first / "policy")
    _, heard = do(start, second, steps=1, learning_rate=0, value_learning_rate=0)
    # Its reference is that start, not the base below: no divergence before it learns.
    assert heard.metrics[1]["kl"] == 0
    shutil.rmtree(first)
    config = SamplingConfig(max_new_tokens=8)
    options: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
    answers = Policy.load(second / "policy", **options).answer(PROMPTS, config)
    assert answers != Policy.load(lively, **options).answer(PROMPTS, config)
    told = json.loads((second / "policy/tandem.json").read_text())
    assert (told["base"], told["start"]) == (lively, start)


# --- killed and taken up again --------------------------------------------------------------------


class Fatal(Letters):
    """Stops the run, as a crash would, when it is asked for the n-th time."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def score(self, conversations: Any) -> np.ndarray:
        if len(self.asked) == self.at:
            raise KeyboardInterrupt
        return super().score(conversations)


WHERE = {
    # Within the fifth step. Beside the steps the probes are written, before all and after three.
    "writing": ("training.policies.rollouts.generate", 6),
    "updating": ("training.policies.learner.Learner._losses", 9),
    # Checkpoints are kept after two steps and after four.
    "saving": ("training.checkpoints.save_file", 1),
    "writing the folder": ("training.policies.ppo.write_policy", 0),
}
"""What stops a run, as a crash would, when it is called once more after so many times."""


def _interrupted(place: str, calls: int) -> Any:
    owner, _, name = place.rpartition(".")
    original = getattr(pkgutil.resolve_name(owner), name)
    called = 0

    def call(*positional: Any, **named: Any) -> Any:
        nonlocal called
        if called == calls:
            raise KeyboardInterrupt
        called += 1
        return original(*positional, **named)

    return call


ALL_ELSE: dict[str, Any] = {
    "value_trunk": "own_adapter",
    "reference": "moving_average",
    "entropy_coefficient": 0.01,
    "whiten_rewards": True,
    "kl_estimator": "k3",
}


@pytest.mark.parametrize(
    ("phase", "more"),
    [
        ("report", {}),
        ("writing", {}),
        ("scoring", {}),
        ("updating", {}),
        ("saving", {}),
        ("writing the folder", {}),
        ("report", ALL_ELSE),
        ("report", {"rank": 0, "learning_rate": 1e-3}),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    lively: str, tmp_path: Path, phase: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"steps": 6, "checkpoint_every": 2, "probe_every": 3, **more}
    whole, undisturbed = do(lively, tmp_path / "whole", **options)

    stopped = Heard(stop_at=5 if phase == "report" else None)
    scorers: dict[str, Scorer] = {"letters": Fatal(4 if phase == "scoring" else 99)}
    with monkeypatch.context() as patch:
        if phase in WHERE:
            place, calls = WHERE[phase]
            patch.setattr(place, _interrupted(place, calls))
        with pytest.raises(KeyboardInterrupt):
            do(lively, tmp_path / "killed", heard=stopped, scorers=scorers, **options)
    assert not (tmp_path / "killed/policy").exists()
    # The generators' states are not what carries the run on.
    torch.manual_seed(99)
    resumed, heard = do(lively, tmp_path / "killed", **options)

    step = {"writing the folder": 6, "saving": 2}.get(phase, 4)
    assert heard.lines == [f"resumed from step {step}"]
    assert sorted(heard.metrics) == list(range(step + 1, 7))
    for done, metrics in heard.metrics.items():
        assert without_clock(metrics) == pytest.approx(
            without_clock(undisturbed.metrics[done]), abs=1e-6
        )
    assert without_clock(resumed) == pytest.approx(without_clock(whole), abs=1e-6)
    file = "model.safetensors" if more.get("rank") == 0 else "adapter_model.safetensors"
    ours, theirs = (load_file(tmp_path / run / "policy" / file) for run in ("killed", "whole"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    samples = [tmp_path / run / "policy/samples.jsonl" for run in ("killed", "whole")]
    assert samples[0].read_bytes() == samples[1].read_bytes()


def test_checkpoints_of_another_run_are_refused(lively: str, tmp_path: Path) -> None:
    do(lively, tmp_path, steps=1)
    with pytest.raises(InvalidOption, match="checkpoints: they are from a run with other options"):
        do(lively, tmp_path, steps=1, seed=1)
