"""DPO runs, whole, on the tiny model: their loss by hand and beside TRL, and what they refuse."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from killed import interrupt, interrupt_at
from lively import Heard, save_lively
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig as TRLConfig
from trl import DPOTrainer

from storage.errors import InvalidData, InvalidOption, JobCancelled, TooLittleData, TrainingFailed
from storage.records import Message, Split, split_of
from storage.snapshots import ComparisonRow, SnapshotData, write_snapshot
from training import tiny
from training.backbone import answer_ids, chat_ids, load_causal
from training.batching import in_batches
from training.policies import POLICIES
from training.policies.dpo import decided_pairs, run
from training.policies.dpo_config import DPOConfig
from training.policies.preference_tuning import Pair, _Trainer, prefer
from training.policies.rollouts import Writer
from training.policies.student import Student
from training.sampling import encode_prompts, open_policy

FP32 = torch.float32
OPTIONS: dict[str, Any] = {
    "rank": 4,
    "learning_rate": 1e-2,
    "batch_tokens": 1024,
    "max_new_tokens": 8,
    "checkpoint_every": 4,
}


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_lively(tmp_path_factory.mktemp("lively"))


def asked(prompts: int, split: Split) -> list[ComparisonRow]:
    """Comparisons whose prompts fall into a part of the data; the answer with `please` wins."""
    found: list[ComparisonRow] = []
    seed = 0
    while len(found) < prompts:
        rows, _ = planted.judgements(50, seed=seed)
        found += [row for row in rows if split_of(row.prompt) is split]
        seed += 1
    return found[:prompts]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 comparisons to learn from and 12 to validate on."""
    folder = tmp_path_factory.mktemp("judged") / "snapshot"
    write_snapshot(folder, [*asked(40, Split.TRAIN), *asked(12, Split.VALIDATION)], [])
    return folder


def do(
    start: str,
    data: Path,
    folder: Path,
    *,
    heard: Heard | None = None,
    dtype: torch.dtype = FP32,
    **options: Any,
) -> tuple[dict[str, float], Heard]:
    heard = heard or Heard()
    metrics = run(
        DPOConfig.read({**OPTIONS, "start": start, **options}),
        data=data,
        output=folder / "policy",
        checkpoints=folder / "checkpoints",
        progress=heard,
        device="cpu",
        dtype=dtype,
    )
    return metrics, heard


def without_clock(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "seconds"}


# --- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({}, math.log(2)),
        ({"rank": 0}, math.log(2)),
        ({"beta": 0.5}, math.log(2)),
        ({"loss": "robust", "label_smoothing": 0.2}, math.log(2)),
        # (0 - 1 / (2 * 0.1))^2
        ({"loss": "ipo"}, 25.0),
    ],
)
def test_before_the_first_step_no_answer_is_preferred(
    lively: str, judged: Path, tmp_path: Path, options: dict[str, Any], loss: float
) -> None:
    _, heard = do(lively, judged, tmp_path, epochs=1, **options)
    assert heard.metrics[1]["loss"] == pytest.approx(loss, abs=1e-6)
    assert heard.metrics[1]["implicit_margin"] == 0


def of_single_tokens(chances: dict[int, float]) -> LlamaForCausalLM:
    """A model whose next token has given chances, whatever came before; all others share a rest."""
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    rest = (1 - sum(chances.values())) / (16 - len(chances))
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        # The layer adds nothing, so every hidden state is the embedding of ones, and the norm
        # leaves that as it is. A row of the vocabulary then gives its own sum as the logit.
        model.model.embed_tokens.weight.fill_(1.0)
        model.model.norm.weight.fill_(1.0)
        for token in range(16):
            model.lm_head.weight[token] = math.log(chances.get(token, rest)) / 4
    return model


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        # The policy gives token 5 half the chance and token 6 a quarter, the start the other way
        # round: log(2) for the better answer, -log(2) for the worse, beta 1/2 times their
        # difference is log(2), and -log sigmoid(log 2) = -log(2/3).
        ({"loss": "sigmoid"}, 0.4054651),
        # (2 log 2 - 1 / (2 * 1/2))^2 = 0.3862944^2, as the answers are one token long.
        ({"loss": "ipo"}, 0.1492233),
        # (-0.9 log(2/3) + 0.1 log(1/3)) / 0.8
        ({"loss": "robust", "label_smoothing": 0.1}, 0.3188217),
    ],
)
def test_the_loss_is_that_of_the_paper(
    tmp_path: Path, options: dict[str, Any], loss: float
) -> None:
    heard = Heard()
    prefer(
        of_single_tokens({5: 1 / 2, 6: 1 / 4}),
        tiny.tokenizer(),
        [Pair(prompt_ids=[3, 4], chosen_ids=[5], rejected_ids=[6])],
        [],
        DPOConfig.read({"beta": 0.5, **options}),
        reference=of_single_tokens({5: 1 / 4, 6: 1 / 2}),
        autocast=False,
        checkpoints=tmp_path,
        progress=heard,
    )
    assert heard.metrics[1]["loss"] == pytest.approx(loss, abs=1e-6)
    # beta log(2), and less than that for the other.
    assert heard.metrics[1]["implicit_reward/chosen"] == pytest.approx(0.3465736, abs=1e-6)
    assert heard.metrics[1]["implicit_reward/rejected"] == pytest.approx(-0.3465736, abs=1e-6)
    assert heard.metrics[1]["accuracy"] == 1


def log_probability(model: Any, prompt: list[int], answer: list[int]) -> float:
    """Of an answer as a whole, in nats, one conversation at a time."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0].double()
    # The logits at place t are about token t + 1.
    told = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return float(told[torch.arange(len(answer)), torch.tensor(answer)].sum())


def margins_by_hand(policy: Any, start: Any, rows: list[ComparisonRow]) -> list[float]:
    """log p(w)/p0(w) - log p(l)/p0(l) of each comparison."""
    tokenizer = tiny.tokenizer()
    margins = []
    for row in rows:
        prompt = chat_ids(tokenizer, row.prompt)
        won, lost = (row.right, row.left) if row.choice > 0 else (row.left, row.right)
        ratio = [
            log_probability(policy, prompt, answer_ids(tokenizer, text))
            - log_probability(start, prompt, answer_ids(tokenizer, text))
            for text in (won, lost)
        ]
        margins.append(ratio[0] - ratio[1])
    return margins


@pytest.mark.parametrize("rank", [0, 4])
def test_what_is_told_of_the_validation_part_is_told_by_hand(
    lively: str, judged: Path, tmp_path: Path, rank: int
) -> None:
    metrics, _ = do(lively, judged, tmp_path, rank=rank, beta=0.3, learning_rate=2e-3)
    policy = open_policy(str(tmp_path / "policy"), device="cpu", dtype=FP32).model
    start = load_causal(lively, dtype=FP32, device="cpu")
    rows = SnapshotData.open(judged).comparisons(Split.VALIDATION)
    margins = margins_by_hand(policy, start, rows)
    losses = [math.log1p(math.exp(-0.3 * margin)) for margin in margins]
    assert metrics["validation/loss"] == pytest.approx(sum(losses) / 12, abs=1e-4)
    assert metrics["validation/implicit_margin"] == pytest.approx(0.3 * sum(margins) / 12, abs=1e-4)
    won = sum(margin > 0 for margin in margins)
    assert metrics["validation/accuracy"] == pytest.approx(won / 12)
    assert abs(sum(margins)) > 0


def test_the_validation_part_does_not_depend_on_the_batches(
    lively: str, judged: Path, tmp_path: Path
) -> None:
    found = []
    for budget in (64, 700, 1 << 16):
        heard = Heard()
        student = a_student(lively, restless=True)
        pairs = pairs_in(judged)
        prefer(
            student.model,
            student.opened.tokenizer,
            pairs[:1],
            pairs,
            DPOConfig.read({**OPTIONS, "learning_rate": 1e-9, "batch_tokens": budget}),
            reference=None,
            autocast=False,
            checkpoints=tmp_path / str(budget),
            progress=heard,
        )
        told = heard.metrics[1]
        found.append([told[f"validation/{name}"] for name in ("loss", "accuracy")])
    assert found[0][0] != pytest.approx(math.log(2), abs=1e-3)
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=1e-5)


def pairs_in(judged: Path, split: Split = Split.TRAIN) -> list[Pair]:
    rows = SnapshotData.open(judged).comparisons(split)
    return decided_pairs(tiny.tokenizer(), rows, max_tokens=2048).pairs


def a_student(lively: str, *, rank: int = 4, restless: bool = False) -> Student:
    """A student; a restless one is no longer where it started."""
    student = Student.open(lively, rank=rank, layers=None, device="cpu", dtype=FP32, seed=0)
    if restless:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            for name, weight in student.learned().items():
                if "lora_B" in name or not rank:
                    weight.data.add_(0.05 * torch.randn_like(weight))
    return student


@pytest.mark.parametrize("rank", [0, 4])
def test_trl_alone_learns_the_same(lively: str, tmp_path: Path, rank: int) -> None:
    # Conversations of one length, so that every batch of the plan holds 4 pairs and TRL's own
    # batches of 4, in the plan's order, are the same.
    tokenizer = tiny.tokenizer()
    rows = [
        ([Message(role="user", content=f"{letter}?")], f"yes {letter}", f"no! {letter}")
        for letter in "abcdefghijklmnop"
    ]
    pairs = [
        Pair(
            prompt_ids=chat_ids(tokenizer, prompt),
            chosen_ids=answer_ids(tokenizer, won),
            rejected_ids=answer_ids(tokenizer, lost),
        )
        for prompt, won, lost in rows
    ]
    assert len({pair.tokens for pair in pairs}) == 1
    config = DPOConfig.read(
        {"rank": rank, "learning_rate": 3e-3, "batch_tokens": 4 * pairs[0].tokens, "seed": 7}
    )
    student = Student.open(lively, rank=rank, layers=None, device="cpu", dtype=FP32, seed=7)
    heard = Heard()
    prefer(
        student.model,
        tokenizer,
        pairs,
        [],
        config,
        reference=student.start,
        autocast=False,
        checkpoints=tmp_path / "ours",
        progress=heard,
    )

    plan = in_batches([pair.tokens for pair in pairs], config.batch_tokens, seed=7)
    assert [len(batch) for batch in plan] == [4] * 4
    # As texts, which TRL turns into ids by itself; it adds the end token.
    said = [rows[place] for batch in plan for place in batch]
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(lively, dtype=FP32),
        args=TRLConfig(
            output_dir=str(tmp_path / "theirs"),
            per_device_train_batch_size=4,
            train_sampling_strategy="sequential",
            num_train_epochs=1,
            learning_rate=3e-3,
            lr_scheduler_type="linear",
            warmup_steps=0,
            beta=0.1,
            seed=7,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict(
            {
                "prompt": [
                    tokenizer.apply_chat_template(
                        prompt, add_generation_prompt=True, tokenize=False
                    )
                    for prompt, _, _ in said
                ],
                "chosen": [won for _, won, _ in said],
                "rejected": [lost for _, _, lost in said],
            }
        ),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=4,
            lora_alpha=8,
            target_modules=[
                *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
            ],
        )
        if rank
        else None,
    )
    trainer.train()
    theirs = [logged for logged in trainer.state.log_history if "loss" in logged]
    assert len(theirs) == 4
    assert theirs[-1]["loss"] < 0.69
    for step, logged in enumerate(theirs, start=1):
        ours = heard.metrics[step]
        assert ours["loss"] == pytest.approx(logged["loss"], abs=1e-6)
        assert ours["implicit_margin"] == pytest.approx(logged["rewards/margins"], abs=1e-6)
        assert ours["gradient_norm"] == pytest.approx(logged["grad_norm"], rel=1e-5)
    learned = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert learned.keys() == student.learned().keys()
    for name, weight in student.learned().items():
        torch.testing.assert_close(weight, learned[name], rtol=0, atol=0 if rank == 0 else 1e-6)


def test_an_adapter_that_has_learned_before_is_still_held_to_the_start(
    lively: str, judged: Path, tmp_path: Path
) -> None:
    student, heard = a_student(lively, restless=True), Heard()
    rows = SnapshotData.open(judged).comparisons(Split.TRAIN)[:1]
    start = load_causal(lively, dtype=FP32, device="cpu")
    margin = margins_by_hand(student.model, start, rows)[0]
    prefer(
        student.model,
        student.opened.tokenizer,
        decided_pairs(student.opened.tokenizer, rows, max_tokens=2048).pairs,
        [],
        DPOConfig.read({**OPTIONS, "beta": 0.2}),
        reference=None,
        autocast=False,
        checkpoints=tmp_path,
        progress=heard,
    )
    assert abs(margin) > 0.1
    assert heard.metrics[1]["loss"] == pytest.approx(math.log1p(math.exp(-0.2 * margin)), abs=1e-5)
    assert list(student.model.peft_config) == ["default"]


# --- what is learned ------------------------------------------------------------------------------


def test_comparisons_without_a_winner_are_left_out_and_counted() -> None:
    row = asked(1, Split.TRAIN)[0]
    rows = [
        replace(row, choice=-2),
        replace(row, choice=1),
        replace(row, choice=0),
        replace(row, choice=3, both_bad=True),
        replace(row, choice=0, both_bad=True),
        replace(row, choice=2, left=row.right),
        replace(row, choice=2, left="x" * 500),
    ]
    found = decided_pairs(tiny.tokenizer(), rows, max_tokens=400)
    assert (found.ties, found.both_bad, found.too_long) == (2, 2, 1)
    left, right = (answer_ids(tiny.tokenizer(), text) for text in (row.left, row.right))
    prompt = chat_ids(tiny.tokenizer(), row.prompt)
    assert found.pairs == [
        Pair(prompt_ids=prompt, chosen_ids=left, rejected_ids=right),
        Pair(prompt_ids=prompt, chosen_ids=right, rejected_ids=left),
    ]
    # An answer ends with the end token, whatever its text says.
    assert left[-1] == tiny.tokenizer().eos_token_id


def test_it_learns_whom_people_prefer(lively: str, tmp_path: Path) -> None:
    write_snapshot(
        tmp_path / "snapshot", [*asked(120, Split.TRAIN), *asked(20, Split.VALIDATION)], []
    )
    metrics, heard = do(lively, tmp_path / "snapshot", tmp_path, epochs=4, rank=8)
    assert metrics["pairs"] == 120
    assert metrics["validation_pairs"] == 20
    assert metrics["validation/accuracy"] >= 0.9
    assert metrics["validation/loss"] < 0.5
    assert metrics["kl"] > 0.1
    assert set(heard.metrics[int(metrics["steps"])]) == {
        *("loss", "accuracy", "implicit_margin", "implicit_reward/chosen"),
        *("implicit_reward/rejected", "learning_rate", "gradient_norm", "entropy"),
        *("validation/loss", "validation/accuracy", "validation/implicit_margin"),
        *("validation/implicit_reward/chosen", "validation/implicit_reward/rejected"),
    }
    assert set(metrics) == {
        *("pairs", "ties", "both_bad", "left_out", "validation_pairs", "steps", "best_step"),
        *("train_loss", "kl", "response_length", "finished_fraction", "seconds"),
        *("validation/loss", "validation/accuracy", "validation/implicit_margin"),
        *("validation/implicit_reward/chosen", "validation/implicit_reward/rejected"),
    }


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_divergence_is_that_by_hand(lively: str, rank: int, temperature: float) -> None:
    prompts = [(Message(role="user", content=text),) for text in ("hello", "what now?")]
    student = a_student(lively, rank=rank)
    opened = student.opened
    writer = Writer(
        opened.tokenizer,
        prompts,
        encode_prompts(opened.model, opened.tokenizer, prompts, 9),
        max_new_tokens=9,
        temperature=temperature,
        batch_tokens=4096,
        seed=3,
    )
    assert student.divergence(student.write(writer, [0, 1, 1], step=0)) == 0

    student = a_student(lively, rank=rank, restless=True)
    rollout = student.write(writer, [0, 1, 1], step=0)
    start = load_causal(lively, dtype=FP32, device="cpu")
    by_hand = 0.0
    for prompt, answer in zip(rollout.prompts, rollout.responses, strict=True):
        for sign, model in ((1, student.model), (-1, start)):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + answer])).logits[0].double() / temperature
            told = logits[len(prompt) - 1 : -1].log_softmax(-1)
            by_hand += sign * float(told[torch.arange(len(answer)), torch.tensor(answer)].sum()) / 3
    assert abs(by_hand) > 0.01
    assert student.divergence(rollout, temperature=temperature) == pytest.approx(by_hand, abs=1e-4)


# --- what a run leaves ----------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 4])
def test_the_folder_tells_what_it_is_and_opens_with_ordinary_tools(
    lively: str, judged: Path, tmp_path: Path, rank: int
) -> None:
    metrics, _ = do(lively, judged, tmp_path, rank=rank)
    folder = tmp_path / "policy"
    model = AutoModelForCausalLM.from_pretrained(lively if rank else folder, dtype=FP32)
    if rank:
        assert not (folder / "model.safetensors").exists()
        model = PeftModel.from_pretrained(model, folder)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        ours = open_policy(str(folder), device="cpu", dtype=FP32).model(ids).logits
        torch.testing.assert_close(model(ids).logits, ours, rtol=1e-4, atol=1e-4)
    told = json.loads((folder / "tandem.json").read_text())
    assert (told["recipe"], told["purpose"], told["start"]) == ("dpo", "policy", lively)
    assert told["config"] == DPOConfig.read({**OPTIONS, "start": lively, "rank": rank}).model_dump()
    assert told["snapshot"] == SnapshotData.open(judged).id
    assert told["metrics"] == metrics
    assert told["simulated"]
    card = (folder / "README.md").read_text()
    assert "# A policy trained with direct preference optimisation" in card
    assert "**simulated**" in card


def test_a_policy_that_starts_from_a_policy_stands_on_its_own(
    lively: str, judged: Path, tmp_path: Path
) -> None:
    do(lively, judged, tmp_path / "first")
    start = str(tmp_path / "first/policy")
    _, heard = do(start, judged, tmp_path / "second", learning_rate=1e-9)
    assert heard.metrics[1]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        first = open_policy(start, device="cpu", dtype=FP32).model(ids).logits
        shutil.rmtree(tmp_path / "first")
        second = open_policy(str(tmp_path / "second/policy"), device="cpu", dtype=FP32)
        torch.testing.assert_close(second.model(ids).logits, first, rtol=1e-3, atol=1e-3)


@pytest.fixture
def accelerator() -> Iterator[None]:
    """accelerate keeps one precision for a whole process, as a job has only one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.usefixtures("accelerator")
def test_in_bf16_what_learns_is_fp32_and_whole_weights_are_written_in_bf16(
    lively: str, judged: Path, tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning: set[torch.dtype] = set()
    compute = _Trainer.compute_loss

    def listening(self: Any, model: Any, *more: Any, **named: Any) -> Any:
        learning.update(weight.dtype for weight in model.parameters() if weight.requires_grad)
        return compute(self, model, *more, **named)

    monkeypatch.setattr(_Trainer, "compute_loss", listening)
    options: dict[str, Any] = {"rank": rank, "learning_rate": 2e-3}
    exact, _ = do(lively, judged, tmp_path / "fp32", **options)
    AcceleratorState._reset_state(reset_partial_state=True)
    rough, heard = do(lively, judged, tmp_path / "bf16", dtype=torch.bfloat16, **options)
    assert learning == {torch.float32}
    assert heard.metrics[1]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert rough["validation/loss"] == pytest.approx(exact["validation/loss"], rel=0.1)
    assert rough["validation/loss"] != exact["validation/loss"]
    if rank == 0:
        weights = load_file(tmp_path / "bf16/policy/model.safetensors")
        assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


def test_nobody_outside_is_told_or_asked(
    lively: str, judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", refuse)
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    do(lively, judged, tmp_path)


# --- killed and taken up again --------------------------------------------------------------------


@pytest.fixture
def places(lively: str, judged: Path, tmp_path: Path) -> tuple[str, Path, Path]:
    return lively, judged, tmp_path


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("phase", ["report", "checkpoint", "writing the folder"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    places: tuple[str, Path, Path], rank: int, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lively, judged, tmp_path = places
    options: dict[str, Any] = {"rank": rank, "epochs": 2, "learning_rate": 2e-3}
    whole, undisturbed = do(lively, judged, tmp_path / "whole", **options)
    steps = int(whole["steps"])
    assert steps == 12

    stopped = Heard(stop_at=7 if phase == "report" else None)
    with monkeypatch.context() as patch:
        if phase == "writing the folder":
            patch.setattr("training.policies.dpo.write_policy", interrupt)
        if phase == "checkpoint":
            patch.setattr("transformers.Trainer._save_rng_state", interrupt_at(8))
        with pytest.raises(KeyboardInterrupt):
            do(lively, judged, tmp_path / "killed", heard=stopped, **options)
    assert not (tmp_path / "killed/policy").exists()
    torch.manual_seed(99)
    resumed, heard = do(lively, judged, tmp_path / "killed", **options)

    # Of a run that was over, transformers keeps the best checkpoint and drops the last.
    newest = int(whole["best_step"]) if phase == "writing the folder" else 6
    assert heard.lines[1] == f"resumed from step {newest}"
    for step in range(newest + 1, steps + 1):
        assert heard.metrics[step] == pytest.approx(undisturbed.metrics[step], abs=1e-6)
    assert without_clock(resumed) == pytest.approx(without_clock(whole), abs=1e-6)
    name = "adapter_model.safetensors" if rank else "model.safetensors"
    torch.testing.assert_close(
        load_file(tmp_path / "killed/policy" / name),
        load_file(tmp_path / "whole/policy" / name),
        rtol=0,
        atol=1e-6,
    )


def test_checkpoints_of_another_run_are_refused(lively: str, judged: Path, tmp_path: Path) -> None:
    do(lively, judged, tmp_path)
    shutil.rmtree(tmp_path / "policy")
    with pytest.raises(InvalidOption, match="checkpoints: they are from a run with other options"):
        do(lively, judged, tmp_path, beta=0.2)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"beta": 0}, "beta: input should be greater than 0"),
        ({"loss": "hinge"}, "loss: input should be 'sigmoid', 'ipo' or 'robust'"),
        ({"loss": "robust", "label_smoothing": 0.5}, "label_smoothing: input should be less than"),
        (
            {"label_smoothing": 0.1},
            "label_smoothing: only the loss `robust` uses it; choose that, or leave this at 0",
        ),
    ],
)
def test_options_that_mean_nothing_are_named(typed: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        DPOConfig.read(typed)


def test_too_few_winners_are_refused(tmp_path: Path) -> None:
    rows = asked(12, Split.TRAIN)
    rows = [*rows[:9], replace(rows[9], choice=0), replace(rows[10], both_bad=True)]
    write_snapshot(tmp_path / "snapshot", rows, [])
    with pytest.raises(
        TooLittleData,
        match="at least 10 comparisons with a winner; the train part of the snapshot has 9, and"
        " besides 1 without a winner, 1 whose answers were both bad, and 0 of conversations longer",
    ):
        do("tiny", tmp_path / "snapshot", tmp_path)


def test_a_file_of_answers_is_not_what_it_learns_from(tmp_path: Path) -> None:
    (tmp_path / "shown.jsonl").write_text("{}\n")
    with pytest.raises(InvalidData, match=r"shown.jsonl holds answers alone; learn .* with SFT"):
        do("tiny", tmp_path / "shown.jsonl", tmp_path)


def test_more_tokens_than_the_model_reads_are_refused(judged: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="max_tokens: tiny reads at most 2048 tokens"):
        do("tiny", judged, tmp_path, max_tokens=4096)
    with pytest.raises(InvalidOption, match="max_new_tokens: tiny reads at most 2048 tokens"):
        do("tiny", judged, tmp_path, max_new_tokens=2048)


def test_a_loss_that_is_no_number_is_told(
    judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = _Trainer.compute_loss
    monkeypatch.setattr(
        _Trainer, "compute_loss", lambda *args, **named: compute(*args, **named) * torch.nan
    )
    with pytest.raises(TrainingFailed, match=r"loss was nan at step 1; lower learning_rate \(now"):
        do("tiny", judged, tmp_path)
    assert not (tmp_path / "policy").exists()


def test_cancelling_leaves_the_last_checkpoint(judged: Path, tmp_path: Path) -> None:
    class Cancelled(Heard):
        def report(self, step: int, *rest: Any, **named: Any) -> None:
            if step == 6:
                raise JobCancelled("stopped by a test")
            super().report(step, *rest, **named)

    with pytest.raises(JobCancelled):
        do("tiny", judged, tmp_path, heard=Cancelled(), epochs=2)
    assert (tmp_path / "checkpoints/checkpoint-4/trainer_state.json").is_file()
    assert not (tmp_path / "policy").exists()


def test_a_folder_that_holds_something_is_left_alone(judged: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/thesis.txt").write_text("dear")
    with pytest.raises(InvalidOption, match="output: it already holds something"):
        do("tiny", judged, tmp_path)
    assert (tmp_path / "policy/thesis.txt").read_text() == "dear"


def test_it_stands_in_the_table() -> None:
    assert POLICIES["dpo"].config is DPOConfig
