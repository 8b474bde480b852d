"""What a record says to others: names that they can use, and no places of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import wheel
from training.older_readers import write_for_older_readers
from training.places import DEFAULT_BASE
from training.published import hub_name, plain_base, published_record


def test_a_name_of_the_hub_is_told_and_a_folder_is_not(tmp_path: Path) -> None:
    assert hub_name("HuggingFaceTB/SmolLM2-135M-Instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    for place in ("tiny", "/data/models/sft-1", "./sft-1", "../sft-1", "a/b/c", str(tmp_path)):
        assert hub_name(place) is None
    kept = tmp_path / "models--lab--base-1B" / "snapshots" / "0123abc"
    kept.mkdir(parents=True)
    assert hub_name(str(kept)) == "lab/base-1B"


def test_the_copy_from_the_wheel_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_CACHE_DIR", str(tmp_path))
    copy = wheel.cache_folder() / "SmolLM2-135M-Instruct"
    copy.mkdir()
    assert hub_name(str(copy)) is None
    (copy / "model.safetensors").touch()
    assert hub_name(str(copy)) == DEFAULT_BASE


def test_a_model_descends_from_the_base_of_its_base(tmp_path: Path) -> None:
    for name, base in (("sft-1", "lab/base"), ("ppo-1", str(tmp_path / "sft-1"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tandem.json").write_text(json.dumps({"base": base}))
    assert plain_base(str(tmp_path / "ppo-1")) == "lab/base"
    (tmp_path / "sft-1" / "tandem.json").write_text(json.dumps({"base": str(tmp_path / "ppo-1")}))
    assert plain_base(str(tmp_path / "ppo-1")) is None, "a circle has no beginning"


names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda name: set(name) != {"."}
)


@given(st.lists(names, min_size=2, max_size=5), st.sampled_from(["", "~", ".", ".."]), names)
def test_a_folder_is_cut_down_to_its_last_part_wherever_it_stands(
    parts: list[str], start: str, other: str
) -> None:
    folder = f"{start}/{'/'.join(parts)}"
    record: dict[str, Any] = {
        "base": "lab/base",
        "start": folder,
        "rewards": {folder: 0.5, "length:80": 0.2, r"matches:a/b/c": 1.0},
        "metrics": {f"reward/{folder}": 1.0, "validation/loss": 2.0},
        "config": {"watch": [folder, other], "text": f"found in {folder}, and so on"},
    }
    told = published_record(record)
    assert told["start"] == parts[-1]
    assert told["rewards"] == {parts[-1]: 0.5, "length:80": 0.2, r"matches:a/b/c": 1.0}
    assert told["metrics"] == {f"reward/{parts[-1]}": 1.0, "validation/loss": 2.0}
    assert told["config"]["watch"] == [parts[-1], other]
    assert told["config"]["text"] == f"found in {parts[-1]}, and so on"


def test_older_readers_find_what_they_look_for(tmp_path: Path) -> None:
    scaled = {"rope_type": "linear", "factor": 2.0}
    for rope, scaling in (({"rope_type": "default"}, None), (scaled, scaled)):
        config = {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 5e5, **rope}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        tokenizer = {"tokenizer_class": "TokenizersBackend", "is_local": True, "eos_token": "</s>"}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        write_for_older_readers(tmp_path)
        found = json.loads((tmp_path / "config.json").read_text())
        assert found == {
            **config, "rope_theta": 5e5, "rope_scaling": scaling, "torch_dtype": "bfloat16",
        }  # fmt: skip
        found = json.loads((tmp_path / "tokenizer_config.json").read_text())
        assert found == {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}


def test_a_class_of_its_own_is_left_to_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    write_for_older_readers(tmp_path)
    found = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert found == {"tokenizer_class": "Qwen2Tokenizer"}
