"""Exported models, opened as programs open them that know nothing of Tandem."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from lively import save_lively
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)
from trl.data_utils import apply_chat_template

from storage.errors import InvalidData, InvalidOption
from storage.records import Message
from training import backbone, merging
from training.export import Exported, export_model
from training.export_config import ExportConfig
from training.policies.actor import Actor
from training.policies.folder import write_policy
from training.rewards import REWARDS
from training.rewards.scoring import RewardScorer
from training.sampling import open_policy

FP32 = torch.float32
IDS = torch.tensor([[5, 6, 7, 40, 41, 42, 43]])
ASKED = (Message(role="user", content="bread 1?"),)
OTHER = (*ASKED, Message(role="assistant", content="no"), Message(role="user", content="why?"))
CONVERSATIONS = [
    (ASKED, "please"),
    (OTHER, "an apple"),
    (ASKED, " a house and a flame, please\n"),
    (OTHER, "grass " * 30),
]


LOGITS: dict[str, Any] = {"atol": 2e-5, "rtol": 1e-5}
"""Logits go up to 10, and fp32 sums in another order."""


def export(source: Path, output: Path, **options: Any) -> Exported:
    for_others = options.pop("for_others", False)
    return export_model(
        source,
        output,
        ExportConfig(**options),
        title=source.name,
        place=str(output),
        progress=planted.Notes(),
        for_others=for_others,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base model in a folder of this machine."""
    return save_lively(tmp_path_factory.mktemp("lively") / "lively-base")


@pytest.fixture(scope="module")
def policy(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """The folder of a policy, an adapter on all layers; and what it says, unmerged."""
    opened = open_policy(base, device="cpu", dtype=FP32)
    actor = Actor(opened.model, rank=4, seed=3, value_trunk="own_adapter")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, weight in actor.learned().items():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
    with torch.no_grad():
        said = actor.causal(IDS).logits
        plain = opened_logits(base)
    assert (said - plain).abs().max() > 1, "the adapter has to matter"
    folder = tmp_path_factory.mktemp("policy") / "ppo-1"
    write_policy(
        folder,
        actor.finished(whole=False),
        opened.tokenizer,
        description={
            "recipe": "ppo",
            "purpose": "policy",
            "config": {"start": base, "rewards": {f"{base}/helpful": 0.5}},
            "base": base,
            "start": base,
            "rewards": {f"{base}/helpful": 0.5, "https://inside.example/api/v1/score#x": 0.5},
            "metrics": {"reward": 1.25, f"reward/{base}/helpful": 2.0},
            "simulated": True,
        },
        story="# A policy\n",
        samples='{"prompt": "secret prompt"}\n',
    )
    return folder, said


def opened_logits(folder: str | Path, **options: Any) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=FP32, **options)
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
    return logits


def train(base: str, snapshot: Path, folder: Path, **options: Any) -> Path:
    recipe = REWARDS["combined"]
    recipe.run(
        recipe.config.read(planted.QUICK | {"base": base, "epochs": 1} | options),
        snapshot=snapshot,
        output=folder / "combined-1",
        checkpoints=folder / "checkpoints",
        progress=planted.Notes(),
    )
    return folder / "combined-1"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.snapshot(tmp_path_factory.mktemp("planted") / "snapshot", 60)


@pytest.fixture(scope="module", params=["adapter on all layers", "whole weights"])
def reward(
    request: pytest.FixtureRequest,
    base: str,
    small: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a reward model with an ensemble of heads."""
    rank = 2 if "adapter" in request.param else 0
    return train(base, small, tmp_path_factory.mktemp("reward"), rank=rank, members=2)


@pytest.fixture(scope="module")
def adapted(base: str, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reward model that is an adapter."""
    return train(base, small, tmp_path_factory.mktemp("adapted"), rank=2)


# --- policies -------------------------------------------------------------------------------------


def test_a_merged_policy_says_what_it_said_with_its_adapter(
    policy: tuple[Path, torch.Tensor], tmp_path: Path, base: str
) -> None:
    source, said = policy
    done = export(source, tmp_path / "out")
    torch.testing.assert_close(opened_logits(tmp_path / "out"), said, **LOGITS)
    assert done.merged is not None
    assert (done.merged.dtype, done.merged.weights) == ("fp32", 26880)
    assert abs(done.merged.difference) < 1e-6
    assert {path.suffix for path in (tmp_path / "out").iterdir()} <= {
        ".safetensors", ".json", ".jinja", ".md",
    }  # fmt: skip
    # No value head, no second adapter, and the tied vocabulary once.
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == load_file(Path(base) / "model.safetensors").keys()
    assert "lm_head.weight" not in written


def test_merged_weights_are_the_base_and_the_product_of_the_factors_rounded_once(
    policy: tuple[Path, torch.Tensor], tmp_path: Path, base: str
) -> None:
    source, said = policy
    export(source, tmp_path / "out", dtype="bf16")
    written = load_file(tmp_path / "out" / "model.safetensors")
    factors = load_file(source / "adapter_model.safetensors")
    plain = load_file(Path(base) / "model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    up, down = (factors[f"base_model.model.{name}.lora_{one}.weight"] for one in "BA")
    expected = plain[f"{name}.weight"] + 2 * up @ down  # alpha is twice the rank
    assert torch.equal(written[f"{name}.weight"], expected.bfloat16())
    assert {weight.dtype for weight in written.values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"
    assert 0 < (opened_logits(tmp_path / "out") - said).abs().max() < 0.5


def test_what_generates_with_it_stops_and_pads_as_tandem_does(
    policy: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    export(policy[0], tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id] == [2]
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id == 0
    asked = tokenizer.apply_chat_template(
        list(OTHER), add_generation_prompt=True, return_dict=False
    )
    assert asked == backbone.chat_ids(backbone.load_tokenizer(str(policy[0])), OTHER)


def test_large_weights_are_spread_over_files(
    policy: tuple[Path, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "SHARD", "40KB")
    done = export(policy[0], tmp_path / "out")
    assert "model.safetensors.index.json" in done.files
    assert len([name for name in done.files if name.endswith(".safetensors")]) > 1
    torch.testing.assert_close(opened_logits(tmp_path / "out"), policy[1], **LOGITS)


def test_an_adapter_opens_with_peft_on_the_base_it_names(
    policy: tuple[Path, torch.Tensor], tmp_path: Path, base: str
) -> None:
    source, said = policy
    done = export(source, tmp_path / "out", merge=False)
    assert done.merged is None
    named = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == base
    model = AutoModelForCausalLM.from_pretrained(base, dtype=FP32)
    with torch.no_grad():
        found = PeftModel.from_pretrained(model, tmp_path / "out")(IDS).logits
    torch.testing.assert_close(found, said, **LOGITS)
    assert open_policy(str(tmp_path / "out"), device="cpu").is_policy


# --- reward models --------------------------------------------------------------------------------


def as_texts(tokenizer: Any, *, side: str) -> Any:
    """Whole conversations, templated and padded by ordinary means."""
    texts = [
        tokenizer.apply_chat_template(
            [*messages, {"role": "assistant", "content": answer}], tokenize=False
        )
        for messages, answer in CONVERSATIONS
    ]
    return tokenizer(
        texts, return_tensors="pt", padding=True, padding_side=side, add_special_tokens=False
    )


def close(found: Any, expected: Sequence[float]) -> None:
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=FP32), torch.as_tensor(expected), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_merged_reward_model_gives_our_rewards_to_whole_batches(
    reward: Path, tmp_path: Path, side: str
) -> None:
    ours = RewardScorer.load(reward, device="cpu", dtype=FP32)
    expected = ours.score(CONVERSATIONS)
    assert expected.std() > 1e-3
    done = export(reward, tmp_path / "out")
    assert done.merged is not None
    assert done.merged.dtype == "fp32"
    assert done.merged.difference < 1e-3
    assert not list((tmp_path / "out").glob("members*"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (model.config.num_labels, model.config.pad_token_id) == (1, tokenizer.pad_token_id)
    assert model.dtype == FP32
    with torch.no_grad():
        close(model(**as_texts(tokenizer, side=side)).logits[:, 0], expected)
    scale = ours.calibration
    assert (model.config.mean, model.config.std) == (scale.mean, scale.std)
    # The same folder serves Tandem too.
    again = RewardScorer.load(tmp_path / "out", device="cpu", dtype=FP32)
    close(again.score(CONVERSATIONS), expected)


def test_trl_and_pipelines_read_the_same_rewards(adapted: Path, tmp_path: Path) -> None:
    expected = RewardScorer.load(adapted, device="cpu", dtype=FP32).score(CONVERSATIONS)
    export(adapted, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    # As `GRPOTrainer._calculate_rewards` of TRL 1.16 does it.
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", num_labels=1)
    said = [
        {"messages": [*messages, {"role": "assistant", "content": answer}]}
        for messages, answer in CONVERSATIONS
    ]
    texts = [apply_chat_template(one, tokenizer)["text"] for one in said]
    inputs = tokenizer(
        text=texts,
        return_tensors="pt",
        padding=True,
        padding_side="right",
        add_special_tokens=False,
    )
    with torch.inference_mode():
        close(model(**inputs).logits[:, 0], expected)
    reads = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    found = reads(texts, add_special_tokens=False)
    close([one["score"] for one in found], expected)
    assert {one["label"] for one in found} == {"reward"}


def test_in_half_the_precision_the_head_stays_whole(adapted: Path, tmp_path: Path) -> None:
    expected = RewardScorer.load(adapted, device="cpu", dtype=FP32).score(CONVERSATIONS)
    done = export(adapted, tmp_path / "out", dtype="bf16")
    written = load_file(tmp_path / "out" / "model.safetensors")
    kinds = {name: weight.dtype for name, weight in written.items()}
    assert kinds.pop("score.weight") == FP32
    assert set(kinds.values()) == {torch.bfloat16}
    assert done.merged is not None
    assert 1e-5 < done.merged.difference < merging.MOST_ROUNDING
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.dtype == FP32, "readers who are told nothing compute in fp32"
    with torch.no_grad():
        found = model(**as_texts(AutoTokenizer.from_pretrained(tmp_path / "out"), side="right"))
    torch.testing.assert_close(
        found.logits[:, 0], torch.from_numpy(expected), atol=0.05 * float(expected.std()), rtol=0
    )


def test_a_reward_adapter_opens_with_peft_and_reads_the_same(
    adapted: Path, tmp_path: Path, base: str
) -> None:
    expected = RewardScorer.load(adapted, device="cpu", dtype=FP32).score(CONVERSATIONS)
    export(adapted, tmp_path / "out", merge=False)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=FP32)
    model.config.pad_token_id = tokenizer.pad_token_id
    model = PeftModel.from_pretrained(model, tmp_path / "out")
    with torch.no_grad():
        close(model(**as_texts(tokenizer, side="right")).logits[:, 0], expected)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "instead"),
    [("pairwise", "Train a preference model"), ("multi_objective", "Train a combined model")],
)
def test_kinds_without_a_class_elsewhere_are_refused_with_what_to_do(
    tmp_path: Path, form: str, instead: str
) -> None:
    record = {"purpose": "reward", "form": form, "recipe": form, "base": "tiny"}
    (tmp_path / "tandem.json").write_text(json.dumps(record))
    with pytest.raises(InvalidOption, match=rf"no class of Transformers.*{instead}"):
        export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_model_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"tandem\.json is missing or unreadable"):
        export(tmp_path, tmp_path / "out")


def test_adapters_that_nobody_else_could_use_are_refused(
    policy: tuple[Path, torch.Tensor], adapted: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOption, match="no name under which others would find it"):
        export(adapted, tmp_path / "out", merge=False, for_others=True)
    with pytest.raises(InvalidOption, match="an adapter stays as it was trained"):
        export(adapted, tmp_path / "out", merge=False, dtype="bf16")
    export(policy[0], tmp_path / "whole")
    with pytest.raises(InvalidOption, match="has whole weights and no adapter"):
        export(tmp_path / "whole", tmp_path / "out", merge=False)


def test_a_folder_that_holds_something_stays_as_it_is(adapted: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InvalidOption, match="already holds something"):
        export(adapted, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def copied(source: Path, target: Path, **changed: Any) -> Path:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    record = json.loads((source / "tandem.json").read_text()) | changed
    (target / "tandem.json").write_text(json.dumps(record))
    return target


def test_an_adapter_is_not_folded_into_other_weights_than_its_own(
    adapted: Path, tmp_path: Path
) -> None:
    source = copied(adapted, tmp_path / "source", base_fingerprint="something else")
    with pytest.raises(InvalidData, match="are not those that the model was trained on"):
        export(source, tmp_path / "out")


def test_a_pickled_base_is_not_opened(adapted: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    source = copied(adapted, tmp_path / "source", base=str(pickled))
    with pytest.raises(InvalidData, match="holds pickled weights"):
        export(source, tmp_path / "out")


def test_weights_that_do_not_fit_into_16_bits_are_refused(
    policy: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    export(policy[0], tmp_path / "whole")
    weights = load_file(tmp_path / "whole" / "model.safetensors")
    weights["model.norm.weight"][0] = 1e6
    save_file(weights, tmp_path / "whole" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidOption, match=r"model\.norm\.weight do not fit into it; take bf16"):
        export(tmp_path / "whole", tmp_path / "out", dtype="fp16")


def test_a_model_that_was_written_wrong_is_noticed_and_nothing_is_left(
    adapted: Path,
    policy: tuple[Path, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = merging._write

    def spoilt(model: Any, tokenizer: Any, folder: Path) -> int:
        with torch.no_grad():
            model.base_model.norm.weight.mul_(1.5)
        return write(model, tokenizer, folder)

    monkeypatch.setattr(merging, "_write", spoilt)
    for source in (adapted, policy[0]):
        with pytest.raises(InvalidData, match=r"exported model is [\d.e+]+ .* away"):
            export(source, tmp_path / "out")
        with pytest.raises(InvalidOption, match=r"rounding moves the model by"):
            export(source, tmp_path / "out", dtype="bf16")
    assert list(tmp_path.iterdir()) == []


# --- what others may read -------------------------------------------------------------------------


def test_no_folder_no_person_and_no_address_leaves(
    policy: tuple[Path, torch.Tensor], adapted: Path, tmp_path: Path, base: str
) -> None:
    """The base and the rewards lay in folders here; leniency names who rated."""
    held_out = {
        "verdict": "Fine.",
        "annotators": [{"annotator": "amber-heron-1", "pair_accuracy": {"value": 0.5}}] * 2,
        "outcomes": [1, 0],
        "warnings": [f"Something about {base}/x."],
    }
    record = json.loads((adapted / "tandem.json").read_text())
    judged = copied(
        adapted,
        tmp_path / "judged",
        metrics=record["metrics"] | {"held_out": held_out},
        learned=record["learned"] | {"leniency": {"amber-heron-1": 0.5}},
        reliability={"amber-heron-1": 1.5},
    )
    for source in (policy[0], judged):
        export(source, tmp_path / source.name / "out" if source is judged else tmp_path / "out")
    everything = [
        *(tmp_path / "out").iterdir(),
        *(tmp_path / "judged" / "out").iterdir(),
    ]
    for path in everything:
        content = path.read_bytes()
        for secret in (str(Path(base).parent), "amber-heron", "inside.example", "secret prompt"):
            assert secret.encode() not in content, (path, secret)
    told = json.loads((tmp_path / "out" / "tandem.json").read_text())
    assert told["rewards"].keys() >= {"helpful"}
    assert told["metrics"]["reward/helpful"] == 2.0
    card = (tmp_path / "judged" / "out" / "README.md").read_text()
    assert "Of 2 annotators it agrees with one in 50%" in card
    assert "It grew from a model that has no name on the Hub." in card
