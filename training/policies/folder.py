"""A trained policy as a folder that ordinary tools open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from storage.files import write_folder


def write_policy(
    output: Path,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    description: Mapping[str, Any],
    samples: str,
    merge: bool,
    replace: bool = False,
) -> None:
    """Write a policy, whole or not at all.

    Args:
        output: The folder to make.
        model: The base with the adapter; used up when `merge` is true.
        tokenizer: Saved with its chat template.
        description: The tandem.json.
        samples: The samples.jsonl: what the policy answered to the same prompts as it learned.
        merge: Write whole weights instead of an adapter. A policy that started from another policy
            learned on top of that one's merged weights, which nobody but us could load by name; so
            it stands on its own.
        replace: Write over a folder of an earlier try.

    Raises:
        InvalidOption: `output` holds something and `replace` is false.
        StorageFailed: There is no room, or no right to write.
    """
    with write_folder(output, replace=replace) as folder:
        if merge:
            model.merge_and_unload().save_pretrained(folder)
        else:
            settings = model.peft_config["default"]
            # PEFT would write the path of this machine's cache.
            settings.base_model_name_or_path = description["base"]
            model.save_pretrained(folder, save_embedding_layers=False)
        tokenizer.save_pretrained(folder)
        (folder / "samples.jsonl").write_text(samples, encoding="utf-8")
        (folder / "README.md").write_text(_card(description, merged=merge), encoding="utf-8")
        (folder / "tandem.json").write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def _card(description: Mapping[str, Any], *, merged: bool) -> str:
    """The model card, with the metadata that the Hub reads."""
    base = description["base"]
    if merged:
        load = 'model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")'
        head = f"base_model: {base}\nlibrary_name: transformers\ntags: [ppo, rlhf, tandem]"
        imports = "from transformers import AutoModelForCausalLM, AutoTokenizer"
    else:
        load = (
            f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
            'model = PeftModel.from_pretrained(base, "THIS FOLDER")'
        )
        head = f"base_model: {base}\nlibrary_name: peft\ntags: [lora, ppo, rlhf, tandem]"
        imports = (
            "from peft import PeftModel\n"
            "from transformers import AutoModelForCausalLM, AutoTokenizer"
        )
    rewards = "\n".join(f"- {name}, weight {w:g}" for name, w in description["rewards"].items())
    measured = "\n".join(
        f"| {name} | {value:.4g} |"
        for name, value in description["metrics"].items()
        if isinstance(value, int | float)
    )
    warning = (
        "\nIts reward models learned from **simulated** judgements, not from people's.\n"
        if description["simulated"]
        else ""
    )
    return f"""---
{head}
---

# A policy trained with PPO

Start: `{description["start"]}`. It was tuned with Tandem to earn more from these reward models,
each standardised, without straying far from its start:

{rewards}
{warning}
```python
{imports}

{load}
tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
```

Means over its last steps. A higher reward is what it was trained for and does not show that people
like its answers better; a blinded study does.

| metric | value |
|---|---|
{measured}

`tandem.json` holds the whole configuration, `samples.jsonl` what it answered to the same few
prompts while it learned.
"""
