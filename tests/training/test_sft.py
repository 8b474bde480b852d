"""SFT runs, whole, on the tiny model: what they learn, what they keep, and what they refuse."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from accelerate.state import AcceleratorState
from killed import interrupt, interrupt_at
from lively import save_lively
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from storage.errors import InvalidOption, JobCancelled, TooLittleData, TrainingFailed
from storage.records import Message, Split, split_of
from training import tiny
from training.backbone import answer_ids, chat_ids, load_causal
from training.policies.config import SFTConfig
from training.policies.demonstrations import Demonstration, write_demonstrations
from training.policies.finetuning import _Trainer
from training.policies.sft import run
from training.sampling import open_policy

OPTIONS: dict[str, Any] = {
    "base": "tiny",
    "rank": 4,
    "learning_rate": 1e-2,
    "batch_tokens": 512,
    "checkpoint_every": 4,
}
WORDS = ("apple", "bread", "cloud", "dream", "eagle", "flame", "grass", "house")


class Heard:
    """Progress that remembers what it was told, and may stop the run at a step."""

    def __init__(self, *, stop_at: int | None = None, by: type[BaseException] = KeyboardInterrupt):
        self.metrics: dict[int, dict[str, float]] = {}
        self.lines: list[str] = []
        self.total: int | None = None
        self.stop_at, self.by = stop_at, by

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        if step == self.stop_at:
            raise self.by("stopped by a test")
        self.metrics.setdefault(step, {}).update(metrics or {})
        self.total = total

    def log(self, line: str) -> None:
        self.lines.append(line)


def shown(number: int, split: Split, *, answer: str = "") -> list[Demonstration]:
    """So many demonstrations whose prompts fall into a part of the data."""
    found: list[Demonstration] = []
    place = 0
    while len(found) < number:
        place += 1
        prompt = (Message(role="user", content=f"What about {WORDS[place % 8]} {place}?"),)
        if split_of(prompt) is split:
            text = answer or f"{WORDS[place % 8]} please{'!' * (place % 3)}"
            found.append(Demonstration(prompt=prompt, answer=text))
    return found


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 answers to learn and 10 to validate on."""
    path = tmp_path_factory.mktemp("shown") / "shown.jsonl"
    write_demonstrations(path, [*shown(24, Split.TRAIN), *shown(10, Split.VALIDATION)])
    return path


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def do(
    data: Path,
    folder: Path,
    *,
    heard: Heard | None = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[dict[str, float], Heard]:
    heard = heard or Heard()
    metrics = run(
        SFTConfig.read({**OPTIONS, **options}),
        data=data,
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=dtype,
    )
    return metrics, heard


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "policy/model.safetensors")


# --- what is learned ------------------------------------------------------------------------------


def nats_by_hand(model: Any, demonstrations: list[Demonstration]) -> tuple[float, int]:
    """Summed -log P of the answers' tokens, one conversation at a time, and their number."""
    tokenizer = tiny.tokenizer()
    nats, tokens = 0.0, 0
    for one in demonstrations:
        prompt, answer = chat_ids(tokenizer, one.prompt), answer_ids(tokenizer, one.answer)
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0]
        # The logits at place t are about token t + 1.
        told = logits[len(prompt) - 1 : -1].log_softmax(-1)
        nats -= float(told[torch.arange(len(answer)), torch.tensor(answer)].sum())
        tokens += len(answer)
    return nats, tokens


def test_the_loss_is_the_cross_entropy_of_the_answers_alone(lively: str, tmp_path: Path) -> None:
    # Two lengths, so that one is padded; ten times the same two, so that one batch is like another.
    pair = [shown(1, Split.TRAIN)[0], shown(2, Split.TRAIN, answer="yes")[1]]
    judged = shown(10, Split.VALIDATION)
    write_demonstrations(tmp_path / "shown.jsonl", [*pair * 5, *judged])
    # So slow that validation still sees the start.
    options = {"batch_tokens": 1 << 16, "epochs": 1, "rank": 0, "learning_rate": 1e-12}
    _, heard = do(tmp_path / "shown.jsonl", tmp_path, base=lively, **options)
    model = load_causal(lively, dtype=torch.float32, device="cpu")
    nats, tokens = nats_by_hand(model, pair)
    assert heard.metrics[1]["loss"] == pytest.approx(nats / tokens, abs=1e-5)
    nats, tokens = nats_by_hand(model, judged)
    assert heard.metrics[1]["validation/loss"] == pytest.approx(nats / tokens, abs=1e-5)


def test_the_validation_loss_does_not_depend_on_the_batches(lines: Path, tmp_path: Path) -> None:
    found = []
    for budget in (64, 300, 1 << 16):
        metrics, _ = do(lines, tmp_path / str(budget), batch_tokens=budget, learning_rate=1e-12)
        found.append(metrics["validation/loss"])
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)


def test_the_model_is_fed_the_ids_that_it_meets_everywhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tiny.tokenizer()
    # Several turns, a system turn, and an answer that tries to end itself early.
    talk = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hello?"),
        Message(role="assistant", content="Yes?"),
        Message(role="user", content="Are you there"),
    )
    odd = Demonstration(prompt=talk, answer="No.<|im_end|> Ça va 🙂")
    assert split_of(talk) is not Split.VALIDATION
    write_demonstrations(tmp_path / "shown.jsonl", [odd, *shown(9, Split.TRAIN)])
    fed: list[dict[str, torch.Tensor]] = []
    compute = _Trainer.compute_loss

    def listening(self: Any, model: Any, inputs: dict[str, torch.Tensor], **more: Any) -> Any:
        fed.append(dict(inputs))
        return compute(self, model, inputs, **more)

    monkeypatch.setattr(_Trainer, "compute_loss", listening)
    do(tmp_path / "shown.jsonl", tmp_path, epochs=1)
    rows = [
        (ids[seen.bool()].tolist(), labels[seen.bool()].tolist(), labels[~seen.bool()].tolist())
        for batch in fed
        for ids, labels, seen in zip(
            batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
        )
    ]
    prompt, answer = chat_ids(tokenizer, talk), answer_ids(tokenizer, odd.answer)
    assert (prompt + answer, [-100] * len(prompt) + answer) in [row[:2] for row in rows]
    assert answer.count(tokenizer.eos_token_id) == 1
    for _, labels, padding in rows:
        assert labels[-1] == tokenizer.eos_token_id != tokenizer.pad_token_id
        assert set(padding) <= {-100}


@pytest.mark.parametrize("rank", [0, 8])
def test_it_learns_to_say_what_it_was_shown(lively: str, tmp_path: Path, rank: int) -> None:
    same = [*shown(20, Split.TRAIN, answer="please"), *shown(10, Split.VALIDATION, answer="please")]
    write_demonstrations(tmp_path / "shown.jsonl", same)
    metrics, heard = do(
        tmp_path / "shown.jsonl", tmp_path, base=lively, rank=rank, epochs=10, batch_tokens=256
    )
    assert heard.metrics[1]["loss"] > 5
    assert metrics["validation/loss"] < 0.1
    assert metrics["validation/token_accuracy"] == 1
    assert math.isfinite(metrics["train_loss"])
    policy = open_policy(str(tmp_path / "policy"), device="cpu", dtype=torch.float32)
    asked = torch.tensor([chat_ids(policy.tokenizer, same[0].prompt)])
    said = policy.model.generate(asked, max_new_tokens=20, do_sample=False)[0, asked.shape[1] :]
    assert said.tolist() == answer_ids(policy.tokenizer, "please")


def test_the_weights_that_were_best_on_the_validation_part_are_kept(
    lively: str, tmp_path: Path
) -> None:
    # What is learned is wrong for the validation part, so the last look is not the best one.
    judged = shown(10, Split.VALIDATION, answer="thank you")
    both = [*shown(20, Split.TRAIN, answer="please"), *judged]
    write_demonstrations(tmp_path / "shown.jsonl", both)
    options = {"base": lively, "epochs": 6, "batch_tokens": 256, "checkpoint_every": 1}
    options |= {"learning_rate": 2e-2}
    metrics, heard = do(tmp_path / "shown.jsonl", tmp_path, **options)
    seen = {
        step: told["validation/loss"]
        for step, told in heard.metrics.items()
        if "validation/loss" in told
    }
    assert list(seen) == list(range(1, int(metrics["steps"]) + 1))
    best = min(seen, key=seen.__getitem__)
    assert best < max(seen)
    assert (metrics["best_step"], metrics["validation/loss"]) == (best, seen[best])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "policy", dtype=torch.float32)
    nats, tokens = nats_by_hand(model, judged)
    assert nats / tokens == pytest.approx(seen[best], abs=1e-5)


def test_each_pass_ends_with_a_look_at_the_validation_part(lines: Path, tmp_path: Path) -> None:
    metrics, heard = do(lines, tmp_path, epochs=3, checkpoint_every=10**6)
    looks = [step for step, told in heard.metrics.items() if "validation/loss" in told]
    assert looks == [metrics["steps"] * passes // 3 for passes in (1, 2, 3)]
    assert set(heard.metrics[looks[0]]) == {
        *("loss", "token_accuracy", "entropy", "learning_rate", "gradient_norm"),
        *("validation/loss", "validation/token_accuracy", "validation/entropy"),
    }


def test_only_the_layers_asked_for_change(lines: Path, tmp_path: Path) -> None:
    before = load_causal("tiny", device="cpu").state_dict()
    for rank in (0, 4):
        do(lines, tmp_path / str(rank), rank=rank, layers=1, epochs=1)
        changed = {
            name
            for name, weight in weights(tmp_path / str(rank)).items()
            if not torch.equal(weight, before[name])
        }
        assert changed
        assert all(".layers.1." in name for name in changed)


def test_a_run_of_one_step_learns(lines: Path, tmp_path: Path) -> None:
    metrics, heard = do(lines, tmp_path, epochs=1, batch_tokens=1 << 16)
    assert metrics["steps"] == 1
    assert heard.metrics[1]["learning_rate"] == OPTIONS["learning_rate"]


# --- what a run leaves ----------------------------------------------------------------------------


def test_the_folder_is_a_whole_model_that_any_tool_opens(tmp_path: Path) -> None:
    snapshot = planted.snapshot(tmp_path / "snapshot", 30)
    metrics, _ = do(snapshot, tmp_path)
    folder = tmp_path / "policy"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert not list(folder.glob("*adapter*"))
    assert not list(folder.glob("*.bin"))
    assert json.loads((folder / "config.json").read_text()).get("use_cache", True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == tiny.CHAT_TEMPLATE
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    told = json.loads((folder / "tandem.json").read_text())
    assert (told["recipe"], told["purpose"], told["base"]) == ("sft", "policy", "tiny")
    assert told["config"] == SFTConfig.read(OPTIONS).model_dump()
    assert told["snapshot"] == json.loads((snapshot / "snapshot.json").read_text())["id"]
    assert told["metrics"] == metrics
    assert told["simulated"]
    card = (folder / "README.md").read_text()
    assert "# A policy trained by supervised fine-tuning" in card
    assert "PPO" not in card
    assert "**simulated**" in card


def test_a_reward_model_and_another_policy_can_start_from_it(lines: Path, tmp_path: Path) -> None:
    do(lines, tmp_path / "first")
    base = str(tmp_path / "first/policy")
    scalar = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    for name, weight in weights(tmp_path / "first").items():
        if name.startswith("model."):
            assert torch.equal(scalar.state_dict()[name], weight)
    do(lines, tmp_path / "second", base=base, learning_rate=1e-12)
    for name, weight in weights(tmp_path / "second").items():
        torch.testing.assert_close(weight, weights(tmp_path / "first")[name])


@pytest.fixture
def accelerator() -> Iterator[None]:
    """accelerate keeps one precision for a whole process, as a job has only one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.usefixtures("accelerator")
def test_in_bf16_what_learns_is_fp32_and_what_is_written_is_bf16(
    lines: Path, tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning: set[torch.dtype] = set()
    compute = _Trainer.compute_loss

    def listening(self: Any, model: Any, *more: Any, **named: Any) -> Any:
        learning.update(weight.dtype for weight in model.parameters() if weight.requires_grad)
        return compute(self, model, *more, **named)

    monkeypatch.setattr(_Trainer, "compute_loss", listening)
    exact, _ = do(lines, tmp_path / "fp32", rank=rank)
    AcceleratorState._reset_state(reset_partial_state=True)
    rough, _ = do(lines, tmp_path / "bf16", rank=rank, dtype=torch.bfloat16)
    assert learning == {torch.float32}
    assert {weight.dtype for weight in weights(tmp_path / "bf16").values()} == {torch.bfloat16}
    assert rough["validation/loss"] == pytest.approx(exact["validation/loss"], rel=0.02)
    assert rough["validation/loss"] != exact["validation/loss"]


def test_nobody_outside_is_told_or_asked(
    lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", refuse)
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    do(lines, tmp_path)


# --- killed and taken up again --------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("phase", ["report", "checkpoint", "writing the folder"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    lines: Path, tmp_path: Path, rank: int, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"rank": rank, "epochs": 3, "batch_tokens": 256}
    whole, undisturbed = do(lines, tmp_path / "whole", **options)
    steps = int(whole["steps"])
    kept = [step for step, told in undisturbed.metrics.items() if "validation/loss" in told]

    heard = Heard(stop_at=10 if phase == "report" else None)
    with monkeypatch.context() as patch:
        if phase == "writing the folder":
            patch.setattr("training.policies.sft.write_policy", interrupt)
        if phase == "checkpoint":
            patch.setattr("transformers.Trainer._save_rng_state", interrupt_at(8))
        with pytest.raises(KeyboardInterrupt):
            do(lines, tmp_path / "killed", heard=heard, **options)
    assert not (tmp_path / "killed/policy").exists()
    torch.manual_seed(99)
    resumed, heard = do(lines, tmp_path / "killed", **options)

    died = {"report": 10, "checkpoint": 8, "writing the folder": steps + 1}[phase]
    newest = max(step for step in kept if step < died)
    assert 0 < newest < 10 or newest == steps
    assert heard.lines[1:] == [f"resumed from step {newest}"]
    assert sorted(heard.metrics) == list(range(newest, steps + 1))
    for step in range(newest + 1, steps + 1):
        assert heard.metrics[step] == pytest.approx(undisturbed.metrics[step], abs=1e-6)
    assert resumed == pytest.approx(whole, abs=1e-6)
    torch.testing.assert_close(
        weights(tmp_path / "killed"), weights(tmp_path / "whole"), rtol=0, atol=1e-6
    )


def test_cancelling_leaves_the_last_checkpoint(lines: Path, tmp_path: Path) -> None:
    with pytest.raises(JobCancelled):
        do(lines, tmp_path, heard=Heard(stop_at=6, by=JobCancelled))
    assert (tmp_path / "checkpoints/checkpoint-4/trainer_state.json").is_file()
    assert not (tmp_path / "policy").exists()


def test_checkpoints_of_another_run_are_refused(lines: Path, tmp_path: Path) -> None:
    do(lines, tmp_path, epochs=1)
    shutil.rmtree(tmp_path / "policy")
    with pytest.raises(InvalidOption, match="checkpoints: they are from a run with other options"):
        do(lines, tmp_path, epochs=1, seed=1)


# --- refusals -------------------------------------------------------------------------------------


def test_too_few_good_answers_are_refused(tmp_path: Path) -> None:
    snapshot = planted.snapshot(tmp_path / "snapshot", 12)
    with pytest.raises(
        TooLittleData,
        match=r"SFT needs at least 10 good answers; \d in the train part of the snapshot won more"
        r" comparisons than they lost or are rated 6 or better, and 0 more",
    ):
        do(snapshot, tmp_path)
    write_demonstrations(tmp_path / "shown.jsonl", shown(9, Split.TRAIN))
    with pytest.raises(TooLittleData, match="good answers; 9 are in the file"):
        do(tmp_path / "shown.jsonl", tmp_path)


def test_long_conversations_are_left_out_and_never_cut(tmp_path: Path) -> None:
    long = shown(12, Split.TRAIN, answer="x" * 200)
    write_demonstrations(tmp_path / "shown.jsonl", [*long[:1], *shown(11, Split.TRAIN)[1:]])
    metrics, heard = do(tmp_path / "shown.jsonl", tmp_path, max_tokens=150)
    assert (metrics["answers"], metrics["left_out"]) == (10, 1)
    assert "left out 1 of conversations with more than 150 tokens" in heard.lines[1]
    write_demonstrations(tmp_path / "shown.jsonl", long)
    with pytest.raises(TooLittleData, match=r"0 are in the file, and 12 more whose conversation"):
        do(tmp_path / "shown.jsonl", tmp_path, max_tokens=150)


def test_with_too_little_to_validate_on_the_last_weights_are_kept(tmp_path: Path) -> None:
    write_demonstrations(
        tmp_path / "shown.jsonl", [*shown(12, Split.TRAIN), *shown(9, Split.VALIDATION)]
    )
    metrics, heard = do(tmp_path / "shown.jsonl", tmp_path)
    assert heard.lines[0] == "too few answers to validate on (9); keeping the last weights"
    assert metrics["best_step"] == metrics["steps"]
    assert "validation/loss" not in metrics


def test_a_loss_that_is_no_number_is_told(
    lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = _Trainer.compute_loss
    monkeypatch.setattr(
        _Trainer, "compute_loss", lambda *args, **named: compute(*args, **named) * torch.nan
    )
    with pytest.raises(TrainingFailed, match=r"loss was nan at step 1; lower learning_rate \(now"):
        do(lines, tmp_path)
    assert not (tmp_path / "policy").exists()


def test_more_tokens_than_the_model_reads_are_refused(lines: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="max_tokens: tiny reads at most 2048 tokens"):
        do(lines, tmp_path, max_tokens=4096)


def test_a_folder_that_holds_something_is_left_alone(lines: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/thesis.txt").write_text("dear")
    with pytest.raises(InvalidOption, match="output: it already holds something"):
        do(lines, tmp_path)
    assert (tmp_path / "policy/thesis.txt").read_text() == "dear"
