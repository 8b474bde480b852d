"""Answers from an engine in another interpreter: the same policy, and nothing left behind.

The engine's process, the folders and the words between the two are the real ones; the `vllm` inside
is a stand-in, because the true one takes gigabytes. `benchmarks/generation.py` meets that one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from lively import PROMPTS, Heard, Letters, save_lively

from storage.errors import InvalidOption, TrainingFailed
from training.generation import end_tokens
from training.policies import in_rounds
from training.policies.actor import Actor
from training.policies.config import PPOConfig
from training.policies.dpo_config import RejectionSamplingConfig
from training.policies.ppo import train
from training.policies.rejection_sampling import REJECTION_SAMPLING
from training.policies.rollouts import InThisProcess
from training.policies.vllm_generator import ENGINE, PYTHON, VLLMGenerator, write_adapter
from training.sampling import encode_prompts, open_policy

STAND_IN = Path(__file__).with_name("stand_in_vllm")
OPTIONS: dict[str, Any] = {
    "rewards": {"letters": 1.0},
    "max_new_tokens": 6,
    "rank": 4,
    "missing_end_penalty": 0.0,
    "generator": "vllm",
}


@pytest.fixture(scope="module", autouse=True)
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An interpreter that has the stand-in, as `-I` keeps every variable from it."""
    path = tmp_path_factory.mktemp("environment") / "python"
    path.write_text(
        "#!/bin/sh\n"
        f"exec '{sys.executable}' -c \"import runpy, sys; sys.path.insert(0, '{STAND_IN}');"
        ' runpy.run_path(sys.argv[2], run_name=\'__main__\')" "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PYTHON, str(path))
        yield


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    before = set(engines())
    yield
    assert set(engines()) <= before


def engines() -> list[psutil.Process]:
    """The engines that run below this process."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if str(ENGINE) in process.cmdline()
    ]


class Both:
    """A policy, and its answers from here and from the engine."""

    def __init__(self, start: str, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
        self.opened = open_policy(start, device="cpu", dtype=dtype)
        self.actor = Actor(self.opened.model, rank=4, value_trunk="own_adapter", seed=0)
        self.prompts = encode_prompts(self.opened.model, self.opened.tokenizer, PROMPTS, 8)
        self.engine = VLLMGenerator(
            start,
            self.opened,
            rank=4,
            longest=max(map(len, self.prompts)) + 8,
            folder=folder,
            environment=os.environ,
        )
        self.here = InThisProcess(batch_tokens=4096, pad=self.opened.tokenizer.pad_token_id)

    def learn(self, seed: int) -> None:
        torch.manual_seed(seed)
        for weight in self.actor.learned().values():
            weight.data.normal_(0, 0.5)

    def answers(self, temperature: float = 0.0, rows: Any = slice(None)) -> list[list[list[int]]]:
        """Here, and there."""
        with self.actor.merged() as model:
            return [
                writer.generate(
                    model,
                    self.prompts[rows],
                    keys=[(1, 0, 0, row) for row in range(len(self.prompts))][rows],
                    max_new_tokens=8,
                    temperature=temperature,
                    ends=end_tokens(model, self.opened.tokenizer),
                )
                for writer in (self.here, self.engine)
            ]


@pytest.fixture(scope="module")
def both(lively: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    made = Both(lively, tmp_path_factory.mktemp("engine") / "vllm")
    yield made
    made.engine.close()


# --- the same policy ------------------------------------------------------------------------------


def test_the_engine_says_what_the_policy_says_as_it_learns(both: Both) -> None:
    # The first batch: nothing is learned yet.
    start, there = both.answers()
    assert there == start
    both.learn(1)
    learned, there = both.answers()
    assert there == learned != start
    both.learn(2)
    again, there = both.answers()
    assert there == again != learned


def test_a_policy_that_starts_from_a_policy(lively: str, both: Both, tmp_path: Path) -> None:
    both.learn(3)
    before, _ = both.answers()
    write_adapter(both.opened.model, tmp_path / "policy")
    settings = tmp_path / "policy" / "adapter_config.json"
    told = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps(told | {"base_model_name_or_path": lively}), encoding="utf-8")
    second = Both(str(tmp_path / "policy"), tmp_path / "vllm")
    try:
        same = second.answers()
        second.learn(4)
        here, there = second.answers()
    finally:
        second.engine.close()
    assert same == [before, before]
    assert there == here != before


def test_a_key_settles_an_answer_whatever_stands_beside_it(both: Both) -> None:
    _, together = both.answers(1.0)
    _, alone = both.answers(1.0, rows=slice(2, 3))
    assert [together[2]] == alone
    with both.actor.merged() as model:
        several = both.engine.generate(
            model,
            both.prompts[:1] * 6,
            keys=[(1, 0, 0, row) for row in range(6)],
            max_new_tokens=8,
            temperature=1.0,
            ends=end_tokens(model, both.opened.tokenizer),
        )
    assert several[0] == together[0]
    # Another key, another answer; two of six may agree by chance.
    assert len({tuple(answer) for answer in several}) > 1


def test_answers_end_where_the_policy_ends_them(both: Both) -> None:
    first = both.answers()[0][0][0]
    with both.actor.merged() as model:
        # Whatever token it says first is now one that ends.
        said = both.engine.generate(
            model, both.prompts[:1], keys=[(0,)], max_new_tokens=8, temperature=0.0, ends=[first]
        )
    assert said == [[first]]


# --- runs -----------------------------------------------------------------------------------------


def ppo(
    start: str, folder: Path, *, heard: Heard | None = None, **options: Any
) -> dict[str, float]:
    return train(
        PPOConfig.read({**OPTIONS, "start": start, "steps": 3, "episodes": 4, **options}),
        prompts=PROMPTS,
        scorers={"letters": Letters()},
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard or Heard(),
        device="cpu",
        dtype=torch.float32,
    )


@pytest.mark.usefixtures("nothing_left")
def test_ppo_learns_from_what_the_engine_writes(lively: str, tmp_path: Path) -> None:
    metrics = ppo(lively, tmp_path / "one")
    assert metrics["ratio_error"] < 1e-6
    assert not (tmp_path / "one" / "checkpoints" / "vllm").exists()
    clocks = {name for name in metrics if "second" in name}
    again = ppo(lively, tmp_path / "two")
    assert {n: v for n, v in again.items() if n not in clocks} == {
        n: v for n, v in metrics.items() if n not in clocks
    }


@pytest.mark.usefixtures("nothing_left")
def test_rejection_sampling_chooses_among_what_the_engine_writes(
    lively: str, tmp_path: Path
) -> None:
    heard = Heard()
    metrics = in_rounds.train(
        REJECTION_SAMPLING,
        RejectionSamplingConfig.read(
            {**OPTIONS, "start": lively, "rounds": 1, "prompts_per_round": 4}
        ),
        prompts=PROMPTS,
        scorers={"letters": Letters()},
        output=tmp_path / "policy",
        checkpoints=tmp_path / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=torch.float32,
    )
    assert metrics["response_length"] > 0
    assert "vLLM is loading the start." in heard.lines


@pytest.mark.usefixtures("nothing_left")
def test_a_run_whose_engine_dies_goes_on_from_there(
    lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ppo(lively, tmp_path / "whole", checkpoint_every=100)
    # The probes are the first batch, each step another.
    monkeypatch.setenv("STAND_IN_BATCHES", "3")
    with pytest.raises(TrainingFailed, match=r"vLLM ended after 4 batches .*device-side assert"):
        ppo(lively, tmp_path / "killed", checkpoint_every=100)
    monkeypatch.delenv("STAND_IN_BATCHES")
    heard = Heard()
    resumed = ppo(lively, tmp_path / "killed", heard=heard, checkpoint_every=100)
    assert "resumed from step 2" in heard.lines
    assert resumed["reward"] == pytest.approx(whole["reward"], abs=1e-6)
    assert resumed["kl"] == pytest.approx(whole["kl"], abs=1e-6)


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["", "/nowhere/python"])
def test_an_environment_that_is_not_there(
    named: str, lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PYTHON, named)
    with pytest.raises(InvalidOption, match=f"{PYTHON} names") as refused:
        ppo(lively, tmp_path)
    assert (named or "not set") in str(refused.value)


@pytest.mark.usefixtures("nothing_left")
def test_an_engine_that_does_not_start(
    lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "no memory")
    with pytest.raises(TrainingFailed, match=r"before it could write .*MemoryError: out of memory"):
        ppo(lively, tmp_path)
    assert not (tmp_path / "checkpoints" / "vllm").exists()


def test_whole_weights_are_refused() -> None:
    with pytest.raises(InvalidOption, match="rank 0 has none; choose transformers"):
        PPOConfig.read({**OPTIONS, "rank": 0})
    assert PPOConfig.read({**OPTIONS, "rank": 0, "generator": "transformers"})


def test_the_engine_does_not_outlive_a_run_that_is_killed(lively: str, tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_vllm_generator import Both, engines
        both = Both({lively!r}, Path({str(tmp_path / "vllm")!r}))
        [engine] = engines()
        print(engine.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=False, timeout=200, capture_output=True, text=True
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    deadline = time.monotonic() + 60
    while (running := psutil.pid_exists(int(run.stdout))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running


def test_a_folder_left_by_a_killed_run_is_no_hindrance(lively: str, tmp_path: Path) -> None:
    left = tmp_path / "vllm" / "adapter"
    left.mkdir(parents=True)
    (left / "adapter_model.safetensors").write_bytes(b"half")
    made = Both(lively, tmp_path / "vllm")
    try:
        here, there = made.answers()
        assert here == there
    finally:
        made.engine.close()
    assert not (tmp_path / "vllm").exists()
