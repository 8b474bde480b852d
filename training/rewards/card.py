"""What a reward model says about itself: `tandem.json` for programs, `README.md` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import InvalidData, InvalidOption
from storage.files import write_text
from training.rewards.held_out import held_out_section
from training.rewards.multi_card import multi_card

RECORD = "tandem.json"


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write both files, or write them anew. `record` is what `read_record` gives back."""
    text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    card = multi_card if record.get("form") == "multi_objective" else _card
    write_text(folder / "README.md", card(record))
    write_text(folder / RECORD, text + "\n")  # last, because with it the model counts as whole


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a reward model.

    Raises:
        InvalidData: The folder holds no reward model of Tandem's, or only a part of one.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        purpose = record["purpose"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidData(
            f"{folder} is not a reward model: its {RECORD} is missing or unreadable."
        ) from error
    if purpose != "reward":
        raise InvalidData(f"{folder} is a {purpose} model; a reward model is needed here.")
    return dict(record)


def finished_metrics(output: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The metrics of this very run if it was finished before, say before the machine went down.

    Raises:
        InvalidOption: The folder holds another model.
    """
    if not (output / RECORD).is_file():
        return None
    record = read_record(output)
    if any(record.get(key) != value for key, value in identity.items()):
        raise InvalidOption("output", "it holds another model; name another folder", str(output))
    return dict(record["metrics"])


def _card(record: Mapping[str, Any]) -> str:
    """The model card: its head is for the Hub, the rest for people."""
    adapter = record["adapter"]
    metrics = "\n".join(
        f"| {name} | {_short(value)} |"
        for name, value in record["metrics"].items()
        if name != "held_out"
    )
    pairwise = record.get("form") == "pairwise"
    return _CARD.format(
        gives=_COMPARES if pairwise else _GIVES,
        text=_TEXT_OF_TWO if pairwise else _TEXT,
        scale=(_SCALE_OF_TWO if pairwise else _SCALE).format(
            mean=_short(record["calibration"]["mean"]),
            std=_short(record["calibration"]["std"]),
            length=_short(record["calibration"]["length_correlation"]),
            learned=json.dumps({k: v for k, v in record["learned"].items() if k != "leniency"}),
        ),
        library="peft" if adapter else "transformers",
        base=record["base"],
        recipe=record["recipe"],
        snapshot=record["snapshot"],
        who=_SIMULATED if record["simulated"] else "",
        metrics=metrics,
        held_out=held_out_section(record["metrics"].get("held_out")),
        config=json.dumps(record["config"], indent=2),
        load=(_LOAD_ADAPTER if adapter else _LOAD_WEIGHTS).format(base=record["base"]),
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_SIMULATED = """
**Simulated:** some or all of the judgements behind this model come from a program, not from people.
"""

_LOAD_ADAPTER = """\
from peft import PeftModel
base = AutoModelForSequenceClassification.from_pretrained({base!r}, num_labels=1)
base.config.pad_token_id = tokenizer.pad_token_id  # else the end token may be taken for padding
model = PeftModel.from_pretrained(base, folder)"""

_LOAD_WEIGHTS = """\
model = AutoModelForSequenceClassification.from_pretrained(folder)"""

_GIVES = "Gives an answer to a prompt one number: more is better."
_COMPARES = """\
Reads two answers to a prompt, A and B, and gives the log-odds that A is better. It leans to one of
the places, so read each pair in both orders and take half of the difference. `training.rewards.\
side_by_side` writes the text that it was trained on. It gives no answer a reward of its own."""
_SCALE = """\
On responses of its snapshot rewards have mean {mean} and standard deviation {std}; their rank
correlation with the length of the response is {length}. Only differences of rewards mean something
unless ratings anchored the scale. Learned thresholds: `{learned}`."""
_SCALE_OF_TWO = "On pairs of its snapshot the log-odds have standard deviation {std}."
_TEXT = """\
# The answer is encoded by itself, so that nothing in it is read as a special token.
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
ids += tokenizer(answer, add_special_tokens=False, split_special_tokens=True).input_ids
ids.append(tokenizer.eos_token_id)"""
_TEXT_OF_TWO = """\
from training.rewards.side_by_side import asked
messages = asked(messages, answer_a, answer_b)  # one message of the user that holds all of it
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)"""

_CARD = """\
---
library_name: {library}
base_model: {base}
pipeline_tag: text-classification
tags: [reward-model, tandem, {recipe}]
---

# Reward model, recipe `{recipe}`

{gives} Made by Tandem from the snapshot
`{snapshot}`.
{who}
{held_out}
## From training

| measured | |
|---|---|
{metrics}

{scale}

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder = "."
tokenizer = AutoTokenizer.from_pretrained(folder)
{load}
model.eval()
{text}
reward = model(torch.tensor([ids])).logits[0, 0]
```

Trained with:

```json
{config}
```
"""
