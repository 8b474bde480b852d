"""Attention in squares, beside PyTorch's over the whole of each row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification

from training import attention, backbone
from training.attention import (
    NAME,
    _Attention,
    attention_in_squares,
    look_in_squares,
    squares_of,
)
from training.batching import Batch, Row, collate
from training.rewards.model import RewardModel


def row(prompt: int, *answers: int) -> Row:
    rng = np.random.default_rng(prompt + sum(answers))
    ids = [rng.integers(3, 90, size=size).astype(np.int32) for size in (prompt, *answers)]
    return Row(ids[0], tuple(ids[1:]))


def wanted(query: Tensor, key: Tensor, value: Tensor, batch: Batch) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    repeated = [one.repeat_interleave(groups, 1) for one in (key, value)]
    mask = batch.mask.to(query.dtype)
    return F.scaled_dot_product_attention(query, *repeated, attn_mask=mask).transpose(1, 2)


def real_places(rows: list[Row]) -> Tensor:
    width = max(one.tokens for one in rows)
    return torch.arange(width)[None] < torch.tensor([one.tokens for one in rows])[:, None]


ROWS = st.lists(
    st.builds(
        lambda prompt, answers: row(prompt, *answers),
        st.integers(1, 7),
        st.lists(st.integers(1, 6), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=3,
)


@given(ROWS, st.sampled_from([(4, 4), (4, 2), (3, 1)]))
@settings(max_examples=60, deadline=None)
def test_it_equals_attention_over_whole_rows(rows: list[Row], heads: tuple[int, int]) -> None:
    batch = collate(rows, pad=0, dtype=torch.float64)
    squares = squares_of(rows, dtype=torch.float64, device=torch.device("cpu"))
    torch.manual_seed(0)
    inputs = [
        torch.randn(len(rows), count, batch.ids.shape[1], 5, dtype=torch.float64)
        for count in (heads[0], heads[1], heads[1])
    ]
    real = real_places(rows)
    found = []
    for squared in (True, False):
        given_to = [one.clone().requires_grad_() for one in inputs]
        if squared:
            result, _ = attention_in_squares(
                torch.nn.Module(), *given_to, batch.mask, squares=squares
            )
        else:
            result = wanted(*given_to, batch)
        (result[real] ** 2).sum().backward()
        found.append([result[real].detach(), *(one.grad for one in given_to)])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    key, value = (torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True) for _ in "kv")
    mask = torch.zeros(4, 6, dtype=torch.float64)
    mask[:, 5] = torch.finfo(torch.float64).min
    assert torch.autograd.gradcheck(_Attention.apply, (query, key, value, mask, 0.4))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_model_gives_the_same_rewards_and_gradients(
    checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(9, 4, 7, 5), row(3, 8)]
    tokenizer = backbone.load_tokenizer("tiny")
    found = []
    for squared in (True, False):
        if not squared:
            monkeypatch.setattr("training.rewards.model.look_in_squares", lambda _: False)
        bare: Any = backbone.load_scalar("tiny", dtype=torch.float32, device="cpu")
        torch.nn.init.ones_(bare.score.weight)
        if checkpointing:
            bare.activation_checkpointing_enable({"use_reentrant": False})
        model = RewardModel(bare.train(), tokenizer)
        assert (model.bare.config._attn_implementation == NAME) is squared
        rewards = model(rows)
        (rewards**2).sum().backward()
        weights = bare.named_parameters()
        found.append((rewards, {name: one.grad for name, one in weights if one.grad is not None}))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    for name, gradient in found[1][1].items():
        assert torch.allclose(found[0][1][name], gradient, atol=1e-4), name


def test_it_is_used_in_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    apply = attention._Attention.apply
    monkeypatch.setattr(
        attention._Attention, "apply", lambda *given: used.append(given[0].shape) or apply(*given)
    )
    model = RewardModel(backbone.load_scalar("tiny", device="cpu"), backbone.load_tokenizer("tiny"))
    model([row(9, 4, 7)])
    layers = model.bare.config.num_hidden_layers
    assert len(used) == 2 * layers  # prompts, and answers
    assert {shape[3] for shape in used} == {9, 7}


@pytest.mark.parametrize("asked", [{"sliding_window": 4}, {"dropout": 0.1}, {"squares": None}])
def test_what_it_does_not_know_goes_the_way_of_pytorch(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(3, 2)]
    squares = squares_of(rows, dtype=torch.float32, device=torch.device("cpu"))
    query = torch.randn(1, 2, 5, 4)
    seen: list[Any] = []
    monkeypatch.setattr(
        attention, "sdpa_attention_forward", lambda *_, **more: seen.append(more) or (query, None)
    )
    attention_in_squares(
        torch.nn.Module(), query, query, query, None, **({"squares": squares} | asked)
    )
    assert len(seen) == 1


def test_only_what_uses_the_attention_of_pytorch_is_changed(tmp_path: Path) -> None:
    model: Any = backbone.load_scalar("tiny", device="cpu")
    model.set_attn_implementation("eager")
    assert not look_in_squares(model)
    assert model.config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")
    assert look_in_squares(model)
    assert look_in_squares(model)  # also where it was made so before
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "llama"


@pytest.mark.parametrize(
    ("architecture", "squared"),
    [("qwen3", True), ("gemma", True), ("phi3", True), ("gpt2", True), ("opt", True),
     ("mistral", True), ("stablelm", True), ("gemma2", False)],
)  # fmt: skip
def test_other_architectures_give_the_same_rewards(
    architecture: str, squared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"vocab_size": 300, "num_labels": 1, "pad_token_id": 0}
    if architecture == "gpt2":
        asked |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    else:
        asked |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
        asked |= {"max_position_embeddings": 64, "num_key_value_heads": 2, "head_dim": 8}
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **asked)
    bare: Any = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
    torch.nn.init.normal_(bare.score.weight)
    tokenizer, rows = backbone.load_tokenizer("tiny"), [row(9, 4, 7, 5), row(3, 8)]
    with monkeypatch.context() as patched:
        patched.setattr("training.rewards.model.look_in_squares", lambda _: False)
        expected = RewardModel(bare, tokenizer)(rows)
    model = RewardModel(bare, tokenizer)
    assert (bare.config._attn_implementation == NAME) is squared
    assert torch.allclose(model(rows), expected, atol=1e-5)
    assert float(expected.detach().std()) > 0.1


@given(st.integers(1, 3), st.integers(1, 9), st.sampled_from([(4, 4), (4, 2), (3, 1)]), st.data())
@settings(max_examples=30, deadline=None)
def test_the_next_token_looks_back_where_it_may(
    count: int, width: int, heads: tuple[int, int], data: st.DataObject
) -> None:
    bits = st.lists(st.booleans(), min_size=width - 1, max_size=width - 1)
    mask = torch.tensor([[*data.draw(bits), True] for _ in range(count)])[:, None, None]
    torch.manual_seed(0)
    query = torch.randn(count, heads[0], 1, 5, dtype=torch.float64)
    key, value = torch.randn(2, count, heads[1], width, 5, dtype=torch.float64)
    groups = heads[0] // heads[1]
    repeated = [one.repeat_interleave(groups, 1) for one in (key, value)]
    for looks in (mask, None):
        plain = F.scaled_dot_product_attention(query, *repeated, attn_mask=looks).transpose(1, 2)
        ours, _ = attention_in_squares(torch.nn.Module(), query, key, value, looks)
        torch.testing.assert_close(ours, plain)
