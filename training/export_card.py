"""The card of an exported model: the metadata that the Hub reads, and what people need to know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.policies.folder import COMPARED, compared
from training.policies.health.record import markdown as health_told
from training.rewards.held_out import held_out_section

if TYPE_CHECKING:
    from training.merging import Merged

NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Precisions as torch calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the card tells."""

    title: str
    place: str
    """Where programs find the model: OWNER/NAME on the Hub, or a folder's name."""
    record: Mapping[str, Any]
    """Of the model, from `training.published`."""
    merged: Merged | None
    """None for an adapter alone."""
    base: str | None
    """The Hub's name of the base; None where it has none."""
    base_is_parent: bool
    """False where another model made by Tandem lies between the two."""
    licence: str
    lineage: Sequence[str] = ()
    """Where it comes from, in sentences."""
    annotators: Sequence[Mapping[str, Any]] = ()
    """How far a reward model agrees with each, of which the card tells the extremes."""
    template_ends: bool = True
    """Whether the chat template ends where a reward is read."""


def export_card(facts: Facts) -> str:
    """The README.md."""
    head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in _head(facts).items())
    body = _reward_body(facts) if facts.record["purpose"] == "reward" else _policy_body(facts)
    parts = [part.strip() for part in (*body, _origin(facts), _configuration(facts))]
    return f"---\n{head}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _head(facts: Facts) -> dict[str, Any]:
    reward = facts.record["purpose"] == "reward"
    tags = [
        "tandem",
        "reward-model" if reward else "rlhf",
        facts.record["recipe"],
        *([] if facts.merged else ["lora"]),
        *(["simulated"] if facts.record["simulated"] else []),
    ]
    base = {
        "base_model": facts.base,
        "base_model_relation": "finetune" if facts.merged else "adapter",
    }
    return {
        "license": facts.licence,
        "library_name": "transformers" if facts.merged else "peft",
        "pipeline_tag": "text-classification" if reward else "text-generation",
        **(base if facts.base else {}),
        "tags": tags,
    }


def _reward_body(facts: Facts) -> list[str]:
    record = facts.record
    scale = record["calibration"]
    members = record.get("members", 1)
    held_out = record["metrics"].get("held_out")
    mean_of = f" It is the mean of {members} heads." if members > 1 else ""
    text = _TEXT if facts.template_ends else _IDS
    return [
        f"# {facts.title}",
        _GIVES.format(recipe=record["recipe"]),
        _SIMULATED if record["simulated"] else "",
        held_out_section(held_out and {**held_out, "annotators": facts.annotators}),
        "## The scale",
        _SCALE.format(
            mean=_short(scale["mean"]),
            std=_short(scale["std"]),
            length=_short(scale["length_correlation"]),
        )
        + mean_of
        + _rounded(facts.merged),
        "## How to use it",
        (_REWARD if facts.merged else _REWARD_ADAPTER).format(
            place=facts.place, base=facts.base or _base_of(facts), text=text
        ),
        _elsewhere(facts),
        _table("## From training", record["metrics"]),
    ]


def _rounded(merged: Merged | None) -> str:
    """What half the precision does to rewards."""
    if merged is None or merged.dtype == "fp32":
        return ""
    return _ROUNDED.format(name=NAMES[merged.dtype], difference=_short(merged.difference))


def _elsewhere(facts: Facts) -> str:
    if not facts.template_ends:
        return _TEMPLATE_GOES_ON
    return _REWARD_ELSEWHERE.format(place=facts.place) if facts.merged else ""


def _policy_body(facts: Facts) -> list[str]:
    record = facts.record
    metrics = record["metrics"]
    against = metrics.get("against_start")
    health = metrics.get("health")
    rewards = record.get("rewards")
    learned = (
        "Rewards it was trained with, and their weights: "
        + ", ".join(f"`{name}` {weight:g}" for name, weight in rewards.items())
        + "."
        if rewards
        else ""
    )
    return [
        f"# {facts.title}",
        f"A policy: it answers prompts. Made by Tandem, recipe `{record['recipe']}`.",
        _SIMULATED if record["simulated"] else "",
        learned,
        f"{COMPARED}\n\n{compared(against)}" if against else "",
        "Whether people prefer its answers is for a blinded study to say; the numbers here do not.",
        "## How to use it",
        (_POLICY if facts.merged else _POLICY_ADAPTER).format(
            place=facts.place, base=facts.base or _base_of(facts)
        ),
        _POLICY_ELSEWHERE.format(place=facts.place) if facts.merged else "",
        _table("## From training", metrics),
        health_told(health) if health else "",
    ]


def _origin(facts: Facts) -> str:
    if facts.base:
        grown = "It grew from" if facts.base_is_parent else "It descends from"
        through = "" if facts.base_is_parent else ", through other models made by Tandem"
        base = f"{grown} `{facts.base}`{through}."
    else:
        base = "It grew from a model that has no name on the Hub."
    licence = (
        "Its licence is not known; that of the base holds too."
        if facts.licence == "unknown"
        else f"Licence: {facts.licence}."
    )
    snapshot = facts.record.get("snapshot")
    lines = [
        base,
        *([f"Snapshot of judgements: `{snapshot}`."] if snapshot else []),
        *facts.lineage,
        licence,
    ]
    return "## Where it comes from\n\n" + "\n".join(f"- {line}" for line in lines)


def _configuration(facts: Facts) -> str:
    config = json.dumps(facts.record["config"], indent=2, ensure_ascii=False)
    return f"## Configuration\n\n```json\n{config}\n```"


def _table(heading: str, metrics: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {_short(value)} |"
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return "\n".join([heading, "", "| measured | |", "|---|---|", *rows]) if rows else ""


def _base_of(facts: Facts) -> str:
    return str(facts.record["base"])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_SIMULATED = (
    "**Simulated judgements:** some or all of the judgements behind this model come from a program,"
    " not from people."
)

_GIVES = (
    "A reward model: it gives an answer to a prompt one number, and more is better. Made by Tandem,"
    " recipe `{recipe}`."
)

_SCALE = (
    "On responses of its snapshot rewards have mean {mean} and standard deviation {std}; their rank"
    " correlation with the length of the response is {length}. Only differences of rewards mean"
    " something unless ratings anchored the scale."
)

_ROUNDED = (
    " The weights are kept in {name}, the reward head in float32; two conversations that were tried"
    " got rewards up to {difference} of these standard deviations away from those in float32."
    " Programs that compute in {name} round more."
)

_TEMPLATE_GOES_ON = (
    "The reward is read at the answer's end token. The chat template of this model writes something"
    " else behind an answer, so encode the answer by itself, as above."
)

_TEXT = """\
text = tokenizer.apply_chat_template(messages, tokenize=False)
ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
with torch.no_grad():
    reward = model(**ids).logits[0, 0].item()"""

_IDS = """\
ids = tokenizer.apply_chat_template(
    messages[:-1], add_generation_prompt=True, tokenize=True, return_dict=False
)
ids += tokenizer(messages[-1]["content"], add_special_tokens=False).input_ids
ids.append(tokenizer.eos_token_id)
with torch.no_grad():
    reward = model(torch.tensor([ids])).logits[0, 0].item()"""

_MESSAGES = """\
messages = [
    {{"role": "user", "content": "What makes a good answer?"}},
    {{"role": "assistant", "content": "It helps whoever asked."}},
]
"""

_REWARD = (
    """\
```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

name = "{place}"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForSequenceClassification.from_pretrained(name, dtype=torch.float32)
"""
    + _MESSAGES
    + """\
{text}
standardised = (reward - model.config.mean) / model.config.std
```"""
)

_REWARD_ADAPTER = (
    """\
```python
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

name = "{place}"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForSequenceClassification.from_pretrained(
    "{base}", num_labels=1, dtype=torch.float32
)
model.config.pad_token_id = tokenizer.pad_token_id
model = PeftModel.from_pretrained(model, name).eval()
"""
    + _MESSAGES
    + """\
{text}
```"""
)

_REWARD_ELSEWHERE = """\
The chat template of this folder ends at the token where the reward is read, so programs that apply
it to prompt and answer get the same reward. TRL: `GRPOTrainer(..., reward_funcs="{place}")`. vLLM:

```
vllm serve {place} --runner pooling
curl http://localhost:8000/classify -H 'Content-Type: application/json' \\
    -d '{{"model": "{place}", "input": "TEXT", "add_special_tokens": false}}'
```

where TEXT is what `apply_chat_template(messages, tokenize=False)` gives."""

_POLICY = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "{place}"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)
messages = [{{"role": "user", "content": "What makes a good answer?"}}]
ids = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**ids, do_sample=True, max_new_tokens=64)
text = tokenizer.decode(answer[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
```"""

_POLICY_ADAPTER = """\
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "{place}"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(model, name)
messages = [{{"role": "user", "content": "What makes a good answer?"}}]
ids = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**ids, do_sample=True, max_new_tokens=64)
text = tokenizer.decode(answer[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
```

vLLM: `vllm serve {base} --enable-lora --lora-modules policy={place}`"""

_POLICY_ELSEWHERE = "vLLM: `vllm serve {place}`, then ask for `{place}` at `/v1/chat/completions`."
