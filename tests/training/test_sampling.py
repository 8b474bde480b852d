"""Policies that answer: the same answers for a seed, whatever the batch, and the right chances."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lively import PROMPTS, Heard, save_lively
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from storage.errors import InvalidData, InvalidOption
from storage.records import Message
from training.backbone import chat_ids, load_causal, load_tokenizer
from training.generation import _invert, draws, end_tokens, generate, shared_beginning
from training.places import ModelNotFound
from training.sampling import Policy, open_policy
from training.sampling_config import SamplingConfig

CONFIG = SamplingConfig(max_new_tokens=12, temperature=1.0, top_p=1.0)
FP32 = torch.float32


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


@pytest.fixture(scope="module")
def policy(lively: str) -> Policy:
    return Policy.load(lively, device="cpu", dtype=FP32)


def save_adapter(base: str, folder: Path) -> PreTrainedModel:
    """An adapter that does something, and the model with it merged in."""
    model = get_peft_model(
        load_causal(base, dtype=FP32, device="cpu"),
        LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "up_proj"]),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    return model.merge_and_unload()


# --- what an answer depends on --------------------------------------------------------------------


def test_a_seed_settles_the_answers_and_another_gives_others(policy: Policy) -> None:
    torch.manual_seed(1)
    first = policy.answer(PROMPTS, CONFIG)
    torch.manual_seed(2)
    assert policy.answer(PROMPTS, CONFIG) == first
    assert policy.answer(PROMPTS, CONFIG.model_copy(update={"seed": 1})) != first


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_an_answer_does_not_depend_on_the_batch_it_was_written_in(
    policy: Policy, batch_size: int
) -> None:
    together = policy.answer(PROMPTS * 2, CONFIG)
    apart = policy.answer(PROMPTS * 2, CONFIG.model_copy(update={"batch_size": batch_size}))
    assert apart == together
    # The same prompt at another place of the list gets another answer.
    assert together[:4] != together[4:]


def test_temperature_zero_takes_the_likeliest_token(policy: Policy) -> None:
    answers = policy.answer(PROMPTS, CONFIG.model_copy(update={"temperature": 0.0}))
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = chat_ids(policy.tokenizer, prompt)
        start = len(ids)
        for _ in range(answer.tokens):
            with torch.no_grad():
                ids.append(int(policy.model(torch.tensor([ids])).logits[0, -1].argmax()))
        text = policy.tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert answer.text == text


def test_tokens_come_as_often_as_the_model_says(policy: Policy) -> None:
    # 4000 draws over the 6 likeliest tokens and the rest: chi-square with 6 degrees of freedom is
    # above 27.9 once in ten thousand seeds.
    ids = chat_ids(policy.tokenizer, PROMPTS[0])
    numbers = draws([(5, row) for row in range(4000)], 1)
    rows = generate(
        policy.model, [ids] * 4000, numbers=numbers, temperature=1.5, pad=0, ends=policy.ends
    )
    with torch.no_grad():
        logits = policy.model(torch.tensor([ids])).logits[0, -1]
    chances = (logits / 1.5).softmax(-1).numpy()
    likeliest = np.argsort(-chances)[:6]
    tokens = np.array(rows)[:, 0]
    seen = np.array([*((tokens == token).sum() for token in likeliest), 0])
    seen[-1] = 4000 - seen.sum()
    expected = 4000 * np.append(chances[likeliest], 1 - chances[likeliest].sum())
    assert ((seen - expected) ** 2 / expected).sum() < 27.9


@pytest.mark.parametrize("kept", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("shared", [0, 7])
def test_greedy_answers_are_those_of_transformers(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, kept: float, shared: int
) -> None:
    """However soon rows that have ended leave the batch, and whatever prompts begin with."""
    monkeypatch.setattr("training.generation.KEPT", kept)
    rng = np.random.default_rng(0)
    prompts = [
        [*range(50, 50 + shared), *rng.integers(3, 250, size=size).tolist()]
        for size in (1, 4, 9, 9, 3, 17, 2, 6)
    ]
    assert shared_beginning(prompts) == shared
    # Tokens that greedy answers of this model do run into, so that rows end at many lengths.
    ends = [2, *range(100, 130)]
    ours = generate(
        policy.model, prompts, numbers=draws([(0,)] * 8, 40), temperature=0, pad=0, ends=ends
    )
    for prompt, row in zip(prompts, ours, strict=True):
        with torch.no_grad():
            theirs = policy.model.generate(
                torch.tensor([prompt]),
                max_new_tokens=40,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=0,
            )
        assert row == theirs[0, len(prompt) :].tolist()
    assert len({len(row) for row in ours}) > 3


@given(
    st.lists(st.one_of(st.floats(-30, 30), st.just(-math.inf)), min_size=1, max_size=700).filter(
        lambda row: max(row) > -math.inf
    ),
    st.one_of(st.floats(0, 1, exclude_max=True), st.just(1 - 2**-53)),
)
@settings(deadline=None)
def test_a_number_falls_on_the_token_that_spans_it(logits: list[float], number: float) -> None:
    row = torch.tensor([logits])
    chances = row.double().softmax(-1)[0]
    place = int(_invert(row, torch.tensor([[number]], dtype=torch.float64)))
    above = float(chances[: place + 1].sum())
    assert chances[place] > 0
    # fp32 exponentials: a few units in the seventh place.
    assert above - float(chances[place]) - 1e-6 <= number <= above + 1e-6


def test_top_p_leaves_out_the_unlikely(policy: Policy) -> None:
    ids = chat_ids(policy.tokenizer, PROMPTS[0])
    with torch.no_grad():
        chances = policy.model(torch.tensor([ids])).logits[0, -1].softmax(-1).numpy()
    order = np.argsort(-chances)
    cumulated = chances[order].cumsum()
    kept = set(order[: int((cumulated < 0.6).sum()) + 1].tolist())
    options = {"numbers": draws([(5, row) for row in range(500)], 1), "pad": 0}
    rows = generate(policy.model, [ids] * 500, top_p=0.6, ends=policy.ends, **options)
    assert {row[0] for row in rows} == kept
    # However small, the likeliest token always stays.
    rows = generate(policy.model, [ids] * 500, top_p=1e-6, ends=policy.ends, **options)
    assert {row[0] for row in rows} == {order[0]}


def test_defaults_hidden_in_the_model_change_nothing(policy: Policy) -> None:
    plain = policy.answer(PROMPTS, CONFIG)
    own = policy.model.generation_config
    own.repetition_penalty, own.suppress_tokens = 5.0, list(range(3, 200))
    try:
        assert policy.answer(PROMPTS, CONFIG) == plain
        assert policy.model.generation_config is own
    finally:
        own.repetition_penalty, own.suppress_tokens = None, None


def test_an_answer_ends_with_its_end_token_or_is_cut(policy: Policy) -> None:
    long = CONFIG.model_copy(update={"max_new_tokens": 60, "seed": 3})
    answers = policy.answer(PROMPTS * 20, long)
    assert {answer.finished for answer in answers} == {True, False}
    assert all(answer.tokens == 60 for answer in answers if not answer.finished)
    assert min(answer.tokens for answer in answers) < 60
    assert all("<|im_end|>" not in answer.text for answer in answers)


def test_the_makers_end_tokens_end_answers_too(policy: Policy) -> None:
    policy.model.generation_config.eos_token_id = [2, 7]
    assert end_tokens(policy.model, policy.tokenizer) == [2, 7]
    policy.model.generation_config.eos_token_id = None
    assert end_tokens(policy.model, policy.tokenizer) == [2]


def test_progress_hears_of_every_batch(policy: Policy) -> None:
    heard = Heard()
    policy.answer(PROMPTS, CONFIG.model_copy(update={"batch_size": 2}), progress=heard)
    assert sorted(heard.metrics) == [2, 4]
    assert heard.total == 4


# --- what can be opened ---------------------------------------------------------------------------


def test_base_names_whole_folders_and_adapters_open_alike(lively: str, tmp_path: Path) -> None:
    merged = save_adapter(lively, tmp_path / "adapter")
    merged.save_pretrained(tmp_path / "whole")
    load_tokenizer(lively).save_pretrained(tmp_path / "whole")
    adapter, whole = (
        Policy.load(tmp_path / name, device="cpu", dtype=FP32).answer(PROMPTS, CONFIG)
        for name in ("adapter", "whole")
    )
    assert adapter == whole
    assert adapter != Policy.load(lively, device="cpu", dtype=FP32).answer(PROMPTS, CONFIG)
    assert open_policy(str(tmp_path / "adapter")).base == lively
    assert not open_policy("tiny").is_policy


def test_a_reward_model_is_no_policy(lively: str, tmp_path: Path) -> None:
    (tmp_path / "tandem.json").write_text(json.dumps({"purpose": "reward"}))
    with pytest.raises(InvalidOption, match="policy: this is a reward model"):
        Policy.load(tmp_path)


def test_what_cannot_be_opened_is_refused_in_a_sentence(lively: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nowhere/at-all"):
        Policy.load("nowhere/at-all")
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(InvalidData, match=r"adapter_config\.json cannot be read"):
        Policy.load(tmp_path)


def test_an_adapter_for_another_model_is_refused(lively: str, tmp_path: Path) -> None:
    save_adapter(lively, tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(written | {"r": 2}))
    with pytest.raises(InvalidData, match="does not fit its base model"):
        Policy.load(tmp_path)


# --- what is too long -----------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit_is_refused_and_not_cut(policy: Policy) -> None:
    long = (Message(role="user", content="x" * 2100),)
    with pytest.raises(InvalidData, match=r"Prompt 2 has 21.. tokens .* reads 2048 in all"):
        policy.answer([PROMPTS[0], long], CONFIG)


def test_answers_longer_than_the_context_are_refused(policy: Policy) -> None:
    with pytest.raises(InvalidOption, match=r"max_new_tokens: the model reads 2048 tokens"):
        policy.answer(PROMPTS, CONFIG.model_copy(update={"max_new_tokens": 2048}))


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_new_tokens", 0), ("temperature", -1), ("top_p", 0), ("batch_size", 0), ("seed", -1)],
)
def test_options_have_bounds(option: str, value: float) -> None:
    with pytest.raises(InvalidOption, match=option):
        SamplingConfig.read({option: value})
