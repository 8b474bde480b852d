"""Let programs on Transformers 4 read what Transformers 5 wrote, and read the same from it.

Version 5 moved the rotary base into `rope_parameters`: a program of the older kind, not finding
`rope_theta`, takes 10,000 without a word, and computes something else. And it writes a class of
tokenizers that older programs (vLLM among them) refuse by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OF_THIS_MACHINE = ("is_local", "local_files_only", "backend")
"""How the tokenizer was opened here."""


def write_for_older_readers(folder: Path) -> None:
    """Add to a written model's config.json and tokenizer_config.json what older readers look for.

    Transformers 5 reads the same as before.
    """
    config = folder / "config.json"
    if config.is_file():
        _write(config, _older_config(_read(config)))
    tokenizer = folder / "tokenizer_config.json"
    found = {name: v for name, v in _read(tokenizer).items() if name not in _OF_THIS_MACHINE}
    if found.get("tokenizer_class") == "TokenizersBackend":
        found["tokenizer_class"] = "PreTrainedTokenizerFast"
    _write(tokenizer, found)


def _older_config(config: Mapping[str, Any]) -> dict[str, Any]:
    older = dict(config)
    if "dtype" in config:
        older["torch_dtype"] = config["dtype"]
    rope = config.get("rope_parameters") or {}
    # Models with a rotary base for each kind of layer have a dictionary of dictionaries here, for
    # which version 4 had no common name.
    if "rope_theta" in rope:
        older["rope_theta"] = rope["rope_theta"]
        scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
        plain = scaling.get("rope_type", "default") == "default"
        older["rope_scaling"] = None if plain else scaling
    return older


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
