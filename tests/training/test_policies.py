"""The policy in training: its options, its rewards, its readings, and the folder it becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lively import PROMPTS, Letters, save_lively
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from storage.errors import InvalidData, InvalidOption, NotFound, TrainingFailed
from storage.recipes import find
from training.attention import NAME
from training.backbone import load_causal
from training.policies import POLICIES
from training.policies.actor import Actor
from training.policies.config import PPOConfig
from training.policies.episodes import Batch
from training.policies.folder import write_policy
from training.policies.learner import _fitting
from training.policies.mixer import RewardMixer
from training.policies.rollouts import Writer, prompts_of_step
from training.sampling import encode_prompts, open_policy

FP32, BF16 = torch.float32, torch.bfloat16
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def an_actor(lively: str, *, dtype: torch.dtype = FP32, **options: object) -> Actor:
    """An actor whose adapter and value head are no longer zero."""
    chosen = {"rank": 4, "seed": 3} | options
    actor = Actor(load_causal(lively, dtype=dtype, device="cpu"), **chosen)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, weight in actor.learned().items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        torch.nn.init.normal_(actor.value_head.weight)
    return actor


PROMPT_IDS = [[5, 6, 7], [5], [5, 6, 11, 12, 13]]
RESPONSE_IDS = [[20, 21], [22, 23, 24, 2], [25]]


def some_batch(episodes: Sequence[int] = (0, 1, 2), *, dtype: torch.dtype | None = None) -> Batch:
    """As rows, or, with the precision to multiply in, in one row."""
    if dtype is None:
        return Batch.of(episodes, PROMPT_IDS, RESPONSE_IDS, pad=0, device=CPU)
    return Batch.in_one_row(episodes, PROMPT_IDS, RESPONSE_IDS, dtype=dtype, device=CPU)


# --- options --------------------------------------------------------------------------------------


def test_every_policy_recipe_describes_and_bounds_its_options() -> None:
    for name, recipe in POLICIES.items():
        assert recipe.name == name
        assert recipe.summary
        assert not recipe.summary.endswith(".")
        assert all(field.description for field in recipe.config.model_fields.values())
        assert ("rewards" in recipe.config.model_fields) == (recipe.learns_from == "prompts")
    assert find(POLICIES, "policy recipe", "ppo").config is PPOConfig


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({}, "rewards: field required"),
        ({"rewards": {}}, "rewards: dictionary should have at least 1"),
        ({"rewards": {"a": 0, "b": 0}}, "rewards: at least one weight must differ from 0"),
        ({"rewards": {"a": float("inf")}}, "rewards: every weight must be a finite number"),
        ({"minibatches": 17}, "minibatches: at most one per episode, of which there are 16"),
        ({"clip": 1}, "clip: input should be less than 1"),
        ({"learning_rat": 1}, "learning_rat: there is no such option; known: batch_tokens"),
    ],
)
def test_options_out_of_bounds_are_named(typed: dict[str, object], complaint: str) -> None:
    complete = typed if not typed or "rewards" in typed else {"rewards": {"a": 1.0}, **typed}
    with pytest.raises(InvalidOption, match=complaint):
        PPOConfig.read(complete)


# --- rewards --------------------------------------------------------------------------------------


def test_rewards_are_weighed_on_their_standardised_scale() -> None:
    mixer = RewardMixer(
        {"e": Letters("e", full=2, mean=1), "x": Letters("x", full=0.5), "unused": Letters()},
        {"e": 0.25, "x": -2.0},
    )
    mixed = mixer.score([(PROMPTS[0], "eee x"), (PROMPTS[1], "")])
    # (3 - 1) / 2 = 1 and (0 - 1) / 2 = -1/2; 1 / .5 = 2 and 0.
    assert mixed.total.tolist() == pytest.approx([0.25 * 1 - 2 * 2, 0.25 * -0.5])
    assert {name: raw.tolist() for name, raw in mixed.raw.items()} == {"e": [3, 0], "x": [1, 0]}
    assert mixed.standardised["x"].tolist() == [2, 0]


def test_a_weight_without_its_reward_model_is_refused() -> None:
    with pytest.raises(
        NotFound, match=r"no reward model called 'helpfull'. Did you mean 'helpful'"
    ):
        RewardMixer({"helpful": Letters()}, {"helpfull": 1.0})


def test_a_reward_that_is_not_a_number_stops_the_run() -> None:
    class Broken(Letters):
        def score(self, conversations: object) -> np.ndarray:
            return np.array([1.0, np.nan])

    with pytest.raises(
        TrainingFailed, match=r"'broken' gave nan for the answer 'second'; train it"
    ):
        RewardMixer({"broken": Broken()}, {"broken": 1.0}).score(
            [(PROMPTS[0], "first"), (PROMPTS[0], "second")]
        )


# --- which prompts, which batches -----------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 10), st.integers(0, 99))
def test_every_pass_answers_every_prompt_once(prompts: int, episodes: int, seed: int) -> None:
    drawn = [
        place
        for step in range(2 * prompts)
        for place in prompts_of_step(step, episodes=episodes, prompts=prompts, seed=seed)
    ]
    for start in range(0, len(drawn) - prompts + 1, prompts):
        assert sorted(drawn[start : start + prompts]) == list(range(prompts))


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 120))
def test_batches_keep_to_their_budget_and_lose_nothing(lengths: list[int], budget: int) -> None:
    groups = _fitting(range(len(lengths)), lengths, budget)
    assert [episode for group in groups for episode in group] == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[e] for e in group) <= budget


# --- what the model says --------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("dtype", [None, FP32])
@pytest.mark.parametrize("episodes", [(0, 1, 2), (2, 0), (1,)])
def test_a_reading_equals_the_whole_model_one_conversation_at_a_time(
    lively: str, temperature: float, dtype: torch.dtype | None, episodes: tuple[int, ...]
) -> None:
    actor, batch = an_actor(lively, temperature=temperature), some_batch(episodes, dtype=dtype)
    reading = actor.read(batch, with_entropy=True)
    reference = actor.reference(batch)
    assert reading.entropy is not None
    assert batch.episodes.tolist() == list(episodes)
    for row, episode in enumerate(episodes):
        prompt, response = PROMPT_IDS[episode], RESPONSE_IDS[episode]
        places = torch.arange(len(prompt) - 1, len(prompt) + len(response) - 1)
        with torch.no_grad():
            output = actor.causal(torch.tensor([prompt + response]), output_hidden_states=True)
            with actor.model.disable_adapter():
                plain = actor.causal(torch.tensor([prompt + response])).logits[0, places]
        chances = (output.logits[0, places] / temperature).log_softmax(-1)
        chosen = torch.tensor(response)[:, None]
        size = len(response)
        for ours, theirs in (
            (reading.log_probabilities, chances.gather(1, chosen)[:, 0]),
            (reading.entropy, -(chances.exp() * chances).sum(-1)),
            (reading.values, actor.value_head(output.hidden_states[-1][0, places])[:, 0]),
            (reference, (plain / temperature).log_softmax(-1).gather(1, chosen)[:, 0]),
        ):
            torch.testing.assert_close(ours[row, :size], theirs, rtol=1e-5, atol=1e-5)
            assert (ours[row, size:] == 0).all()


def test_in_one_row_what_prompts_begin_with_is_read_once() -> None:
    # The last token of a prompt is never shared, as its answer is read off it, and the last token
    # of an answer is read by nobody.
    assert some_batch((0, 2), dtype=FP32).ids.tolist() == [[5, 6, 7, 20, 11, 12, 13]]
    assert some_batch((0, 1), dtype=FP32).ids.tolist() == [[5, 6, 7, 20, 5, 22, 23, 24]]
    assert some_batch((0, 2), dtype=FP32).positions.tolist() == [[0, 1, 2, 3, 2, 3, 4]]  # type: ignore[union-attr]


def test_a_model_that_cannot_keep_episodes_apart_gets_rows(
    lively: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def laid_out() -> Batch:
        return an_actor(lively).lay_out((0, 1, 2), PROMPT_IDS, RESPONSE_IDS, pad=0)

    assert laid_out().squares is not None
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, NAME, sdpa_attention_forward)
    assert laid_out().squares is None
    monkeypatch.setattr("training.policies.actor.look_in_squares", lambda _: False)
    assert laid_out().squares is None


def test_a_new_policy_is_its_reference_and_expects_nothing(lively: str) -> None:
    actor = Actor(load_causal(lively, dtype=FP32, device="cpu"), rank=4)
    reading = actor.read(some_batch())
    assert torch.equal(reading.log_probabilities, actor.reference(some_batch()))
    assert (reading.values == 0).all()


def test_a_value_of_its_own_teaches_its_adapter_and_the_policy_keeps_its_own(lively: str) -> None:
    actor, batch = an_actor(lively, value_trunk="own_adapter"), some_batch()
    with actor.merged():
        actor.reference(batch)
    reading = actor.read(batch)
    reading.values.sum().backward(retain_graph=True)
    assert all(weight.grad is None for weight in actor.learned().values())
    # The up-projections, which begin at 0, are what learns first.
    ups = [w.grad for name, w in actor.value_adapter().items() if "lora_B" in name]
    assert ups
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in ups)
    actor.model.zero_grad()
    reading.log_probabilities.sum().backward()
    assert all(weight.grad is not None for weight in actor.learned().values())
    assert not any(
        weight.grad is not None and weight.grad.any() for weight in actor.value_adapter().values()
    )


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("in_one_row", [False, True])
def test_sparing_the_frozen_layers_changes_no_bit(
    lively: str, dtype: torch.dtype, in_one_row: bool
) -> None:
    actor = an_actor(lively, dtype=dtype, layers=1)
    batch = some_batch(dtype=dtype if in_one_row else None)
    below = actor.frozen_below(batch)
    assert below is not None
    whole, spared = actor.read(batch), actor.read(batch, below=below)
    assert torch.equal(whole.log_probabilities, spared.log_probabilities)
    assert torch.equal(actor.reference(batch), actor.reference(batch, below=below))
    assert all(".layers.1." in name for name in actor.learned())
    assert an_actor(lively).frozen_below(batch) is None


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_writing_with_the_adapter_merged_leaves_the_base_as_it_was(
    lively: str, dtype: torch.dtype
) -> None:
    actor, ids = an_actor(lively, dtype=dtype), torch.tensor([[5, 6, 7]])
    before = {name: weight.clone() for name, weight in actor.causal.state_dict().items()}
    with torch.no_grad():
        unmerged = actor.causal(ids).logits
        for _ in range(20):
            with actor.merged() as model:
                merged = model(ids).logits
    torch.testing.assert_close(
        merged, unmerged, **({} if dtype == FP32 else {"atol": 0.5, "rtol": 0.1})
    )
    after = actor.causal.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_more_layers_than_there_are_is_refused(lively: str) -> None:
    with pytest.raises(InvalidOption, match="layers: the model has only 2"):
        an_actor(lively, layers=3)


def test_a_model_with_logits_of_its_own_kind_is_refused(lively: str) -> None:
    model = load_causal(lively, dtype=FP32, device="cpu")
    plain = model.forward

    def capped(*positional: object, **named: object) -> object:
        output = plain(*positional, **named)
        output.logits = 3 * torch.tanh(output.logits / 3)
        return output

    model.forward = capped
    with pytest.raises(InvalidData, match="computes its logits in a way that PPO"):
        Actor(model, rank=4)


# --- rollouts -------------------------------------------------------------------------------------


def test_rollouts_do_not_depend_on_how_they_were_batched(lively: str) -> None:
    opened = open_policy(lively, device="cpu", dtype=FP32)
    encoded = encode_prompts(opened.model, opened.tokenizer, PROMPTS, 9)
    one, all_at_once = (
        Writer(
            opened.tokenizer,
            PROMPTS,
            encoded,
            max_new_tokens=9,
            temperature=1.0,
            batch_tokens=budget,
            seed=4,
        ).write(opened.model, [2, 0, 1, 2], step=5)
        for budget in (64, 10_000)
    )
    assert one == all_at_once
    assert one.prompts == [encoded[place] for place in (2, 0, 1, 2)]
    assert one.responses[0] != one.responses[3]
    assert [text for _, text in one.conversations] == [answer.text for answer in one.answers]


# --- the folder -----------------------------------------------------------------------------------


def description(base: str, **more: object) -> dict[str, object]:
    return {
        "recipe": "ppo",
        "purpose": "policy",
        "config": {},
        "base": base,
        "start": base,
        "rewards": {"helpful": 0.5},
        "metrics": {"reward": 1.25},
        "simulated": False,
        **more,
    }


@pytest.mark.parametrize("merge", [False, True])
def test_the_folder_opens_with_ordinary_tools(lively: str, tmp_path: Path, merge: bool) -> None:
    actor = an_actor(lively)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected = actor.causal(ids).logits
    opened = open_policy(lively, device="cpu")
    write_policy(
        tmp_path / "policy",
        actor.finished(whole=merge),
        opened.tokenizer,
        description=description(lively, simulated=merge),
        story="# A policy\n\nTrained in a test.\n",
        samples='{"step": 0}\n',
    )
    folder = str(tmp_path / "policy")
    if merge:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=FP32)
    else:
        base = AutoModelForCausalLM.from_pretrained(lively, dtype=FP32)
        model = PeftModel.from_pretrained(base, folder)
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
        ours = open_policy(folder, device="cpu", dtype=FP32)
        torch.testing.assert_close(ours.model(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert ours.is_policy
    assert json.loads((tmp_path / "policy/tandem.json").read_text())["rewards"] == {"helpful": 0.5}
    card = (tmp_path / "policy/README.md").read_text()
    assert "\n# A policy\n\nTrained in a test.\n" in card
    assert "| reward | 1.25 |" in card
    assert ("**simulated**" in card) == merge
    assert ("PeftModel" in card) != merge
    assert not list((tmp_path / "policy").glob("*.bin"))
