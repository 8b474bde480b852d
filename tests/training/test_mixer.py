"""Rewards of all kinds in one number: how they are combined, measured, kept, and when not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lively import PROMPTS, Heard, save_lively
from planted import QUICK
from reward_server import Reply, Service, reward_service, rewards
from safetensors.torch import load_file
from test_rewards import train as train_reward
from transformers import LlamaForCausalLM

from storage.errors import InvalidData, InvalidOption, TrainingFailed
from training import backbone, tiny
from training.policies import POLICIES, sources
from training.policies.config import PPOConfig
from training.policies.measured import ANSWERS, Measured, scale_of
from training.policies.mixer import Conversation, RewardMixer, Scorer
from training.policies.service import RewardService
from training.policies.sources import Cautious, open_sources
from training.rewards import REWARDS
from training.rewards.scoring import RewardScorer

FP32 = torch.float32
SAID = [(PROMPTS[0], "eee x"), (PROMPTS[1], "e"), (PROMPTS[2], "xx")]


class Given:
    """Gives answers the rewards that a test wants, on a scale of its own."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def score(self, conversations: Sequence[Conversation]) -> np.ndarray:
        return np.array(self.values[: len(conversations)])

    def standardise(self, rewards: np.ndarray) -> np.ndarray:
        return rewards


# --- combining ------------------------------------------------------------------------------------


def test_the_worst_of_the_weighed_rewards_counts() -> None:
    scorers: dict[str, Scorer] = {
        "a": Given(1, -2, 3),
        "b": Given(4, 1, 1),
        "off": Given(-9, -9, -9),
    }
    weights = {"a": 1.0, "b": 0.5, "off": 0.0}
    mixed = RewardMixer(scorers, weights, combine="worst").score(SAID)
    # min(1, 2), min(-2, 1/2), min(3, 1/2); what weighs nothing is not asked for its opinion.
    assert mixed.total.tolist() == [1, -2, 0.5]
    turned = RewardMixer(scorers, {"a": 1.0, "b": -1.0}, combine="worst").score(SAID)
    assert turned.total.tolist() == [-4, -2, -1]


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=3))
def test_with_equal_weights_the_worst_is_no_better_than_any_and_the_sum_is_between(
    drawn: list[tuple[float, float]],
) -> None:
    scorers: dict[str, Scorer] = {
        "a": Given(*[a for a, _ in drawn]),
        "b": Given(*[b for _, b in drawn]),
    }
    said = SAID[: len(drawn)]
    weights = {"a": 0.5, "b": 0.5}
    worst = RewardMixer(scorers, weights, combine="worst").score(said).total
    total = RewardMixer(scorers, weights).score(said).total
    assert worst == pytest.approx(np.min(drawn, 1) / 2)
    assert (2 * worst <= total + 1e-12).all()
    alone = RewardMixer(scorers, {"a": 0.5}, combine="worst").score(said).total
    assert alone.tolist() == RewardMixer(scorers, {"a": 0.5}).score(said).total.tolist()


def test_a_schedule_moves_the_weights_over_the_run() -> None:
    scorers: dict[str, Scorer] = {"a": Given(1, 1, 1), "b": Given(10, 10, 10)}
    weights = {"a": 1.0, "b": -2.0}
    mixer = RewardMixer(scorers, weights, schedule={"b": "0:0,0.5:1"})
    totals = [mixer.score(SAID, share=share).total[0] for share in (0, 0.25, 0.5, 1)]
    assert totals == [1, 1 - 10, 1 - 20, 1 - 20]
    assert mixer.score(SAID, share=0.25).weights == {"a": 1.0, "b": -1.0}


def test_where_nothing_counts_the_reward_is_zero() -> None:
    mixer = RewardMixer(
        {"a": Given(1, 2, 3)}, {"a": 1.0}, schedule={"a": "0:0,1:1"}, combine="worst"
    )
    assert mixer.score(SAID).total.tolist() == [0, 0, 0]


# --- measuring ------------------------------------------------------------------------------------


def test_a_source_is_measured_once_and_by_its_own_spread() -> None:
    source = Measured(Given(2, 4, 9))
    mixer = RewardMixer({"length": source}, {"length": 2.0})
    assert mixer.unmeasured() == ["length"]
    mixer.measure(SAID)
    # Mean 5, squares 9 + 1 + 16 = 26.
    assert mixer.scales() == {"length": {"mean": 5, "std": pytest.approx((26 / 3) ** 0.5)}}
    mixed = mixer.score(SAID)
    assert mixed.total.mean() == pytest.approx(0)
    assert mixed.total.std() == pytest.approx(2)
    assert mixer.unmeasured() == []
    source.source = Given(0, 0, 0)
    mixer.measure(SAID)  # nothing is left to measure
    again = RewardMixer({"length": Measured(Given(2, 4, 9))}, {"length": 2.0})
    again.restore(mixer.scales())
    assert again.score(SAID).total.tolist() == mixed.total.tolist()


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=20).filter(
        lambda drawn: np.std(drawn) > 0.1
    ),
    st.floats(0.1, 100),
    st.floats(-100, 100),
)
def test_the_unit_and_the_zero_of_a_source_do_not_matter(
    drawn: list[float], unit: float, zero: float
) -> None:
    def standard(rewards: np.ndarray) -> np.ndarray:
        return Measured(Given(), scale_of("a", rewards)).standardise(rewards)

    rewards = np.array(drawn)
    assert standard(unit * rewards + zero) == pytest.approx(standard(rewards), abs=1e-5)


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (7.0, 7.0, 7.0), (1e6, 1e6 + 1e-3, 1e6)])
def test_a_source_without_spread_is_refused(values: tuple[float, ...]) -> None:
    mixer = RewardMixer({"json": Measured(Given(*values))}, {"json": 1.0})
    with pytest.raises(
        InvalidOption,
        match=rf"rewards: all 3 .* get {re.escape(f'{values[0]:g}')} from .*got 'json'",
    ):
        mixer.measure(SAID)


# --- members --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensemble(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    train_reward("combined", snapshot, folder, epochs=1, members=3)
    return folder / "model"


def test_members_say_how_far_they_differ(ensemble: Path) -> None:
    scorer = RewardScorer.load(ensemble, device="cpu", dtype=FP32)
    said = [(prompt, answer) for prompt in PROMPTS for answer in ("yes", "a longer answer", "")]
    rewards, spread = scorer.score_with_spread(said, batch_tokens=128)
    assert rewards == pytest.approx(scorer.score(said), abs=1e-6)
    # By another way: one model for each head.
    apart = []
    for head in load_file(ensemble / "members.safetensors")["heads"]:
        alone = RewardScorer.load(ensemble, device="cpu", dtype=FP32)
        alone.model.head.weight.data = head[None]
        apart.append(alone.score(said))
    assert spread == pytest.approx(np.std(apart, 0, ddof=1), abs=1e-5)
    assert spread.min() > 0


def test_caution_takes_the_spread_off_on_the_same_scale(ensemble: Path) -> None:
    opened = open_sources(
        {"many": 1.0}, {"many": ensemble}, uncertainty=2.0, environment={}, device="cpu"
    )
    cautious = opened.scorers["many"]
    assert isinstance(cautious, Cautious)
    rewards, spread = cautious.model.score_with_spread(SAID)
    scale = cautious.model.calibration
    assert cautious.standardise(cautious.score(SAID)) == pytest.approx(
        (rewards - 2 * spread - scale.mean) / scale.std, abs=1e-5
    )


def test_caution_needs_members(ensemble: Path, snapshot: Path, tmp_path: Path) -> None:
    train_reward("combined", snapshot, tmp_path, epochs=1)
    alone = tmp_path / "model"
    with pytest.raises(InvalidOption, match="uncertainty: no reward model here has members"):
        open_sources(["one"], {"one": alone}, uncertainty=1.0, environment={}, device="cpu")
    with pytest.raises(InvalidData, match="has one head and cannot say how sure it is"):
        RewardScorer.load(alone, device="cpu").score_with_spread(SAID)
    both = open_sources(
        ["one", "many"],
        {"one": alone, "many": ensemble},
        uncertainty=1.0,
        environment={},
        device="cpu",
    )
    assert [type(scorer) for scorer in both.scorers.values()] == [RewardScorer, Cautious]


def test_a_folder_that_lost_its_members_is_refused(ensemble: Path, tmp_path: Path) -> None:
    shutil.copytree(ensemble, tmp_path / "model")
    (tmp_path / "model/members.safetensors").unlink()
    with pytest.raises(InvalidData, match=r"members.safetensors is missing or broken"):
        RewardScorer.load(tmp_path / "model", device="cpu")


# --- whole runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sources, "RewardService", partial(RewardService, pauses=()))
    with reward_service(letters) as running:
        yield running


def letters(asked: Mapping[str, Any]) -> Reply:
    return rewards([sum(map(str.isalpha, one["response"])) for one in asked["conversations"]])


def run(
    start: str,
    folder: Path,
    rewards: Mapping[str, float],
    models: Mapping[str, Path] | None = None,
    heard: Heard | None = None,
    **options: Any,
) -> tuple[dict[str, Any], Heard]:
    heard = heard or Heard()
    chosen = {
        "start": start, "rewards": dict(rewards), "steps": 3, "episodes": 8, "max_new_tokens": 8,
        "rank": 4, "epochs": 1, "learning_rate": 2e-3, **options,
    }  # fmt: skip
    POLICIES["ppo"].run(
        PPOConfig.read(chosen),
        prompts=PROMPTS,
        rewards=models or {},
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=FP32,
    )
    told: dict[str, Any] = json.loads((folder / "policy/tandem.json").read_text())
    return told, heard


def test_models_functions_and_services_reward_one_run(
    lively: str, tmp_path: Path, words: Service, ensemble: Path
) -> None:
    name = f"{words.address}#letters"
    weights = {"many": 0.5, "length:2": 0.25, r"matches:[A-Za-z]{2}": -0.5, name: 1.0}
    told, heard = run(
        lively, tmp_path, weights, {"many": ensemble}, weight_schedule={"length:2": "0:1,1:0"}
    )
    first, *_, last = heard.metrics.values()
    for step, share in ((first, 0), (heard.metrics[2], 0.5), (last, 1)):
        assert step["weight/length:2"] == pytest.approx(0.25 * (1 - share))
        now = {**weights, "length:2": step["weight/length:2"]}
        assert step["reward"] == pytest.approx(sum(w * step[f"reward/{n}"] for n, w in now.items()))
    assert heard.lines[0].startswith(
        "Measuring what answers of the start earn from length:2, matches"
    )
    assert len(words.asked[0]["conversations"]) + len(words.asked[1]["conversations"]) == ANSWERS
    assert {one["model"] for one in words.asked} == {"letters"}

    scales = told["reward_scales"]
    assert set(scales) == set(weights) - {"many"}
    measured = [one for asked in words.asked[:2] for one in asked["conversations"]]
    counts = [sum(map(str.isalpha, one["response"])) for one in measured]
    assert scales[name] == pytest.approx({"mean": np.mean(counts), "std": np.std(counts)})
    assert first[f"reward/{name}"] == pytest.approx(
        (first[f"reward_raw/{name}"] - np.mean(counts)) / np.std(counts)
    )
    card = (tmp_path / "policy/README.md").read_text()
    assert "- `length:2`, weight 0.25 times 0:1,1:0 over the run; the answers of the start" in card


def test_the_scale_is_that_of_the_first_start_whatever_the_service_says_later(
    lively: str, tmp_path: Path, words: Service
) -> None:
    whole, undisturbed = run(lively, tmp_path / "whole", {words.address: 1.0})
    with pytest.raises(KeyboardInterrupt):
        run(lively, tmp_path / "killed", {words.address: 1.0}, heard=Heard(stop_at=1))
    words.asked.clear()
    resumed, heard = run(lively, tmp_path / "killed", {words.address: 1.0})
    assert heard.lines == ["resumed from step 0"]
    assert [len(asked["conversations"]) for asked in words.asked] == [8] * 3
    assert resumed["reward_scales"] == whole["reward_scales"]
    assert heard.metrics[3]["reward"] == pytest.approx(undisturbed.metrics[3]["reward"])


def test_a_service_that_goes_away_stops_the_run_at_a_checkpoint_from_which_it_goes_on(
    lively: str, tmp_path: Path, words: Service
) -> None:
    _, undisturbed = run(lively, tmp_path / "whole", {words.address: 1.0}, steps=5)
    words.asked.clear()
    # Two requests to measure, then two steps.
    words.say = lambda asked: letters(asked) if len(words.asked) <= 4 else (503, b"gone fishing")
    failed = Heard()
    with pytest.raises(
        TrainingFailed, match=f"{words.address} answered 503, saying 'gone fishing'"
    ):
        run(lively, tmp_path / "cut", {words.address: 1.0}, heard=failed, steps=5)
    assert sorted(failed.metrics) == [1, 2]
    words.say = letters
    _, heard = run(lively, tmp_path / "cut", {words.address: 1.0}, steps=5)
    assert heard.lines == ["resumed from step 2"]
    assert sorted(heard.metrics) == [3, 4, 5]
    for step, metrics in heard.metrics.items():
        assert metrics["reward"] == pytest.approx(undisturbed.metrics[step]["reward"], abs=1e-6)
        assert metrics["kl"] == pytest.approx(undisturbed.metrics[step]["kl"], abs=1e-6)


def test_a_function_that_the_start_never_differs_in_is_refused(lively: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"all 128 answers of the start policy get 0 .*'json'"):
        run(lively, tmp_path, {"json": 1.0})
    assert not (tmp_path / "policy").exists()


def test_a_reward_model_reads_text_with_a_tokenizer_of_its_own(
    lively: str, tmp_path: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_foreign(tmp_path / "foreign")
    REWARDS["preference"].run(
        REWARDS["preference"].config.read({**QUICK, "epochs": 1, "base": base}),
        snapshot=snapshot,
        output=tmp_path / "model",
        checkpoints=tmp_path / "made",
        progress=Heard(),
    )
    ours, theirs = (backbone.load_tokenizer(name) for name in (lively, str(tmp_path / "model")))
    assert ours("the hat").input_ids != theirs("the hat").input_ids
    assert max(ours("the hat").input_ids) < max(theirs("the hat").input_ids)

    scored: list[tuple[list[Conversation], float]] = []
    score = RewardMixer.score

    def note(self: RewardMixer, conversations: Sequence[Conversation], **options: Any) -> Any:
        mixed = score(self, conversations, **options)
        scored.append((list(conversations), float(mixed.raw["foreign"].mean())))
        return mixed

    monkeypatch.setattr(RewardMixer, "score", note)
    run(lively, tmp_path, {"foreign": 1.0}, {"foreign": tmp_path / "model"}, steps=1)
    conversations, mean = scored[0]
    scorer = RewardScorer.load(tmp_path / "model", device="cpu")
    expected = [float(scorer.score([(list(prompt), text)])[0]) for prompt, text in conversations]
    assert mean == pytest.approx(np.mean(expected), abs=1e-4)
    assert np.std(expected) > 0


def save_foreign(folder: Path) -> str:
    """The tiny model with a larger vocabulary in another order: no id means what it means there."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = [tiny.PAD, tiny.BOS, tiny.EOS]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=True)
    merges = [("t", "h"), ("th", "e"), ("h", "a")]
    tokens = [*specials, *alphabet, *("".join(pair) for pair in merges)]
    bpe = Tokenizer(models.BPE(vocab={one: n for n, one in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=tiny.PAD, bos_token=tiny.BOS, eos_token=tiny.EOS,
        model_max_length=tiny.CONTEXT, chat_template=tiny.CHAT_TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    config = tiny.config()
    config.vocab_size = len(tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)
