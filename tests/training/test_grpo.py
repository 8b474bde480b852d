"""GRPO and RLOO runs, whole, on the tiny model: what TRL is asked, what they learn, what they keep.

The papers: Shao et al. (2024), DeepSeekMath, arXiv:2402.03300, for GRPO; Ahmadian et al. (2024),
Back to Basics, arXiv:2402.14740, for RLOO.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from killed import interrupt, interrupt_at
from lively import PROMPTS, Heard, Letters, save_lively
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GenerationConfig
from trl import GRPOConfig as TRLGRPOConfig
from trl import GRPOTrainer, RLOOTrainer
from trl import RLOOConfig as TRLRLOOConfig

from storage.errors import (
    InvalidData,
    InvalidOption,
    JobCancelled,
    NotFound,
    TooLittleData,
    TrainingFailed,
)
from storage.records import Message
from training.backbone import load_causal, load_tokenizer
from training.lora import lean
from training.policies import POLICIES
from training.policies.groups import _GRPO, _RLOO, _rows
from training.policies.grpo import train
from training.policies.grpo_config import GroupConfig, GRPOConfig, RLOOConfig
from training.policies.measured import ANSWERS, Measured
from training.policies.mixer import Conversation, Scorer
from training.policies.rollouts import prompts_of_step
from training.sampling import Policy, encode_prompts
from training.sampling_config import SamplingConfig

CLOCK = {"tokens_per_second", "seconds_writing", "seconds_scoring", "seconds_learning"}
BOTH = pytest.mark.parametrize("kind", [GRPOConfig, RLOOConfig])
OPTIONS: dict[str, Any] = {
    "rewards": {"letters": 1.0},
    "steps": 3,
    "episodes": 8,
    "answers_per_prompt": 4,
    "max_new_tokens": 8,
    "rank": 4,
    "learning_rate": 5e-3,
    "missing_end_penalty": 0.0,
}
IN_HALVES = 256
"""Tokens per pass with which the eight answers go through the model in two passes."""


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def do(
    kind: type[GroupConfig],
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
        kind.read({**OPTIONS, "start": start, **options}),
        prompts=prompts,
        scorers=scorers or {"letters": Letters()},
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=dtype,
    )
    return metrics, heard


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(folder / "policy/adapter_model.safetensors")
    return weights


def without_clock(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in CLOCK}


def listen(
    monkeypatch: pytest.MonkeyPatch, kind: type[GroupConfig], method: str
) -> list[tuple[tuple[Any, ...], Any]]:
    """What a method of the trainer is given, and what it gives."""
    noted: list[tuple[tuple[Any, ...], Any]] = []
    trainer = _GRPO if kind is GRPOConfig else _RLOO
    original = getattr(trainer, method)

    def listening(self: Any, *given: Any, **named: Any) -> Any:
        result = original(self, *given, **named)
        noted.append((given, result))
        return result

    monkeypatch.setattr(trainer, method, listening)
    return noted


# --- options --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"rewards": {}}, "rewards: dictionary should have at least 1"),
        ({"rewards": {"a": 0, "b": 0}}, "rewards: at least one weight must differ from 0"),
        ({"rewards": {"a": float("inf")}}, "rewards: every weight must be a finite number"),
        (
            {"answers_per_prompt": 5},
            "answers_per_prompt: must divide the episodes, of which there are 32",
        ),
        (
            {"answers_per_prompt": 1},
            "answers_per_prompt: input should be greater than or equal to 2",
        ),
        ({"clip": 0.2}, "clip: there is no such option"),
    ],
)
def test_options_out_of_bounds_are_named(
    kind: type[GroupConfig], typed: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        kind.read({"rewards": {"a": 1.0}, **typed})


@given(st.integers(1, 64), st.integers(1, 60), st.integers(64, 4096))
def test_passes_are_even_and_keep_to_their_budget(groups: int, longest: int, budget: int) -> None:
    config = GRPOConfig.read(
        {**OPTIONS, "episodes": 2 * groups, "answers_per_prompt": 2, "batch_tokens": budget}
    )
    rows = _rows(config, longest)
    assert (2 * groups) % rows == 0
    assert rows == 1 or rows * (longest + 8) <= budget
    larger = [more for more in range(rows + 1, 2 * groups + 1) if (2 * groups) % more == 0]
    assert all(more * (longest + 8) > budget for more in larger)


# --- what TRL is asked ----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("price", [0.0, 0.3])
@pytest.mark.parametrize("batch_tokens", [4096, IN_HALVES])
def test_it_is_exactly_what_trl_alone_does(
    kind: type[GroupConfig], lively: str, tmp_path: Path, price: float, batch_tokens: int
) -> None:
    ours = Letters()
    options = {"kl_coefficient": price, "batch_tokens": batch_tokens, "temperature": 0.9, "seed": 5}
    do(kind, lively, tmp_path / "ours", scorers={"letters": ours}, steps=4, **options)

    theirs: list[list[str]] = []

    def letters(prompts: Any, completions: Any, **_: Any) -> list[float]:
        theirs.append([said[0]["content"] for said in completions])
        rewards: np.ndarray = Letters().score([((), said[0]["content"]) for said in completions])
        return list(rewards / 8)

    trainer, arguments = (
        (GRPOTrainer, TRLGRPOConfig) if kind is GRPOConfig else (RLOOTrainer, TRLRLOOConfig)
    )
    rows = 8 if batch_tokens == 4096 else 4
    order = [
        place
        for step in range(4)
        for place in prompts_of_step(step, episodes=2, prompts=len(PROMPTS), seed=5)
    ]
    alone = trainer(
        model=AutoModelForCausalLM.from_pretrained(lively, dtype=torch.float32),
        processing_class=load_tokenizer(lively),
        reward_funcs=letters,
        train_dataset=Dataset.from_list([{"prompt": list(PROMPTS[at])} for at in order]),
        # peft's own layers round a little differently; see tests/training/test_lora.py.
        peft_config=lean(
            LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
        ),
        args=arguments(
            output_dir=str(tmp_path / "theirs"),
            num_train_epochs=1,
            shuffle_dataset=False,
            num_generations=4,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=8 // rows,
            max_completion_length=8,
            temperature=0.9,
            beta=price,
            learning_rate=5e-3,
            lr_scheduler_type="constant",
            seed=5,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
        ),
    )
    alone.train()
    alone.model.save_pretrained(tmp_path / "theirs/policy")

    assert [[text for _, text in asked] for asked in ours.asked] == theirs
    assert len({text for asked in theirs for text in asked}) > 20
    torch.testing.assert_close(
        adapter(tmp_path / "ours"), adapter(tmp_path / "theirs"), rtol=0, atol=0
    )


@BOTH
def test_prompts_have_the_same_tokens_as_everywhere(
    kind: type[GroupConfig], lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = listen(monkeypatch, kind, "_tokenize_prompts")
    prompts = [
        [
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi"),
            Message(role="assistant", content="  Hello\n"),
            Message(role="user", content="Why <|im_end|>?"),
        ],
        [Message(role="user", content="\n\n🙂 é <|endoftext|> ")],
        *PROMPTS,
    ]
    do(kind, lively, tmp_path, prompts=prompts, steps=3)
    encoded = encode_prompts(
        load_causal(lively, device="cpu"), load_tokenizer(lively), prompts, max_new_tokens=8
    )
    order = prompts_of_step(0, episodes=6, prompts=6, seed=0)
    expected = [encoded[place] for place in order for _ in range(4)]
    assert [ids for _, (rows, *_) in asked for ids in rows] == expected
    assert sorted(order) == list(range(6))


@BOTH
def test_the_models_own_taste_in_sampling_is_put_aside(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    plain, picky = Letters(), Letters()
    do(kind, lively, tmp_path / "plain", scorers={"letters": plain})
    shutil.copytree(lively, tmp_path / "picky")
    own = GenerationConfig(eos_token_id=2, do_sample=True, min_p=0.9, no_repeat_ngram_size=1)
    own.save_pretrained(tmp_path / "picky")
    do(kind, str(tmp_path / "picky"), tmp_path / "of picky", scorers={"letters": picky})
    assert picky.asked == plain.asked


# --- advantages -----------------------------------------------------------------------------------


class Given:
    """Gives the answers of each step these rewards, in order."""

    def __init__(self, *rewards: float) -> None:
        self.rewards = rewards

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        return np.array(self.rewards)

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        return rewards


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Section 4.1.2: (r - mean) / standard deviation. The mean of 1, 2, 3, 6 is 3, and the
        # squares of -2, -1, 0, 3 sum to 14; TRL divides them by 3 (not by 4, which the paper leaves
        # open) and adds 1e-4 to the root. A group of equals has no deviation and teaches nothing.
        (GRPOConfig, [d / (math.sqrt(14 / 3) + 1e-4) for d in (-2, -1, 0, 3)] + [0] * 4),
        # The mean of the others: 11/3, 10/3, 9/3 and 6/3.
        (RLOOConfig, [1 - 11 / 3, 2 - 10 / 3, 3 - 9 / 3, 6 - 6 / 3] + [0] * 4),
    ],
)
def test_advantages_by_hand(
    kind: type[GroupConfig],
    expected: list[float],
    lively: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = listen(monkeypatch, kind, "_generate_and_score_completions")
    scorers: dict[str, Scorer] = {"letters": Given(1, 2, 3, 6, 5, 5, 5, 5)}
    # The start is its own reference, so that no divergence is priced yet.
    _, heard = do(kind, lively, tmp_path, scorers=scorers, steps=1)
    assert steps[0][1]["advantages"].tolist() == pytest.approx(expected, abs=1e-5)
    assert heard.metrics[1]["kl"] == pytest.approx(0, abs=1e-5)
    assert heard.metrics[1]["reward"] == 4
    assert heard.metrics[1]["tied_groups"] == 0.5


@BOTH
def test_an_answer_that_was_cut_loses_the_penalty(
    kind: type[GroupConfig], lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earned = listen(monkeypatch, kind, "_calculate_rewards")
    nothing: dict[str, Scorer] = {"letters": Letters("")}
    options = {"missing_end_penalty": 1.5, "episodes": 64, "steps": 1}
    metrics, _ = do(kind, lively, tmp_path, scorers=nothing, **options)
    (*_, ids), rewards = earned[0]
    ended = [row[-1] == 2 for row in ids]
    assert set(ended) == {True, False}
    assert rewards[:, 0].tolist() == [0.0 if end else -1.5 for end in ended]
    assert metrics["reward"] == 0
    assert metrics["finished_fraction"] == pytest.approx(np.mean(ended))
    assert metrics["response_length"] == pytest.approx(np.mean([len(row) for row in ids]))


# --- metrics --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("price", [0.0, 0.1])
def test_the_divergence_is_that_of_the_answers_that_were_written(
    kind: type[GroupConfig],
    lively: str,
    tmp_path: Path,
    price: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"kl_coefficient": price, "temperature": 0.8, "batch_tokens": IN_HALVES}
    options["learning_rate"] = 1e-2
    # Both runs are the same in their first step; the second goes on with what the first left.
    do(kind, lively, tmp_path / "one", steps=1, **options)
    written = listen(monkeypatch, kind, "_generate")
    _, heard = do(kind, lively, tmp_path / "two", steps=2, **options)

    prompts, answers = written[1][1][:2]
    start = AutoModelForCausalLM.from_pretrained(lively, dtype=torch.float32)
    policy = PeftModel.from_pretrained(start, tmp_path / "one/policy")
    nats = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([prompt + answer])
        places = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
        with torch.no_grad():
            new = (policy(ids).logits[0, places] / 0.8).log_softmax(-1)
            with policy.disable_adapter():
                old = (policy(ids).logits[0, places] / 0.8).log_softmax(-1)
        chosen = torch.tensor(answer)[:, None]
        nats.append(float((new.gather(1, chosen) - old.gather(1, chosen)).sum()))
    assert abs(np.mean(nats)) > 0.01
    assert heard.metrics[2]["kl"] == pytest.approx(np.mean(nats), abs=1e-4)


@BOTH
def test_the_metrics_of_a_step_are_those_of_ppo(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    metrics, heard = do(kind, lively, tmp_path)
    assert heard.total == 3
    assert sorted(heard.metrics) == [1, 2, 3]
    known_to_ppo = {
        *("reward", "reward/letters", "reward_raw/letters", "kl", "entropy", "policy_loss"),
        *("response_length", "finished_fraction", *CLOCK),
    }
    assert set(heard.metrics[3]) == known_to_ppo | {"gradient_norm", "tied_groups"}
    assert set(metrics) == {*heard.metrics[3], "reward_at_start"}
    assert all(math.isfinite(value) for step in heard.metrics.values() for value in step.values())
    for name in ("reward", "kl", "response_length"):
        mean = np.mean([step[name] for step in heard.metrics.values()])
        assert metrics[name] == pytest.approx(mean)
    assert metrics["reward_at_start"] == heard.metrics[1]["reward"]


@BOTH
def test_several_rewards_are_mixed_by_weight(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    scorers: dict[str, Scorer] = {"e": Letters("aei"), "a": Letters("aou", full=2, mean=1)}
    _, heard = do(kind, lively, tmp_path, scorers=scorers, rewards={"e": 0.25, "a": -1.5}, steps=1)
    step = heard.metrics[1]
    assert step["reward"] == pytest.approx(0.25 * step["reward/e"] - 1.5 * step["reward/a"])
    assert step["reward/a"] == pytest.approx((step["reward_raw/a"] - 1) / 2)


@BOTH
def test_what_has_no_scale_is_measured_and_weights_follow_their_schedule(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    length = Letters("aeiou")
    scorers: dict[str, Scorer] = {"letters": Letters(), "vowels": Measured(length)}
    weights = {"letters": 1.0, "vowels": 0.5}
    options = {"rewards": weights, "weight_schedule": {"vowels": "0:0,1:1"}}
    _, heard = do(kind, lively, tmp_path, scorers=scorers, **options)
    assert heard.lines == ["Measuring what answers of the start earn from vowels."]
    for step, share in ((1, 0), (2, 0.5), (3, 1)):
        told = heard.metrics[step]
        assert told["weight/vowels"] == 0.5 * share
        total = told["reward/letters"] + 0.5 * share * told["reward/vowels"]
        assert told["reward"] == pytest.approx(total)
    raw = Letters("aeiou").score(length.asked[0])
    assert len(raw) == ANSWERS
    scale = json.loads((tmp_path / "policy/tandem.json").read_text())["reward_scales"]["vowels"]
    assert scale == pytest.approx({"mean": np.mean(raw), "std": np.std(raw)})
    card = (tmp_path / "policy/README.md").read_text()
    assert "- `vowels`, weight 0.5 times 0:0,1:1 over the run; the answers of the start" in card


# --- learning -------------------------------------------------------------------------------------


@BOTH
def test_a_token_count_rises_from_chance_to_nine_tenths_of_its_maximum(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    options = {"episodes": 32, "answers_per_prompt": 8, "rank": 8, "kl_coefficient": 0.0}
    metrics, heard = do(kind, lively, tmp_path, steps=40, **options)
    # 26 of the 259 tokens are letters.
    assert metrics["reward_at_start"] < 0.25
    assert metrics["reward"] > 0.9
    assert metrics["entropy"] < heard.metrics[1]["entropy"]
    assert metrics["reward_at_start"] == heard.metrics[1]["reward"]
    last = [heard.metrics[step]["reward"] for step in range(31, 41)]
    assert metrics["reward"] == pytest.approx(np.mean(last))


@BOTH
def test_the_price_holds_the_policy_near_its_start(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    free, _ = do(kind, lively, tmp_path / "free", steps=20, kl_coefficient=0.0)
    held, _ = do(kind, lively, tmp_path / "held", steps=20, kl_coefficient=1.0)
    assert held["kl"] < free["kl"] / 2


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_a_learning_rate_nothing_moves(
    kind: type[GroupConfig], lively: str, tmp_path: Path, dtype: torch.dtype
) -> None:
    _, heard = do(kind, lively, tmp_path, learning_rate=0, dtype=dtype)
    for metrics in heard.metrics.values():
        assert metrics["kl"] == pytest.approx(0, abs=1e-5 if dtype == torch.float32 else 0.1)
    assert not any(weight.any() for name, weight in adapter(tmp_path).items() if "lora_B" in name)


@BOTH
def test_how_a_step_is_cut_to_fit_memory_changes_nothing(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    wide, _ = do(kind, lively, tmp_path / "wide", batch_tokens=4096)
    narrow, _ = do(kind, lively, tmp_path / "narrow", batch_tokens=64)
    # TRL's entropy is a mean over passes, and so are the parts of a loss.
    for name in ("reward", "kl", "response_length", "gradient_norm"):
        assert narrow[name] == pytest.approx(wide[name], rel=1e-3, abs=1e-4)
    torch.testing.assert_close(
        adapter(tmp_path / "narrow"), adapter(tmp_path / "wide"), rtol=1e-3, atol=1e-4
    )


@BOTH
def test_adapting_the_top_layers_only_trains_nothing_below(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    do(kind, lively, tmp_path, layers=1, steps=1)
    weights = adapter(tmp_path)
    assert weights
    assert all(".layers.1." in name for name in weights)


# --- what a run leaves ----------------------------------------------------------------------------


@BOTH
def test_the_folder_tells_what_it_is_and_shows_samples(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    do(kind, lively, tmp_path, steps=3, probe_every=2)
    recipe = "grpo" if kind is GRPOConfig else "rloo"
    told = json.loads((tmp_path / "policy/tandem.json").read_text())
    assert (told["purpose"], told["recipe"], told["base"]) == ("policy", recipe, lively)
    assert told["config"] == kind.read({**OPTIONS, "start": lively, "probe_every": 2}).model_dump()
    assert not told["simulated"]
    lines = (tmp_path / "policy/samples.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    assert [sample["step"] for sample in samples] == [0] * 4 + [2] * 4 + [3] * 4
    assert [tuple(sample["prompt"]) for sample in samples[:4]] == list(PROMPTS)
    assert (
        f"# A policy trained with {recipe.upper()}" in (tmp_path / "policy/README.md").read_text()
    )
    assert not list((tmp_path / "policy").glob("*.bin"))


@BOTH
def test_the_adapter_opens_with_ordinary_tools(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    do(kind, lively, tmp_path)
    start = AutoModelForCausalLM.from_pretrained(lively, dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = start(ids).logits
        after = PeftModel.from_pretrained(start, tmp_path / "policy")(ids).logits
        ours = Policy.load(tmp_path / "policy", device="cpu", dtype=torch.float32).model(ids).logits
    torch.testing.assert_close(ours, after, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours, before, atol=1e-2)


@BOTH
def test_a_policy_that_starts_from_a_policy_stands_on_its_own(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    do(kind, lively, first, steps=4)
    start = str(first / "policy")
    _, heard = do(kind, start, second, steps=1, learning_rate=0)
    # Its reference is that start, not the base below: no divergence before it learns.
    assert heard.metrics[1]["kl"] == pytest.approx(0, abs=1e-5)
    shutil.rmtree(first)
    config = SamplingConfig(max_new_tokens=8)
    options: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
    answers = Policy.load(second / "policy", **options).answer(PROMPTS, config)
    assert answers != Policy.load(lively, **options).answer(PROMPTS, config)
    told = json.loads((second / "policy/tandem.json").read_text())
    assert (told["base"], told["start"]) == (lively, start)


@BOTH
def test_nobody_outside_is_told_or_asked(
    kind: type[GroupConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", refuse)
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    do(kind, "tiny", tmp_path)


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


@BOTH
@pytest.mark.parametrize("phase", ["report", "scoring", "checkpoint", "writing the folder"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    kind: type[GroupConfig],
    lively: str,
    tmp_path: Path,
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two prompts a step, four in all: it goes on within the third pass, or after it.
    options: dict[str, Any] = {"steps": 9, "probe_every": 3, "batch_tokens": IN_HALVES}
    options["checkpoint_every"] = 2 if phase == "checkpoint" else 5
    whole, undisturbed = do(kind, lively, tmp_path / "whole", **options)

    stopped = Heard(stop_at=7 if phase == "report" else None)
    scorers: dict[str, Scorer] = {"letters": Fatal(6 if phase == "scoring" else 99)}
    with monkeypatch.context() as patch:
        if phase == "writing the folder":
            patch.setattr("training.policies.grpo.write_policy", interrupt)
        if phase == "checkpoint":
            patch.setattr("transformers.Trainer._save_rng_state", interrupt_at(6))
        with pytest.raises(KeyboardInterrupt):
            do(kind, lively, tmp_path / "killed", heard=stopped, scorers=scorers, **options)
    assert not (tmp_path / "killed/policy").exists()
    torch.manual_seed(99)
    freely: list[Any] = []
    load = torch.load
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *a, **k: freely.append(k) or load(*a, **k))
        resumed, heard = do(kind, lively, tmp_path / "killed", **options)

    step = {"checkpoint": 4, "writing the folder": 9}.get(phase, 5)
    assert heard.lines == [f"resumed from step {step}"]
    assert sorted(heard.metrics) == list(range(step + 1, 10))
    # TRL's pickled files are read as plain tensors and numbers, never as programs.
    assert freely
    assert all(options.get("weights_only") is True for options in freely)
    for done, metrics in heard.metrics.items():
        assert without_clock(metrics) == pytest.approx(
            without_clock(undisturbed.metrics[done]), abs=1e-6
        )
    assert without_clock(resumed) == pytest.approx(without_clock(whole), abs=1e-6)
    torch.testing.assert_close(
        adapter(tmp_path / "killed"), adapter(tmp_path / "whole"), rtol=0, atol=1e-6
    )
    samples = [tmp_path / run / "policy/samples.jsonl" for run in ("killed", "whole")]
    assert samples[0].read_bytes() == samples[1].read_bytes()


@BOTH
def test_cancelling_leaves_the_last_checkpoint(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    class Cancelling(Heard):
        def report(self, step: int, *given: Any, **named: Any) -> None:
            if step == 3:
                raise JobCancelled("stopped by a test")

    with pytest.raises(JobCancelled):
        do(kind, lively, tmp_path, heard=Cancelling(), checkpoint_every=2)
    assert (tmp_path / "checkpoints/checkpoint-2/trainer_state.json").is_file()
    assert not (tmp_path / "policy").exists()


def test_checkpoints_of_another_run_are_refused(lively: str, tmp_path: Path) -> None:
    do(GRPOConfig, lively, tmp_path, steps=1)
    shutil.rmtree(tmp_path / "policy")
    for kind, options in ((GRPOConfig, {"seed": 1}), (RLOOConfig, {"kl_coefficient": 0.04})):
        with pytest.raises(InvalidOption, match="checkpoints: they are from a run with other"):
            do(kind, lively, tmp_path, steps=1, **options)


class Moody(Letters):
    """Gives out after some answers, as a service may."""

    def __init__(self, *, answers: int) -> None:
        super().__init__()
        self.left = answers

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        if not self.left:
            raise TrainingFailed("The reward service has gone fishing.")
        self.left -= 1
        return super().score(conversations)


@BOTH
def test_a_service_that_goes_away_stops_the_run_at_a_checkpoint_from_which_it_goes_on(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    def run(name: str, answers: int, heard: Heard) -> None:
        scorers: dict[str, Scorer] = {"letters": Measured(Moody(answers=answers))}
        do(kind, lively, tmp_path / name, scorers=scorers, heard=heard, steps=6)

    undisturbed, failed, again, resumed = (Heard() for _ in range(4))
    run("whole", 99, undisturbed)
    # Once to measure, then three steps; and when it is asked again, it is still away.
    for heard, answers in ((failed, 4), (again, 0)):
        with pytest.raises(TrainingFailed, match="gone fishing"):
            run("cut", answers, heard)
    assert sorted(failed.metrics) == [1, 2, 3]
    assert again.lines == ["resumed from step 3"]
    run("cut", 99, resumed)
    assert resumed.lines == ["resumed from step 3"]
    assert sorted(resumed.metrics) == [4, 5, 6]
    for step, metrics in resumed.metrics.items():
        assert without_clock(metrics) == pytest.approx(
            without_clock(undisturbed.metrics[step]), abs=1e-6
        )
    torch.testing.assert_close(
        adapter(tmp_path / "cut"), adapter(tmp_path / "whole"), rtol=0, atol=1e-6
    )


@BOTH
def test_a_service_that_was_away_before_the_first_step_leaves_no_checkpoint(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    scorers: dict[str, Scorer] = {"letters": Measured(Moody(answers=1))}
    with pytest.raises(TrainingFailed, match="gone fishing"):
        do(kind, lively, tmp_path, scorers=scorers)
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))
    scales = (tmp_path / "checkpoints/reward_scales.json").read_text()
    # It is not measured a second time.
    moody = Moody(answers=99)
    do(kind, lively, tmp_path, scorers={"letters": Measured(moody)})
    assert [len(asked) for asked in moody.asked] == [8, 8, 8]
    assert (tmp_path / "checkpoints/reward_scales.json").read_text() == scales


# --- refusals -------------------------------------------------------------------------------------


@BOTH
def test_a_reward_that_is_not_a_number_stops_the_run(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    scorers: dict[str, Scorer] = {"letters": Given(1, 2, math.nan, 6, 5, 5, 5, 5)}
    with pytest.raises(TrainingFailed, match=r"The reward model 'letters' gave nan for the answer"):
        do(kind, lively, tmp_path, scorers=scorers)
    assert not (tmp_path / "policy").exists()


@BOTH
def test_a_reward_too_large_for_trl_stops_the_run(
    kind: type[GroupConfig], lively: str, tmp_path: Path
) -> None:
    scorers: dict[str, Scorer] = {"letters": Given(1, 2, 3, 6e38, 5, 5, 5, 5)}
    with pytest.raises(TrainingFailed, match=r"A mixed reward of 6e\+38 is too large to learn"):
        do(kind, lively, tmp_path, scorers=scorers)


@BOTH
def test_a_loss_that_is_no_number_is_told(
    kind: type[GroupConfig], lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _GRPO if kind is GRPOConfig else _RLOO
    compute = trainer.compute_loss
    monkeypatch.setattr(
        trainer, "compute_loss", lambda *args, **named: compute(*args, **named) * torch.nan
    )
    with pytest.raises(TrainingFailed, match=r"_loss was nan at step 1; lower learning_rate \(now"):
        do(kind, lively, tmp_path)
    assert not (tmp_path / "policy").exists()
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))


@BOTH
def test_no_prompts_are_refused(kind: type[GroupConfig], lively: str, tmp_path: Path) -> None:
    with pytest.raises(TooLittleData, match=r"(GRPO|RLOO) needs prompts"):
        do(kind, lively, tmp_path, prompts=[])


def test_a_prompt_longer_than_the_context_is_refused(lively: str, tmp_path: Path) -> None:
    long = (Message(role="user", content="x" * 2040),)
    with pytest.raises(InvalidData, match=r"Prompt 1 has .* the model reads 2048 in all"):
        do(GRPOConfig, lively, tmp_path, prompts=[long])


def test_a_folder_that_holds_something_is_left_alone(lively: str, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/thesis.txt").write_text("dear")
    with pytest.raises(InvalidOption, match="output: it already holds something"):
        do(RLOOConfig, lively, tmp_path)
    assert (tmp_path / "policy/thesis.txt").read_text() == "dear"


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_a_reward_model_must_be_named_be_there_and_be_one(
    name: str, lively: str, tmp_path: Path
) -> None:
    recipe = POLICIES[name]
    config = recipe.config.read({**OPTIONS, "start": lively})

    def run(rewards: dict[str, Path]) -> None:
        recipe.run(
            config,
            prompts=PROMPTS,
            rewards=rewards,
            output=tmp_path / "policy",
            checkpoints=tmp_path / "checkpoints",
            progress=Heard(),
            device="cpu",
        )

    with pytest.raises(NotFound, match="no reward model called 'letters'"):
        run({})
    with pytest.raises(InvalidData, match="is not a reward model"):
        run({"letters": tmp_path / "nowhere"})
