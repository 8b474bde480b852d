"""A trained policy as a folder that ordinary tools open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.files import write_folder, write_text
from training.quiet import quietly

COMPARED = "## Against its start"


def write_policy(
    output: Path,
    model: PeftModel | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    description: Mapping[str, Any],
    story: str,
    samples: str | None = None,
    replace: bool = False,
) -> None:
    """Write a policy, whole or not at all.

    Args:
        output: The folder to make.
        model: The base with an adapter, of which the adapter is written, or whole weights.
        tokenizer: Saved with its chat template.
        description: The tandem.json.
        story: The model card's text in Markdown: a title, what the policy learned from, and how to
            read the metrics.
        samples: The samples.jsonl: what the policy answered to the same prompts as it learned.
        replace: Write over a folder of an earlier try.

    Raises:
        InvalidOption: `output` holds something and `replace` is false.
        StorageFailed: There is no room, or no right to write.
    """
    with write_folder(output, replace=replace) as folder, quietly():
        if isinstance(model, PeftModel):
            settings = model.peft_config["default"]
            # PEFT would write the path of this machine's cache.
            settings.base_model_name_or_path = description["base"]
            model.save_pretrained(folder, save_embedding_layers=False)
        else:
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if samples is not None:
            (folder / "samples.jsonl").write_text(samples, encoding="utf-8")
        card = _card(description, story, whole=not isinstance(model, PeftModel))
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "tandem.json").write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def record_comparison(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a written policy how it fares against its start.

    Args:
        folder: The policy's.
        card: From `evaluation.policy_card.against_start`, or `refused` with the reason why not.

    Returns:
        What its tandem.json now says: the card is among the metrics, as `against_start`.

    Raises:
        StorageFailed: There is no room, or no right to write.
    """
    record = folder / "tandem.json"
    described: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    described["metrics"] = {**described["metrics"], "against_start": card}
    readme = folder / "README.md"
    told = readme.read_text(encoding="utf-8").split(COMPARED)[0].rstrip()
    write_text(readme, f"{told}\n\n{COMPARED}\n\n{compared(card)}\n")
    # Last, because by it a run that was killed sees what is done.
    write_text(record, json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return described


def compared(card: Mapping[str, Any]) -> str:
    """What `record_comparison` adds to the model card, below its heading."""
    if "refused" in card:
        return f"Not compared: {card['refused']}"
    rows = [
        f"| {name} | {_percent(said['win_rate'])} | {_percent(said['length_controlled'])} |"
        f" {said.get('is', '')} |"
        for name, said in card["judges"].items()
    ]
    lead = (
        f"{card['prompts']} held-out prompts; mean length {card['tokens_of_start']:.0f} tokens"
        f" before, {card['tokens']:.0f} after. How often a reward model finds its answer better"
        " than that of its start, with 95 % intervals:"
    )
    head = ["| judge | wins | wins at equal length | the policy is |", "|---|---|---|---|"]
    return "\n".join([lead, "", *head, *rows])


def _percent(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "cannot be told"
    return "{:.0f} % [{:.0f}, {:.0f}]".format(
        *(100 * estimate[name] for name in ("value", "low", "high"))
    )


def rewards_told(
    weights: Mapping[str, float],
    schedule: Mapping[str, str],
    scales: Mapping[str, Mapping[str, float]],
) -> str:
    """Rewards as lines of a model card: what each counted, and the scale of those measured here."""
    lines = []
    for name, weight in weights.items():
        line = f"- `{name}`, weight {weight:g}"
        if name in schedule:
            line += f" times {schedule[name]} over the run"
        if name in scales:
            mean, std = scales[name]["mean"], scales[name]["std"]
            line += f"; the answers of the start earn {mean:.4g} ± {std:.4g}"
        lines.append(line)
    return "\n".join(lines)


def _card(description: Mapping[str, Any], story: str, *, whole: bool) -> str:
    """The model card, with the metadata that the Hub reads."""
    base, recipe = description["base"], description["recipe"]
    if whole:
        load = 'model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")'
        head = f"base_model: {base}\nlibrary_name: transformers\ntags: [{recipe}, rlhf, tandem]"
        imports = "from transformers import AutoModelForCausalLM, AutoTokenizer"
    else:
        load = (
            f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
            'model = PeftModel.from_pretrained(base, "THIS FOLDER")'
        )
        head = f"base_model: {base}\nlibrary_name: peft\ntags: [lora, {recipe}, rlhf, tandem]"
        imports = (
            "from peft import PeftModel\n"
            "from transformers import AutoModelForCausalLM, AutoTokenizer"
        )
    measured = "\n".join(
        f"| {name} | {value:.4g} |"
        for name, value in description["metrics"].items()
        if isinstance(value, int | float)
    )
    warning = (
        "\nIt learned from **simulated** judgements, not from people's alone.\n"
        if description["simulated"]
        else ""
    )
    return f"""---
{head}
---

{story}{warning}
```python
{imports}

{load}
tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
```

| metric | value |
|---|---|
{measured}

`tandem.json` holds the whole configuration.
"""
