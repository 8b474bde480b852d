"""What PPO refuses, and what it makes of prompts, answers and rewards out of the ordinary."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lively import PROMPTS, Heard, Letters, save_lively
from test_ppo import OPTIONS, do
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from storage.errors import InvalidData, InvalidOption, NotFound, TooLittleData, TrainingFailed
from storage.records import Message
from training import backbone, tiny
from training.policies import POLICIES
from training.policies.config import PPOConfig
from training.policies.mixer import Conversation
from training.rewards.model import RewardModel
from training.rewards.scoring import Calibration, RewardScorer


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def test_a_policy_that_runs_away_is_stopped_and_told_what_to_lower(
    lively: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailed, match=r"nats per answer away .* lower learning_rate \(now"):
        do(lively, tmp_path, steps=9, learning_rate=1e-2, kl_target=0.01, epochs=4)
    assert not (tmp_path / "policy").exists()


def test_a_gradient_that_is_no_number_is_told(
    lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "training.ppo_objectives.whiten", lambda numbers, mask: numbers * torch.nan * mask
    )
    with pytest.raises(
        TrainingFailed, match="A gradient is no longer a number; lower learning_rate"
    ):
        do(lively, tmp_path)


def test_no_prompts_are_refused(lively: str, tmp_path: Path) -> None:
    with pytest.raises(TooLittleData, match="PPO needs prompts"):
        do(lively, tmp_path, prompts=[])


def test_a_prompt_longer_than_the_context_is_refused(lively: str, tmp_path: Path) -> None:
    long = (Message(role="user", content="x" * 2040),)
    with pytest.raises(InvalidData, match=r"Prompt 1 has .* the model reads 2048 in all"):
        do(lively, tmp_path, prompts=[long])


def test_answers_longer_than_the_context_are_refused(lively: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="max_new_tokens: the model reads 2048 tokens"):
        do(lively, tmp_path, max_new_tokens=2048)


def test_a_folder_that_holds_something_is_left_alone(lively: str, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/thesis.txt").write_text("dear")
    with pytest.raises(InvalidOption, match="output: it already holds something"):
        do(lively, tmp_path)
    assert (tmp_path / "policy/thesis.txt").read_text() == "dear"


def recipe(config: PPOConfig, folder: Path, rewards: dict[str, Path]) -> dict[str, Any]:
    result: dict[str, Any] = POLICIES["ppo"].run(
        config,
        prompts=PROMPTS,
        rewards=rewards,
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=Heard(),
        device="cpu",
    )
    return result


def test_a_reward_model_must_be_named_be_there_and_be_one(lively: str, tmp_path: Path) -> None:
    config = PPOConfig.read({**OPTIONS, "start": lively})
    with pytest.raises(NotFound, match="no reward model called 'letters'"):
        recipe(config, tmp_path, {})
    with pytest.raises(InvalidData, match="is not a reward model"):
        recipe(config, tmp_path, {"letters": tmp_path / "nowhere"})
    do(lively, tmp_path / "other", steps=1)
    with pytest.raises(InvalidData, match="is a policy model; a reward model is needed"):
        recipe(config, tmp_path, {"letters": tmp_path / "other/policy"})


@pytest.mark.parametrize("prompt", [(), (Message(role="user", content=" \n"),)])
def test_a_prompt_that_says_nothing_is_refused(
    prompt: tuple[Message, ...], lively: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match="Prompt 5 says nothing; leave it out"):
        do(lively, tmp_path, prompts=[*PROMPTS, prompt])


class NoNumber(Letters):
    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        rewards = super().score(conversations).astype(float)
        rewards[-1] = np.nan if len(self.asked) > 3 else rewards[-1]
        return rewards


def test_a_reward_model_that_gives_nan_stops_the_run_at_a_checkpoint(
    lively: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailed, match="The reward model 'letters' gave nan for the answer"):
        do(lively, tmp_path, scorers={"letters": NoNumber()}, steps=5)
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000003"]
    _, heard = do(lively, tmp_path, steps=5)
    assert heard.lines[0] == "resumed from step 3"


def test_a_half_written_checkpoint_is_passed_over_and_that_is_said(
    lively: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = do(lively, tmp_path / "whole", steps=4)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        do(lively, cut, steps=4, checkpoint_every=1, heard=Heard(stop_at=4))
    newest = cut / "checkpoints/step-00000003/tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        found, heard = do(lively, cut, steps=4, checkpoint_every=1)
    assert "passing over the broken checkpoint step-00000003" in caplog.text
    assert heard.lines[0] == "resumed from step 2"
    assert found["reward"] == pytest.approx(whole["reward"], abs=1e-6)


def test_an_answer_that_ends_at_once_is_an_answer_without_text(
    lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(_: Any, prompts: Sequence[Any], *, ends: Sequence[int], **__: Any) -> list[Any]:
        return [[ends[0]] for _ in prompts]

    monkeypatch.setattr("training.policies.rollouts.generate", at_once)
    asked = Letters(mean=4.0)
    metrics, _ = do(lively, tmp_path, scorers={"letters": asked}, missing_end_penalty=1.0)
    assert {answer for said in asked.asked for _, answer in said} == {""}
    assert metrics["response_length"] == 1  # the end token
    assert metrics["finished_fraction"] == 1
    assert metrics["reward"] == -0.5  # no letters, on a scale around 4 of 8; nothing was cut
    assert np.isfinite(list(metrics.values())).all()


def backwards() -> PreTrainedTokenizerBase:
    """One token per byte as in `tiny`, each with another number, and another template."""
    specials = [tiny.EOS, tiny.PAD]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=True)
    ids = {token: place for place, token in enumerate([*specials, *alphabet])}
    bytes_only = Tokenizer(models.BPE(vocab=ids, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        pad_token=tiny.PAD,
        eos_token=tiny.EOS,
        chat_template="{% for message in messages %}Q:{{ message['content'] }}{% endfor %}A:",
    )


def test_a_reward_model_reads_the_text_in_tokens_of_its_own(lively: str, tmp_path: Path) -> None:
    tokenizer = backwards()
    assert tokenizer("a")["input_ids"] != backbone.load_tokenizer(lively)("a")["input_ids"]
    scalar = tiny.build(AutoModelForSequenceClassification, num_labels=1).eval()
    scalar.config.pad_token_id = 1
    given: list[tuple[Conversation, float]] = []

    class Remembered(RewardScorer):
        def score(self, conversations: Sequence[Conversation], **named: Any) -> Any:
            rewards = super().score(conversations, **named)
            given.extend(zip(conversations, rewards.tolist(), strict=True))
            return rewards

    odd = Remembered(RewardModel(scalar, tokenizer), Calibration(mean=0.0, std=0.01))
    metrics, _ = do(lively, tmp_path, scorers={"letters": odd})
    assert np.isfinite(metrics["reward"])
    assert len({answer for (_, answer), _ in given}) > 1
    for (messages, answer), reward in given[:8]:
        text = "".join(f"Q:{message['content']}" for message in messages) + "A:" + answer
        ids = [*tokenizer(text, split_special_tokens=True)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            alone = scalar(input_ids=torch.tensor([ids])).logits.item()
        assert reward == pytest.approx(alone, abs=1e-5)
