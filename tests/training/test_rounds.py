"""Iterative DPO and rejection sampling, whole, on the tiny model: what they learn and leave."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from killed import interrupt
from lively import PROMPTS, Heard, Letters, save_lively
from safetensors.torch import load_file

from storage.errors import InvalidData, InvalidOption, NotFound, TooLittleData, TrainingFailed
from storage.recipes import RecipeConfig
from storage.records import Message
from training import tiny
from training.backbone import chat_ids
from training.best_of_n import divergence_bound
from training.policies import POLICIES, in_rounds
from training.policies.dpo_config import IterativeDPOConfig, RejectionSamplingConfig
from training.policies.finetuning import Example
from training.policies.iterative_dpo import ITERATIVE_DPO, pairs_of
from training.policies.mixer import Scorer
from training.policies.preference_tuning import Pair
from training.policies.rejection_sampling import REJECTION_SAMPLING, winners_of
from training.policies.rounds import Judged
from training.sampling import open_policy

FP32 = torch.float32
METHODS: dict[str, tuple[Any, type[RecipeConfig]]] = {
    "iterative-dpo": (ITERATIVE_DPO, IterativeDPOConfig),
    "rejection-sampling": (REJECTION_SAMPLING, RejectionSamplingConfig),
}
OPTIONS: dict[str, Any] = {
    "rewards": {"letters": 1.0},
    "rounds": 2,
    "prompts_per_round": 4,
    "answers_per_prompt": 4,
    "max_new_tokens": 8,
    "rank": 4,
    "learning_rate": 5e-3,
    "batch_tokens": 128,
    "checkpoint_every": 2,
    "missing_end_penalty": 0.0,
}
each_method = pytest.mark.parametrize("recipe", METHODS)


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def do(
    recipe: str,
    start: str,
    folder: Path,
    *,
    scorers: dict[str, Scorer] | None = None,
    prompts: Sequence[Sequence[Message]] = PROMPTS,
    heard: Heard | None = None,
    dtype: torch.dtype = FP32,
    **options: Any,
) -> tuple[dict[str, float], Heard]:
    heard = heard or Heard()
    method, config = METHODS[recipe]
    metrics = in_rounds.train(
        method,
        config.read({**OPTIONS, "start": start, **options}),
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
    return {name: value for name, value in metrics.items() if not name.startswith("seconds")}


# --- what a round learns from ---------------------------------------------------------------------

JUDGED = Judged(
    prompts=[[1], [2, 3], [4]],
    answers=[[[10], [11], [12]], [[20], [21], [22]], [[30], [31], [32]]],
    scores=[[0.5, -1.0, 2.0], [3.0, 3.0, 1.0], [0.0, 0.0, 0.0]],
    metrics={},
)


def test_the_best_and_the_worst_answer_become_a_pair() -> None:
    assert pairs_of(JUDGED) == [
        Pair(prompt_ids=[1], chosen_ids=[12], rejected_ids=[11]),
        Pair(prompt_ids=[2, 3], chosen_ids=[20], rejected_ids=[22]),
    ]


def test_the_best_answer_is_the_one_to_learn() -> None:
    assert winners_of(JUDGED) == [
        Example([1, 12], answer_at=1),
        Example([2, 3, 20], answer_at=2),
        Example([4, 30], answer_at=1),
    ]


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("iterative-dpo", {"learning_rate": 5e-3, "beta": 0.1}),
        ("rejection-sampling", {"learning_rate": 2e-2}),
    ],
)
def test_a_token_count_rises(
    lively: str, tmp_path: Path, recipe: str, options: dict[str, Any]
) -> None:
    prompts = [(Message(role="user", content=f"say {n}"),) for n in range(32)]
    metrics, heard = do(
        recipe,
        lively,
        tmp_path,
        prompts=prompts,
        rounds=6,
        prompts_per_round=32,
        epochs=2,
        rank=8,
        batch_tokens=512,
        **options,
    )
    # 26 of the 259 tokens are letters.
    assert metrics["reward_at_start"] < 0.25
    assert metrics["reward"] > metrics["reward_at_start"] + 0.3
    assert metrics["kl"] > 1
    rewards = [heard.metrics[done]["reward"] for done in range(7)]
    assert rewards[6] == max(rewards)


@each_method
def test_what_is_told_after_each_round(lively: str, tmp_path: Path, recipe: str) -> None:
    scorers: dict[str, Scorer] = {"letters": Letters(), "a": Letters("aou", full=2, mean=1)}
    metrics, heard = do(
        recipe, lively, tmp_path, scorers=scorers, rewards={"letters": 0.25, "a": -1.5}
    )
    assert heard.total == 2
    assert sorted(heard.metrics) == [0, 1, 2]
    looked = {
        *("reward", "reward/letters", "reward_raw/letters", "reward/a", "reward_raw/a", "kl"),
        *("best_of_n_gain", "response_length", "finished_fraction"),
        *("seconds_writing", "seconds_scoring"),
    }
    learned = {"loss", "seconds_learning"}
    if recipe == "iterative-dpo":
        learned |= {"pairs", "tied"}
    assert set(heard.metrics[0]) == looked
    assert set(heard.metrics[2]) == looked | learned
    assert set(metrics) == looked | learned | {"reward_at_start", "seconds"}
    assert all(math.isfinite(value) for told in heard.metrics.values() for value in told.values())
    first, last = heard.metrics[0], heard.metrics[2]
    assert first["kl"] == 0
    assert last["kl"] != 0
    assert first["reward"] == pytest.approx(
        0.25 * first["reward/letters"] - 1.5 * first["reward/a"]
    )
    assert first["reward/a"] == pytest.approx((first["reward_raw/a"] - 1) / 2)
    assert metrics["reward"] == last["reward"]
    assert metrics["reward_at_start"] == first["reward"]
    spent = [told[name] for told in heard.metrics.values() for name in told if "seconds" in name]
    assert metrics["seconds"] == pytest.approx(sum(spent))


def test_every_round_is_held_to_the_start(lively: str, tmp_path: Path) -> None:
    _, heard = do("iterative-dpo", lively, tmp_path, learning_rate=2e-2, epochs=3)
    first, second = (
        next(told for told in heard.messages if told.startswith(f"round {done}: step 1 of"))
        for done in (1, 2)
    )
    # ln 2 where the policy is its reference, which before the second round it is no more.
    assert first.endswith("loss 0.693")
    assert not second.endswith("loss 0.693")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Judged]:
    """What a method called `none`, which learns nothing, was given to learn from."""
    seen: list[Judged] = []

    def remember(_config: object, _student: object, judged: Judged, *_: object) -> dict[str, float]:
        seen.append(judged)
        return {}

    none = in_rounds.Method(recipe="none", learn=remember, title="None", story=lambda _: "Nothing.")
    monkeypatch.setitem(METHODS, "none", (none, RejectionSamplingConfig))
    return seen


def test_an_answer_that_was_cut_loses_the_penalty(
    lively: str, tmp_path: Path, looked_at: list[Judged]
) -> None:
    nothing: dict[str, Scorer] = {"letters": Letters("")}
    options: dict[str, Any] = {"missing_end_penalty": 1.5, "rounds": 1, "max_new_tokens": 64}
    do("none", lively, tmp_path, scorers=nothing, answers_per_prompt=16, **options)
    for answers, scores in zip(looked_at[0].answers, looked_at[0].scores, strict=True):
        assert scores == [0.0 if answer[-1] == 2 else -1.5 for answer in answers]
    finished = np.mean([a[-1] == 2 for answers in looked_at[0].answers for a in answers])
    assert looked_at[0].metrics["finished_fraction"] == pytest.approx(finished)
    assert 0 < finished < 1


def test_answers_and_scores_stand_with_their_prompt(
    lively: str, tmp_path: Path, looked_at: list[Judged]
) -> None:
    class Asked(Letters):
        """Tells by its rewards which prompt and which answer it was asked about."""

        def score(self, conversations: Any) -> np.ndarray:
            return np.array([1000 * len(p[0]["content"]) + len(text) for p, text in conversations])

        def standardise(self, rewards: np.ndarray) -> np.ndarray:
            return rewards

    do("none", lively, tmp_path, scorers={"letters": Asked()}, rounds=2, prompts_per_round=3)
    tokenizer = tiny.tokenizer()
    of_prompt = {tuple(chat_ids(tokenizer, prompt)): prompt for prompt in PROMPTS}
    asked = []
    for judged in looked_at:
        for ids, answers, scores in zip(judged.prompts, judged.answers, judged.scores, strict=True):
            prompt = of_prompt[tuple(ids)]
            asked.append(prompt)
            told = [len(tokenizer.decode(answer, skip_special_tokens=True)) for answer in answers]
            assert scores == [1000 * len(prompt[0]["content"]) + length for length in told]
            assert len({tuple(answer) for answer in answers}) == 4
    # Three prompts a round, and every prompt before one comes again.
    assert [len(judged.prompts) for judged in looked_at] == [3, 3]
    assert sorted(asked[:4], key=str) == sorted(PROMPTS, key=str)


@pytest.fixture
def accelerator() -> Iterator[None]:
    """accelerate keeps one precision for a whole process, as a job has only one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@each_method
@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.usefixtures("accelerator")
def test_in_bf16_it_starts_where_its_start_is(
    lively: str, tmp_path: Path, recipe: str, rank: int
) -> None:
    options: dict[str, Any] = {"rank": rank, "learning_rate": 1e-3, "dtype": torch.bfloat16}
    _, heard = do(recipe, lively, tmp_path, **options)
    assert heard.metrics[0]["kl"] == 0
    assert heard.metrics[2]["kl"] != 0


@each_method
def test_a_round_of_one_step_learns(lively: str, tmp_path: Path, recipe: str) -> None:
    metrics, heard = do(recipe, lively, tmp_path, rounds=1, batch_tokens=1 << 16)
    assert any("round 1: step 1 of 1" in told for told in heard.messages)
    assert metrics["kl"] != 0


@each_method
def test_whole_weights_learn_too(lively: str, tmp_path: Path, recipe: str) -> None:
    metrics, heard = do(recipe, lively, tmp_path, rank=0, learning_rate=1e-3)
    assert heard.metrics[0]["kl"] == 0
    assert metrics["kl"] != 0
    assert (tmp_path / "policy/model.safetensors").is_file()


# --- what a run leaves ----------------------------------------------------------------------------


@each_method
def test_the_folder_tells_what_it_is_and_shows_samples(
    lively: str, tmp_path: Path, recipe: str
) -> None:
    metrics, _ = do(recipe, lively, tmp_path)
    told = json.loads((tmp_path / "policy/tandem.json").read_text())
    assert (told["purpose"], told["recipe"], told["base"]) == ("policy", recipe, lively)
    assert told["config"] == METHODS[recipe][1].read({**OPTIONS, "start": lively}).model_dump()
    assert told["metrics"] == metrics
    assert [row["n"] for row in told["best_of_n"]] == [2, 4]
    for row in told["best_of_n"]:
        assert row["kl_at_most"] == divergence_bound(int(row["n"]))
    assert told["best_of_n"][1]["gain"] >= told["best_of_n"][0]["gain"] > 0
    card = (tmp_path / "policy/README.md").read_text()
    assert f"# {METHODS[recipe][0].title}\n" in card
    assert "- `letters`, weight 1\n" in card
    assert f"| 4 | {told['best_of_n'][1]['gain']:+.3g} | 0.636 |" in card
    lines = (tmp_path / "policy/samples.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    assert [sample["step"] for sample in samples] == [0] * 4 + [1] * 4 + [2] * 4
    assert [tuple(sample["prompt"]) for sample in samples[:4]] == list(PROMPTS)


@each_method
def test_a_policy_that_starts_from_a_policy_stands_on_its_own(
    lively: str, tmp_path: Path, recipe: str
) -> None:
    do(recipe, lively, tmp_path / "first")
    start = str(tmp_path / "first/policy")
    _, heard = do(recipe, start, tmp_path / "second", rounds=1, learning_rate=1e-9)
    # Its reference is that start, not the base below.
    assert heard.metrics[0]["kl"] == 0
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        first = open_policy(start, device="cpu", dtype=FP32).model(ids).logits
        shutil.rmtree(tmp_path / "first")
        second = open_policy(str(tmp_path / "second/policy"), device="cpu", dtype=FP32)
        torch.testing.assert_close(second.model(ids).logits, first, rtol=1e-3, atol=1e-3)


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


class FatalWords(Heard):
    """Stops the run, as a crash would, when it is told something."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def report(self, step: int, *rest: Any, message: str | None = None, **named: Any) -> None:
        if self.words in (message or ""):
            raise KeyboardInterrupt
        super().report(step, *rest, message=message, **named)


@each_method
@pytest.mark.parametrize(
    ("phase", "lines"),
    [
        ("judging", ["round 1"]),
        ("learning the first round", ["step 2"]),
        ("learning the second round", ["round 1", "step 2"]),
        ("saving", ["round 1", "last step"]),
        ("writing the folder", ["round 2"]),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    recipe: str,
    phase: str,
    lines: list[str],
    workplace: tuple[str, Path, pytest.MonkeyPatch],
) -> None:
    lively, folder, monkeypatch = workplace
    # Three or four steps in each round.
    options: dict[str, Any] = {"batch_tokens": 64, "learning_rate": 2e-3}
    whole, undisturbed = do(recipe, lively, folder / "whole", **options)

    words = {"learning the first": "round 1: step 3", "learning the second": "round 2: step 3"}
    stopped = FatalWords(words.get(phase.removesuffix(" round"), "nothing says this"))
    scorers: dict[str, Scorer] = {"letters": Fatal(1 if phase == "judging" else 99)}
    with monkeypatch.context() as patch:
        if phase == "saving":
            save = in_rounds.kept.save
            patch.setattr(
                "training.policies.rounds.kept.save",
                lambda *place: interrupt() if place[1] == 2 else save(*place),
            )
        if phase == "writing the folder":
            patch.setattr("training.policies.in_rounds.write_policy", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do(recipe, lively, folder / "killed", heard=stopped, scorers=scorers, **options)
    assert not (folder / "killed/policy").exists()
    # The generators' states are not what carries the run on.
    torch.manual_seed(99)
    resumed, heard = do(recipe, lively, folder / "killed", **options)

    steps = sum(told.startswith("round 2: step") for told in undisturbed.messages) - 1
    expected = [line.replace("last step", f"step {steps}") for line in lines]
    assert heard.lines == [f"resumed from {place}" for place in expected]
    for done, metrics in heard.metrics.items():
        assert without_clock(metrics) == pytest.approx(
            without_clock(undisturbed.metrics[done]), abs=1e-6
        )
    assert max(heard.metrics) == 2
    assert without_clock(resumed) == pytest.approx(without_clock(whole), abs=1e-6)
    ours, theirs = (
        load_file(folder / run / "policy/adapter_model.safetensors") for run in ("killed", "whole")
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    samples = [folder / run / "policy/samples.jsonl" for run in ("killed", "whole")]
    assert samples[0].read_bytes() == samples[1].read_bytes()
    told = [
        json.loads((folder / run / "policy/tandem.json").read_text())["best_of_n"]
        for run in ("killed", "whole")
    ]
    assert told[0] == told[1]


@pytest.fixture
def workplace(
    lively: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path, pytest.MonkeyPatch]:
    return lively, tmp_path, monkeypatch


@each_method
def test_checkpoints_of_another_run_are_refused(lively: str, tmp_path: Path, recipe: str) -> None:
    do(recipe, lively, tmp_path, rounds=1)
    with pytest.raises(InvalidOption, match="checkpoints: they are from a run with other options"):
        do(recipe, lively, tmp_path, rounds=1, seed=1)


# --- refusals -------------------------------------------------------------------------------------


@each_method
@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({}, "rewards: field required"),
        ({"rewards": {"a": 0, "b": 0}}, "rewards: at least one weight must differ from 0"),
        ({"rewards": {"a": float("nan")}}, "rewards: every weight must be a finite number"),
        ({"rewards": {"a": 1}, "answers_per_prompt": 1}, "answers_per_prompt: input should be gr"),
    ],
)
def test_options_out_of_bounds_are_named(
    recipe: str, typed: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        METHODS[recipe][1].read(typed)


def test_answers_that_all_earn_the_same_teach_nothing(lively: str, tmp_path: Path) -> None:
    nothing: dict[str, Scorer] = {"letters": Letters("")}
    with pytest.raises(TooLittleData, match=r"earned the same.*raise answers_per_prompt \(now 4\)"):
        do("iterative-dpo", lively, tmp_path, scorers=nothing)


@each_method
def test_a_reward_that_is_no_number_stops_the_run(lively: str, tmp_path: Path, recipe: str) -> None:
    class Broken(Letters):
        def standardise(self, rewards: np.ndarray) -> np.ndarray:
            return rewards * np.nan

    with pytest.raises(TrainingFailed, match="The reward model 'letters' gave nan for the answer"):
        do(recipe, lively, tmp_path, scorers={"letters": Broken()})


@each_method
def test_prompts_that_cannot_be_used_are_refused(lively: str, tmp_path: Path, recipe: str) -> None:
    with pytest.raises(TooLittleData, match="There are no prompts to answer"):
        do(recipe, lively, tmp_path, prompts=[])
    long = (Message(role="user", content="x" * 2040),)
    with pytest.raises(InvalidData, match=r"Prompt 1 has .* the model reads 2048 in all"):
        do(recipe, lively, tmp_path, prompts=[long])


@each_method
def test_a_folder_that_holds_something_is_left_alone(
    lively: str, tmp_path: Path, recipe: str
) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/thesis.txt").write_text("dear")
    with pytest.raises(InvalidOption, match="output: it already holds something"):
        do(recipe, lively, tmp_path)
    assert (tmp_path / "policy/thesis.txt").read_text() == "dear"


@each_method
def test_a_reward_model_must_be_named_be_there_and_be_one(
    lively: str, tmp_path: Path, recipe: str
) -> None:
    def of(rewards: dict[str, Path]) -> None:
        POLICIES[recipe].run(
            METHODS[recipe][1].read({**OPTIONS, "start": lively}),
            prompts=PROMPTS,
            rewards=rewards,
            output=tmp_path / "policy",
            checkpoints=tmp_path / "checkpoints",
            progress=Heard(),
            device="cpu",
        )

    with pytest.raises(NotFound, match="no reward model called 'letters'"):
        of({})
    with pytest.raises(InvalidData, match="is not a reward model"):
        of({"letters": tmp_path / "nowhere"})
