"""What a reward model says about itself: `tandem.json` for programs, `README.md` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.errors import InvalidData, InvalidOption
from storage.files import write_text
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
    return _CARD.format(
        library="peft" if adapter else "transformers",
        base=record["base"],
        recipe=record["recipe"],
        snapshot=record["snapshot"],
        who=_SIMULATED if record["simulated"] else "",
        metrics=metrics,
        held_out=_held_out(record["metrics"].get("held_out")),
        mean=_short(record["calibration"]["mean"]),
        std=_short(record["calibration"]["std"]),
        length=_short(record["calibration"]["length_correlation"]),
        learned=json.dumps({k: v for k, v in record["learned"].items() if k != "leniency"}),
        config=json.dumps(record["config"], indent=2),
        load=(_LOAD_ADAPTER if adapter else _LOAD_WEIGHTS).format(base=record["base"]),
    )


def _held_out(card: Mapping[str, Any] | None) -> str:
    """What the report card says, with numbers in tables.

    Annotators are not named here, not even by pseudonym: a model card is read by everybody.
    """
    if card is None:
        return ""
    rows = [
        f"| {title} | {_estimate(card[name])} | {card[name]['n']} |"
        for name, title in _FIGURES.items()
        if card.get(name)
    ]
    parts = [
        "## On prompts that it has not seen",
        _unmarked(card.get("verdict", "")),
        _table("| | value, 95 % interval | judgements |", rows),
        _table(
            "| kind of prompt | pair accuracy | judgements |",
            [
                f"| {_unmarked(one['kind'])} | {_estimate(one['pair_accuracy'])} |"
                f" {one['pair_accuracy']['n']} |"
                for one in card.get("kinds", ())
            ],
        ),
        _agreement(card.get("annotators", ())),
        "\n".join(f"- **Doubt:** {_unmarked(warning)}" for warning in card.get("warnings", ())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _agreement(annotators: Sequence[Mapping[str, Any]]) -> str:
    """How far agreement differs between annotators."""
    if len(annotators) < 2:
        return ""
    shares = sorted(one["pair_accuracy"]["value"] for one in annotators)
    return (
        f"Of {len(annotators)} annotators it agrees with one in {shares[0]:.0%} of the decided"
        f" pairs and with another in {shares[-1]:.0%}; the others lie between."
    )


def _table(head: str, rows: Sequence[str]) -> str:
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *rows]) if rows else ""


def _estimate(one: Mapping[str, Any]) -> str:
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _unmarked(text: str) -> str:
    """Words with names from the data, so that none ends its cell or starts a link or an element."""
    return "".join(f"\\{sign}" if sign in _MARKUP else sign for sign in " ".join(text.split()))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_MARKUP = frozenset("\\`*_[]<>|~")
_FIGURES = {
    "pair_accuracy": "pair accuracy",
    "length_only_accuracy": "the same by length alone",
    "human_ceiling": "one annotator with the others",
    "spearman": "Spearman's correlation with ratings",
    "kendall": "Kendall's tau-b with ratings",
    "mean_absolute_error": "error of foretold ratings, points",
}
"""Estimates of a report card, in the order of the model card."""


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

_CARD = """\
---
library_name: {library}
base_model: {base}
pipeline_tag: text-classification
tags: [reward-model, tandem, {recipe}]
---

# Reward model, recipe `{recipe}`

Gives an answer to a prompt one number: more is better. Made by Tandem from the snapshot
`{snapshot}`.
{who}
{held_out}
## From training

| measured | |
|---|---|
{metrics}

On responses of its snapshot rewards have mean {mean} and standard deviation {std}; their rank
correlation with the length of the response is {length}. Only differences of rewards mean something
unless ratings anchored the scale. Learned thresholds: `{learned}`.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder = "."
tokenizer = AutoTokenizer.from_pretrained(folder)
{load}
text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
text += answer + tokenizer.eos_token
reward = model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits[0, 0]
```

Trained with:

```json
{config}
```
"""
